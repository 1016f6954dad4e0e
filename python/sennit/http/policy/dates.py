"""Dates in fields: written as the RFC says, read as leniently as browsers read them."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime

__all__ = ["http_date", "parse_date"]

# Everything but digits, letters, the colon and control characters parts two tokens.
_DELIMITERS = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?!\d)", re.ASCII)
_DAY = re.compile(r"(\d{1,2})(?!\d)", re.ASCII)
_YEAR = re.compile(r"(\d{2,4})(?!\d)", re.ASCII)
_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()  # noqa: SIM905 - one line
_LONGEST = 128
"""Characters that are looked at: a date has 40 at most."""


def http_date(seconds: float) -> str:
    """A time since 1970 as a field has it, in nobody's own language (RFC 9110 section 5.6.7)."""
    year, month, day, hour, minute, second, weekday, *_ = time.gmtime(seconds)
    name = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")[weekday]
    moment = f"{hour:02}:{minute:02}:{second:02}"
    return f"{name}, {day:02} {_MONTHS[month - 1].title()} {year} {moment} GMT"


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of a date; None if it is none.

    It takes the three formats of HTTP (RFC 9110 section 5.6.7), and whatever else has a time, a
    day, a month and a year in it, such as `Wed, 09-Jun-2027 10:18:14 GMT`. Zones are not looked at:
    all is UTC. A year of two digits is 1970 to 2069.

    Source: RFC 6265 section 5.1.1.
    """
    clock: re.Match[str] | None = None
    day = month = year = None
    for token in _DELIMITERS.split(text[:_LONGEST]):
        # Each token is the first of these that is still missing and that it can be.
        if clock is None and (match := _TIME.match(token)):
            clock = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    return _seconds(_whole_year(year), month, day, clock)


def _whole_year(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year <= 69 else year


def _seconds(year: int, month: int, day: int, clock: re.Match[str]) -> float | None:
    if year < 1601:  # the year from which RFC 6265 counts
        return None
    hour, minute, second = (int(part) for part in clock.groups())
    try:
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None
