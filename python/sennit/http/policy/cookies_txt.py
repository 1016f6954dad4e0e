"""The file `cookies.txt`: cookies as curl, wget and browsers' tools keep them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sennit.errors import ConfigError
from sennit.http.policy.cookies import Cookie

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["dump_cookies_txt", "parse_cookies_txt"]

_FIRST_LINE = "# Netscape HTTP Cookie File"
"""Without it some readers refuse the file."""

_HTTP_ONLY = "#HttpOnly_"


def dump_cookies_txt(cookies: Iterable[Cookie], now: float) -> str:
    """The text of a file with the cookies that have not expired; a jar is such an iterable.

    A cookie with a tab in its value is left out: the format has no way to write it.

    Args:
        cookies: Those of the session too; their time is written as 0.
        now: Seconds since 1970.
    """
    lines = [_FIRST_LINE]
    for cookie in cookies:
        if cookie.is_expired(now):
            continue
        fields = (
            ("" if cookie.is_host_only else ".") + cookie.domain,
            "FALSE" if cookie.is_host_only else "TRUE",
            cookie.path,
            "TRUE" if cookie.is_secure else "FALSE",
            str(int(cookie.expires or 0)),
            cookie.name,
            cookie.value,
        )
        if not any("\t" in text for text in fields):
            lines.append((_HTTP_ONLY if cookie.is_http_only else "") + "\t".join(fields))
    return "\n".join(lines) + "\n"


def parse_cookies_txt(text: str, now: float) -> Iterator[Cookie]:
    """The cookies of a file that have not expired, each to be given to `CookieJar.add`.

    Args:
        text: Of the file, read as latin-1: a character for each byte.
        now: Seconds since 1970.

    Raises:
        ConfigError: A line is no cookie; the message has its number, not what stands in it.
    """
    for number, line in enumerate(text.split("\n"), 1):
        content = line.removesuffix("\r")
        is_http_only = content.startswith(_HTTP_ONLY)
        content = content.removeprefix(_HTTP_ONLY)
        if not content or content.startswith("#"):
            continue
        fields = content.split("\t")
        if len(fields) != 7 or not fields[4].isdecimal() or len(fields[4]) > 18:
            raise ConfigError(f"line {number} of the cookies is not made of 7 fields, tabs between")
        domain, with_below, path, is_secure, expires, name, value = fields
        cookie = Cookie(
            name,
            value,
            domain.removeprefix("."),
            path,
            float(expires) or None,
            with_below != "TRUE",
            is_secure == "TRUE",
            is_http_only,
            created=now,
            last_used=now,
        )
        if not cookie.is_expired(now):
            yield cookie
