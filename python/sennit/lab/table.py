"""A record as a table for the terminal: aligned, with its footnotes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sennit.lab.records import Record, Result

__all__ = [
    "COLUMNS",
    "footnotes",
    "format_bytes",
    "heading",
    "machine_line",
    "render_table",
    "row",
]

COLUMNS = (
    "model",
    "answered",
    "wall s",
    "x limit",
    "CPU s",
    "memory",
    "address space",
    "threads",
    "processes",
)

_UNITS = ("B", "KB", "MB", "GB", "TB")
_MARK = "†"
_NOTHING = "-"


def format_bytes(size: int | None) -> str:
    """A size with three significant digits, in units of 1,000, as in "13.1 MB"."""
    if size is None:
        return _NOTHING
    value, unit = float(size), 0
    # 999.5 would be rounded to a fourth digit.
    while value >= 999.5 and unit < len(_UNITS) - 1:
        value /= 1000
        unit += 1
    digits = 0 if unit == 0 or value >= 99.95 else 1
    return f"{value:.{digits}f} {_UNITS[unit]}"


def _number(value: float | None, digits: int = 2) -> str:
    return _NOTHING if value is None else f"{value:,.{digits}f}"


def _count(value: int | None) -> str:
    return _NOTHING if value is None else f"{value:,}"


def row(result: Result) -> tuple[str, ...]:
    """The cells of one model, in the order of `COLUMNS`."""
    mark = f" {_MARK}" if result.extrapolated else ""
    return (
        result.model + mark,
        _count(result.answered),
        _number(result.wall_s),
        _number(result.times_limit, 1),
        _number(result.cpu_s),
        format_bytes(result.rss_growth_bytes),
        format_bytes(result.vm_growth_bytes),
        _count(result.threads),
        _count(result.processes),
    )


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines with the first column to the left and all others to the right."""
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    lines = []
    for cells in rows:
        first = cells[0].ljust(widths[0])
        others = (cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True))
        lines.append("  ".join((first, *others)).rstrip())
    return lines


def footnotes(record: Record) -> list[str]:
    """What must be said about the figures, a line each."""
    notes = []
    for result in record.results:
        if result.extrapolated:
            notes.append(
                f"{_MARK} {result.model}: extrapolated from {result.measured_processes:,} "
                "processes at once: more would take over a quarter of this machine, or too long"
            )
        if result.waves is not None:
            notes.append(
                f"{result.model}: in {result.waves} waves, this machine allows no more threads"
            )
        if result.error:
            notes.append(f"{result.model}: failed: {result.error}")
    notes += [f"{name}: left out: {reason}" for name, reason in record.left_out]
    if not record.machine.pinned:
        notes.append("one core only: each model has shared it with its origin")
    if record.machine.load_average > record.machine.cores / 2:
        notes.append(
            f"this machine was busy when the run began (load {record.machine.load_average}): "
            "compare the models with each other, not with another run"
        )
    return notes


def heading(record: Record) -> str:
    """The scenario in one line."""
    return (
        f"{record.requests:,} requests at once, each on a new connection; "
        f"the origin answers each after {record.wait_s * 1000:g} ms"
    )


def machine_line(record: Record) -> str:
    """The machine in one line."""
    machine = record.machine
    cores = "1 core" if machine.cores == 1 else f"{machine.cores} cores"
    return (
        f"{machine.cpu}, {cores}, {format_bytes(machine.memory_bytes)}, Linux {machine.kernel}, "
        f"{machine.python}, load {machine.load_average}"
    )


def render_table(record: Record) -> str:
    """The whole record as text that ends with a newline."""
    lines = [heading(record), machine_line(record), ""]
    table = _aligned([COLUMNS, *map(row, record.results)])
    lines += [table[0], "-" * max(map(len, table)), *table[1:]]
    notes = footnotes(record)
    if notes:
        lines += ["", *notes]
    return "\n".join(lines) + "\n"
