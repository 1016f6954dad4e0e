"""Deadlines of a stream: each says its name, takes nothing, and lets the stream go on."""

import asyncio
import time

import pytest

from sennit.errors import DeadlineError
from sennit.net.stream import Stream


def test_a_reading_that_takes_too_long(run, connect):
    async def main():
        stream, peer = await connect(Stream(read_timeout=0.02))
        begin = time.monotonic()
        with pytest.raises(
            DeadlineError, match=r"read\(\) took longer than 0.02 s \(read_timeout\)"
        ):
            await stream.read()
        assert time.monotonic() - begin >= 0.02
        await peer.send(b"abc")
        assert await stream.read() == b"abc"
        stream.close()
        peer.close()

    run(main())


def test_a_dribble_does_not_move_the_deadline(run, connect):
    async def main():
        stream, peer = await connect(Stream(read_timeout=0.03))
        over = asyncio.Event()

        async def dribble():
            while not over.is_set():
                await peer.send(b"x")
                await asyncio.sleep(0.001)

        task = asyncio.create_task(dribble())
        with pytest.raises(DeadlineError, match=r"read_until\(\) took longer"):
            await stream.readline()
        assert stream.buffered > 0
        over.set()
        await task
        stream.close()
        peer.close()

    run(main())


def test_readings_that_are_quick_enough_go_on_for_longer(run, connect):
    async def main():
        stream, peer = await connect(Stream(read_timeout=0.2))
        begin = time.monotonic()

        async def send():
            while time.monotonic() - begin < 0.5:
                await peer.send(b"x")
                await asyncio.sleep(0.005)
            peer.close()

        task = asyncio.create_task(send())
        assert len([chunk async for chunk in stream]) > 2
        await task
        stream.close()

    run(main())


def test_no_deadline_runs_while_nobody_waits(run, connect):
    async def main():
        stream, peer = await connect(Stream(read_timeout=0.02))
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        await peer.send(b"abc")
        assert await task == b"abc"
        await asyncio.sleep(0.06)
        await peer.send(b"def")
        assert await stream.read() == b"def"
        # A wait that is given up takes its deadline with it.
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stream.read(), 0.001)
        stream.read_timeout = None
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0.06)
        assert not task.done()
        await peer.send(b"x")
        assert await task == b"x"
        stream.close()
        peer.close()

    run(main())


def test_a_peer_that_takes_nothing(run, connect):
    async def main():
        stream, peer = await connect(Stream(write_timeout=0.03))
        peer.writer.transport.pause_reading()
        while stream.transport.get_write_buffer_size() <= 65_536:
            stream.write(b"x" * 500_000)
        with pytest.raises(DeadlineError, match=r"took nothing of [0-9]+ queued .*write_timeout"):
            await stream.write(b"x")
        peer.writer.transport.resume_reading()
        await peer.receive_exactly(100_000)
        stream.abort()
        await stream.wait_closed()
        peer.close()

    run(main())


def test_a_close_that_the_peer_does_not_let_end(run, connect):
    async def main():
        stream, peer = await connect(Stream(write_timeout=0.03))
        peer.writer.transport.pause_reading()
        while stream.transport.get_write_buffer_size() == 0:
            stream.write(b"x" * 500_000)
        stream.close()
        with pytest.raises(DeadlineError, match="write_timeout"):
            await stream.wait_closed()
        peer.close()

    run(main())


def test_a_slow_peer_is_not_one_that_takes_nothing(run, connect):
    async def main():
        stream, peer = await connect(Stream(write_timeout=0.25))
        stream.write(b"x" * 20_000_000)
        begin = time.monotonic()

        async def receive():
            left = 20_000_000
            while left:
                # About 0.6 s in all.
                await asyncio.sleep(0.005)
                left -= len(await peer.receive(160_000))

        task = asyncio.create_task(receive())
        await stream.write(b"")
        assert time.monotonic() - begin > 0.25
        await task
        stream.close()
        peer.close()

    run(main())
