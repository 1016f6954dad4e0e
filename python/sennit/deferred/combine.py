"""Several Deferreds as one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sennit._native.core import Deferred
from sennit.deferred.bridges import ensure_deferred
from sennit.deferred.failure import Failure
from sennit.deferred.reporting import maker
from sennit.errors import ConfigError, FirstError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

__all__ = ["DeferredList", "first_success", "gather_results", "race"]


class DeferredList(Deferred[Any]):
    """Waits for several: fires with a list of `(success, value or Failure)` in their order.

    Cancelling it cancels those that have no result yet, and it fails with `CancelledError`. The
    Deferreds keep their results, so others may add callbacks to them; their errors count as not
    taken unless `consume_errors` says so.
    """

    def __init__(
        self,
        awaitables: Iterable[Awaitable[Any]],
        *,
        fire_on_one_callback: bool = False,
        fire_on_one_errback: bool = False,
        consume_errors: bool = False,
    ) -> None:
        """Wait for several.

        Args:
            awaitables: Deferreds, coroutines or futures; an empty list fires at once.
            fire_on_one_callback: Fire with `(value, index)` as soon as one succeeds.
            fire_on_one_errback: Fail with a `FirstError` as soon as one fails.
            consume_errors: Take the errors: each one's result is `None` afterwards.
        """
        super().__init__(DeferredList._cancel_all)
        self._deferreds = [ensure_deferred(one) for one in awaitables]
        self._results: list[tuple[bool, Any]] = [(False, None)] * len(self._deferreds)
        self._left = len(self._deferreds)
        self._fires = (fire_on_one_callback, fire_on_one_errback)
        self._consumes = consume_errors
        self._is_over = False
        for index, deferred in enumerate(self._deferreds):
            deferred.add_both(self._note, index)
        if not self._deferreds and not fire_on_one_callback:
            self._finish(self._results)

    def _cancel_all(self) -> None:
        # What they make of it is no result of the list: that is cancelled itself.
        self._is_over = True
        for one in self._deferreds:
            one.cancel()

    def _finish(self, result: Any) -> None:
        if not self._is_over:
            self._is_over = True
            if isinstance(result, BaseException):
                self.errback(result)
            else:
                self.callback(result)

    def _note(self, result: Any, index: int) -> Any:
        succeeded = not isinstance(result, Failure)
        self._results[index] = (succeeded, result)
        self._left -= 1
        on_callback, on_errback = self._fires
        if succeeded and on_callback:
            self._finish((result, index))
        elif not succeeded and on_errback:
            self._finish(FirstError(result, index))
        elif self._left == 0:
            self._finish(self._results)
        return None if self._consumes and not succeeded else result


@maker
def gather_results(
    awaitables: Iterable[Awaitable[Any]], *, consume_errors: bool = False
) -> Deferred[list[Any]]:
    """All results in their order, or a `FirstError` as soon as one fails.

    Args:
        awaitables: Deferreds, coroutines or futures.
        consume_errors: Take the errors of all, so that only the first one is heard of.
    """
    gathered = DeferredList(awaitables, fire_on_one_errback=True, consume_errors=consume_errors)
    return gathered.add_callback(lambda results: [value for _, value in results])


@maker
def race(awaitables: Iterable[Awaitable[Any]]) -> Deferred[tuple[int, Any]]:
    """The first that has a result, be it an error: `(index, value)`; the others are cancelled.

    Raises:
        ConfigError: There are none.
    """
    return _Race(awaitables, takes_errors=False).winner


@maker
def first_success(awaitables: Iterable[Awaitable[Any]]) -> Deferred[tuple[int, Any]]:
    """The first that succeeds: `(index, value)`; the others are cancelled.

    If all fail, it fails with a `BaseExceptionGroup` of their errors.

    Raises:
        ConfigError: There are none.
    """
    return _Race(awaitables, takes_errors=True).winner


class _Race:
    """Several of which one wins."""

    @maker
    def __init__(self, awaitables: Iterable[Awaitable[Any]], *, takes_errors: bool) -> None:
        self._deferreds = [ensure_deferred(one) for one in awaitables]
        if not self._deferreds:
            raise ConfigError("there is nothing to wait for: one awaitable or more")
        self._takes_errors = takes_errors
        self._errors: dict[int, BaseException] = {}
        self._is_over = False
        self.winner: Deferred[tuple[int, Any]] = Deferred(self._end)
        for index, deferred in enumerate(self._deferreds):
            deferred.add_both(self._note, index)

    def _end(self, _winner: object = None) -> None:
        self._is_over = True
        for deferred in self._deferreds:
            deferred.cancel()

    def _note(self, result: Any, index: int) -> None:
        if self._is_over:
            return
        if not isinstance(result, Failure):
            self._end()
            self.winner.callback((index, result))
        elif not self._takes_errors:
            self._end()
            self.winner.errback(result)
        else:
            self._errors[index] = result.value
            if len(self._errors) == len(self._deferreds):
                self._is_over = True
                errors = [self._errors[number] for number in sorted(self._errors)]
                self.winner.errback(BaseExceptionGroup("none has succeeded", errors))
