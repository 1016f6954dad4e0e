"""What one peer may cost a server: each limit by its one name, with its default and its counter."""

from __future__ import annotations

from typing import NamedTuple

from sennit._native import core
from sennit.errors import ConfigError

__all__ = ["LIMITS", "Limit", "check_limits"]

_FOR_EVER = 1e9
"""Seconds; more is refused as a mistake."""

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take; the rest is for files, upstreams, and
for refusing politely."""


class Limit(NamedTuple):
    """One limit of a server."""

    name: str
    default: float | None
    """None: it depends on the machine."""
    unit: str
    """`bytes`, `s`, `bytes/s`, or what is counted."""
    least: float
    """The smallest value that makes sense; times are above it."""
    most: float
    counter: str
    """Of `server.statistics()`."""
    meaning: str


LIMITS = (
    Limit("max_request_line", 8192, "bytes", 16, 2**20, "protocol_errors",
          "the request line; a longer one is answered with 414"),
    Limit("max_head_size", 32768, "bytes", 64, 2**24, "protocol_errors",
          "request line and fields together; a larger head is answered with 431"),
    Limit("max_header_count", 100, "fields", 1, 256, "protocol_errors",
          "fields of a head, and of a trailer section; more are answered with 431"),
    Limit("header_timeout", 10.0, "s", 0, _FOR_EVER, "header_timeouts",
          "from accept, and from the first byte of each request, to the end of its head; then the "
          "connection is dropped"),
    Limit("keep_alive_timeout", 15.0, "s", 0, _FOR_EVER, "keep_alive_timeouts",
          "from an answer to the first byte of the next request; then the connection is closed"),
    Limit("max_requests", 10_000, "requests", 1, 2**32 - 1, "answered",
          "requests on one connection; the last answer says connection: close"),
    Limit("body_timeout", 60.0, "s", 0, _FOR_EVER, "body_timeouts",
          "without any byte of a body that a handler waits for; answered with 408"),
    Limit("min_body_rate", 500, "bytes/s", 0, 2**40, "body_timeouts",
          "of a body that a handler waits for, after its first ten seconds; 0 for none; answered "
          "with 408"),
    Limit("max_body_size", 10 * 2**20, "bytes", 0, 2**48, "bodies_too_large",
          "a body that is read whole, unless the handler names its own limit; answered with 413. A "
          "body that is streamed has none"),
    Limit("write_timeout", 30.0, "s", 0, _FOR_EVER, "write_timeouts",
          "without any byte of an answer taken by the peer; then the connection is dropped"),
    Limit("max_connections", None, "connections", 1, 2**31, "refused",
          "open at once; 80 % of the descriptor limit by default; further ones are answered with "
          "503"),
    Limit("max_connections_per_address", 256, "connections", 1, 2**31, "refused_per_address",
          "open at once from one address, loopback not counted; further ones are closed"),
)  # fmt: skip
"""All limits, in the order of a connection's life."""

_BY_NAME = {limit.name: limit for limit in LIMITS}


def check_limits(given: dict[str, float]) -> dict[str, float]:
    """All limits of a server: what is given, and the defaults of the others.

    Raises:
        ConfigError: A name is none of a limit, or its value makes no sense.
    """
    for name, value in given.items():
        limit = _BY_NAME.get(name)
        if limit is None:
            raise ConfigError(f"{name} is no setting; there are: {', '.join(sorted(_BY_NAME))}")
        _check(limit, value)
    descriptors = core.raise_descriptor_limit()
    limits = {limit.name: limit.default for limit in LIMITS if limit.default is not None}
    limits["max_connections"] = max(1, int(descriptors * _CONNECTIONS_OF_DESCRIPTORS))
    return limits | given


def _check(limit: Limit, value: float) -> None:
    shown = f"{limit.name} is {value!r}"
    if limit.unit == "s":
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ConfigError(f"{shown}, it must be a number of seconds above 0")
        if not 0 < value < limit.most:
            raise ConfigError(f"{shown}, it must be a number of seconds above 0")
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < limit.least:
        raise ConfigError(f"{shown}, it must be an int of at least {limit.least}")
    if value > limit.most:
        raise ConfigError(f"{shown}, at most {limit.most:,}")
