"""What one peer may cost a server: each limit by its one name, with its default and its counter."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, NamedTuple

from sennit._native import core
from sennit.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["FIXED_LIMITS", "LIMITS", "FixedLimit", "Limit", "check_limits", "check_networks"]

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
    Limit("max_request_line", 8192, "bytes", 16, 2**20, "request_lines_too_long",
          "the request line; a longer one is answered with 414"),
    Limit("max_head_size", 32768, "bytes", 64, 2**24, "heads_too_large",
          "request line and fields together; a larger head is answered with 431"),
    Limit("max_header_count", 100, "fields", 1, 256, "too_many_headers",
          "fields of a head, and of a trailer section; more are answered with 431"),
    Limit("max_chunk_extension", 4096, "bytes", 0, 2**20, "chunk_extensions_too_large",
          "extensions of all chunks of a body; more are answered with 400"),
    Limit("max_trailer_size", 8192, "bytes", 2, 2**24, "trailers_too_large",
          "fields behind a body in chunks; more are answered with 431"),
    Limit("header_timeout", 10.0, "s", 0, _FOR_EVER, "header_timeouts",
          "from accept, and from the first byte of each request, to the end of its head; then the "
          "connection is dropped"),
    Limit("keep_alive_timeout", 15.0, "s", 0, _FOR_EVER, "keep_alive_timeouts",
          "from an answer to the first byte of the next request; then the connection is closed"),
    Limit("max_requests", 10_000, "requests", 1, 2**32 - 1, "connections_used_up",
          "requests on one connection; the last answer says connection: close"),
    Limit("max_pipelined", 16, "requests", 1, 2**31, "pipelines_paused",
          "requests of one connection that are begun in one turn of the loop; what a client has "
          "sent behind them waits, unparsed, until the others had their turn"),
    Limit("body_timeout", 60.0, "s", 0, _FOR_EVER, "body_timeouts",
          "without any byte of a body that a handler waits for; answered with 408"),
    Limit("min_body_rate", 500, "bytes/s", 0, 2**40, "bodies_too_slow",
          "of a body that a handler waits for, after its first ten seconds; 0 for none; answered "
          "with 408"),
    Limit("max_body_size", 10 * 2**20, "bytes", 0, 2**48, "bodies_too_large",
          "a body that is read whole, unless the handler names its own limit; answered with 413. A "
          "body that is streamed has none"),
    Limit("write_timeout", 30.0, "s", 0, _FOR_EVER, "write_timeouts",
          "without any byte of an answer taken by the peer; then the connection is dropped"),
    Limit("max_connections", None, "connections", 1, 2**31, "refused",
          "open at once, those that were upgraded included; 80 % of the descriptor limit by "
          "default; further ones are answered with 503"),
    Limit("max_connections_per_address", 256, "connections", 1, 2**31, "refused_per_address",
          "open at once from one address, of IPv6 from one network of 64 bits; loopback and "
          "trusted_proxies are not counted; further ones are closed"),
)  # fmt: skip
"""All limits, in the order of a connection's life."""


class FixedLimit(NamedTuple):
    """A limit of a server that nobody needs to set."""

    name: str
    value: int
    unit: str
    meaning: str


def _fixed(name: str, unit: str, meaning: str) -> FixedLimit:
    return FixedLimit(name, core.fixed_limits()[name], unit, meaning)


FIXED_LIMITS = (
    _fixed("blank_lines", "lines", "in front of a request; more are answered with 400"),
    _fixed("rate_grace", "s", "of waiting for a body before min_body_rate is looked at"),
    _fixed("unread_body", "bytes", "of a body that the handler has not read: so much is received "
           "and thrown away behind the answer; a larger one ends the connection"),
    _fixed("linger", "s", "for the rest of such a body, and for what a client still sends when it "
           "has got its last answer"),
    _fixed("unparsed_input", "bytes", "read at once: what may wait behind the request that is "
           "being answered"),
    _fixed("unsent_answers", "bytes", "of answers that the client has not taken: more, and its "
           "next request waits, as does a handler that sends its answer in pieces"),
)  # fmt: skip
"""What a server keeps and no keyword changes."""

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


def check_networks(networks: Iterable[str]) -> str:
    """Networks as the native core reads them.

    Raises:
        ConfigError: One of them is none.
    """
    if isinstance(networks, str):
        raise ConfigError(f"trusted_proxies is {networks!r}, it must be a list of networks")
    try:
        return " ".join(str(ipaddress.ip_network(network)) for network in networks)
    except ValueError as error:
        raise ConfigError(
            f"trusted_proxies: {error}; it must be a list of networks such as '10.0.0.0/8'"
        ) from None
