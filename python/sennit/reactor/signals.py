"""Signals: asyncio's handlers, and a loop that wakes up for Ctrl-C.

While a reactor runs in the main thread, the interpreter writes the number of each signal to a
socket that the reactor watches. Somebody else's `signal.set_wakeup_fd` is given its bytes, and is
put back when the reactor stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import errno
import inspect
import os
import signal
import socket
import threading
import weakref
from typing import TYPE_CHECKING, Any

from sennit.reactor.running import Running

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Signals"]

_wakeup_holder: weakref.ref[Signals] | None = None
"""The reactor whose socket the interpreter writes signals to."""

_MAX_SIGNALS = 4096
"""Bytes, one per signal, that are read from the wake-up socket at once."""


def _after_fork() -> None:
    """In the child: its signals are no business of the parent's reactor."""
    holder = _wakeup_holder() if _wakeup_holder is not None else None
    if holder is not None:
        holder._drop_wakeup()  # noqa: SLF001 - one room


os.register_at_fork(after_in_child=_after_fork)


class Signals(Running):
    """`add_signal_handler`, and the wake-up socket."""

    def __init__(self) -> None:
        super().__init__()
        self._signal_handlers: dict[
            int, tuple[Callable[..., object], tuple[Any, ...], contextvars.Context]
        ] = {}
        self._signal_sockets: tuple[socket.socket, socket.socket] | None = None
        self._other_wakeup = -1
        self._is_wakeup_set = False

    def _before_turns(self) -> None:
        super()._before_turns()
        if threading.current_thread() is threading.main_thread():
            self._set_wakeup()

    def _after_turns(self) -> None:
        if self._is_wakeup_set:
            self._give_wakeup_back()
        super()._after_turns()

    def _give_wakeup_back(self) -> None:
        other = self._other_wakeup
        ours = self._drop_wakeup()
        if ours != -1 and self._signal_sockets and ours != self._signal_sockets[1].fileno():
            # Somebody has put another one in meanwhile: it is that one's to stay.
            other = ours
        if other != -1:
            # It may be closed by now, and then nobody is left to hear of signals.
            with contextlib.suppress(OSError, ValueError):
                signal.set_wakeup_fd(other, warn_on_full_buffer=False)

    def _drop_wakeup(self) -> int:
        global _wakeup_holder  # noqa: PLW0603 - the interpreter has one wake-up descriptor
        _wakeup_holder = None
        self._other_wakeup, self._is_wakeup_set = -1, False
        return signal.set_wakeup_fd(-1)

    def _set_wakeup(self) -> None:
        if self._signal_sockets is None:
            receiver, sender = socket.socketpair()
            receiver.setblocking(False)
            sender.setblocking(False)
            self._signal_sockets = receiver, sender
            self.add_reader(receiver.fileno(), self._receive_signals)
        sender = self._signal_sockets[1]
        try:
            self._other_wakeup = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        except ValueError:
            # A subinterpreter's main thread is not the one that gets signals.
            return
        self._is_wakeup_set = True
        global _wakeup_holder  # noqa: PLW0603 - the interpreter has one wake-up descriptor
        _wakeup_holder = weakref.ref(self)

    def _receive_signals(self) -> None:
        if self._signal_sockets is None:
            return
        try:
            numbers = self._signal_sockets[0].recv(_MAX_SIGNALS)
        except (BlockingIOError, InterruptedError):
            return
        if self._other_wakeup >= 0:
            # Nobody may be left to hear it, or its buffer may be full, as for the kernel itself.
            with contextlib.suppress(OSError):
                os.write(self._other_wakeup, numbers)
        for number in numbers:
            self._schedule_signal(number)

    def add_signal_handler(  # type: ignore[override]
        self, sig: int, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call `callback(*args)` in the loop whenever a signal comes.

        Raises:
            ValueError: The number is no signal, or this is not the main thread.
            RuntimeError: The signal cannot be caught.
            TypeError: The callback is a coroutine.
        """
        if asyncio.iscoroutine(callback) or inspect.iscoroutinefunction(callback):
            raise TypeError("coroutines cannot be used with add_signal_handler()")
        self._check_signal(sig)
        self._check_open()
        if threading.current_thread() is not threading.main_thread():
            raise ValueError("add_signal_handler() works in the main thread only")
        self._signal_handlers[sig] = (callback, args, contextvars.copy_context())
        try:
            # Without a Python handler the interpreter would not write the number.
            signal.signal(sig, self._make_handler())
            signal.siginterrupt(sig, False)
        except OSError as error:
            del self._signal_handlers[sig]
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from error
            raise

    def _make_handler(self) -> Callable[[int, object], None]:
        reactor = weakref.ref(self)

        def note(number: int, _frame: object) -> None:
            found = reactor()
            # While the reactor runs, the number comes through the wake-up socket.
            if found is not None and not found._is_wakeup_set:  # noqa: SLF001 - itself
                found._schedule_signal(number)  # noqa: SLF001

        return note

    def _schedule_signal(self, number: int) -> None:
        entry = self._signal_handlers.get(number)
        if entry is not None and not self.is_closed():
            callback, args, context = entry
            # The reactor may be another thread's.
            self.call_soon_threadsafe(callback, *args, context=context)

    def remove_signal_handler(self, sig: int) -> bool:
        """Undo `add_signal_handler`; whether there was one."""
        self._check_signal(sig)
        if self._signal_handlers.pop(sig, None) is None:
            return False
        default = signal.default_int_handler if sig == signal.SIGINT else signal.SIG_DFL
        try:
            signal.signal(sig, default)
        except OSError as error:
            if error.errno == errno.EINVAL:
                raise RuntimeError(f"sig {sig} cannot be caught") from error
            raise
        return True

    @staticmethod
    def _check_signal(sig: int) -> None:
        if not isinstance(sig, int):
            raise TypeError(f"sig must be an int, not {sig!r}")
        if sig not in signal.valid_signals():
            raise ValueError(f"invalid signal number {sig}")

    def close(self) -> None:
        """Close the loop and give up its signal handlers."""
        if not self.is_running() and not self.is_closed():
            if threading.current_thread() is threading.main_thread():
                for sig in list(self._signal_handlers):
                    self.remove_signal_handler(sig)
            if self._signal_sockets is not None:
                self.remove_reader(self._signal_sockets[0].fileno())
                for end in self._signal_sockets:
                    end.close()
                self._signal_sockets = None
        super().close()
