"""Reading a stream: what is there, what comes, what is too much, and how it ends."""

import asyncio

import pytest

from sennit.errors import (
    BusyError,
    ClosedError,
    ConnectionLostError,
    IncompleteReadError,
    RemoteProtocolError,
)
from sennit.net.stream import Stream


def step(awaitable):
    """One step of something to await, as a task makes it."""
    try:
        return ("waits", awaitable.send(None))
    except StopIteration as stop:
        return ("returned", stop.value)


def test_what_is_there_is_returned_without_suspending(fake):
    stream = Stream()
    fake(stream)
    stream.data_received(b"one\ntwo\r\nthree, four")
    assert step(stream.readline()) == ("returned", b"one\n")
    assert step(stream.read_until(b"\r\n")) == ("returned", b"two\r\n")
    assert step(stream.read_exactly(5)) == ("returned", b"three")
    assert step(stream.read(1)) == ("returned", b",")
    assert step(stream.read_exactly(0)) == ("returned", b"")
    assert step(stream.write(b"answer")) == ("returned", None)
    assert stream.buffered == 5
    assert step(stream.read()) == ("returned", b" four")
    assert stream.buffered == 0
    stream.eof_received()
    assert step(stream.read()) == ("returned", b"")
    assert stream.at_eof()


@pytest.mark.parametrize("data", [b"abc", bytearray(b"abc"), memoryview(b"abc")])
def test_any_bytes_like_object_may_come(fake, data):
    stream = Stream()
    fake(stream)
    stream.data_received(data)
    assert step(stream.read()) == ("returned", b"abc")


def test_a_dribble(run, connect):
    async def main():
        stream, peer = await connect(Stream())

        async def dribble():
            for byte in b"hello\r\nrest of it":
                await peer.send(bytes([byte]))
                await asyncio.sleep(0)
            peer.close()

        task = asyncio.create_task(dribble())
        assert await stream.read_until(b"\r\n") == b"hello\r\n"
        assert await stream.read_exactly(7) == b"rest of"
        assert b"".join([chunk async for chunk in stream]) == b" it"
        assert stream.at_eof()
        await task
        stream.close()

    run(main())


