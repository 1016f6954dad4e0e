"""What the tests of the simulated world share: protocols that write down, programs in a world."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import sennit
from sennit import testing


class Recorder(asyncio.Protocol):
    """Writes down what it hears and when."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Any]] = []
        self.transport: Any = None
        self.lost: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def note(self, event: Any) -> None:
        self.events.append((asyncio.get_running_loop().time(), event))

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.note(data)

    def eof_received(self):
        self.note("eof")

    def connection_lost(self, exc):
        self.lost.set_result(exc)

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    @property
    def data(self) -> bytes:
        return b"".join(event for _, event in self.events if isinstance(event, bytes))


@pytest.fixture
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture
def world() -> Callable[..., Any]:
    """Runs `test(reactor, network)` in a world of its own."""

    def run(test: Callable[..., Any], **options: Any) -> Any:
        async def main() -> Any:
            reactor = sennit.current_reactor()
            assert isinstance(reactor, testing.Reactor)
            return await test(reactor, reactor.network)

        return testing.run(main(), **options)

    return run


@pytest.fixture
def descriptors() -> Callable[[], int]:
    """How many descriptors this process has open."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))
