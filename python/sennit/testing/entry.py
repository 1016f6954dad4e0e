"""Ways in: run a program in a simulated world, put two protocols face to face."""

from __future__ import annotations

import asyncio
import functools
from asyncio import events
from typing import TYPE_CHECKING, Any, TypeVar

from sennit.testing.reactor import Reactor

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from sennit.testing.link import Link

__all__ = ["connected_pair", "run"]

_T = TypeVar("_T")


def run(
    main: Coroutine[Any, Any, _T],
    *,
    seed: int = 0,
    link: Link | None = None,
    autojump: bool = True,
    debug: bool | None = None,
) -> _T:
    """Run a coroutine on a new `testing.Reactor` and return its result, as `sennit.run` does.

    Args:
        main: The coroutine; `sennit.current_reactor().network` is its network.
        seed: What all chance comes from: the same seed, the same run.
        link: The wire of every connection; None connects the two ends directly.
        autojump: False leaves the clock to `Reactor.advance`.
        debug: asyncio's debug mode; None: as `PYTHONASYNCIODEBUG` and `-X dev` say.

    Raises:
        DeadlockError: Every task waits, and nothing is left that could happen.
        RuntimeError: A loop runs in this thread already.

    Example:
        `testing.run(main(), seed=7, link=testing.Link(latency=0.05, loss=0.01))`
    """
    if events._get_running_loop() is not None:  # noqa: SLF001
        raise RuntimeError("testing.run() cannot be called from a running event loop")
    factory = functools.partial(Reactor, seed=seed, link=link, autojump=autojump)
    with asyncio.Runner(debug=debug, loop_factory=factory) as runner:
        return runner.run(main)


async def connected_pair(
    client: asyncio.BaseProtocol, server: asyncio.BaseProtocol, *, link: Link | None = None
) -> tuple[asyncio.Transport, asyncio.Transport]:
    """Connect two protocols on the running `testing.Reactor`; returns when both have heard of it.

    Args:
        client: The side that connects.
        server: The side that accepts.
        link: The wire between them; None: as the reactor has it.

    Returns:
        The client's transport and the server's.

    Raises:
        RuntimeError: No `testing.Reactor` runs in this thread.

    Example:
        `here, there = await testing.connected_pair(Mine(), Peer(), link=testing.Link(chunk=1))`
    """
    reactor = asyncio.get_running_loop()
    if not isinstance(reactor, Reactor):
        raise RuntimeError(f"connected_pair() needs a running testing.Reactor, not {reactor!r}")
    with reactor.network.bind(("127.0.0.1", 0)) as listening:
        listening.listen(1)
        sock = await reactor.network.connect(listening.getsockname(), link=link)
        accepted, _ = listening.accept()
    there, _ = await reactor.connect_accepted_socket(lambda: server, accepted)
    here, _ = await reactor.create_connection(lambda: client, sock=sock)
    return here, there
