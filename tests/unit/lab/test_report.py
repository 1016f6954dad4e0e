"""The page: charts with the right scale, every figure, and nothing from elsewhere."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from sennit.lab.charts import Bar, choose_scale, draw_bars
from sennit.lab.records import Record, Result
from sennit.lab.report import render_report, write_report


@pytest.mark.parametrize(
    ("values", "ticks"),
    [
        ([0.2, 0.9], (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        ([3.0, 7.0], (0.0, 2.0, 4.0, 6.0, 8.0)),
        ([], (0.0, 1.0)),
        ([0.0], (0.0, 1.0)),
    ],
)
def test_a_linear_scale_has_round_ticks(values: list[float], ticks: tuple[float, ...]) -> None:
    scale = choose_scale(values)
    assert not scale.logarithmic
    assert scale.ticks == pytest.approx(ticks)
    assert scale.position(scale.high) == 1.0


def test_figures_far_apart_have_a_logarithmic_scale() -> None:
    scale = choose_scale([0.0, 0.1, 20.0])
    assert scale.logarithmic
    # Not from 0.1: the smallest would have no bar.
    assert scale.ticks == pytest.approx((0.01, 0.1, 1.0, 10.0, 100.0))
    assert scale.position(0.0) == 0.0
    assert scale.position(1.0) == pytest.approx(0.5)


def test_a_chart_names_and_shows_each_bar() -> None:
    bars = [Bar("limit", 0.5, "limit"), Bar("a<b", 1.0)]
    drawn = ET.fromstring(draw_bars("Time", bars, lambda value: f"{value:g} s"))
    texts = [text.text for text in drawn.iter("text")]
    assert {"limit", "0.5 s"} <= {text.strip() for text in texts if text}
    assert len(list(drawn.iter("rect"))) == 2
    assert drawn.get("aria-label") == "Time: limit 0.5 s, a<b 1 s"


def test_the_page_has_every_model_and_footnote(record: Record) -> None:
    page = render_report(record)
    for result in record.results:
        assert result.model in page
    assert "no result within 60 s" in page
    assert page.count("<svg") == 3
    assert "logarithmic scale" in page
    assert "prefers-color-scheme: dark" in page


def test_nothing_is_loaded_from_elsewhere(record: Record) -> None:
    assert not re.search(r"https?://|<script|<link|@import|url\(", render_report(record))


def test_what_a_failure_says_is_escaped(record: Record) -> None:
    evil = replace(record, results=(Result("x", error="<script>alert(1)</script> $title"),))
    page = render_report(evil)
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; $title" in page


def test_the_page_and_the_record_are_written(record: Record, tmp_path: Path) -> None:
    page = write_report(record, tmp_path / "a" / "b")
    assert page.read_text().startswith("<!doctype html>")
    assert (page.parent / "record.json").read_text() == record.dump()
