"""Ranges of bytes and conditions, as tables and against simple models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sennit import http
from sennit.http.conditions import evaluate, is_range_current
from sennit.http.policy.dates import http_date
from sennit.http.ranges import MAX_RANGES, Unsatisfiable, parse_ranges

ETAG = '"abc"'
CHANGED = 784111777  # Sun, 06 Nov 1994 08:49:37 GMT
BEFORE, THEN, LATER = (http_date(CHANGED + shift) for shift in (-1, 0, 1))


@pytest.mark.parametrize(
    ("value", "ranges"),
    [
        ("bytes=0-0", [(0, 1)]),
        ("bytes=0-99", [(0, 100)]),
        ("bytes=0-1000", [(0, 100)]),
        ("bytes=50-", [(50, 100)]),
        ("bytes=-1", [(99, 100)]),
        ("bytes=-1000", [(0, 100)]),
        ("BYTES = 1-2", [(1, 3)]),
        ("bytes=0-9,20-29", [(0, 10), (20, 30)]),
        ("bytes=20-29, 0-9", [(20, 30), (0, 10)]),
        ("bytes=0-9,200-300", [(0, 10)]),
        ("bytes=0-9,10-19", [(0, 10), (10, 20)]),
        ("bytes=0-9,9-19", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=1-2-3", None),
        ("bytes=+1-2", None),
        ("bytes=1 -2", None),
        ("bytes=\u0661-2", None),
        ("bytes=0-" + "9" * 19, None),
        ("lines=0-1", None),
        ("0-1", None),
        (
            "bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES)),
            [(n, n + 1) for n in range(16)],
        ),
        ("bytes=" + ",".join(f"{n}-{n}" for n in range(MAX_RANGES + 1)), None),
    ],
)
def test_what_a_range_field_asks_for(value: str, ranges: list[tuple[int, int]] | None) -> None:
    assert parse_ranges(value, 100) == ranges


@pytest.mark.parametrize(
    ("value", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_what_lies_outside_is_unsatisfiable(value: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        parse_ranges(value, size)


@given(st.text(max_size=40), st.integers(0, 1000))
def test_any_text_is_ranges_inside_or_nothing(text: str, size: int) -> None:
    try:
        ranges = parse_ranges("bytes=" + text, size)
    except Unsatisfiable:
        return
    for begin, end in ranges or []:
        assert 0 <= begin < end <= size


@given(st.integers(0, 120), st.integers(0, 120), st.integers(1, 100))
def test_a_range_is_that_of_a_slice(first: int, last: int, size: int) -> None:
    data = bytes(range(size))
    try:
        ranges = parse_ranges(f"bytes={first}-{last}", size)
    except Unsatisfiable:
        assert data[first:] == b""
        return
    if last < first:
        assert ranges is None
    else:
        assert ranges is not None
        ((begin, end),) = ranges
        assert data[begin:end] == data[first : last + 1]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({}, None),
        ({"if-match": ETAG}, None),
        ({"if-match": "*"}, None),
        ({"if-match": '"x", "abc"'}, None),
        ({"if-match": '"x"'}, 412),
        ({"if-match": 'W/"abc"'}, 412),
        ({"if-unmodified-since": THEN}, None),
        ({"if-unmodified-since": LATER}, None),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": "yesterday"}, None),
        ({"if-match": ETAG, "if-unmodified-since": BEFORE}, None),
        ({"if-none-match": ETAG}, 304),
        ({"if-none-match": 'W/"abc"'}, 304),
        ({"if-none-match": "*"}, 304),
        ({"if-none-match": '"x" , , "abc"'}, 304),
        ({"if-none-match": '"x"'}, None),
        ({"if-none-match": "abc"}, None),
        ({"if-none-match": '"a,bc", "abc"'}, 304),
        ({"if-modified-since": THEN}, 304),
        ({"if-modified-since": LATER}, 304),
        ({"if-modified-since": BEFORE}, None),
        ({"if-modified-since": "?"}, None),
        ({"if-none-match": '"x"', "if-modified-since": LATER}, None),
        ({"if-match": '"x"', "if-none-match": ETAG}, 412),
        ({"if-match": ETAG, "if-none-match": ETAG}, 304),
    ],
)
def test_conditions_in_their_order(fields: dict[str, str], status: int | None) -> None:
    assert evaluate(http.Headers(fields), ETAG, CHANGED) == status


@pytest.mark.parametrize(
    ("condition", "current"),
    [
        (None, True),
        (ETAG, True),
        ('"x"', False),
        ('W/"abc"', False),
        (THEN, True),
        (LATER, False),
        (BEFORE, False),
        ("nonsense", False),
    ],
)
def test_if_range(condition: str | None, current: bool) -> None:
    assert is_range_current(condition, ETAG, CHANGED) is current
