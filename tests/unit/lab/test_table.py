"""A record as a table: aligned, complete, with its footnotes."""

from dataclasses import replace

import pytest

from sennit.lab.records import Record
from sennit.lab.table import COLUMNS, footnotes, format_bytes, render_table, row


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1_000, "1.0 KB"),
        (99_940, "99.9 KB"),
        (99_960, "100 KB"),
        (999_499, "999 KB"),
        (999_500, "1.0 MB"),
        (13_100_000, "13.1 MB"),
        (84_000_000_000, "84.0 GB"),
        (5_000_000_000_000_000, "5000 TB"),
    ],
)
def test_sizes_have_three_digits_at_most(size: int | None, text: str) -> None:
    assert format_bytes(size) == text


def test_each_model_is_a_row_in_order(record: Record) -> None:
    lines = render_table(record).splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("-----"))
    names = [line.split()[0] for line in lines[start + 1 : start + 6]]
    assert names == [result.model for result in record.results]


def test_columns_are_aligned(record: Record) -> None:
    lines = render_table(record).splitlines()
    head = next(line for line in lines if line.startswith("model"))
    rows = lines[lines.index(head) + 2 :][: len(record.results)]
    for column in COLUMNS[1:-1]:
        end = head.index(column) + len(column)
        assert all(line[end - 1] != " " and line[end : end + 2] == "  " for line in rows), column


def test_a_figure_that_is_not_there_is_a_dash(record: Record) -> None:
    assert row(record.results[-1]) == ("twisted", "0", *["-"] * 7)


def test_what_was_extrapolated_is_marked(record: Record) -> None:
    assert row(record.results[2])[0] == "processes †"
    assert any(n.startswith("† processes: extrapolated from 50 ") for n in footnotes(record))


def test_failures_and_what_was_left_out_are_named(record: Record) -> None:
    notes = footnotes(record)
    assert "twisted: failed: no result within 60 s (--deadline)" in notes
    assert "uvloop: left out: not installed (pip install 'sennit[lab]')" in notes


def test_waves_are_named(record: Record) -> None:
    waves = replace(record, results=(replace(record.results[0], waves=3),), left_out=())
    assert footnotes(waves) == ["limit: in 3 waves, this machine allows no more threads"]


def test_one_core_is_named(record: Record) -> None:
    machine = replace(record.machine, pinned=False, cores=1)
    assert any("one core only" in n for n in footnotes(replace(record, machine=machine)))


def test_a_busy_machine_is_named(record: Record) -> None:
    machine = replace(record.machine, load_average=1.5)
    assert any("busy" in n for n in footnotes(replace(record, machine=machine)))
    assert not any("busy" in n for n in footnotes(record))


def test_an_empty_record_is_a_table_without_rows(record: Record) -> None:
    assert "model" in render_table(replace(record, results=()))
