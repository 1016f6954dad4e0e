"""Redirects: the request that follows an answer, and what of the old one may go with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from sennit.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from sennit.http.policy.hosts import DEFAULT_PORTS, origin_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Hop", "Redirects", "the_location"]

_STATUSES = {301, 302, 303, 307, 308}
_RULE = "RFC 9110 section 15.4"

_OF_THE_ORIGIN = {"authorization", "cookie", "host", "proxy-authorization"}
"""Fields that are for nobody but whom they were sent to."""

_OF_THE_BODY = {
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-type",
    "digest",
    "expect",
    "last-modified",
    "trailer",
    "transfer-encoding",
}
"""Fields that say nothing without the body that they came with. Source: RFC 9110 section 15.4."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_USERINFO = re.compile(r"//[^/?#]*@")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_SECURE = {"https", "wss"}
_SHOWN_HOPS = 6
_ASCII = "".join(map(chr, range(0x80)))
"""What stays as it is where bytes beyond ASCII are encoded."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One request of a chain of redirects.

    Args:
        method: As it is sent.
        url: Absolute, and without user name and password: those belong in `headers`.
        headers: What the program wants sent; a cookie jar's cookies are not among them.
        has_body: Whether the body of the first request goes with it.
    """

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    has_body: bool = False


@dataclass(frozen=True, slots=True)
class Redirects:
    """How far redirects are followed.

    Args:
        max_redirects: Of one request, 0 or more; browsers follow 20.
        allow_downgrade: Whether one may lead from TLS to plain text.

    Raises:
        ConfigError: `max_redirects` is less than 0.
    """

    max_redirects: int = 20
    allow_downgrade: bool = False

    def __post_init__(self) -> None:
        if self.max_redirects < 0:
            raise ConfigError(f"max_redirects is {self.max_redirects}, which must be 0 or more")

    def next_hop(
        self,
        chain: Sequence[Hop],
        status: int,
        location: str | None,
        *,
        is_repeatable: bool = True,
    ) -> Hop | None:
        """The request that follows; None if the answer is none that leads on.

        301 and 302 make a POST a GET, 303 makes everything but a HEAD a GET; else method and body
        stay. Where scheme, host or port change, credentials, cookies and `host` are left behind.

        Args:
            chain: The requests so far; the last one is that of the answer.
            status: Of the answer.
            location: The answer's field of that name, a character for each byte.
            is_repeatable: Whether the body can be sent once more.

        Raises:
            RemoteProtocolError: The location cannot be followed, leads from TLS to plain text, or
                is one too many; the message has the chain.
            LocalProtocolError: The body would have to be sent again and cannot.

        Source: RFC 9110 section 15.4.
        """
        if status not in _STATUSES or location is None:
            return None
        last = chain[-1]
        old = urlsplit(last.url)
        new = _resolve(last.url, location)
        method = _method_after(status, last.method)
        keeps_body = method == last.method and status != 303
        has_body = last.has_body and keeps_body
        hop = Hop(method, new.geturl(), _fields_for(last, old, new, keeps_body), has_body)
        if len(chain) > self.max_redirects:
            raise RemoteProtocolError(self._too_many([*chain, hop]), rule=_RULE)
        if old.scheme in _SECURE and new.scheme not in _SECURE and not self.allow_downgrade:
            raise RemoteProtocolError(
                f"{without_secrets(old)} redirects to {without_secrets(new)}, from TLS to plain "
                "text; set allow_downgrade to follow",
                rule=_RULE,
            )
        if has_body and not is_repeatable:
            raise LocalProtocolError(
                f"{without_secrets(old)} redirects with status {status}, so the body has to be "
                "sent again, and it can be read only once; send bytes, or a file that can seek"
            )
        return hop

    def _too_many(self, chain: list[Hop]) -> str:
        said = f"{len(chain) - 1:,} redirects, limit {self.max_redirects:,} (max_redirects)"
        urls = [without_secrets(urlsplit(hop.url)) for hop in chain]
        first = urls.index(urls[-1])
        if first < len(urls) - 1:
            # From where it was before to where it is again: the loop, and not what led there.
            again = urls.index(urls[-1], first + 1)
            return f"{said}; they go in a loop: {_shown(urls[first : again + 1])}"
        return f"{said}: {_shown(urls)}"


