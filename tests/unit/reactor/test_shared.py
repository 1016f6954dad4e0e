"""A lock and a queue between threads and loops: one at a time, in order, never blocking a loop."""

import asyncio
import gc
import threading

import pytest

import sennit
from sennit.errors import BusyError, ClosedError, ConfigError, DeadlineError, OverloadedError


def run(main):
    return sennit.run(main())


def in_threads(count, function):
    threads = [threading.Thread(target=function, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_many_threads_and_tasks_have_the_lock_one_at_a_time():
    lock = sennit.SharedLock()
    inside, total = [], []

    def note():
        inside.append(1)
        assert len(inside) == 1
        total.append(1)
        inside.pop()

    def thread(_number):
        for _ in range(200):
            with lock:
                note()

    async def task():
        for _ in range(200):
            async with lock:
                note()
                await asyncio.sleep(0)
                inside.append(1)
                assert len(inside) == 1
                inside.pop()

    async def main():
        threads = in_threads(8, thread)
        other = threading.Thread(target=asyncio.run, args=(task(),))
        other.start()
        await asyncio.gather(*(task() for _ in range(5)))
        while any(one.is_alive() for one in [*threads, other]):
            await asyncio.sleep(0)

    run(main)
    assert len(total) == (8 + 5 + 1) * 200
    assert lock.statistics() == {"held": 0, "waiting": 0}


def test_who_asks_first_is_served_first():
    lock = sennit.SharedLock()
    order = []

    def thread():
        with lock:
            order.append("thread")

    async def task(name):
        async with lock:
            order.append(name)

    async def main():
        async with lock:
            first = asyncio.create_task(task("first"))
            await until(lambda: lock.statistics()["waiting"] == 1)
            other = threading.Thread(target=thread)
            other.start()
            await until(lambda: lock.statistics()["waiting"] == 2)
            third = asyncio.create_task(task("third"))
            await until(lambda: lock.statistics()["waiting"] == 3)
            assert repr(lock) == "<sennit.SharedLock held, 3 waiting>"
        await asyncio.gather(first, third)
        other.join()

    run(main)
    assert order == ["first", "thread", "third"]


def test_a_loop_is_never_blocked():
    async def main():
        with pytest.raises(RuntimeError, match="would block the loop"):
            sennit.SharedLock().acquire()
        with pytest.raises(RuntimeError, match="would block the loop"):
            sennit.SharedQueue(1).get()

    run(main)


def test_a_cancelled_task_gives_up_its_place():
    async def main():
        lock = sennit.SharedLock()
        await lock.acquire_in_loop()
        first, second = (asyncio.create_task(lock.acquire_in_loop()) for _ in range(2))
        await until(lambda: lock.statistics()["waiting"] == 2)
        first.cancel()
        await asyncio.wait([first])
        assert lock.statistics()["waiting"] == 1
        # The turn is given, and the task is cancelled before it notices.
        lock.release()
        second.cancel()
        await asyncio.wait([second])
        assert not lock.locked
        with pytest.raises(BusyError):
            lock.release()

    run(main)


def test_a_thread_waits_so_long_and_no_longer():
    lock = sennit.SharedLock()
    lock.acquire()
    with pytest.raises(DeadlineError, match=r"0\.001 s"):
        lock.acquire(timeout=0.001)
    lock.release()
    lock.acquire(timeout=0)
    lock.release()


def test_a_turn_of_a_closed_loop_goes_on_to_the_next():
    lock = sennit.SharedLock()
    lock.acquire()
    loop = sennit.Reactor()
    task = loop.create_task(lock.acquire_in_loop())
    loop.call_soon(loop.stop)
    loop.run_forever()
    thread = threading.Thread(target=lock.acquire)
    thread.start()
    while lock.statistics()["waiting"] < 2:
        pass
    loop.close()
    lock.release()
    thread.join(60)
    assert not thread.is_alive()
    assert lock.statistics() == {"held": 1, "waiting": 0}
    task._log_destroy_pending = False


def test_a_turn_that_was_given_to_a_loop_that_ends_is_not_lost():
    lock = sennit.SharedLock()
    lock.acquire()
    loop = sennit.Reactor()
    task = loop.create_task(lock.acquire_in_loop())
    loop.call_soon(loop.stop)
    loop.run_forever()
    lock.release()
    loop.close()
    assert lock.locked
    task._log_destroy_pending = False
    del task
    gc.collect()
    assert not lock.locked


# -- the queue -------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 10])
def test_many_threads_and_tasks_hand_over_each_object_once(size):
    queue = sennit.SharedQueue(size)
    got = []

    def put(number):
        for item in range(100):
            queue.put((number, item))

    def get(_number):
        got.extend(queue)

    async def put_in_loop(number):
        for item in range(100):
            await queue.put_in_loop((number, item))

    async def get_in_loop():
        async for item in queue:
            got.append(item)
            assert len(queue) <= size + 1

    async def main():
        getting = in_threads(3, get)
        tasks = [asyncio.create_task(get_in_loop()) for _ in range(3)]
        putting = in_threads(4, put)
        await asyncio.gather(*(put_in_loop(number) for number in range(10, 14)))
        await until(lambda: not any(thread.is_alive() for thread in putting))
        queue.close()
        await asyncio.gather(*tasks)
        await until(lambda: not any(thread.is_alive() for thread in getting))

    run(main)
    assert sorted(got) == sorted((n, i) for n in [*range(4), *range(10, 14)] for i in range(100))
    assert queue.statistics() == {"items": 0, "putting": 0, "getting": 0}


def test_the_order_stays():
    async def main():
        queue = sennit.SharedQueue(2)
        tasks = [asyncio.create_task(queue.put_in_loop(number)) for number in range(6)]
        assert [await queue.get_in_loop() for _ in range(6)] == list(range(6))
        await asyncio.gather(*tasks)

    run(main)


def test_the_twins_that_do_not_wait():
    queue = sennit.SharedQueue(1)
    with pytest.raises(BusyError):
        queue.get_nowait()
    queue.put_nowait("one")
    with pytest.raises(OverloadedError, match=r"limit 1 \(max_size\)"):
        queue.put_nowait("two")
    with pytest.raises(DeadlineError):
        queue.put("two", timeout=0.001)
    assert queue.get_nowait() == "one"
    with pytest.raises(DeadlineError):
        queue.get(timeout=0.001)
    with pytest.raises(ConfigError):
        sennit.SharedQueue(0)


def test_a_closed_queue_is_emptied_and_takes_nothing():
    async def main():
        queue = sennit.SharedQueue(1)
        await queue.put_in_loop("one")
        waiting = asyncio.create_task(queue.put_in_loop("two"))
        await asyncio.sleep(0)
        queue.close()
        with pytest.raises(ClosedError):
            await waiting
        with pytest.raises(ClosedError):
            queue.put_nowait("three")
        assert await queue.get_in_loop() == "one"
        with pytest.raises(ClosedError):
            await queue.get_in_loop()

    run(main)


def test_a_cancelled_get_loses_no_object():
    async def main():
        queue = sennit.SharedQueue(1)
        getting = asyncio.create_task(queue.get_in_loop())
        await asyncio.sleep(0)
        queue.put_nowait("one")
        getting.cancel()
        await asyncio.wait([getting])
        assert queue.get_nowait() == "one"
        putting = [asyncio.create_task(queue.put_in_loop(number)) for number in range(2)]
        await asyncio.sleep(0)
        queue.get_nowait()
        putting[1].cancel()
        await asyncio.wait(putting)
        assert queue.statistics() == {"items": 0, "putting": 0, "getting": 0}
        await queue.put_in_loop("last")

    run(main)
