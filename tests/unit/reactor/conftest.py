"""What the reactor's tests share: a reactor, the errors it reports, programs of their own."""

import asyncio
import importlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
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


class Gate:
    """Lets a test know that `errands.hold` runs, and lets that go."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        for name in ("started", "go"):
            os.mkfifo(folder / name)
        # For both directions: so opening waits for nobody, and no end is ever reached.
        self._started = os.open(folder / "started", os.O_RDWR)
        self._go = os.open(folder / "go", os.O_RDWR)

    async def started(self) -> int:
        """Wait until a worker holds; its process."""
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        loop.add_reader(self._started, lambda: ready.done() or ready.set_result(None))
        await ready
        loop.remove_reader(self._started)
        return int(os.read(self._started, 20))

    def let_go(self) -> None:
        """Let one worker go on."""
        os.write(self._go, b".")

    def close(self) -> None:
        """Close both."""
        os.close(self._started)
        os.close(self._go)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    """See `Gate`."""
    made = Gate(tmp_path)
    yield made
    made.close()


@pytest.fixture
def errands(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The module of what workers do, where workers find it, too."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    return importlib.import_module("errands")


@pytest.fixture(params=["sennit", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """Runs a coroutine on a Reactor, and on asyncio's own loop."""
    return sennit.run if request.param == "sennit" else asyncio.run
