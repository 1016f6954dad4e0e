"""What is said of errors: those that nobody took, the story of a chain, wrong uses."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import reprlib
import sys
import threading
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from sennit._native import core
from sennit.deferred.failure import Failure
from sennit.errors import AlreadyFiredError, WrongThreadError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import CodeType, FunctionType

__all__ = ["install", "maker", "set_debug"]

_log = logging.getLogger("sennit.deferred")

_MOST_NOTES = 100
"""Steps that the story of one error may have: a chain may go on for ever."""


_Function = TypeVar("_Function", bound="Callable[..., Any]")

_makers: list[CodeType] = []


def maker(function: _Function) -> _Function:
    """Mark a function that makes Deferreds for its caller: that is where they were made."""
    _makers.append(cast("FunctionType", function).__code__)
    return function


def set_debug(enabled: bool) -> None:
    """Keep the place where each callback is added.

    The traceback of an error then reads like the story of its chain. On from the start under
    `python -X dev` and with `PYTHONASYNCIODEBUG`.

    Args:
        enabled: Whether callbacks that are added from now on are to be remembered.
    """
    core.set_deferred_debug(enabled)


_short = reprlib.Repr()
_short.maxother = _short.maxstring = 200


def _where(code: CodeType | None, offset: int) -> str:
    if code is None:
        return "an unknown place"
    lines = (line for begin, end, line in code.co_lines() if begin <= offset < end)
    line = next(lines, None) or code.co_firstlineno
    return f"{code.co_filename}:{line} in {code.co_qualname}"


def _exception(error: BaseException | Failure) -> BaseException:
    return error.value if isinstance(error, Failure) else error


def _report(error: BaseException | Failure, code: CodeType | None, offset: int) -> None:
    exception = _exception(error)
    if isinstance(exception, asyncio.CancelledError):
        return
    message = f"nobody took the error of a Deferred made at {_where(code, offset)}"
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        _log.error("%s", message, exc_info=exception)
    else:
        loop.call_exception_handler({"message": message, "exception": exception})


def _bind(
    function: Callable[..., Any], args: Sequence[Any] | None, keywords: Mapping[str, Any] | None
) -> Callable[[Any], Any]:
    """A function with arguments of its own, as a function of the result alone."""
    args, keywords = tuple(args or ()), dict(keywords or {})

    def bound(result: Any) -> Any:
        return function(result, *args, **keywords)

    return functools.update_wrapper(bound, function)


def _tell(
    error: BaseException | Failure, place: Any, what: str, function: Callable[..., Any] | None
) -> None:
    exception = _exception(error)
    notes = getattr(exception, "__notes__", ())
    if place is None or len(notes) > _MOST_NOTES:
        return
    if len(notes) == _MOST_NOTES:
        exception.add_note("the chain goes on; the rest of its story is left out")
        return
    name = getattr(function, "__qualname__", repr(function)) if function else "an errback"
    exception.add_note(f"{what} {name}, added at {_where(*place)}")


def _refuse(kind: str, deferred: core.Deferred[Any]) -> NoReturn:
    here = threading.current_thread().name
    if kind == "fired":
        raise AlreadyFiredError(f"{deferred!r}: callback() and errback() may be called once")
    if kind == "thread":
        raise WrongThreadError(
            f"{deferred!r} belongs to the loop of another thread, this one is {here}: "
            "loop.call_soon_threadsafe(deferred.callback, value)"
        )
    if kind == "await":
        raise WrongThreadError(
            f"{deferred!r} belongs to the loop of another thread; {here} cannot wait for it"
        )
    raise TypeError(
        f"callback() was given {deferred!r}'s result as a Deferred: return it from a callback, or "
        "use other.chain(deferred)"
    )


def _describe(value: Any) -> str:
    # A result may be large, and its repr() may raise.
    return _short.repr(value)


def install() -> None:
    """Tell the native core of these."""
    core.set_deferred_helpers(
        failure=Failure,
        report=_report,
        bind=_bind,
        refuse=_refuse,
        tell=_tell,
        describe=_describe,
        makers=tuple(_makers),
    )
    if sys.flags.dev_mode or os.environ.get("PYTHONASYNCIODEBUG"):
        set_debug(True)
