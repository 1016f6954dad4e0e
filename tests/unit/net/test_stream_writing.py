"""Writing to a stream: back-pressure, the end of this direction, closing, counters."""

import asyncio

import pytest

from sennit.errors import ClosedError, ConfigError, ConnectionLostError
from sennit.net.stream import Stream


def test_back_pressure(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        sent = 0
        while stream.transport.get_write_buffer_size() == 0:
            await stream.write(b"x" * 50_000)
            sent += 50_000
        while stream.transport.get_write_buffer_size() <= 65_536:
            stream.write(b"x" * 50_000)
            sent += 50_000
        waiting = [asyncio.create_task(stream.write(b"y")) for _ in range(3)]
        waiting.append(asyncio.create_task(stream.writelines([b"z", b"z"])))
        await asyncio.sleep(0)
        waiting[1].cancel()
        await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [False, True, False, False]
        assert len(await peer.receive_exactly(sent + 5)) == sent + 5
        await asyncio.gather(waiting[0], *waiting[2:])
        assert stream.statistics() == {
            "bytes_received": 0,
            "bytes_sent": sent + 5,
            "buffered": 0,
            "queued": 0,
        }
        stream.close()
        peer.close()

    run(main())


def test_a_connection_lost_under_a_writer(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        while stream.transport.get_write_buffer_size() <= 65_536:
            stream.write(b"x" * 50_000)
        task = asyncio.create_task(stream.write(b"x"))
        await asyncio.sleep(0)
        peer.reset()
        with pytest.raises(ConnectionLostError) as caught:
            await task
        assert caught.value.__cause__ is not None

    run(main())


def test_half_close(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        stream.write(b"question")
        stream.write_eof()
        with pytest.raises(ClosedError, match=r"write\(\) after write_eof\(\)"):
            stream.write(b"more")
        assert await peer.receive() == b"question"
        assert await peer.receive() == b""
        await peer.send(b"answer")
        peer.close()
        assert await stream.read() == b"answer"
        assert await stream.read() == b""
        stream.close()
        await stream.wait_closed()

    run(main())


def test_the_end_of_the_peer_leaves_writing_open(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        peer.writer.write_eof()
        assert await stream.read() == b""
        await stream.write(b"still here")
        assert await peer.receive() == b"still here"
        stream.close()
        await stream.wait_closed()
        peer.close()

    run(main())


def test_close_sends_what_was_written(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        stream.write(b"x" * 5_000_000)
        stream.close()
        stream.close()
        assert stream.is_closing()
        closed = asyncio.create_task(stream.wait_closed())
        assert len(await peer.receive_exactly(5_000_000)) == 5_000_000
        await closed
        await stream.wait_closed()
        peer.close()

    run(main())


def test_a_close_that_cannot_send_says_so(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        stream.write(b"x" * 5_000_000)
        stream.close()
        peer.reset()
        with pytest.raises(ConnectionLostError):
            await stream.wait_closed()

    run(main())


def test_the_block_closes(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        async with stream as same:
            assert same is stream
            stream.write(b"bye")
        assert await peer.receive() == b"bye"
        assert await peer.receive() == b""
        peer.close()

    run(main())


def test_a_block_that_is_cancelled_aborts(run, connect):
    async def main():
        stream, peer = await connect(Stream())

        async def hold():
            async with stream:
                while stream.transport.get_write_buffer_size() == 0:
                    stream.write(b"x" * 1_000_000)
                await asyncio.Event().wait()

        task = asyncio.create_task(hold())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.is_closing()
        assert stream.statistics()["queued"] == 0
        peer.close()

    run(main())


def test_abort_ends_a_close_that_waits(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        stream.write(b"x" * 5_000_000)
        stream.close()
        stream.abort()
        await stream.wait_closed()
        peer.close()

    run(main())


def test_a_stream_that_was_closed_before_its_connection(fake):
    stream = Stream()
    stream.close()
    assert fake(stream).log == ["abort"]


def test_addresses(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        assert stream.peer_address == peer.writer.get_extra_info("sockname")
        assert stream.local_address == peer.writer.get_extra_info("peername")
        assert stream.get_extra_info("nothing", 5) == 5
        assert "open" in repr(stream)
        stream.close()
        peer.close()

    run(main())


def test_without_a_connection():
    stream = Stream()
    assert stream.transport is None
    assert stream.peer_address is None
    assert not stream.is_closing()
    assert "not connected" in repr(stream)
    assert stream.statistics()["queued"] == 0


@pytest.mark.parametrize(
    "setting",
    [
        {"read_timeout": 0},
        {"read_timeout": -1},
        {"write_timeout": float("inf")},
        {"write_timeout": float("nan")},
        {"max_buffered": 0},
    ],
)
def test_settings_that_make_no_sense(setting):
    with pytest.raises(ConfigError, match=next(iter(setting))):
        Stream(**setting)


def test_settings():
    stream = Stream(read_timeout=1.5, max_buffered=10)
    assert (stream.read_timeout, stream.write_timeout, stream.max_buffered) == (1.5, None, 10)
    stream.read_timeout = None
    stream.write_timeout = 2
    assert (stream.read_timeout, stream.write_timeout) == (None, 2.0)
    with pytest.raises(TypeError, match="timeout"):
        Stream(timeout=1)
    with pytest.raises(TypeError):
        Stream(1)
    with pytest.raises(AttributeError):
        del stream.read_timeout
