"""What the tests of the lab share: an origin in this process, records made up for looking at."""

import asyncio
import os
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from sennit.lab.machine import Machine
from sennit.lab.outcome import BODY
from sennit.lab.records import Record, Result


@dataclass
class Origin:
    """A server on the loopback interface that answers every request in the same way.

    Attributes:
        port: Where it listens.
        answer: What it sends; empty: nothing at all, ever.
        connections: How many were made.
        requests: How many have come.
    """

    port: int = 0
    connections: int = 0
    requests: int = 0
    answer: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def command(self) -> tuple[str, ...]:
        """A program that the lab takes for an origin: it names the port of this one."""
        program = f"import signal\nprint({self.port}, flush=True)\nsignal.pause()"
        return (sys.executable, "-c", program)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                writer.write(self.answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()


@pytest.fixture
def origin() -> Iterator[Origin]:
    origin = Origin()
    ready = threading.Event()
    stop: list[Callable[[], object]] = []

    async def main() -> None:
        server = await asyncio.start_server(origin.serve, "127.0.0.1", 0)
        origin.port = server.sockets[0].getsockname()[1]
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        ready.set()
        async with server:
            await stopped.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    ready.wait()
    yield origin
    stop[0]()
    thread.join()


@pytest.fixture
def leave_out() -> Callable[[str, str], None]:
    """Skip a test whose model cannot run here, by name; in CI none may be missing."""

    def skip(name: str, reason: str) -> None:
        message = f"model {name}: {reason}"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)

    return skip


MACHINE = Machine(
    cpu="Some CPU",
    cores=2,
    memory_bytes=8_000_000_000,
    kernel="6.1.0",
    python="cpython 3.11.7",
    date="2026-01-01T00:00:00+00:00",
    load_average=0.1,
    pinned=True,
)


@pytest.fixture
def record() -> Record:
    results = (
        Result("limit", 100, 0.2, 0.04, 65_536, 0, 1, 1, times_limit=1.0),
        Result("aiohttp", 100, 0.4, 0.31, 13_100_000, 14_000_000, 1, 1, 2.0, version="3.14.5"),
        Result(
            "processes", 50, 1.9, 1.8, 200_000_000, 2_000_000_000, 1, 100, 9.5,
            extrapolated=True, measured_processes=50,
        ),
        Result("gevent", 99, 0.5, 0.3, 9_000_000, 0, 1, 1, error="99 of 100 answered rightly"),
        Result("twisted", error="no result within 60 s (--deadline)"),
    )  # fmt: skip
    left_out = (("uvloop", "not installed (pip install 'sennit[lab]')"),)
    return Record("waiting", 100, 0.1, MACHINE, results, left_out)