def the_location(status: int, values: Sequence[str]) -> str | None:
    """The one value that the `location` fields of an answer have; None: there is none.

    Raises:
        RemoteProtocolError: It is a redirect and there are two: whoever follows one of them may
            be elsewhere than who follows the other.

    Source: RFC 9110 section 5.3.
    """
    if status in _STATUSES and len(set(values)) > 1:
        raise RemoteProtocolError(
            f"the answer with status {status} has {len(values):,} location fields that differ",
            rule="RFC 9110 section 5.3",
        )
    return values[0] if values else None


def _shown(urls: list[str]) -> str:
    if len(urls) > _SHOWN_HOPS:
        half = _SHOWN_HOPS // 2
        urls = [*urls[:half], f"({len(urls) - _SHOWN_HOPS:,} more)", *urls[-half:]]
    return " -> ".join(urls)


def _method_after(status: int, method: str) -> str:
    if status == 303 and method != "HEAD":
        return "GET"
    if status in {301, 302} and method == "POST":
        return "GET"
    return method


def _resolve(base: str, location: str) -> SplitResult:
    """Where a location leads, its fragment or else the old one included. RFC 9110 section 10.2.2.

    Raises:
        RemoteProtocolError: It leads nowhere that HTTP goes.
    """
    reference = _as_text(location.strip(" \t"))
    # It is shown without what it may have before its host: that is a secret of somebody's.
    shown = repr(_USERINFO.sub("//", reference)[:2048])
    if _CONTROL.search(reference):
        raise RemoteProtocolError(f"location {shown} has a control character", rule=_RULE)
    try:
        parts = urlsplit(urljoin(base, reference))
        authority = urlsplit(reference).netloc
        if parts.scheme not in DEFAULT_PORTS:
            raise RemoteProtocolError(f"location {shown} is no http or https URL", rule=_RULE)
        if "@" in authority:
            # It is from somebody who is not to be trusted with whom we log in as.
            raise RemoteProtocolError(
                f"location {shown} has a user name in it", rule="RFC 9110 section 4.2.4"
            )
        if "\\" in authority or "%" in authority:
            raise RemoteProtocolError(f"location {shown} has no host that can be", rule=_RULE)
        if _SCHEME.match(reference) and not authority:
            raise RemoteProtocolError(f"location {shown} names no host", rule=_RULE)
        origin_of(parts)
    except ValueError as error:  # a ConfigError is one, but here the peer is to blame
        raise RemoteProtocolError(f"location {shown}: {error}", rule=_RULE) from error
    return parts._replace(
        path=quote(parts.path, safe=_ASCII),
        query=quote(parts.query, safe=_ASCII),
        fragment=quote(
            parts.fragment if "#" in reference else urlsplit(base).fragment, safe=_ASCII
        ),
    )


def _as_text(location: str) -> str:
    """A location as a URL: servers put UTF-8, other bytes and blanks into it all the same."""
    try:
        location = location.encode("latin-1").decode("utf-8")
    except UnicodeEncodeError:
        pass
    except UnicodeDecodeError:
        location = quote(location.encode("latin-1"), safe=_ASCII)
    return location.replace(" ", "%20")


def _fields_for(
    last: Hop, old: SplitResult, new: SplitResult, keeps_body: bool
) -> tuple[tuple[str, str], ...]:
    dropped: set[str] = set()
    if origin_of(old) != origin_of(new):
        dropped |= _OF_THE_ORIGIN
    if not keeps_body:
        dropped |= _OF_THE_BODY
    if not dropped:
        return last.headers
    return tuple(pair for pair in last.headers if pair[0].lower() not in dropped)
