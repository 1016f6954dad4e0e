"""The pool's end of one worker: its process, its socket, the call that it runs.

The laws:

1. A worker has one call at a time, so a message always fits into its socket and nothing waits for
   writability.
2. Its end is known by its pidfd, never by SIGCHLD. What it had sent before is read first: a result
   that was there is not lost.
3. A call that it was not sent is given back to the pool; one that it was sent fails with it.
4. A message of more than a megabyte is copied in a thread, so that the loop goes on meanwhile.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sennit.deferred import Failure
from sennit.errors import ProcessDiedError, TransferError
from sennit.reactor.processes.messages import (
    Kind,
    Message,
    Outcome,
    Parcel,
    encode,
    receive,
    socket_pair,
    transmit,
)
from sennit.reactor.processes.states import AT_REST, NEXT_OF_WORKER, WorkerState
from sennit.reactor.processes.worker import name_of

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sennit.deferred import Deferred
    from sennit.reactor.processes import program

__all__ = ["LEAVING_TIME", "Call", "Owner", "Worker"]

LEAVING_TIME = 5.0
"""Seconds that a worker which was told to leave, or terminated, has before it is killed: for what
stands in `atexit` and in handlers of SIGTERM. multiprocessing waits for ever."""

_ASIDE = 1024 * 1024
"""Bytes from which a message is copied in a thread: that takes 0.3 ms, and to a thread and back
0.02 ms."""

_START = (
    "import sys; sys.path = [*filter(None, sys.path), {root!r}]; "
    "from sennit.reactor.processes.worker import main; main({channel}, {lifeline})"
)
"""The root comes last, and the current folder not at all: neither may hide a standard module."""
_NO_LIMIT = 2**63
_ROOT = str(Path(__file__).resolve().parents[3])


class Call:
    """A function that is to be called, and the Deferred that waits for it."""

    __slots__ = ("args", "deferred", "function", "kwargs", "worker")

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.deferred: Deferred[Any]
        self.worker: Worker | None = None

    @property
    def name(self) -> str:
        """How the function is called in messages."""
        return name_of(self.function)


class Owner(Protocol):
    """What has workers: a pool."""

    def call_ended(self, call: Call, result: Any) -> None:
        """A call has its result, or its Failure."""

    def worker_leaving(self, worker: Worker, call: Call | None) -> None:
        """A worker will take no more calls, and has not been given this one."""

    def worker_idle(self, worker: Worker) -> None:
        """A worker has nothing to do."""

    def worker_dead(self, worker: Worker) -> None:
        """A worker's process is gone."""


