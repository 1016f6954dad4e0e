"""Streams, protocols and the tasks that read them leave nothing behind, however they end."""

import asyncio
import gc
import weakref

import pytest

import sennit
from sennit.net.framing import FrameProtocol, Lines
from sennit.net.stream import Stream


@pytest.fixture
def watched():
    """Weak references that must all be dead at the end."""
    gc.collect()
    references = []

    def watch(thing):
        references.append(weakref.ref(thing))
        return thing

    yield watch
    gc.collect()
    assert references
    assert [reference() for reference in references if reference() is not None] == []


def test_a_reader_that_is_never_woken(watched, fake):
    async def main():
        stream = watched(Stream())
        fake(stream)

        async def read():
            await stream.read()

        task = watched(asyncio.create_task(read()))
        await asyncio.sleep(0)
        task._log_destroy_pending = False

    # The loop cancels what is left; the stream has no other end.
    sennit.run(main())


def test_cycles_of_everything(watched, fake):
    class Holder(Stream):
        pass

    class Protocol(FrameProtocol):
        framing = Lines()

    stream = watched(Holder())
    transport = watched(fake(stream))
    stream.frames_of = stream.frames(Lines())
    stream.reading = stream.read()
    stream.waiting = stream.readline()

    async def wait(own):
        own.waiter = own.waiting.send(None)
        own.waiter.add_done_callback(own.connection_lost)

    sennit.run(wait(stream))
    protocol = watched(Protocol())
    protocol.own = fake(protocol)
    del stream, transport, protocol


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_is_closed_under_everything(watched, connect):
    reactor = watched(sennit.Reactor())

    async def main():
        stream, peer = await connect(watched(Stream(read_timeout=5)))
        while stream.transport.get_write_buffer_size() <= 65_536:
            stream.write(b"x" * 100_000)
        for waiting in (stream.read(), stream.write(b"x"), stream.wait_closed()):
            task = watched(asyncio.create_task(forward(waiting)))
            task._log_destroy_pending = False
        await asyncio.sleep(0)
        peer.writer.transport.abort()

    async def forward(waiting):
        await waiting

    reactor.run_until_complete(main())
    reactor.close()
    del reactor


@pytest.mark.parametrize("fails", [False, True])
def test_many_connections(watched, fails):
    async def main():
        loop = asyncio.get_running_loop()
        tasks = set()

        async def echo(stream):
            async with stream:
                frames = stream.frames(Lines())
                async for line in frames:
                    await frames.send(line)
                    if fails:
                        raise ZeroDivisionError

        def accept():
            stream = watched(Stream(read_timeout=60, write_timeout=60))
            tasks.add(watched(loop.create_task(echo(stream))))
            return stream

        server = await loop.create_server(accept, "127.0.0.1", 0)
        for _ in range(50):
            _, client = await loop.create_connection(Stream, *server.sockets[0].getsockname())
            watched(client)
            await client.write(b"one line\nand a half")
            assert await client.readline() == b"one line\n"
            client.write_eof()
            assert await client.read() == b""
            client.close()
            await client.wait_closed()
        server.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [result is None for result in results] == [False] * 50
        tasks.clear()

    sennit.run(main())
