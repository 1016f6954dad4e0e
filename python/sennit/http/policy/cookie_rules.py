"""The rules of cookies: who may set one, and which requests it goes with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sennit.http.policy.hosts import is_address
from sennit.http.policy.set_cookie import SameSite, SetCookie

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Cookie", "accept", "domain_matches", "domains_of", "hides", "path_matches"]


@dataclass(slots=True)
class Cookie:
    """A cookie as a jar keeps it. Times are seconds since 1970. Its repr does not show the value.

    Args:
        name: Not empty.
        value: A character for each byte.
        domain: The host, in lower case.
        path: The folder of URLs that get it.
        expires: None: with the session, which is the life of the jar.
        is_host_only: Only `domain` itself gets it, not the hosts below.
        is_secure: It goes over TLS only.
        is_http_only: Scripts may not see it; a client has none.
        same_site: Kept, and without effect: a client has no site that a request comes from.
        created: When it was first set; older ones are sent first.
        last_used: When it was last set or sent; the longest unused one goes first.
    """

    name: str
    value: str = field(repr=False)
    domain: str
    path: str = "/"
    expires: float | None = None
    is_host_only: bool = True
    is_secure: bool = False
    is_http_only: bool = False
    same_site: SameSite = SameSite.DEFAULT
    created: float = 0.0
    last_used: float = 0.0

    @property
    def key(self) -> tuple[str, str, str, bool]:
        """What makes two cookies the same one: domain, path, name, and whether host-only."""
        return self.domain, self.path, self.name, self.is_host_only

    def is_expired(self, now: float) -> bool:
        """Whether its time is over."""
        return self.expires is not None and self.expires <= now


def accept(
    said: SetCookie, host: str, request_path: str, now: float, is_secure: bool
) -> Cookie | None:
    """The cookie that a host may set by what it says; None if it may not."""
    domain = said.domain
    # One label, or an address, has nothing below it that its cookies could be meant for.
    if domain and ("." not in domain.strip(".") or is_address(domain)):
        if domain != host:
            return None
        domain = ""
    if domain and not domain_matches(host, domain):
        return None
    if said.is_secure and not is_secure:
        return None
    prefix = said.name.lower()
    if prefix.startswith(("__secure-", "__host-")) and not said.is_secure:
        return None
    if prefix.startswith("__host-") and (said.domain or said.path != "/"):
        return None
    return Cookie(
        said.name,
        said.value,
        domain or host,
        said.path or _default_path(request_path),
        said.expires,
        not domain,
        said.is_secure,
        said.is_http_only,
        said.same_site,
        now,
        now,
    )


def domains_of(host: str) -> Iterator[str]:
    """The host, and every name above it that a cookie can be of."""
    yield host
    if not is_address(host):
        while "." in host:
            host = host.partition(".")[2]
            yield host


def domain_matches(host: str, domain: str) -> bool:
    """Whether a host is the domain itself or lies below it.

    Source: RFC 6265 section 5.1.3.
    """
    return host == domain or (host.endswith("." + domain) and not is_address(host))


def _default_path(path: str) -> str:
    """The folder of a URL's path. Source: RFC 6265 section 5.1.4."""
    return (path.startswith("/") and path.rpartition("/")[0]) or "/"


def path_matches(path: str, folder: str) -> bool:
    """Whether a request's path is the cookie's folder or lies in it.

    Source: RFC 6265 section 5.1.4.
    """
    return path == folder or (
        path.startswith(folder) and (folder.endswith("/") or path[len(folder)] == "/")
    )


def hides(cookie: Cookie, other: Cookie) -> bool:
    """Whether a cookie would replace one of the same name, or be sent where that is.

    Who sits on the way of a plain request must not be able to do so to what came over TLS.

    Source: RFC 6265bis section 5.7, "leave secure cookies alone".
    """
    return path_matches(cookie.path, other.path) and (
        domain_matches(other.domain, cookie.domain) or domain_matches(cookie.domain, other.domain)
    )
