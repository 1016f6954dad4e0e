"""Scheduling beyond the native core: tasks, errors of callbacks, debug mode."""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import threading
import traceback
from asyncio import coroutines, format_helpers
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sennit._native import core

if TYPE_CHECKING:
    import contextvars
    from collections.abc import Coroutine, Generator

__all__ = ["Scheduling"]

_T = TypeVar("_T")
_logger = logging.getLogger("asyncio")

ExceptionHandler = "Callable[[asyncio.AbstractEventLoop, dict[str, Any]], object]"


class _TaskFactory(Protocol):
    def __call__(
        self, loop: asyncio.AbstractEventLoop, factory: Any, /, **kwargs: Any
    ) -> asyncio.Future[Any]: ...


class Scheduling(core.Loop, asyncio.AbstractEventLoop):
    """Tasks, the exception handler and asyncio's debug mode."""

    def __init__(self) -> None:
        self.slow_callback_duration = 0.1
        """Seconds after which debug mode calls a callback slow."""
        self._thread_id: int | None = None
        self._task_factory: Any = None
        self._exception_handler: Any = None
        debug = sys.flags.dev_mode or (
            not sys.flags.ignore_environment and coroutines._is_debug_mode()  # type: ignore[attr-defined]  # noqa: SLF001
        )
        self.set_debug(debug)
        self._note_tasks()

    def is_running(self) -> bool:
        """Whether `run_forever` is at work."""
        return self._thread_id is not None

    # -- tasks ---------------------------------------------------------------------------------

    def create_task(
        self,
        coro: Generator[Any, None, _T] | Coroutine[Any, Any, _T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        **kwargs: Any,
    ) -> asyncio.Task[_T]:
        """Wrap a coroutine in a Task of this loop, made by the task factory if one is set."""
        self._check_open()
        factory = self._task_factory
        if factory is None:
            return asyncio.Task(coro, loop=self, name=name, context=context, **kwargs)
        if context is not None:
            kwargs["context"] = context
        task: asyncio.Task[_T] = factory(self, coro, **kwargs)
        if name is not None and hasattr(task, "set_name"):
            task.set_name(name)
        return task

    def set_task_factory(self, factory: Any) -> None:
        """Let `factory(loop, coro, **kwargs)` make the tasks; None: plain Tasks."""
        if factory is not None and not callable(factory):
            raise TypeError("task factory must be a callable or None")
        self._task_factory = factory
        self._note_tasks()

    def _note_tasks(self) -> None:
        overridden = type(self).create_task is not Scheduling.create_task
        self._set_plain_tasks(self._task_factory is None and not overridden)

    def get_task_factory(self) -> Any:
        """The task factory, None if there is none."""
        return self._task_factory

    # -- errors --------------------------------------------------------------------------------

    def get_exception_handler(self) -> Any:
        """The handler that was set, None for the default one."""
        return self._exception_handler

    def set_exception_handler(self, handler: Any) -> None:
        """Let `handler(loop, context)` have the errors that nobody awaits."""
        if handler is not None and not callable(handler):
            raise TypeError(f"A callable object or None is expected, got {handler!r}")
        self._exception_handler = handler

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log an error with everything that is known of it."""
        message = context.get("message") or "Unhandled exception in event loop"
        lines = [message]
        for key in sorted(context.keys() - {"message", "exception"}):
            value = context[key]
            if key in {"source_traceback", "handle_traceback"}:
                where = "".join(traceback.format_list(value)).rstrip()
                label = "Object" if key == "source_traceback" else "Handle"
                lines.append(f"{label} created at (most recent call last):\n{where}")
            else:
                lines.append(f"{key}: {value!r}")
        exception = context.get("exception")
        details = (type(exception), exception, exception.__traceback__) if exception else None
        _logger.error("\n".join(lines), exc_info=details)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Report an error; its keys are asyncio's: message, exception, handle, transport, ..."""
        handler = self._exception_handler
        if handler is None:
            self._report_by_default(context)
            return
        try:
            handler(self, context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a handler that fails must not end the loop
            self._report_by_default(
                {
                    "message": "Unhandled error in exception handler",
                    "exception": error,
                    "context": context,
                }
            )

    def _report_by_default(self, context: dict[str, Any]) -> None:
        try:
            self.default_exception_handler(context)
        except (SystemExit, KeyboardInterrupt):
            raise
        except BaseException:
            _logger.exception("Exception in default exception handler")

    # -- called by the native core ---------------------------------------------------------------

    def _report_callback_error(self, error: BaseException, handle: asyncio.Handle) -> None:
        # asyncio's own slots; the error itself tells a program that has emptied them.
        callback = getattr(handle, "_callback", None)
        arguments = getattr(handle, "_args", None) or ()
        source = format_helpers._format_callback_source(callback, arguments)  # noqa: SLF001
        context = {
            "message": f"Exception in callback {source}",
            "exception": error,
            "handle": handle,
        }
        where = handle._source_traceback  # type: ignore[attr-defined]  # noqa: SLF001
        if where:
            context["source_traceback"] = where
        self.call_exception_handler(context)

    def _report_slow_callback(self, handle: asyncio.Handle, seconds: float) -> None:
        if seconds >= self.slow_callback_duration:
            _logger.warning("Executing %r took %.3f seconds", handle, seconds)

    def _check_call(self, callback: object, method: str) -> None:
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError(f"coroutines cannot be used with {method}()")
        if not callable(callback):
            raise TypeError(f"a callable object was expected by {method}(), got {callback!r}")
        if method == "call_soon_threadsafe":
            return
        if self._thread_id is not None and self._thread_id != threading.get_ident():
            raise RuntimeError(
                f"{method}() was called from another thread than the loop's; "
                "use call_soon_threadsafe()"
            )

    def _keep_source(self, handle: asyncio.Handle) -> None:
        stack = format_helpers.extract_stack(sys._getframe(1))  # noqa: SLF001
        handle._source_traceback = stack  # type: ignore[attr-defined]  # noqa: SLF001

    def _check_open(self) -> None:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
