"""Dates in fields: the formats of HTTP, and what servers make of them."""

import email.utils
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.http.policy.dates import http_date, parse_date

MOMENT = datetime(2027, 6, 9, 10, 18, 14, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    "text",
    [
        "Wed, 09 Jun 2027 10:18:14 GMT",
        "Wednesday, 09-Jun-27 10:18:14 GMT",
        "Wed Jun  9 10:18:14 2027",
        "Wed, 09-Jun-2027 10:18:14 GMT",
        "wed, 9 JUNE 2027 10:18:14 UTC",
        "9 jun 27 10:18:14",
        "2027 Jun 09 10:18:14",
        "10:18:14 Jun 9 2027",
        "Wed, 09 Jun 2027 10:18:14 GMT+01:00",
        "\tWed;09;Jun;2027;10:18:14;",
    ],
)
def test_one_moment_in_many_formats(text: str) -> None:
    assert parse_date(text) == MOMENT


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "tomorrow",
        "Wed, 09 Jun 2027",
        "09 2027 10:18:14",
        "Wed, 09 Jun 10:18:14",
        "Wed, 32 Jun 2027 10:18:14",
        "Wed, 31 Jun 2027 10:18:14",
        "Wed, 09 Jun 2027 24:00:00",
        "Wed, 09 Jun 2027 10:60:00",
        "Wed, 09 Jun 2027 10:18:60",
        "Wed, 09 Jun 1600 10:18:14",
        "Wed, 09 Jun 20270 10:18:14",
        "Wed, 09 Jun 2027 10:18:144",
        "Wed, 009 Jun 2027 10:18:14",
        "Wed, 00 Jun 2027 10:18:14",
        "Wed, 09 Jun \u0662\u0660\u0662\u0667 10:18:14",
    ],
)
def test_what_is_no_date(text: str) -> None:
    assert parse_date(text) is None


@pytest.mark.parametrize(
    ("year", "whole"), [("69", 2069), ("70", 1970), ("99", 1999), ("00", 2000)]
)
def test_a_year_of_two_digits(year: str, whole: int) -> None:
    date = parse_date(f"01 Jan {year} 00:00:00")
    assert date == datetime(whole, 1, 1, tzinfo=UTC).timestamp()


@settings(deadline=None)
@given(st.integers(0, 253_402_300_799))
def test_whatever_python_writes_is_read(moment: int) -> None:
    assert parse_date(email.utils.formatdate(moment, usegmt=True)) == moment


@settings(deadline=None)
@given(st.text())
def test_no_text_is_too_strange(text: str) -> None:
    parse_date(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (784111777, "Sun, 06 Nov 1994 08:49:37 GMT"),
        (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951827696.9, "Tue, 29 Feb 2000 12:34:56 GMT"),
    ],
)
def test_a_date_is_written_as_the_rfc_says(seconds: float, text: str) -> None:
    assert http_date(seconds) == text
    assert parse_date(text) == int(seconds)