class Worker:
    """One process of a pool.

    Attributes:
        call: What it runs; `None` while it is idle, and when the call was cancelled.
        calls: How many it was given.
        pid: The number of its process.
    """

    def __init__(
        self, owner: Owner, loop: asyncio.AbstractEventLoop, lifeline: int, setup: program.Setup
    ) -> None:
        """Start a process.

        Raises:
            OSError: There can be none: no descriptor, no memory, no process.
        """
        self._owner, self._loop = owner, loop
        self.state = WorkerState.IDLE
        self.call: Call | None = None
        self.calls = 0
        self._timer: asyncio.TimerHandle | None = None
        # A Reactor is told how many processes work: on a simulated clock no time passes meanwhile.
        self._hold_time = getattr(loop, "_hold_time", _count_nothing)
        with contextlib.ExitStack() as undo:
            self._end, theirs = socket_pair()
            undo.callback(self._end.close)
            with theirs:
                self._process = _start(theirs.fileno(), lifeline)
            undo.callback(self._process.wait)
            undo.callback(self._process.kill)
            self.pid = self._process.pid
            self._pidfd = os.pidfd_open(self.pid)
            undo.callback(os.close, self._pidfd)
            transmit(self._end, encode(Kind.SETUP, setup, _NO_LIMIT))
            undo.pop_all()
        loop.add_reader(self._pidfd, self._process_ended)
        loop.add_reader(self._end.fileno(), self._receive)

    def _enter(self, state: WorkerState) -> None:
        assert state in NEXT_OF_WORKER[self.state], (self.state, state)
        was_at_rest, self.state = self.state in AT_REST, state
        if was_at_rest != (state in AT_REST):
            self._hold_time(1 if was_at_rest else -1)

    def _take_call(self) -> Call | None:
        call, self.call = self.call, None
        if call is not None:
            call.worker = None
        return call

    # -- a call ----------------------------------------------------------------------------------

    def run(self, call: Call, parcel: Parcel) -> None:
        """Give it a call to run."""
        self.call, call.worker = call, self
        self.calls += 1
        self._enter(WorkerState.PACKING)
        if parcel.size < _ASIDE:
            self._give(call, parcel)
        else:
            _aside(self._loop, parcel.fill, lambda _filled: self._packed(call, parcel))

    def _packed(self, call: Call, parcel: Parcel) -> None:
        if self.call is call:
            self._give(call, parcel)
        else:
            # The call was cancelled, or its worker has died, without having heard of it.
            self._unpack()

    def _give(self, call: Call, parcel: Parcel) -> None:
        try:
            # If there was no memory for it in the thread, this tries again, and says so.
            transmit(self._end, parcel)
        except (BrokenPipeError, ConnectionResetError):
            # It has died in this moment, and nobody has told us yet.
            self._leave()
        except Exception as error:  # noqa: BLE001 - it is the call's
            refused = TransferError(f"{call.name} cannot be sent to a process: {error}")
            refused.__cause__ = error
            # Later, because the pool is giving out calls.
            self._loop.call_soon(self._refuse, call, refused)
        else:
            self._enter(WorkerState.RUNNING)

    def _refuse(self, call: Call, error: TransferError) -> None:
        if self.call is call:
            self._finish(Failure(error))
        else:
            self._unpack()

    def _unpack(self) -> None:
        if self.state is WorkerState.PACKING:
            self._enter(WorkerState.IDLE)
            self._owner.worker_idle(self)

    def _receive(self) -> None:
        try:
            message = receive(self._end)
        except BlockingIOError:
            return
        except ConnectionResetError:
            # It has died with a message unread.
            message = None
        if message is None:
            self._loop.remove_reader(self._end.fileno())
            # Its process ends; what it runs, if anything, hears of that with the exit code.
            self._leave()
        elif self.call is None:
            # The call was cancelled, and the worker with it.
            message.close()
        elif message.size < _ASIDE:
            self._finish(_open(message, self.call.name, self.pid))
        else:
            self._finish_aside(message, self.call)

    def _finish_aside(self, message: Message, call: Call) -> None:
        name, pid = call.name, self.pid
        _aside(
            self._loop,
            lambda: _open(message, name, pid),
            lambda result: self._owner.call_ended(call, result),
        )
        self._take_call()
        if self.state is WorkerState.RUNNING:
            self._enter(WorkerState.IDLE)
            self._owner.worker_idle(self)

    def _finish(self, result: Any) -> None:
        call = self._take_call()
        assert call is not None
        if self.state is not WorkerState.LEAVING:
            self._enter(WorkerState.IDLE)
        try:
            self._owner.call_ended(call, result)
        finally:
            if self.state is WorkerState.IDLE:
                self._owner.worker_idle(self)

    def forget_call(self) -> None:
        """Its call was cancelled: the end of the worker, if it has begun."""
        self._take_call()
        if self.state is not WorkerState.PACKING:
            self._signal(signal.SIGKILL)
            self._leave()

    # -- its end ---------------------------------------------------------------------------------

    def leave(self) -> None:
        """Tell it to end when it has nothing to do."""
        # It reads the end of the stream, and returns.
        with contextlib.suppress(OSError):
            self._end.shutdown(socket.SHUT_WR)
        self._leave()

    def terminate(self) -> None:
        """Send SIGTERM, and SIGKILL if that does not help."""
        self._signal(signal.SIGTERM)
        self._leave()

    def abort(self) -> None:
        """End it now, without a word to its owner; the loop may be closed."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self.call = None
        self._leave()
        self._release()

    def close_after_fork(self) -> None:
        """In a forked child: the descriptors are the parent's."""
        self._end.close()
        os.close(self._pidfd)
        # It is no child of this process, so nobody is to wait for it.
        self._process.returncode = 0

    def _leave(self) -> None:
        if self.state is WorkerState.LEAVING:
            return
        was_packing = self.state is WorkerState.PACKING
        self._enter(WorkerState.LEAVING)
        if not self._loop.is_closed():
            self._timer = self._loop.call_later(LEAVING_TIME, self._signal, signal.SIGKILL)
        call = self._take_call() if was_packing else None
        self._owner.worker_leaving(self, call)

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def _process_ended(self) -> None:
        exit_code = self._process.wait()
        self._leave()
        if self.call is not None:
            # A result that it has sent before is there by now.
            self._receive()
        self._release()
        call = self._take_call()
        try:
            if call is not None:
                message = f"process worker {self.pid} {_ending(exit_code)} while it ran {call.name}"
                error = ProcessDiedError(message, pid=self.pid, exit_code=exit_code)
                self._owner.call_ended(call, Failure(error))
        finally:
            self._owner.worker_dead(self)

    def _release(self) -> None:
        self._enter(WorkerState.DEAD)
        if self._timer is not None:
            self._timer.cancel()
        if not self._loop.is_closed():
            self._loop.remove_reader(self._pidfd)
            self._loop.remove_reader(self._end.fileno())
        self._end.close()
        os.close(self._pidfd)


