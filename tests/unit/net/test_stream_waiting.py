"""Waiting at a stream: cancellation in each state, contexts, every way in which asyncio awaits."""

import asyncio
import contextvars
import gc
import sys

import pytest

from sennit.errors import BusyError, ClosedError
from sennit.net.stream import Stream

NAME: contextvars.ContextVar[str] = contextvars.ContextVar("name", default="nobody")


async def driven(stream, peer, make):
    """What something to await returns once the peer has sent."""
    task = asyncio.ensure_future(make(stream))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    await peer.send(b"data")
    return await task


async def shielded(stream):
    return await asyncio.shield(stream.read())


async def gathered(stream):
    return (await asyncio.gather(stream.read(), asyncio.sleep(0)))[0]


async def limited(stream):
    return await asyncio.wait_for(stream.read(), 30)


async def timed(stream):
    async with asyncio.timeout(30):
        return await stream.read()


async def waited(stream):
    done, _ = await asyncio.wait([asyncio.create_task(stream.read())])
    return done.pop().result()


async def grouped(stream):
    async with asyncio.TaskGroup() as group:
        task = group.create_task(stream.read())
    return task.result()


async def nested(stream):
    return await asyncio.ensure_future(stream.read())


async def in_an_iteration(stream):
    return await anext(stream)


@pytest.mark.parametrize(
    "make",
    [
        lambda stream: stream.read(),
        shielded,
        gathered,
        limited,
        timed,
        waited,
        grouped,
        nested,
        in_an_iteration,
    ],
)
@pytest.mark.parametrize("debug", [False, True])
def test_every_way_to_await(run, connect, make, debug):
    async def main():
        asyncio.get_running_loop().set_debug(debug)
        stream, peer = await connect(Stream())
        assert await driven(stream, peer, make) == b"data"
        stream.close()
        peer.close()

    run(main())


def test_it_is_a_coroutine_to_whoever_asks():
    reading = Stream().read()
    assert asyncio.iscoroutine(reading)
    assert not asyncio.isfuture(reading)
    assert reading.close() is None


def test_nothing_is_done_before_it_is_awaited(fake):
    stream = Stream()
    fake(stream)
    stream.data_received(b"abc")
    forgotten = stream.read()
    assert stream.buffered == 3
    forgotten.close()
    with pytest.raises(RuntimeError, match="already awaited"):
        forgotten.send(None)
    assert stream.buffered == 3


def test_a_driver_that_does_not_wait_is_told(run, fake):
    async def main():
        stream = Stream()
        fake(stream)
        reading = stream.read()
        waiter = reading.send(None)
        assert waiter._loop is asyncio.get_running_loop()
        assert waiter._asyncio_future_blocking is True
        with pytest.raises(RuntimeError, match="wasn't used with future"):
            reading.send(None)
        with pytest.raises(asyncio.InvalidStateError):
            waiter.result()
        stream.data_received(b"abc")
        assert waiter.done()
        assert waiter.result() is None
        assert waiter.exception() is None
        with pytest.raises(StopIteration) as stop:
            reading.send(None)
        assert stop.value.value == b"abc"

    run(main())


def test_callbacks_of_a_waiter(run, fake):
    async def main():
        stream = Stream()
        fake(stream)
        reading = stream.read()
        waiter = reading.send(None)
        called = []
        waiter.add_done_callback(called.append)
        waiter.add_done_callback(called.append)
        waiter.add_done_callback(lambda _: called.append("last"))
        assert waiter.remove_done_callback(called.append) == 2
        assert waiter.cancel("enough")
        assert not waiter.cancel()
        assert waiter.cancelled()
        assert called == []
        await asyncio.sleep(0)
        assert called == ["last"]
        waiter.add_done_callback(called.append)
        await asyncio.sleep(0)
        assert called == ["last", waiter]
        with pytest.raises(asyncio.CancelledError, match="enough"):
            waiter.result()
        reading.close()

    run(main())


def test_who_is_cancelled_while_waiting_loses_nothing(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        for reading in (stream.read(), stream.read_exactly(3), stream.readline()):
            task = asyncio.create_task(reading)
            await asyncio.sleep(0)
            task.cancel("no more")
            with pytest.raises(asyncio.CancelledError, match="no more"):
                await task
        await peer.send(b"abc")
        assert await stream.read_exactly(3) == b"abc"
        stream.close()
        peer.close()

    run(main())


def test_data_that_comes_after_the_cancellation_stays(run, fake):
    async def main():
        stream = Stream()
        fake(stream)
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        task.cancel()
        # The task has not run yet: its waiter is over, the data is for the next.
        stream.data_received(b"abc")
        next_one = asyncio.create_task(stream.read())
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await next_one == b"abc"

    run(main())


def test_a_cancellation_after_the_data_loses_nothing_either(run, fake):
    async def main():
        stream = Stream()
        fake(stream)
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stream.data_received(b"abc")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await stream.read() == b"abc"

    run(main())


def test_a_task_cancelled_before_its_first_step(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        task = asyncio.create_task(stream.read())
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

        # Cancelled while it runs, before it waits.
        async def cancels_itself():
            asyncio.current_task().cancel()
            await stream.read()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.create_task(cancels_itself())
        await peer.send(b"abc")
        assert await stream.read() == b"abc"
        stream.close()
        peer.close()

    run(main())


def test_a_task_that_is_destroyed_frees_the_stream(run, fake):
    async def main():
        stream = Stream()
        fake(stream)
        reading = stream.read()
        reading.send(None)
        with pytest.raises(BusyError):
            stream.read().send(None)
        del reading
        gc.collect()
        stream.data_received(b"abc")
        assert await stream.read() == b"abc"

    run(main())


def test_a_step_runs_as_its_task_and_in_its_context(run, connect):
    async def main():
        stream, peer = await connect(Stream())

        async def read():
            NAME.set("reader")
            seen = []
            for _ in range(3):
                await stream.read_exactly(1)
                seen.append((NAME.get(), asyncio.current_task().get_name()))
            return seen

        task = asyncio.create_task(read(), name="the reader")
        for _ in range(3):
            await asyncio.sleep(0)
            await peer.send(b"x")
        assert await task == [("reader", "the reader")] * 3
        assert NAME.get() == "nobody"
        stream.close()
        peer.close()

    run(main())


def test_two_streams_feed_each_other_without_nesting_steps(run, fake):
    async def main():
        first, second = Stream(), Stream()
        fake(first)
        fake(second)
        order = []

        async def relay():
            data = await first.read()
            order.append("relay begins")
            second.data_received(data)
            order.append("relay ends")

        async def end():
            await second.read()
            order.append("end")

        tasks = [asyncio.create_task(relay()), asyncio.create_task(end())]
        await asyncio.sleep(0)
        first.data_received(b"x")
        assert order == []
        await asyncio.gather(*tasks)
        assert order == ["relay begins", "relay ends", "end"]

    run(main())


def test_reading_before_there_is_a_connection(run, connect):
    async def main():
        stream = Stream()
        task = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        with pytest.raises(ClosedError, match="before the stream is connected"):
            stream.write(b"x")
        _, peer = await connect(stream)
        await peer.send(b"abc")
        assert await task == b"abc"
        stream.close()
        peer.close()

    run(main())


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_eager_tasks(run, connect):
    async def main():
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        stream, peer = await connect(Stream())
        await peer.send(b"abc")
        task = asyncio.create_task(stream.read())
        assert await task == b"abc"
        stream.close()
        peer.close()

    run(main())
