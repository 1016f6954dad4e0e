"""The cookie jar: what servers want remembered, and which of it goes back where."""

from __future__ import annotations

import heapq
import re
from typing import TYPE_CHECKING

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.policy.cookie_rules import (
    Cookie,
    accept,
    domain_matches,
    domains_of,
    hides,
    path_matches,
)
from sennit.http.policy.hosts import canonical_host, is_address
from sennit.http.policy.set_cookie import parse_set_cookie

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from urllib.parse import SplitResult

__all__ = ["Cookie", "CookieJar", "beside", "cookie_line"]

_SECURE_SCHEMES = {"https", "wss"}
_NAME = re.compile(r"[!-:<>-~\x80-\xff](?:[ -:<>-~\x80-\xff]*[!-:<>-~\x80-\xff])?")
_VALUE = re.compile(r"(?:[!-:<-~\x80-\xff](?:[ -:<-~\x80-\xff]*[!-:<-~\x80-\xff])?)?")


class CookieJar:
    """Cookies of many hosts, with the rules and limits of browsers.

    There is no list of public suffixes here (`co.uk`, `github.io`): a server may set a cookie for
    every name above its own that has a dot in it, and so for its neighbours below such a suffix.
    A domain of one label (`com`) and an IP address are refused as the Domain of a cookie; where it
    is the very host that sets it, the cookie stays with that host.

    Args:
        max_cookies: In all; 3,000 is the least that RFC 6265 section 6.1 asks for.
        max_domain_cookies: Of one domain; the RFC asks for 50, Chrome and Firefox keep 180.
        max_cookie_size: Bytes of name and value together; a larger cookie is ignored.

    Raises:
        ConfigError: A limit is less than 1.

    Source: RFC 6265 section 5.3, with the prefixes, the limits and the care for secure cookies of
    RFC 6265bis.
    """

    def __init__(
        self,
        *,
        max_cookies: int = 3000,
        max_domain_cookies: int = 180,
        max_cookie_size: int = 4096,
    ) -> None:
        limits = {
            "max_cookies": max_cookies,
            "max_domain_cookies": max_domain_cookies,
            "max_cookie_size": max_cookie_size,
        }
        for name, limit in limits.items():
            if limit < 1:
                raise ConfigError(f"{name} is {limit}, which must be at least 1")
        self._max_cookies = max_cookies
        self._max_domain_cookies = max_domain_cookies
        self._max_cookie_size = max_cookie_size
        self._domains: dict[str, dict[tuple[str, str, str, bool], Cookie]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Cookie]:
        """Every cookie, also those whose time is over and that nobody has thrown away yet."""
        return iter([cookie for group in self._domains.values() for cookie in group.values()])

    def __repr__(self) -> str:
        return f"<sennit.http.CookieJar {self._count} cookies of {len(self._domains)} domains>"

    def clear(self, domain: str | None = None) -> None:
        """Forget all cookies, or those of a domain and of every host below it."""
        if domain is None:
            self._domains.clear()
            self._count = 0
            return
        domain = canonical_host(domain.removeprefix("."))
        for cookie in self:
            if domain_matches(cookie.domain, domain):
                self._remove(cookie)

    def add(self, cookie: Cookie, now: float = 0.0) -> None:
        """Keep a cookie of the program's own; one with the same key gives way.

        Args:
            cookie: It is the jar's from now on.
            now: Seconds since 1970.

        Raises:
            LocalProtocolError: Its name, value or path cannot be sent.
            ConfigError: Its domain is no host.
        """
        _check_pair(cookie.name, cookie.value)
        if not cookie.path.startswith("/") or not cookie.domain:
            raise LocalProtocolError(
                f"cookie {cookie.name[:100]!r} has domain {cookie.domain[:100]!r} and path "
                f"{cookie.path[:100]!r}; there must be a domain, and a path begins with /"
            )
        cookie.domain = canonical_host(cookie.domain)
        cookie.last_used = max(cookie.last_used, now)
        self._keep(cookie)
        self._evict({cookie.domain}, now)

    def store(self, url: SplitResult, lines: Iterable[str], now: float) -> None:
        """Keep what a response sets. What a server may not set is ignored, as browsers do.

        Args:
            url: Of the request.
            lines: The values of the response's `set-cookie` fields.
            now: Seconds since 1970.
        """
        host = canonical_host(url.hostname or "")
        is_secure = url.scheme in _SECURE_SCHEMES
        # One look at the jar serves all lines: a jar may be large, and a response has many lines.
        protected = {} if is_secure else self._secure_near(host)
        touched = set()
        for line in lines:
            said = parse_set_cookie(line, now, self._max_cookie_size)
            cookie = None if said is None else accept(said, host, url.path, now, is_secure)
            if cookie is None or any(hides(cookie, one) for one in protected.get(cookie.name, ())):
                continue
            if cookie.is_expired(now):
                self._remove(cookie)
            else:
                self._keep(cookie)
                touched.add(cookie.domain)
        if touched:
            self._evict(touched, now)

    def header_for(self, url: SplitResult, now: float) -> str | None:
        """The value of the `cookie` field for a request; None if there is nothing to send.

        Args:
            url: Of the request, its path as it is sent.
            now: Seconds since 1970.

        Source: RFC 6265 section 5.4.
        """
        if not self._domains:
            return None
        host = canonical_host(url.hostname or "")
        path = url.path or "/"
        is_secure = url.scheme in _SECURE_SCHEMES
        found = []
        for domain in domains_of(host):
            for cookie in list(self._domains.get(domain, {}).values()):
                if cookie.is_expired(now):
                    self._remove(cookie)
                elif (
                    (is_secure or not cookie.is_secure)
                    and (domain == host or not cookie.is_host_only)
                    and path_matches(path, cookie.path)
                ):
                    cookie.last_used = now
                    found.append(cookie)
        # Longer paths first, then older cookies: servers rely on it.
        found.sort(key=lambda cookie: (-len(cookie.path), cookie.created))
        return "; ".join(f"{cookie.name}={cookie.value}" for cookie in found) or None

    def _keep(self, cookie: Cookie) -> None:
        group = self._domains.setdefault(cookie.domain, {})
        old = group.get(cookie.key)
        if old is None:
            self._count += 1
        else:
            cookie.created = old.created
        group[cookie.key] = cookie

    def _remove(self, cookie: Cookie) -> None:
        group = self._domains.get(cookie.domain, {})
        if group.pop(cookie.key, None) is not None:
            self._count -= 1
            if not group:
                del self._domains[cookie.domain]

    def _secure_near(self, host: str) -> dict[str, list[Cookie]]:
        """By name, the secure cookies that a cookie of a plain response could hide."""
        # The widest domain that the response may set a cookie for; all that matter are below it.
        widest = host if is_address(host) else ".".join(host.rsplit(".", 2)[-2:])
        found: dict[str, list[Cookie]] = {}
        for domain, group in self._domains.items():
            if domain_matches(domain, widest):
                for cookie in group.values():
                    if cookie.is_secure:
                        found.setdefault(cookie.name, []).append(cookie)
        return found

    def _evict(self, domains: Iterable[str], now: float) -> None:
        """Hold the limits: what has expired goes first, then what was not used for longest."""
        for domain in domains:
            if len(self._domains.get(domain, {})) > self._max_domain_cookies:
                self._remove_expired(self._domains[domain].values(), now)
                group = self._domains.get(domain, {})
                excess = len(group) - self._max_domain_cookies
                # Those without TLS first: whoever can set them must not push out the others.
                order = sorted(group.values(), key=lambda one: (one.is_secure, one.last_used))
                for cookie in order[: max(0, excess)]:
                    self._remove(cookie)
        if self._count > self._max_cookies:
            self._remove_expired(self, now)
            excess = max(0, self._count - self._max_cookies)
            for cookie in heapq.nsmallest(excess, self, key=lambda one: one.last_used):
                self._remove(cookie)

    def _remove_expired(self, cookies: Iterable[Cookie], now: float) -> None:
        for cookie in [one for one in cookies if one.is_expired(now)]:
            self._remove(cookie)


def cookie_line(cookies: Mapping[str, str]) -> str:
    """The value of a `cookie` field with a program's own cookies.

    Raises:
        LocalProtocolError: A name or value cannot be sent.
    """
    for name, value in cookies.items():
        _check_pair(name, value)
    return "; ".join(f"{name}={value}" for name, value in cookies.items())


def beside(line: str, own: str | None) -> str:
    """A jar's line with a program's own cookies, which stand instead of those of the same name."""
    if not own:
        return line
    names = {pair.partition("=")[0] for pair in own.split("; ")}
    kept = [pair for pair in line.split("; ") if pair.partition("=")[0] not in names]
    return "; ".join([*kept, own])


def _check_pair(name: str, value: str) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(
            f"cookie {str(name)[:100]!r} is {type(value).__name__}; name and value are str"
        )
    if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
        # The value may be a secret: only the name is shown.
        raise LocalProtocolError(
            f"cookie {name[:100]!r} cannot be sent; a name is not empty and has no `=`, "
            "and neither name nor value has a semicolon, a control character or outer blanks"
        )
