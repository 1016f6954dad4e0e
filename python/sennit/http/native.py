"""The native drivers without a Python handler or caller: what the lab measures Python against."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.url import parse_request_url

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["fetch_many", "serve_delayed"]

_FULL_BACKLOG = 65_535


def serve_delayed(
    port: int, wait_s: float, on_listening: Callable[[int], None] | None = None
) -> int:
    """Answer every request `wait_s` seconds after it came with 13 bytes, until SIGTERM or SIGINT.

    Args:
        port: Where to listen on 127.0.0.1; 0 picks a free one.
        wait_s: Seconds, 0 answers at once.
        on_listening: Called with the port before the first connection is accepted.

    Returns:
        How many requests were answered.

    Raises:
        OSError: The port is in use.
    """
    core.raise_descriptor_limit()
    with socket.create_server(("127.0.0.1", port), backlog=_FULL_BACKLOG) as listening:
        listening.setblocking(False)
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if on_listening is not None:
            on_listening(listening.getsockname()[1])
        return core.serve_delayed(listening.fileno(), wait_s)


def fetch_many(url: str, count: int, concurrency: int) -> tuple[int, int]:
    """GET one URL many times at once; its host is a numeric address.

    A connection serves one request if all may be open at once, else connections are used again.

    Returns:
        How many were answered with status 200 and the 13 bytes of `serve_delayed`, and how many
        were not.

    Raises:
        ConfigError: The URL makes no sense, or its host is a name.
        KeyboardInterrupt: SIGINT or SIGTERM came.
    """
    core.raise_descriptor_limit()
    target = parse_request_url(url)
    if not target.is_numeric:
        raise ConfigError(f"{url!r}: the host must be a numeric address")
    _, host, port = target.origin
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    answered = core.fetch_many(place, target.path_and_query, target.authority, count, concurrency)
    return answered, count - answered
