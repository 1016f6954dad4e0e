"""Streams and frame protocols over every kind of transport: a Reactor's, asyncio's own, a fake."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

import sennit


@pytest.fixture
def reported() -> list[dict[str, Any]]:
    """What the loop's exception handler was told."""
    return []


@pytest.fixture
def on_reactor(reported: list[dict[str, Any]]) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Runs an `async def` test on a reactor, for a minute at most."""

    def start(test: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: reported.append(context))
            async with asyncio.timeout(60):
                return await test()

        return sennit.run(main())

    return start


class FakeTransport(asyncio.Transport):
    """A transport in plain Python that only writes down what it is told."""

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.protocol = protocol
        self.written = bytearray()
        self.log: list[str] = []
        self.queued = 0
        self.closing = False

    def write(self, data):
        self.written += data

    def write_eof(self):
        self.log.append("write_eof")

    def close(self):
        self.closing = True
        self.log.append("close")

    def abort(self):
        self.closing = True
        self.log.append("abort")

    def is_closing(self):
        return self.closing

    def pause_reading(self):
        self.log.append("pause")

    def resume_reading(self):
        self.log.append("resume")

    def get_write_buffer_size(self):
        return self.queued

    def get_protocol(self):
        return self.protocol

    def set_protocol(self, protocol):
        self.protocol = protocol


class Peer:
    """The other end of a connection: asyncio's own streams, on the same loop."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self, size: int = 65536) -> bytes:
        return await self.reader.read(size)

    async def receive_exactly(self, size: int) -> bytes:
        return await self.reader.readexactly(size)

    def close(self) -> None:
        self.writer.close()

    def reset(self) -> None:
        """End the connection so that the other side gets ECONNRESET."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.writer.transport.abort()


@pytest.fixture
def fake() -> Callable[[Any], FakeTransport]:
    """Puts a protocol on a fake transport."""

    def connect(protocol: Any) -> FakeTransport:
        transport = FakeTransport(protocol)
        protocol.connection_made(transport)
        return transport

    return connect


LOOPS = {"reactor": sennit.Reactor, "asyncio": asyncio.SelectorEventLoop}


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine on each kind of loop; what is reported to the loop fails the test."""

    def execute(main: Coroutine[Any, Any, Any]) -> Any:
        reported: list[dict[str, Any]] = []
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: reported.append(context))

            async def limited() -> Any:
                async with asyncio.timeout(60):
                    return await main

            result = runner.run(limited())
        assert reported == []
        return result

    return execute


async def connected(protocol: Any) -> tuple[Any, Peer]:
    """A protocol of which there is a connection, and the other end of it."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    ours.setblocking(False)
    theirs.setblocking(False)
    peer = Peer(*await asyncio.open_connection(sock=theirs))
    await loop.create_connection(lambda: protocol, sock=ours)
    return protocol, peer


@pytest.fixture
def connect() -> Callable[[Any], Coroutine[Any, Any, tuple[Any, Peer]]]:
    """Connects a protocol to a peer, in the running loop."""
    return connected


async def turns(count: int = 3) -> None:
    """Lets the loop take some turns."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.fixture
def settle() -> Callable[..., Coroutine[Any, Any, None]]:
    """Lets everything that is under way in this process arrive: no data takes more turns."""
    return turns
