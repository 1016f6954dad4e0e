"""Cookies: read as browsers send them, written as the standard wants them."""

from __future__ import annotations

import contextlib
import string
import time
from datetime import datetime

from sennit.errors import LocalProtocolError

__all__ = ["parse_cookies", "render_cookie", "render_deleted_cookie"]

_TOKEN = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~")
_VALUE = frozenset(map(chr, range(0x21, 0x7F))) - frozenset('",;\\')
"""cookie-octet of RFC 6265 section 4.1.1."""

_PATH = frozenset(map(chr, range(0x20, 0x7F))) - {";"}
_DOMAIN = frozenset(string.ascii_letters + string.digits + "-.")

_MAX_SIZE = 4096
"""Bytes of name and value: browsers ignore what is larger (RFC 6265 section 6.1 has the number)."""

_SAME_SITE = {"strict": "Strict", "lax": "Lax", "none": "None"}
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def parse_cookies(field: str) -> dict[str, str]:
    """The cookies of a request's field, the first of each name.

    A browser sends that of the longest path first, so the first is the nearest. What has no `=` is
    no cookie and left out; quotes around a value are dropped; bytes that are UTF-8 are read as it.

    Source: RFC 6265 section 5.4.
    """
    if not field.isascii():
        # What is not UTF-8 stays as it is: one character a byte.
        with contextlib.suppress(UnicodeDecodeError):
            field = field.encode("latin-1").decode()
    cookies: dict[str, str] = {}
    for pair in field.split(";"):
        name, equals, value = pair.partition("=")
        name = name.strip(" \t")
        if not (equals and name) or name in cookies:
            continue
        value = value.strip(" \t")
        if len(value) > 1 and value[0] == value[-1] == '"':
            value = value[1:-1]
        cookies[name] = value
    return cookies


def render_cookie(  # noqa: PLR0913 - each is an attribute of the standard's
    name: str,
    value: str,
    *,
    max_age: int | None = None,
    expires: datetime | float | None = None,
    domain: str | None = None,
    path: str | None = "/",
    secure: bool = False,
    http_only: bool = False,
    same_site: str | None = "lax",
    partitioned: bool = False,
) -> str:
    """The value of a set-cookie field.

    Args:
        name: A token.
        value: Printable ASCII without spaces, quotes, commas, semicolons and backslashes.
        max_age: Seconds until it goes; 0 or less deletes it.
        expires: When it goes: a datetime with a timezone, or seconds since 1970.
        domain: A host whose subdomains get it too; None for this host only.
        path: Where it is sent; starts with a slash. None leaves it to the browser.
        secure: It is sent over TLS only.
        http_only: Scripts do not see it.
        same_site: `strict`, `lax`, `none` or None, which leaves it to the browser. By default
            `lax`, as browsers have it: it is sent when a link is followed, not with foreign forms.
        partitioned: Each top-level site has one of its own.

    Raises:
        LocalProtocolError: A browser would not take it, or take something else than was meant.

    Source: RFC 6265 section 4.1.1.
    """
    _check("name", name, _TOKEN, "it is a token")
    _check("value", value, _VALUE, "encode it, for example with urllib.parse.quote")
    size = len(name) + len(value)
    if not name or size > _MAX_SIZE:
        fact = f"is {size:,} bytes, limit {_MAX_SIZE:,}" if name else "has no name"
        raise LocalProtocolError(f"cookie {name!r} {fact}: browsers ignore it")
    parts = [f"{name}={value}"]
    if expires is not None:
        parts.append(f"Expires={_date(expires)}")
    if max_age is not None:
        parts.append(f"Max-Age={int(max_age)}")
    if domain is not None:
        _check("domain", domain, _DOMAIN, "write other scripts in their ASCII form (xn--)")
        parts.append(f"Domain={domain}")
    if path is not None:
        _check("path", path, _PATH, "percent-encode it")
        if not path.startswith("/"):
            raise LocalProtocolError(f"cookie path is {path!r}; it starts with a slash")
        parts.append(f"Path={path}")
    _check_promises(name, domain, path, secure=secure)
    parts += ["Secure"] * secure + ["HttpOnly"] * http_only
    if same_site is not None:
        if same_site.lower() not in _SAME_SITE:
            raise LocalProtocolError(f"same_site is {same_site!r}, not strict, lax, none or None")
        parts.append(f"SameSite={_SAME_SITE[same_site.lower()]}")
    if not secure and (partitioned or parts[-1] == "SameSite=None"):
        what = "partitioned" if partitioned else "same_site='none'"
        raise LocalProtocolError(
            f"cookie {name!r}: {what} needs secure=True, or browsers refuse it"
        )
    parts += ["Partitioned"] * partitioned
    return "; ".join(parts)


def render_deleted_cookie(name: str, *, path: str | None = "/", domain: str | None = None) -> str:
    """The value of a set-cookie field that has the browser forget a cookie.

    Args:
        name: Its name.
        path: As it was set.
        domain: As it was set.

    Raises:
        LocalProtocolError: As in `render_cookie`.
    """
    secure = name.lower().startswith(("__host-", "__secure-"))
    return render_cookie(
        name, "", max_age=0, expires=0, path=path, domain=domain, secure=secure, same_site=None
    )


def _check(what: str, text: str, allowed: frozenset[str], advice: str) -> None:
    wrong = next((character for character in text if character not in allowed), None)
    if wrong is not None:
        raise LocalProtocolError(f"cookie {what} {text!r} has {wrong!r}; {advice}")


def _check_promises(name: str, domain: str | None, path: str | None, *, secure: bool) -> None:
    """What the prefix of a name promises must be so, or browsers refuse the cookie."""
    prefix = name.lower()
    if prefix.startswith("__secure-") and not secure:
        raise LocalProtocolError(f"cookie {name!r}: __Secure- needs secure=True")
    if prefix.startswith("__host-") and not (secure and path == "/" and domain is None):
        raise LocalProtocolError(f"cookie {name!r}: __Host- needs secure=True, path='/', no domain")


def _date(when: datetime | float) -> str:
    """IMF-fixdate of RFC 9110 section 5.6.7, in English whatever the locale is."""
    if isinstance(when, datetime):
        if when.tzinfo is None:
            raise LocalProtocolError(f"cookie expires {when}: which timezone? (datetime.UTC)")
        when = when.timestamp()
    at = time.gmtime(when)
    day, month = _DAYS[at.tm_wday], _MONTHS[at.tm_mon - 1]
    clock = f"{at.tm_hour:02}:{at.tm_min:02}:{at.tm_sec:02}"
    return f"{day}, {at.tm_mday:02} {month} {at.tm_year:04} {clock} GMT"
