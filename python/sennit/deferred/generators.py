"""Generators that yield Deferreds, run as one: coroutines from before there were any."""

from __future__ import annotations

import asyncio
import contextvars
import functools
from types import GeneratorType
from typing import TYPE_CHECKING, Any, ParamSpec

from sennit._native.core import Deferred
from sennit.deferred.bridges import ensure_deferred, patient, settle
from sennit.deferred.failure import Failure
from sennit.deferred.reporting import maker

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

__all__ = ["inline_callbacks"]

_P = ParamSpec("_P")
_NOTHING = object()


def inline_callbacks(
    function: Callable[_P, Generator[Any, Any, Any]],
) -> Callable[_P, Deferred[Any]]:
    """A function whose body waits where it yields.

    `result = yield deferred` waits for a Deferred, coroutine or future, takes its result (`None`
    is left) and raises its error; anything else that is yielded is sent right back. What it
    returns is the result of the Deferred. New code is better off with `async def` and `await`.

    Args:
        function: A generator function.

    Raises:
        TypeError: Calling it gives no generator.
    """

    @functools.wraps(function)
    def start(*args: _P.args, **kwargs: _P.kwargs) -> Deferred[Any]:
        generator = function(*args, **kwargs)
        if not isinstance(generator, GeneratorType):
            raise TypeError(f"{function!r} is no generator function: it has returned {generator!r}")
        return _Run(generator).deferred

    return start


def _without_own_frames(error: BaseException) -> BaseException:
    # Those of `_advance` and `_step`, which hold the Deferred that is going to hold the error.
    traceback = error.__traceback__
    for _ in range(2):
        if traceback is not None:
            traceback = traceback.tb_next
    return error.with_traceback(traceback)


# All functions that it makes have the same code.
maker(inline_callbacks(GeneratorType.__iter__))


class _Run:
    """One generator under way."""

    __slots__ = ("_context", "_found", "_generator", "_target", "_waits_for", "deferred")

    @maker
    def __init__(self, generator: Generator[Any, Any, Any]) -> None:
        self._generator = generator
        self._context = contextvars.copy_context()
        self._waits_for: Deferred[Any] | None = None
        self._found: Any = _NOTHING
        self.deferred, self._target = patient(self._stop)
        self._advance(None)

    def _stop(self) -> None:
        if self._waits_for is not None:
            self._waits_for.cancel()

    def _step(self, result: Any) -> Any:
        if isinstance(result, Failure):
            return self._generator.throw(result.value)
        return self._generator.send(result)

    def _advance(self, result: Any) -> None:
        # A loop, not a recursion: what has its result already costs no stack.
        while True:
            try:
                yielded = self._context.run(self._step, result)
            except StopIteration as stop:
                return settle(self._target(), stop.value)
            except (KeyboardInterrupt, SystemExit) as error:
                self._target().errback(error)
                raise
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the result
                return self._target().errback(_without_own_frames(error))
            if asyncio.iscoroutine(yielded) or asyncio.isfuture(yielded):
                yielded = ensure_deferred(yielded)
            if not isinstance(yielded, Deferred):
                result = yielded
                continue
            self._found = _NOTHING
            self._context.run(yielded.add_both, self._take)
            if self._found is _NOTHING:
                self._waits_for = yielded
                return None
            result = self._found

    def _take(self, result: Any) -> None:
        if self._waits_for is None:
            self._found = result
        else:
            self._waits_for = None
            self._advance(result)
