"""Ways in: run a coroutine, find the running reactor, be the policy of other people's programs."""

from __future__ import annotations

import asyncio
import warnings
from asyncio import events
from typing import TYPE_CHECKING, TypeVar

from sennit.reactor.event_loop import Reactor

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine
    from typing import Any

__all__ = ["EventLoopPolicy", "current_reactor", "run"]

_T = TypeVar("_T")


def run(
    main: Coroutine[Any, Any, _T],
    *,
    debug: bool | None = None,
    context: contextvars.Context | None = None,
) -> _T:
    """Run a coroutine on a new Reactor and return its result.

    Ctrl-C cancels the coroutine, as under `asyncio.run`; at the end every task is cancelled,
    asynchronous generators and the default executor are shut down, and the reactor is closed.

    Args:
        main: The coroutine.
        debug: asyncio's debug mode; None: as `PYTHONASYNCIODEBUG` and `-X dev` say.
        context: The context that the coroutine runs in; None: a copy of the current one.

    Raises:
        RuntimeError: A loop runs in this thread already.
        KeyboardInterrupt: Ctrl-C, after the coroutine was cancelled.
    """
    if events._get_running_loop() is not None:  # noqa: SLF001
        raise RuntimeError("sennit.run() cannot be called from a running event loop; await instead")
    with asyncio.Runner(debug=debug, loop_factory=Reactor) as runner:
        return runner.run(main, context=context)


def current_reactor() -> Reactor:
    """The reactor that runs in this thread.

    Raises:
        RuntimeError: No loop runs in this thread, or one that is no Reactor.
    """
    loop = asyncio.get_running_loop()
    if not isinstance(loop, Reactor):
        raise RuntimeError(
            f"the running event loop is a {type(loop).__name__}, not a sennit.Reactor; "
            "start the program with sennit.run"
        )
    return loop


with warnings.catch_warnings():
    # Policies are deprecated from Python 3.14 on; programs that call asyncio.run still need one.
    warnings.simplefilter("ignore", DeprecationWarning)
    _PolicyBase = asyncio.DefaultEventLoopPolicy


class EventLoopPolicy(_PolicyBase):
    """Makes `asyncio.run` and `asyncio.new_event_loop` use a Reactor."""

    def new_event_loop(self) -> Reactor:
        """A new Reactor."""
        return Reactor()
