"""A record as one HTML page: charts, table and footnotes; nothing is loaded from elsewhere."""

from __future__ import annotations

from html import escape
from importlib import resources
from string import Template
from typing import TYPE_CHECKING

from sennit.lab.charts import Bar, choose_scale, draw_bars
from sennit.lab.table import COLUMNS, footnotes, format_bytes, heading, machine_line, row

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sennit.lab.records import Record, Result

__all__ = ["render_report", "write_report"]

# Sennit's own rows stand out; the limit is what all are held against.
_KINDS = {"limit": "limit", "native": "own", "sennit": "own"}


def _seconds(value: float) -> str:
    # A tenth of a second needs a digit more than a minute does.
    return f"{value:.3g} s" if value < 100 else f"{value:,.0f} s"


def _size(value: float) -> str:
    return format_bytes(round(value))


_CHARTS: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("Time until all were answered", "wall_s", _seconds),
    ("CPU time", "cpu_s", _seconds),
    ("Memory grew by", "rss_growth_bytes", _size),
)


def _bar(result: Result, value: float) -> Bar:
    kind = _KINDS.get(result.model, "peer")
    if result.extrapolated:
        return Bar(f"{result.model} †", value, f"{kind} scaled")
    return Bar(result.model, value, kind)


def _chart(record: Record, title: str, figure: str, show: Callable[[float], str]) -> str:
    bars = [
        _bar(result, value)
        for result in record.results
        if (value := getattr(result, figure)) is not None
    ]
    if not bars:
        return ""
    scale = choose_scale([bar.value for bar in bars])
    note = " <small>logarithmic scale</small>" if scale.logarithmic else ""
    drawn = draw_bars(title, bars, show)
    return f"<section>\n<h2>{escape(title)}{note}</h2>\n{drawn}\n</section>"


def _table(record: Record) -> str:
    def cells(tag: str, texts: tuple[str, ...]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(text)}</{tag}>" for text in texts) + "</tr>"

    head = cells("th", COLUMNS)
    body = "\n".join(cells("td", row(result)) for result in record.results)
    return f"<table>\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def render_report(record: Record) -> str:
    """The page as text."""
    page = (resources.files("sennit.lab") / "report.html").read_text(encoding="utf-8")
    notes = "\n".join(f"<li>{escape(note)}</li>" for note in footnotes(record))
    return Template(page).substitute(
        title=escape(f"sennit lab {record.scenario}"),
        heading=escape(heading(record)),
        machine=escape(machine_line(record)),
        date=escape(record.machine.date),
        charts="\n".join(_chart(record, *chart) for chart in _CHARTS),
        table=_table(record),
        notes=f"<ul>\n{notes}\n</ul>" if notes else "",
    )


def write_report(record: Record, folder: Path) -> Path:
    """Write the page into a folder, which is made if need be, and the record beside it.

    Returns:
        The path of the page.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "record.json").write_text(record.dump(), encoding="utf-8")
    page = folder / "index.html"
    page.write_text(render_report(record), encoding="utf-8")
    return page
