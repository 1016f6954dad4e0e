"""Children that never outlive the lab: each in a process group of its own, ended with its parent.

There are three ways to an end. The child is done; the lab ends it, and with it everything that it
has started (its process group); or the lab itself is killed, and the kernel ends the child.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import tempfile
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

__all__ = ["Child", "die_with_parent"]

_PARENT = "SENNIT_LAB_PARENT"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(option, value)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the one that started it is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have gone before this was asked for.
    parent = os.environ.get(_PARENT)
    if parent is not None and os.getppid() != int(parent):
        os._exit(1)


class Child:
    """A program that was started, with its standard output to be read line by line.

    Args:
        command: The program and its arguments.
        core: The core that it is pinned to; None leaves it where the lab itself may run.
    """

    def __init__(self, command: Sequence[str], core: int | None = None) -> None:
        # A file, not a pipe: nobody reads it while the program runs, and a full pipe would stop it.
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed by end()
        self._text = b""
        # What a killed child leaves behind comes to this process: not every container has an init
        # that would take note of its end, and thousands of zombies would stay.
        _prctl(_PR_SET_CHILD_SUBREAPER, 1)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,
            env=os.environ | {_PARENT: str(os.getpid())},
        )
        self.pid = self._process.pid
        if core is not None:
            # It has no thread but the first one yet, from which all others take this over.
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(self.pid, {core})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()

    def wait_line(
        self, timeout: float, tick: Callable[[], None] | None = None, every: float = 0.01
    ) -> str | None:
        """Wait for the next line of the child's output.

        Args:
            timeout: Seconds to wait at most.
            tick: Called about every `every` seconds while waiting.
            every: Seconds between two calls of `tick`.

        Returns:
            The line without its end, or None: it has ended, or closed its output, without one.

        Raises:
            TimeoutError: There was none in time.
        """
        output = self._process.stdout
        assert output is not None
        deadline = time.monotonic() + timeout
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._text:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise TimeoutError
                if selector.select(min(left, every) if tick else left):
                    piece = os.read(output.fileno(), 65536)
                    if not piece:
                        return None
                    self._text += piece
                if tick:
                    tick()
        line, _, self._text = self._text.partition(b"\n")
        return line.decode(errors="replace")

    def last_words(self) -> str:
        """The last line that it wrote to standard error, or how it has ended."""
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        if said:
            return said[-1]
        status = self._process.poll()
        if status is not None and status < 0:
            return f"ended by {signal.Signals(-status).name}"
        return f"ended with status {status}" if status is not None else "said nothing"

    def ask_to_end(self) -> None:
        """Send SIGTERM to it, and to nothing that it has started."""
        self._process.terminate()

    def wait_ended(self, timeout: float) -> None:
        """Wait until it has ended by itself; not longer than `timeout` seconds."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def end(self) -> None:
        """End it and everything in its process group, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-self.pid, 0)
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._errors.close()
