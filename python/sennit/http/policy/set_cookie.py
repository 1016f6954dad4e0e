"""One `set-cookie` line, taken apart as browsers do."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from sennit.http.policy.dates import parse_date

__all__ = ["LONGEST_LIFE", "SameSite", "SetCookie", "parse_set_cookie"]

LONGEST_LIFE = 400 * 86400.0
"""Seconds that a cookie lives at most, whatever it says: 400 days.

Source: RFC 6265bis section 5.5, which browsers follow.
"""

_LONGEST_ATTRIBUTE = 1024
"""Bytes of an attribute's value; a longer one does not count. Source: RFC 6265bis section 5.6."""

_BLANKS = " \t"
# A tab is the only control character that a cookie may have. One that could end a line must never
# come back in a request.
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_SECONDS = re.compile(r"-?\d+", re.ASCII)


class SameSite(enum.Enum):
    """With which requests a browser sends a cookie; kept, and without effect in a client."""

    DEFAULT = ""
    NONE = "none"
    LAX = "lax"
    STRICT = "strict"


@dataclass(slots=True)
class SetCookie:
    """What one line says; nobody has checked yet whether the server may say it."""

    name: str
    value: str
    expires: float | None = None
    """Seconds since 1970; None: with the session."""
    domain: str = ""
    """In lower case and without a dot in front; empty: this host only."""
    path: str = ""
    """Begins with a slash; empty: by the URL of the request."""
    is_secure: bool = False
    is_http_only: bool = False
    same_site: SameSite = SameSite.DEFAULT


def parse_set_cookie(line: str, now: float, max_size: int = 4096) -> SetCookie | None:
    """The cookie of a line, or None where browsers ignore the whole line.

    They do so if it has a control character, no name, or more than it may have. An attribute that
    makes no sense is ignored alone. Of one that comes twice the last counts.

    Args:
        line: The field's value, a character for each byte.
        now: Seconds since 1970.
        max_size: Bytes of name and value together.

    Source: RFC 6265 section 5.2; limits and control characters RFC 6265bis section 5.6.
    """
    if _CONTROL.search(line):
        return None
    pair, _, rest = line.partition(";")
    name, equals, value = pair.partition("=")
    name, value = name.strip(_BLANKS), value.strip(_BLANKS)
    if not equals or not name or len(name) + len(value) > max_size:
        return None
    cookie = SetCookie(name, value)
    max_age: float | None = None
    for attribute in rest.split(";"):
        key, _, content = attribute.partition("=")
        key, content = key.strip(_BLANKS).lower(), content.strip(_BLANKS)
        if len(content) > _LONGEST_ATTRIBUTE:
            continue
        if key == "max-age":
            if _SECONDS.fullmatch(content):
                max_age = _until(content, now)
        else:
            _apply(cookie, key, content, now)
    if max_age is not None:
        cookie.expires = max_age  # wins over Expires, wherever it stands
    return cookie


def _until(seconds: str, now: float) -> float:
    # Nought and less have ended long ago, not only now.
    count = int(seconds)
    return now + min(count, LONGEST_LIFE) if count > 0 else float("-inf")


def _apply(cookie: SetCookie, key: str, content: str, now: float) -> None:
    if key == "expires":
        date = parse_date(content)
        if date is not None:
            cookie.expires = min(date, now + LONGEST_LIFE)
    elif key == "domain":
        cookie.domain = content.removeprefix(".").lower()
    elif key == "path":
        cookie.path = content if content.startswith("/") else ""
    elif key == "secure":
        cookie.is_secure = True
    elif key == "httponly":
        cookie.is_http_only = True
    elif key == "samesite":
        known = {"none", "lax", "strict"}
        cookie.same_site = SameSite(content.lower() if content.lower() in known else "")
