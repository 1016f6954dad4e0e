"""Hosts and origins: when two names mean the same place."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple

from sennit.errors import ConfigError

if TYPE_CHECKING:
    from urllib.parse import SplitResult

__all__ = [
    "DEFAULT_PORTS",
    "Origin",
    "canonical_host",
    "has_control",
    "is_address",
    "origin_of",
    "without_secrets",
]

DEFAULT_PORTS = {"http": 80, "https": 443, "ws": 80, "wss": 443}
"""The port of a URL that names none."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

_LONGEST_NAME = 253
"""Characters of a name of a host. Source: RFC 1035 section 2.3.4, less what its text does not show.
"""

_LONGEST = 2048
"""Characters of a URL that are shown in an error."""


class Origin(NamedTuple):
    """Who answers for a URL. Source: RFC 6454 section 4."""

    scheme: str
    host: str
    port: int


def is_address(host: str) -> bool:
    """Whether a host is an IP address (IPv6 without its brackets) and not a name."""
    # What ipaddress does with the name of every request costs more than a look at two characters.
    if ":" not in host and not host[-1:].isdigit():
        return False
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def canonical_host(host: str) -> str:
    """A host in lower case, and in ASCII as the name system knows it.

    Raises:
        ConfigError: It is no name that can be looked up.
    """
    if host.isascii():
        return host.lower()
    if len(host) > _LONGEST_NAME:  # nobody has it, and to encode it takes long
        raise ConfigError(
            f"{host[:_LONGEST_NAME]!r}... is no name of a host: it has {len(host):,} characters, "
            f"limit {_LONGEST_NAME}"
        )
    try:
        return host.encode("idna").decode().lower()
    except UnicodeError as error:
        raise ConfigError(f"{host!r} is no name of a host: {error}") from error


def origin_of(parts: SplitResult) -> Origin:
    """The origin of a URL, with the default port where it names none.

    Raises:
        ConfigError: It has no host, an impossible port, or a scheme whose port nobody knows.
    """
    try:
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"{without_secrets(parts)!r}: {error}") from error
    port = DEFAULT_PORTS.get(parts.scheme) if port is None else port
    if not parts.hostname or not port:
        raise ConfigError(f"{without_secrets(parts)!r} has no host or port to send a request to")
    return Origin(parts.scheme, canonical_host(parts.hostname), port)


def has_control(url: str) -> bool:
    """Whether there is a character in a URL that `urlsplit` would silently leave out, or worse."""
    return _CONTROL.search(url) is not None


def without_secrets(parts: SplitResult) -> str:
    """A URL as an error may show it: without user name and password, and not endless."""
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()[:_LONGEST]
