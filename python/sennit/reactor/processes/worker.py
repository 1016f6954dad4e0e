"""A worker: the program of a process that runs one call after the other.

It ends when its pool closes the socket. When the pool's process dies, the kernel kills it: it holds
the reading end of a pipe whose writing end only the pool has, and has asked for SIGKILL when that
closes (`F_SETSIG`), which works in the middle of a C function, too. SIGINT is ignored: Ctrl-C in a
terminal goes to every process of it, and the program decides.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pickle
import select
import signal
import socket
import traceback
from typing import TYPE_CHECKING, Any

from sennit.errors import TransferError
from sennit.reactor.processes import program
from sennit.reactor.processes.messages import Kind, Outcome, encode, receive, transmit

if TYPE_CHECKING:
    from sennit.reactor.processes.messages import Message, Parcel

__all__ = ["main", "name_of"]


def name_of(function: object) -> str:
    """How a function is called in messages."""
    name = getattr(function, "__qualname__", None)
    if name is None:
        return repr(function)
    return f"{getattr(function, '__module__', None) or 'builtins'}.{name}"


def main(channel: int, lifeline: int) -> None:
    """Run calls until the pool closes the socket.

    Args:
        channel: The descriptor of the worker's end of the socket pair.
        lifeline: The descriptor of the reading end of the pool's pipe.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # The pool has blocked it, so that Ctrl-C could not come before this line.
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    for descriptor in (channel, lifeline):
        os.set_inheritable(descriptor, False)
    _die_with(lifeline)
    with socket.socket(fileno=channel) as end:
        message = receive(end)
        if message is not None:
            setup: program.Setup = message.load()
            program.set_up(setup)
            # The pool may be gone when there is an answer.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                while _serve(end, setup):
                    pass


def _serve(end: socket.socket, setup: program.Setup) -> bool:
    """Run one call, and keep nothing of it; `False`: there will be none."""
    message = receive(end)
    if message is None:
        return False
    _reply(end, _answer(message, setup))
    return True


def _reply(end: socket.socket, answer: Parcel) -> None:
    try:
        transmit(end, answer)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except OSError as error:
        refused = TransferError(f"a result of {answer.size:,} bytes cannot be sent: {error}")
        transmit(end, _failed(refused))


def _die_with(lifeline: int) -> None:
    # Who is told, and how, belongs to the open file, and all workers have inherited one: a new one.
    own = os.open(f"/proc/self/fd/{lifeline}", os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(own, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(own, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(own, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    poll = select.poll()
    poll.register(lifeline, 0)
    if poll.poll(0):
        # It was gone before.
        raise SystemExit(1)
    os.close(lifeline)


def _answer(message: Message, setup: program.Setup) -> Parcel:
    """Run a call. What is no `Exception`, `SystemExit` above all, ends the worker."""
    try:
        if message.mentions_main:
            program.import_main(setup)
        function, args, kwargs = message.load()
    except Exception as error:  # noqa: BLE001 - it travels
        message.close()
        refused = TransferError(
            f"the call cannot be rebuilt in a process worker: {type(error).__name__}: {error}; "
            "what it needs must be importable there by its name"
        )
        refused.__cause__ = error
        return _failed(refused)
    try:
        result = function(*args, **kwargs)
    except Exception as error:  # noqa: BLE001 - it travels
        return _failed(error)
    try:
        return encode(Kind.RESULT, result, setup.max_message_size)
    except Exception as error:  # noqa: BLE001 - it travels
        refused = TransferError(
            f"what {name_of(function)} has returned, {_brief(result)}, cannot be sent back: "
            f"{type(error).__name__}: {error}"
        )
        refused.__cause__ = error
        return _failed(refused)


def _brief(value: object) -> str:
    return f"an object of {type(value).__module__}.{type(value).__qualname__}"


def _failed(error: Exception) -> Parcel:
    text = f"{type(error).__module__}.{type(error).__qualname__}: {_said(error)}"
    story = "".join(traceback.format_exception(error))
    pickled, problem = b"", ""
    # Its frames hold the arguments; they do not travel anyway.
    error.__traceback__ = None
    try:
        pickled = pickle.dumps(error, 5)
        # Not every exception that can be pickled can be rebuilt.
        pickle.loads(pickled)  # noqa: S301 - made a line above
    except Exception as reason:  # noqa: BLE001 - whatever it is, the text travels
        pickled, problem = b"", f"{type(reason).__name__}: {reason}"
    outcome: Any = tuple(Outcome(pickled, text, story, problem))
    # It is text: a limit of size is for data.
    return encode(Kind.ERROR, outcome, 2**63)


def _said(error: Exception) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - it is a user's method
        return "(its text cannot be made)"
