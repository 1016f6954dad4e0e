"""Conditional requests: whether a client has already what it asks for, or wants what has changed.

Source: RFC 9110 section 13.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from sennit.http.policy.dates import http_date, parse_date

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sennit.http.headers import Headers

__all__ = ["evaluate", "http_date", "is_range_current"]


_TAG = re.compile(r'[ \t,]*+((?:W/)?+"[^"]*+")')
"""The next entity tag of a list. Nothing is looked at twice, however long it is."""


def _tags(value: str) -> Iterator[str]:
    """The entity tags of a list; one that is malformed matches nothing, nor does what follows."""
    at = 0
    while (found := _TAG.match(value, at)) is not None:
        yield found[1]
        at = found.end()


def _matches(value: str, etag: str, *, weakly: bool) -> bool:
    """Whether a list of tags has this one, by the comparison of section 8.8.3.2."""
    if value.strip() == "*":
        return True
    if weakly:
        bare = etag.removeprefix("W/")
        return any(tag.removeprefix("W/") == bare for tag in _tags(value))
    return not etag.startswith("W/") and etag in _tags(value)


def evaluate(headers: Headers, etag: str, modified: int) -> int | None:
    """The status that the conditions of a GET or HEAD lead to, in the order of section 13.2.2.

    Args:
        headers: Of the request.
        etag: The entity tag of what would be sent, in its quotes.
        modified: When that was changed, in whole seconds since 1970.

    Returns:
        304 or 412; None: send it.
    """
    if (match := headers.get("if-match")) is not None:
        if not _matches(match, etag, weakly=False):
            return 412
    elif (since := headers.get("if-unmodified-since")) is not None:
        limit = parse_date(since)
        if limit is not None and modified > limit:
            return 412
    if (none := headers.get("if-none-match")) is not None:
        return 304 if _matches(none, etag, weakly=True) else None
    if (since := headers.get("if-modified-since")) is not None:
        limit = parse_date(since)
        if limit is not None and modified <= limit:
            return 304
    return None


def is_range_current(condition: str | None, etag: str, modified: int) -> bool:
    """Whether a range may be sent under an If-Range field (section 13.1.5); None: there is none."""
    if condition is None:
        return True
    condition = condition.strip()
    if condition.startswith(('"', "W/")):
        return not etag.startswith("W/") and condition == etag
    # A date is good enough only if it is exactly the one that was sent.
    return parse_date(condition) == modified