def _count_nothing(_change: int) -> None:
    """Other loops know no other time than the system's."""


def _start(channel: int, lifeline: int) -> subprocess.Popen[bytes]:
    flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001
    source = _START.format(root=_ROOT, channel=channel, lifeline=lifeline)
    # A Ctrl-C that comes before the worker ignores it must not end it with a traceback.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return subprocess.Popen(  # noqa: S603 - this interpreter, with our own line
            [sys.executable, *flags, "-c", source],
            stdin=subprocess.DEVNULL,
            pass_fds=(channel, lifeline),
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _aside(
    loop: asyncio.AbstractEventLoop, work: Callable[[], Any], done: Callable[[Any], None]
) -> None:
    """Do something in a thread, so that the loop goes on; `done` gets the result or a Failure."""

    def attempt() -> Any:
        try:
            return work()
        except Exception as error:  # noqa: BLE001 - it is the call's
            return Failure(error)

    try:
        future = loop.run_in_executor(None, attempt)
    except Exception:  # noqa: BLE001 - the threads are busy, or have ended with the loop
        loop.call_soon(done, attempt())
    else:
        future.add_done_callback(lambda done_one: done(done_one.result()))


def _open(message: Message, name: str, pid: int) -> Any:
    """The result in a message, or a Failure."""
    try:
        value = message.load()
    except OSError as error:
        return Failure(error)
    except Exception as error:  # noqa: BLE001 - it is the call's
        refused = TransferError(
            f"what {name} has returned cannot be rebuilt here: {type(error).__name__}: {error}"
        )
        refused.__cause__ = error
        return Failure(refused)
    if message.kind is Kind.RESULT:
        return value
    return Failure(_rebuild(Outcome(*value), name, pid))


def _rebuild(outcome: Outcome, name: str, pid: int) -> BaseException:
    problem = outcome.problem
    rebuilt: BaseException | None = None
    if outcome.error:
        try:
            rebuilt = pickle.loads(outcome.error)  # noqa: S301 - our own process sent it
        except Exception as reason:  # noqa: BLE001 - the text is there anyway
            problem = f"{type(reason).__name__}: {reason}"
    error = rebuilt or TransferError(
        f"{name} has failed with {outcome.text}; the exception itself cannot travel: {problem}"
    )
    error.add_note(f"in process worker {pid}:\n{outcome.traceback}")
    return error


def _ending(exit_code: int) -> str:
    if exit_code >= 0:
        return f"ended with exit code {exit_code}"
    try:
        return f"was killed by {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"was killed by signal {-exit_code}"
