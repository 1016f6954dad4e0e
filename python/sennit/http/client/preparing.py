"""What was said of a request, made into the plan for it; what cannot be sent is refused here."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import urlsplit

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.client.bodies import make_body
from sennit.http.client.call import Plan
from sennit.http.client.options import authentication_of, redirects_of
from sennit.http.policy.authentication import take_userinfo
from sennit.http.policy.cookies import beside, cookie_line
from sennit.http.policy.query import with_params
from sennit.http.policy.redirects import Hop

if TYPE_CHECKING:
    from sennit.http.client.bodies import Sendable
    from sennit.http.client.options import Fields, Options
    from sennit.http.policy.authentication import Authentication
    from sennit.http.policy.cookies import CookieJar
    from sennit.http.policy.redirects import Redirects
    from sennit.http.policy.retrying import Retry

__all__ = ["METHODS", "make_plan", "merged", "refuse_method", "with_jar"]

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"})
"""Methods that everybody knows. Source: RFC 9110 section 9.3; RFC 5789."""

_Pairs = tuple[tuple[str, str], ...]
_LENGTH = re.compile(r"[0-9]{1,18}")


def refuse_method(method: str) -> None:
    """Refuses a known method that is not written in capitals; any other is its user's own.

    Raises:
        LocalProtocolError: It is such a one: a server would not know it.
    """
    # RFC 9110 section 9.1: methods are case-sensitive, so they are not changed here.
    if method.upper() in METHODS:
        raise LocalProtocolError(
            f"method {method!r} is another one than {method.upper()!r}, and servers do not know "
            f"it (RFC 9110 section 9.1); write {method.upper()!r}"
        )


def make_plan(
    method: str,
    url: str,
    options: Options,
    *,
    defaults: _Pairs,
    redirects: Redirects | None,
    retry: Retry | None,
) -> Plan:
    """The plan for a request: its first hop, its body, and what may follow.

    Raises:
        ConfigError: An option, or the URL, makes no sense.
        LocalProtocolError: A cookie or a length cannot be sent.
        TypeError: A body is nothing that can be sent.
        OSError: A file is not there.
    """
    url, userinfo = take_userinfo(with_params(url, options.get("params")))
    auth = authentication_of(options.get("auth")) or userinfo
    body = make_body(options)
    headers = merged(defaults, options.get("headers"), auth)
    cookies = options.get("cookies")
    if cookies is not None:
        headers = _with_cookies(headers, cookies)
    if body is not None:
        headers = _with_body(headers, body)
    rule = redirects_of(options["redirects"]) if "redirects" in options else redirects
    hop = Hop(method, url, headers, body is not None)
    return Plan(hop, body, rule, options.get("retry", retry), adds_cookies=cookies is not None)


def merged(first: _Pairs, second: Fields | None, auth: Authentication | None = None) -> _Pairs:
    """Fields of both; the second's stand instead of the first's of the same name."""
    added: list[tuple[str, str]] = []
    if second is not None:
        added += second.items() if hasattr(second, "items") else second
    if auth is not None:
        added.append(auth.field())
    names = {name.lower() for name, _ in added}
    return (*(pair for pair in first if pair[0].lower() not in names), *added)


def with_jar(jar: CookieJar, hop: Hop, *, adds: bool) -> _Pairs:
    """A request's fields with a jar's cookies.

    Args:
        jar: What it has for the request's URL goes in.
        hop: The request. Cookies of its own stay.
        adds: Whether the jar's go beside them; False: cookies of its own are all that is sent.
    """
    own = _field_of(hop.headers, "cookie")
    if own is not None and not adds:
        return hop.headers
    line = jar.header_for(urlsplit(hop.url), time.time())
    if line is None:
        return hop.headers
    return merged(hop.headers, [("cookie", beside(line, own))])


def _field_of(headers: _Pairs, wanted: str) -> str | None:
    """The value of a field; None: there is none of that name."""
    return next((value for name, value in headers if name.lower() == wanted), None)


def _with_cookies(headers: _Pairs, cookies: Any) -> _Pairs:
    if not hasattr(cookies, "items"):
        raise ConfigError(
            f"cookies is {type(cookies).__name__}; give a dict of names and values for one "
            "request, and a CookieJar to http.Client"
        )
    if _field_of(headers, "cookie") is not None:
        raise ConfigError("cookies= and a cookie field are given, and a request has one")
    line = cookie_line(cookies)
    return (*headers, ("cookie", line)) if line else headers


def _with_body(headers: _Pairs, body: Sendable) -> _Pairs:
    """The fields beside a body: its type is said, and its length becomes the body's own."""
    given = _field_of(headers, "content-length")
    if given is not None:
        if not _LENGTH.fullmatch(given) or (body.length is not None and body.length != int(given)):
            _refuse_length(given, body.length)
        body.length = int(given)
        headers = tuple(pair for pair in headers if pair[0].lower() != "content-length")
    if body.content_type is not None and _field_of(headers, "content-type") is None:
        headers = (*headers, ("content-type", body.content_type))
    return headers


def _refuse_length(given: str, length: int | None) -> NoReturn:
    known = "it must be a number of bytes" if length is None else f"the body has {length:,} bytes"
    raise LocalProtocolError(f"content-length is {given[:100]!r}, and {known}; leave it out")
