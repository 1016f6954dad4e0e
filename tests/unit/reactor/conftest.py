"""What the reactor's tests share: a reactor, the errors it reports, programs of their own."""

import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sennit

# A program that hangs must not hang the suite; none of them takes a second.
PATIENCE = 60


@pytest.fixture
def reactor() -> Iterator[sennit.Reactor]:
    """A reactor that is closed after the test."""
    loop = sennit.Reactor()
    yield loop
    loop.close()


@pytest.fixture
def reported(reactor: sennit.Reactor) -> list[dict[str, Any]]:
    """The contexts that the reactor's exception handler was given."""
    contexts: list[dict[str, Any]] = []
    reactor.set_exception_handler(lambda _loop, context: contexts.append(context))
    return contexts


@pytest.fixture
def turns(reactor: sennit.Reactor) -> Callable[[int], None]:
    """Lets the reactor take so many turns."""

    def take(count: int) -> None:
        for _ in range(count):
            reactor.call_soon(reactor.stop)
            reactor.run_forever()

    return take


@pytest.fixture
def program() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs Python source in a process of its own."""

    def run(source: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(source), *arguments],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    return run
