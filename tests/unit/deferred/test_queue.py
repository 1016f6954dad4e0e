"""The queue: objects in their order, limits on both sides, an end."""

import asyncio

import pytest

from sennit import DeferredQueue
from sennit.errors import ClosedError, ConfigError, OverloadedError


def test_objects_come_out_in_their_order_and_to_who_waits_first():
    queue = DeferredQueue(2, 2)
    queue.put(1)
    queue.put(2)
    assert (len(queue), queue.get().result(), queue.get().result()) == (2, 1, 2)
    first, second = queue.get(), queue.get()
    queue.put(3)
    queue.put(4)
    assert (first.result(), second.result()) == (3, 4)
    assert repr(queue) == "<sennit.DeferredQueue 0 objects, 0 waiting>"


def test_both_limits():
    queue = DeferredQueue(1, 1)
    queue.put(1)
    with pytest.raises(OverloadedError, match="1 objects wait, limit 1"):
        queue.put(2)
    queue.get()
    queue.get()
    assert isinstance(queue.get().exception(), OverloadedError)
    assert queue.statistics() == {"items": 0, "waiting": 1}
    for sizes in ((-1, 1), (0, 0)):
        with pytest.raises(ConfigError):
            DeferredQueue(*sizes)


def test_cancelling_gives_up_waiting():
    queue = DeferredQueue(1, 2)
    gone, last = queue.get(), queue.get()
    gone.cancel()
    queue.put(1)
    assert last.result() == 1


def test_a_closed_one_gives_what_it_has_and_tells_who_waits():
    queue = DeferredQueue(1, 1)
    waiting = queue.get()
    queue.close()
    assert isinstance(waiting.exception(), ClosedError)
    with pytest.raises(ClosedError):
        queue.put(1)
    full = DeferredQueue(1, 1)
    full.put(1)
    full.close()
    assert full.get().result() == 1
    assert isinstance(full.get().exception(), ClosedError)


def test_async_for_takes_until_the_end(run):
    async def main():
        queue, seen = DeferredQueue(10, 1), []

        async def take():
            async for item in queue:
                seen.append(item)

        task = asyncio.ensure_future(take())
        async with queue:
            for item in range(5):
                queue.put(item)
                await asyncio.sleep(0)
        await task
        assert seen == [0, 1, 2, 3, 4]

    run(main())


@pytest.mark.parametrize("others", [0, 1])
def test_an_object_given_to_a_task_that_is_cancelled_then_is_not_lost(run, others):
    async def main():
        queue = DeferredQueue(10, 2)

        async def take():
            async for _ in queue:
                pytest.fail("it was cancelled before")

        task = asyncio.ensure_future(take())
        await asyncio.sleep(0)
        waiting = [queue.get() for _ in range(others)]
        queue.put("precious")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await (waiting[0] if waiting else queue.get()) == "precious"

    run(main())
