"""What a client allows itself, its origins and its requests: each limit by its one name."""

from __future__ import annotations

from typing import NamedTuple

from sennit._native import core
from sennit.errors import ConfigError

__all__ = ["CLIENT_LIMITS", "ClientLimit", "native_settings", "seconds"]

_CONNECTIONS_OF_DESCRIPTORS = 0.8
"""Share of the descriptor limit that connections may take."""

_FOR_EVER = 1e9
"""Seconds; more is refused as a mistake."""

_SILENCE = 60.0
"""Seconds without a byte of a body that is read in pieces, where nobody has said how many."""


class ClientLimit(NamedTuple):
    """One limit of a client."""

    name: str
    default: float | None
    """None: `usual` says what it is."""
    unit: str
    """`s`, `bytes`, or what is counted."""
    meaning: str
    usual: str = ""
    """The default in words, where it is no number."""


CLIENT_LIMITS = (
    ClientLimit("max_connections", None, "connections", "open at once to all origins; further "
                "requests wait", "80 % of the descriptors"),
    ClientLimit("max_connections_per_origin", 100, "connections", "open at once to one origin, "
                "those being made included; further requests wait"),
    ClientLimit("max_connecting", 16, "connections", "being made at once to one origin; a request "
                "that waits takes one that becomes free, if that comes first"),
    ClientLimit("max_waiting", 1_000_000, "requests", "that wait for a connection; further ones "
                "are refused with OverloadedError"),
    ClientLimit("max_response_size", 100 * 2**20, "bytes", "of a body that is read whole, decoded "
                "or not; more is refused. One that is read in pieces has no limit"),
    ClientLimit("connect_timeout", 10.0, "s", "a connection to one address, TLS included. The "
                "next address is tried beside one that is silent for 250 ms (RFC 8305)"),
    ClientLimit("pool_timeout", 60.0, "s", "waiting until a connection may be made or is free"),
    ClientLimit("read_timeout", None, "s", "without a byte of a response that is waited for. By "
                "default a head and a whole response have the request's total time, and only what "
                "is read in pieces has this limit; one that is given holds for all of them",
                "60 s in pieces"),
    ClientLimit("write_timeout", 60.0, "s", "without a byte of a request taken by the peer"),
    ClientLimit("total_timeout", 60.0, "s", "one request with its redirects and retries, to the "
                "last byte of the response; with `stream` to its head. `timeout` of a request "
                "stands instead of it"),
    ClientLimit("keep_alive_timeout", 15.0, "s", "an idle connection; then it is closed"),
)  # fmt: skip
"""All limits, each a keyword of `http.Client`."""


def native_settings(given: dict[str, float | None], *, keep_alive: bool) -> dict[str, float]:
    """The limits as the native core takes them.

    Args:
        given: Each of `CLIENT_LIMITS`; None for what depends on the machine or on the request.
        keep_alive: Whether connections are used again.

    Raises:
        ConfigError: One makes no sense.
    """
    descriptors = core.raise_descriptor_limit()
    settings = {"keep_alive": float(keep_alive), "stream_read_timeout": _SILENCE}
    for name, default, unit, _, _ in CLIENT_LIMITS:
        value = given[name]
        if value is None and default is None:
            continue
        check = seconds if unit == "s" else _at_least_one
        settings[name] = check(name, value)
    settings.setdefault("max_connections", max(1, int(descriptors * _CONNECTIONS_OF_DESCRIPTORS)))
    if "read_timeout" in settings:
        settings["stream_read_timeout"] = settings["read_timeout"]
    else:
        # The request's total time bounds it.
        settings["read_timeout"] = _FOR_EVER
    # The time of each request is given with it.
    del settings["total_timeout"]
    return settings


def _at_least_one(name: str, value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} is {value!r}, it must be an int of at least 1")
    return value


def seconds(name: str, value: float | None) -> float:
    """A number of seconds above 0.

    Raises:
        ConfigError: It is not.
    """
    if not isinstance(value, int | float) or not 0 < value < _FOR_EVER:
        raise ConfigError(f"{name} is {value!r}, it must be a number of seconds above 0")
    return value