def test_a_large_read(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        sent = bytes(range(256)) * 8192
        task = asyncio.create_task(peer.send(sent))
        # More than may lie unread: what is asked for may.
        assert await stream.read_exactly(len(sent) - 3) == sent[:-3]
        assert await stream.read() == sent[-3:]
        await task
        stream.close()
        peer.close()

    run(main())


def test_only_one_task_reads(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        task = asyncio.create_task(stream.read_exactly(3))
        await asyncio.sleep(0)
        with pytest.raises(BusyError, match=r"read\(\) while read_exactly\(\) waits"):
            await stream.read()
        await peer.send(b"abc")
        assert await task == b"abc"
        stream.close()
        peer.close()

    run(main())


def test_a_separator_that_does_not_come_within_the_limit(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        task = asyncio.create_task(stream.read_until(b"\n", 5))
        await asyncio.sleep(0)
        await peer.send(b"123456")
        with pytest.raises(RemoteProtocolError, match=r"at least 6 bytes, limit 5 \(max_size\)"):
            await task
        # Nothing is lost.
        await peer.send(b"7\n")
        assert await stream.readline(max_size=100) == b"1234567\n"
        stream.close()
        peer.close()

    run(main())


def test_the_end_in_the_middle(run, connect):
    async def main():
        for reading, partial, expected in (
            (lambda stream: stream.read_exactly(10), b"abc", 10),
            (lambda stream: stream.readline(), b"abc", None),
        ):
            stream, peer = await connect(Stream())
            await peer.send(b"abc")
            peer.close()
            with pytest.raises(IncompleteReadError) as caught:
                await reading(stream)
            assert (caught.value.partial, caught.value.expected) == (partial, expected)
            assert isinstance(caught.value, EOFError)
            assert isinstance(caught.value, ConnectionLostError)
            assert await stream.read() == b""
            stream.close()

    run(main())


def test_data_before_a_reset_is_still_read(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        await peer.send(b"last words")
        while stream.buffered < 10:
            await asyncio.sleep(0)
        peer.reset()
        while not stream.is_closing():
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(ConnectionLostError):
            await stream.read_exactly(100)
        assert await stream.read() == b"last words"
        with pytest.raises(ConnectionLostError, match="reset by peer") as caught:
            await stream.read()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        with pytest.raises(ConnectionLostError):
            stream.write(b"nobody listens")
        await stream.wait_closed()

    run(main())


def test_a_reset_reaches_who_waits(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        peer.reset()
        with pytest.raises(ConnectionLostError):
            await task

    run(main())


def test_after_close_nothing_is_read(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stream.close()
        with pytest.raises(ClosedError, match=r"read\(\) after close\(\)"):
            await task
        with pytest.raises(ClosedError):
            await stream.readline()
        with pytest.raises(ClosedError, match=r"write\(\) after close\(\)"):
            stream.write(b"late")
        await stream.wait_closed()
        assert await peer.receive() == b""
        peer.close()

    run(main())


def test_a_task_may_end_or_read_its_own_stream_in_the_step_that_data_wakes(run, connect):
    async def main():
        stream, peer = await connect(Stream())

        async def act():
            assert await stream.read(3) == b"abc"
            assert await stream.read(2) == b"de"
            # Still the same dispatch: another task, and the end of the stream.
            other = asyncio.create_task(stream.read())
            stream.abort()
            with pytest.raises(ClosedError):
                await other
            return stream.take_buffered()

        task = asyncio.create_task(act())
        await asyncio.sleep(0)
        await peer.send(b"abcdefgh")
        assert await task == b"fgh"
        await stream.wait_closed()
        peer.close()

    run(main())


def test_the_unread_rest_for_somebody_else(fake):
    stream = Stream()
    fake(stream)
    stream.data_received(b"STARTTLS\r\n\x16\x03\x01")
    assert step(stream.readline()) == ("returned", b"STARTTLS\r\n")
    assert stream.take_buffered() == b"\x16\x03\x01"
    assert stream.buffered == 0


def test_too_much_unread_makes_the_peer_wait(fake):
    stream = Stream(max_buffered=10)
    transport = fake(stream)
    stream.data_received(b"12345678901")
    assert transport.log == ["pause"]
    assert step(stream.read(4)) == ("returned", b"1234")
    assert transport.log == ["pause"]
    assert step(stream.read(4)) == ("returned", b"5678")
    assert transport.log == ["pause", "resume"]
    # Who waits for more than that is not made to wait for ever.
    stream.data_received(b"x" * 10)
    assert transport.log == ["pause", "resume", "pause"]


def test_over_a_connection_the_peer_waits_and_goes_on(run, connect):
    async def main():
        stream, peer = await connect(Stream(max_buffered=1000))
        sent = b"x" * 8_000_000
        task = asyncio.create_task(peer.send(sent))
        while stream.transport.is_reading():
            await asyncio.sleep(0)
        assert 1000 < stream.buffered < 600_000
        assert not task.done()
        received = 0
        while received < len(sent):
            received += len(await stream.read())
        await task
        assert stream.statistics()["bytes_received"] == len(sent)
        stream.close()
        peer.close()

    run(main())


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda stream: stream.read(-1), ValueError),
        (lambda stream: stream.read("x"), TypeError),
        (lambda stream: stream.read(1, 2), TypeError),
        (lambda stream: stream.read(size=1), TypeError),
        (lambda stream: stream.read_exactly(-1), ValueError),
        (lambda stream: stream.read_until(b""), ValueError),
        (lambda stream: stream.read_until(b"x" * 17), ValueError),
        (lambda stream: stream.read_until(), TypeError),
        (lambda stream: stream.write("text"), TypeError),
        (lambda stream: stream.writelines([b"x", 1]), TypeError),
        (lambda stream: stream.frames("lines"), TypeError),
    ],
)
def test_bad_arguments(fake, call, error):
    stream = Stream()
    fake(stream)
    with pytest.raises(error):
        call(stream)
