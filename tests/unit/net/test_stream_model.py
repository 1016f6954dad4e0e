"""A stream against a model of ten lines: any data in any pieces, any readings, in any order."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

import sennit
from sennit.errors import IncompleteReadError, RemoteProtocolError
from sennit.net.framing import Lines
from sennit.net.stream import Stream

PIECES = st.lists(
    st.binary(max_size=12).map(lambda data: data.replace(b"\x00", b"\n")), max_size=12
)
READINGS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(1, 8)),
        st.tuples(st.just("read_exactly"), st.integers(0, 12)),
        st.tuples(st.just("read_until"), st.sampled_from([b"\n", b"\r\n", b"ab"])),
        st.tuples(st.just("frame"), st.just(6)),
        st.tuples(st.just("give up"), st.integers(1, 30)),
    ),
    max_size=12,
)
ENDED = object()


class Model:
    """What a stream is: bytes, of which the first are taken."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def read_exactly(self, size: int) -> bytes | object:
        if len(self.data) < size:
            self.data = b""
            return ENDED
        return self.take(size)

    def read_until(self, separator: bytes) -> bytes | object:
        place = self.data.find(separator)
        if place < 0:
            self.data = b""
            return ENDED
        return self.take(place + len(separator))

    def frame(self, limit: int) -> bytes | object | None:
        line, ending, _ = self.data.partition(b"\n")
        size = len(line.removesuffix(b"\r")) if ending or line.endswith(b"\r") else len(line)
        if size > limit or (not ending and line):
            return ENDED
        return self.take(len(line) + 1)[:size] if ending else None


async def perform(stream, kind, argument):
    try:
        if kind == "frame":
            return await stream.frames(Lines(max_size=argument)).receive()
        return await getattr(stream, kind)(argument)
    except (IncompleteReadError, RemoteProtocolError):
        return ENDED


async def give_up(stream, more):
    """A reading of more than is there, cancelled at once; what there was if the end came first."""
    try:
        async with asyncio.timeout(0):
            await stream.read_exactly(stream.buffered + more)
    except TimeoutError:
        return None
    except IncompleteReadError as error:
        return error.partial
    raise AssertionError("it cannot have succeeded")


async def check(stream, model, readings):
    for kind, argument in readings:
        if kind == "give up":
            outcome = await give_up(stream, argument)
            assert outcome in (None, model.data)
            if outcome is not None:
                model.data = b""
        elif kind == "read":
            data = await stream.read(argument)
            assert len(data) <= argument
            assert bool(data) == bool(model.data)
            assert data == model.take(len(data))
        else:
            assert await perform(stream, kind, argument) == getattr(model, kind)(argument)
    assert b"".join([chunk async for chunk in stream]) == model.data


class Fake(asyncio.Transport):
    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


@settings(max_examples=300, deadline=None)
@given(PIECES, READINGS)
def test_over_any_transport(pieces, readings):
    async def main():
        stream = Stream(max_buffered=8)
        stream.connection_made(Fake())

        async def feed():
            for piece in pieces:
                stream.data_received(piece)
                await asyncio.sleep(0)
            stream.eof_received()

        task = asyncio.create_task(feed())
        await check(stream, Model(b"".join(pieces)), readings)
        await task

    sennit.run(main())


@settings(max_examples=200, deadline=None)
@given(PIECES, READINGS)
def test_over_a_reactors_transport(pieces, readings):
    async def main():
        loop = asyncio.get_running_loop()
        streams = []

        def accept():
            streams.append(Stream(max_buffered=8))
            return streams[0]

        server = await loop.create_server(accept, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        transport, _ = await loop.create_connection(asyncio.Protocol, *address)
        while not streams:
            await asyncio.sleep(0)

        async def feed():
            for piece in pieces:
                transport.write(piece)
                await asyncio.sleep(0)
            transport.write_eof()

        task = asyncio.create_task(feed())
        await check(streams[0], Model(b"".join(pieces)), readings)
        await task
        streams[0].close()
        await streams[0].wait_closed()
        transport.close()
        server.close()

    sennit.run(main())
