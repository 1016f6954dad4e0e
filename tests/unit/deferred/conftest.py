"""What the tests of Deferreds share: both loops, what was reported, whole programs."""

import asyncio
import gc
import logging
import subprocess
import sys
import textwrap
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import sennit
from sennit.deferred import set_debug

# A program that hangs must not hang the suite.
PATIENCE = 120


@pytest.fixture(params=[sennit.Reactor, asyncio.SelectorEventLoop], ids=["reactor", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a coroutine, once on a Reactor and once on asyncio's own loop."""

    def go(main: Coroutine[Any, Any, Any], *, debug: bool | None = None) -> Any:
        with asyncio.Runner(loop_factory=request.param, debug=debug) as runner:
            return runner.run(main)

    return go


@pytest.fixture
def reported(caplog: pytest.LogCaptureFixture) -> Callable[[], list[logging.LogRecord]]:
    """What was said, outside of a loop, of errors that nobody took."""
    # What other tests have left in cycles is not for this one.
    gc.collect()
    caplog.clear()

    def records() -> list[logging.LogRecord]:
        return [record for record in caplog.records if record.name == "sennit.deferred"]

    return records


@pytest.fixture
def debug() -> Iterator[None]:
    """Deferreds that keep the places where callbacks are added."""
    set_debug(True)
    yield
    set_debug(False)


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python source in a process of its own."""

    def go(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return go


class ManualClock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0
        self.calls: list[Any] = []

    def call_later(self, delay: float, function: Callable[..., Any], *args: Any) -> Any:
        call = Call(self, self.now + delay, function, args)
        self.calls.append(call)
        return call

    def advance(self, seconds: float) -> None:
        self.now += seconds
        for call in [call for call in self.calls if call.when <= self.now]:
            if call in self.calls:
                self.calls.remove(call)
                call.function(*call.args)


class Call:
    """One call that a clock owes."""

    def __init__(self, clock: ManualClock, when: float, function: Any, args: Any) -> None:
        self.clock, self.when, self.function, self.args = clock, when, function, args

    def cancel(self) -> None:
        if self in self.clock.calls:
            self.clock.calls.remove(self)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()
