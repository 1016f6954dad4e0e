"""What may be said of one request, and the checks of settings."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypedDict

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.policy.authentication import Authentication, Basic
from sennit.http.policy.proxies import Proxies, Proxy
from sennit.http.policy.redirects import Redirects

if TYPE_CHECKING:
    from sennit.http.policy.forms import Value
    from sennit.http.policy.query import Pairs
    from sennit.http.policy.retrying import Retry

__all__ = [
    "BodySource",
    "Fields",
    "Limits",
    "Options",
    "at_least_one",
    "authentication_of",
    "check_limits",
    "native_settings",
    "proxies_of",
    "redirects_of",
    "seconds",
]

Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

Piece: TypeAlias = str | bytes
BodySource: TypeAlias = (
    str | bytes | bytearray | memoryview | Path | BinaryIO | Iterable[Piece] | AsyncIterable[Piece]
)
"""What a body is made of. A path names a file; an open file is sent from where it stands."""

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take."""

_FOR_EVER = 1e9
"""Seconds; more is refused as a mistake."""


class Options(TypedDict, total=False):
    """What may be said of one request."""

    params: Pairs | None
    """Put behind the URL's query."""
    headers: Fields | None
    """Sent with this request, each instead of the client's own of the same name."""
    body: BodySource | None
    """Text as UTF-8, bytes, a Path, an open file, or something that gives pieces of bytes."""
    data: Pairs | None
    """Fields of a form; with `files` they stand beside those."""
    json: Any
    """A value, sent as JSON."""
    files: Mapping[str, Value | Sequence[Value]] | Iterable[tuple[str, Value]] | None
    """Files of a form: open files, paths, (name, content) or (name, content, type)."""
    auth: Authentication | tuple[str, str] | None
    """Credentials; a pair is user name and password."""
    timeout: float | None
    """Seconds for this request instead of the client's `total_timeout`."""
    redirects: Redirects | int | None
    """How many are followed instead of the client's own rule; None or 0: a redirect is the answer.
    """
    retry: Retry | None
    """When to try again instead of the client's own rule."""


class Limits(TypedDict, total=False):
    """What one response may cost; keywords of `http.Client`."""

    max_ratio: int
    """How many times as large a body may become when it is decoded, beyond its first MiB; 100."""
    max_head_size: int
    """Bytes of the status line and all fields; 32 KiB."""
    max_header_count: int
    """Fields of the head, and of the trailer section; 100, at most 256."""
    max_interim_responses: int
    """Responses 1xx before the final one; 8, at most 255."""
    max_trailer_size: int
    """Bytes of the trailer section behind a body in chunks; 8 KiB."""
    max_chunk_extension: int
    """Bytes of all chunk extensions of a body; 4 KiB."""


_MOST = {"max_header_count": 256, "max_interim_responses": 255}


def check_limits(given: Limits) -> dict[str, int]:
    """The limits of one response that are given.

    Raises:
        ConfigError: A name is none of a limit, or its value makes no sense.
    """
    checked: dict[str, int] = {}
    values: Mapping[str, Any] = given
    for name, value in values.items():
        if name not in Limits.__annotations__:
            known = ", ".join(sorted(Limits.__annotations__))
            raise ConfigError(f"{name} is no setting; limits of a response are {known}")
        checked[name] = at_least_one(name, value)
        most = _MOST.get(name, 2**31)
        if value > most:
            raise ConfigError(f"{name} is {value!r}, at most {most:,}")
    return checked


def native_settings(
    *,
    max_connections: int | None,
    max_connections_per_origin: int | None,
    max_connecting: int,
    max_waiting: int,
    keep_alive: bool,
    max_response_size: int,
    **times: float,
) -> dict[str, float]:
    """The limits of a client as the native core takes them.

    Raises:
        ConfigError: One makes no sense.
    """
    descriptors = core.raise_descriptor_limit()
    if max_connections is None:
        max_connections = max(1, int(descriptors * _CONNECTIONS_OF_DESCRIPTORS))
    if max_connections_per_origin is None:
        max_connections_per_origin = max_connections
    counts = {
        "max_connections": max_connections,
        "max_connections_per_origin": max_connections_per_origin,
        "max_connecting": max_connecting,
        "max_waiting": max_waiting,
        "max_response_size": max_response_size,
    }
    return {
        "keep_alive": float(keep_alive),
        **{name: at_least_one(name, count) for name, count in counts.items()},
        **{name: seconds(name, time) for name, time in times.items()},
    }


def proxies_of(given: Proxies | Proxy | str | None) -> Proxies | None:
    """Which proxies there are; a single one is for everything.

    Raises:
        ConfigError: It is no URL of a proxy.
    """
    if given is None or isinstance(given, Proxies):
        return given
    return Proxies(other=given)


def at_least_one(name: str, value: int) -> int:
    """An int of at least 1.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}, it must be an int of at least 1")
    return value


def seconds(name: str, value: float) -> float:
    """A number of seconds above 0.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int | float) or not 0 < value < _FOR_EVER:
        raise ConfigError(f"{name} is {value!r}, it must be a number of seconds above 0")
    return value


def authentication_of(given: Authentication | tuple[str, str] | None) -> Authentication | None:
    """Credentials, a pair of user name and password among them.

    Raises:
        ConfigError: They cannot be sent, or are none.
    """
    if given is None or isinstance(given, Authentication):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        return Basic(*given)
    raise ConfigError(
        f"auth is {type(given).__name__}; give http.Basic, http.Bearer or (user, password)"
    )


def redirects_of(given: Redirects | int | None) -> Redirects | None:
    """The rule for redirects; None: none is followed.

    Raises:
        ConfigError: It makes no sense.
    """
    if isinstance(given, Redirects):
        return given if given.max_redirects else None
    return Redirects(given) if given else None
