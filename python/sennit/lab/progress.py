"""How far it is: a bar that redraws one line of a terminal, or a line for each step elsewhere."""

from __future__ import annotations

import contextlib
import shutil
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Bar", "Step", "Steps"]

_BAR_WIDTH = 24
# Often enough to look alive, seldom enough to cost nothing.
_REDRAW_S = 0.1


class Bar:
    """One line of a terminal that shows a part of a whole; silent where there is no terminal.

    Args:
        stream: Where to draw, standard error as a rule.
        total: The whole.
    """

    def __init__(self, stream: TextIO, total: int) -> None:
        self.is_terminal = stream.isatty()
        self._stream = stream
        self._total = total
        self._drawn_at = 0.0

    def draw(self, done: int, text: str, *, now: bool = False) -> None:
        """Show how much is done, unless that was drawn just before.

        Args:
            done: The part.
            text: What stands behind the bar.
            now: Draw in any case.
        """
        moment = time.monotonic()
        if not self.is_terminal or (not now and moment - self._drawn_at < _REDRAW_S):
            return
        self._drawn_at = moment
        filled = _BAR_WIDTH * done // max(self._total, 1)
        bar = "█" * filled + "░" * (_BAR_WIDTH - filled)
        line = f"{bar} {done:,}/{self._total:,} {text}"
        # One column stays free: a full line would wrap, and could not be redrawn.
        self._stream.write("\r\x1b[K" + line[: shutil.get_terminal_size().columns - 1])
        self._stream.flush()

    def clear(self) -> None:
        """Take the line away again."""
        if self.is_terminal:
            self._stream.write("\r\x1b[K")
            self._stream.flush()


class Steps:
    """Steps of which each has a name and an end that is worth a word.

    Args:
        stream: Where to write, standard error as a rule.
        total: How many there will be.
    """

    def __init__(self, stream: TextIO, total: int) -> None:
        self._stream = stream
        self._bar = Bar(stream, total)
        self._ended = 0

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """One step: tick while it goes on, say what came of it."""
        self._bar.draw(self._ended, name, now=True)
        step = Step(self._bar, self._ended, name)
        try:
            yield step
        finally:
            self._ended += 1
            self._bar.clear()
            # In a terminal the table follows at once, and says the same.
            if step.outcome and not self._bar.is_terminal:
                self._stream.write(f"{name}: {step.outcome}\n")
                self._stream.flush()


class Step:
    """One step under way; made by `Steps.step`."""

    def __init__(self, bar: Bar, before: int, name: str) -> None:
        self._bar = bar
        self._before = before
        self._name = name
        self.outcome = ""

    def tick(self, seconds: float) -> None:
        """It has been going on for so long."""
        self._bar.draw(self._before, f"{self._name}  {seconds:.1f} s")

    def done(self, outcome: str) -> None:
        """It has ended like this."""
        self.outcome = outcome
