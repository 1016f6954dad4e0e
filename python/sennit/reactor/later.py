"""What a later version brings: each method says its own name instead of failing without a word."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Later", "refuse"]


def refuse(what: str) -> NotImplementedError:
    """The error for something that a later version brings."""
    return NotImplementedError(
        f"Reactor.{what} comes with a later version of sennit; until then run the part of the "
        "program that needs it on asyncio's own loop"
    )


def _method(name: str) -> Callable[..., Any]:
    def method(_self: object, *_args: object, **_kwargs: object) -> Any:
        raise refuse(f"{name}()")

    method.__name__ = name
    method.__qualname__ = f"Later.{name}"
    method.__doc__ = "Comes with a later version; raises NotImplementedError that says so."
    return method


class Later:
    """Pipes, child processes, sendfile, raw socket calls."""

    connect_read_pipe = _method("connect_read_pipe")
    connect_write_pipe = _method("connect_write_pipe")
    sendfile = _method("sendfile")
    sock_accept = _method("sock_accept")
    sock_connect = _method("sock_connect")
    sock_recv = _method("sock_recv")
    sock_recv_into = _method("sock_recv_into")
    sock_recvfrom = _method("sock_recvfrom")
    sock_recvfrom_into = _method("sock_recvfrom_into")
    sock_sendall = _method("sock_sendall")
    sock_sendfile = _method("sock_sendfile")
    sock_sendto = _method("sock_sendto")
    subprocess_exec = _method("subprocess_exec")
    subprocess_shell = _method("subprocess_shell")
