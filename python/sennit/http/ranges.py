"""Ranges of bytes: which parts of a representation a client asks for (RFC 9110 section 14)."""

from __future__ import annotations

import itertools
import re

__all__ = ["MAX_RANGES", "Unsatisfiable", "parse_ranges"]

MAX_RANGES = 16
"""More than this in one request are ignored, and everything is sent: Apache's number is 200, and
nobody needs that many at once."""

_RANGE = re.compile("([0-9]{0,18})-([0-9]{0,18})")
"""18 digits fit the size of any file."""


class Unsatisfiable(Exception):  # noqa: N818 - it is no error of anybody's
    """None of the ranges lies inside the representation: 416."""


def parse_ranges(value: str, size: int) -> list[tuple[int, int]] | None:
    """The parts that a Range field asks for.

    Args:
        value: Of the field.
        size: Bytes of the whole.

    Returns:
        Pairs of the first byte and the one behind the last, in the order in which they were asked
        for. None: the field is to be ignored, because it is malformed, is of another unit, has too
        many ranges, or ranges that overlap (section 14.2 allows that, section 17.15 advises it).

    Raises:
        Unsatisfiable: No range lies inside.
    """
    unit, mark, text = value.partition("=")
    if not mark or unit.strip().lower() != "bytes":
        return None
    specifications = [part.strip() for part in text.split(",") if part.strip()]
    if not specifications or len(specifications) > MAX_RANGES:
        return None
    found = []
    for specification in specifications:
        pair = _one(specification, size)
        if pair is None:
            return None
        if pair[0] < pair[1]:
            found.append(pair)
    if not found:
        raise Unsatisfiable
    ordered = sorted(found)
    if any(one[1] > other[0] for one, other in itertools.pairwise(ordered)):
        return None
    return found


def _one(specification: str, size: int) -> tuple[int, int] | None:
    """One range; empty if it lies outside, None if it is malformed."""
    match = _RANGE.fullmatch(specification)
    if match is None:
        return None
    first, last = match.groups()
    if first:
        begin, end = int(first), int(last) + 1 if last else size
        if last and end <= begin:
            return None
        return min(begin, size), min(end, size)
    return (max(0, size - int(last)), size) if last else None
