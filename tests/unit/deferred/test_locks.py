"""Locks: who is in, who waits, and what cancelling leaves behind."""

import asyncio

import pytest

from sennit import Deferred, DeferredLock, DeferredSemaphore, fail
from sennit.errors import BusyError, ConfigError


def test_one_is_in_the_others_wait_in_their_order():
    lock, order = DeferredLock(), []
    for name in "abc":
        lock.acquire().add_callback(lambda _, name=name: order.append(name))
    assert order == ["a"]
    assert lock.locked
    assert lock.statistics() == {"held": 1, "waiting": 2, "limit": 1}
    lock.release()
    lock.release()
    assert order == ["a", "b", "c"]
    lock.release()
    assert not lock.locked


def test_a_semaphore_lets_so_many_in():
    semaphore = DeferredSemaphore(2)
    results = [semaphore.acquire() for _ in range(3)]
    assert [one.done() for one in results] == [True, True, False]
    assert results[0].result() is semaphore
    semaphore.release()
    assert results[2].done()
    assert repr(semaphore) == "<sennit.DeferredSemaphore 2 of 2 held, 0 waiting>"


def test_wrong_uses_are_refused():
    with pytest.raises(ConfigError, match="must be 1 or more"):
        DeferredSemaphore(0)
    with pytest.raises(BusyError, match="without acquire"):
        DeferredLock().release()


def test_run_gives_the_place_back_whatever_comes_of_it():
    lock, inner = DeferredLock(), Deferred()
    first = lock.run(lambda one, *, two: inner, 1, two=2)
    second = lock.run(lambda: fail(ValueError("no")))
    third = lock.run(int, "7")
    assert lock.statistics()["waiting"] == 2
    inner.callback("first")
    assert first.result() == "first"
    assert isinstance(second.exception(), ValueError)
    assert third.result() == 7
    assert not lock.locked


def test_run_gives_the_place_back_when_the_program_is_to_end():
    def stop():
        raise KeyboardInterrupt

    lock = DeferredLock()
    with pytest.raises(KeyboardInterrupt):
        lock.run(stop)
    assert not lock.locked


def test_cancelling_gives_up_waiting():
    lock = DeferredLock()
    lock.acquire()
    waiting, last = lock.acquire(), lock.acquire()
    waiting.cancel()
    assert waiting.cancelled()
    lock.release()
    assert last.done()


def test_cancelling_run_reaches_the_function_s_deferred():
    calls, lock = [], DeferredLock()
    running = lock.run(Deferred, calls.append)
    running.cancel()
    assert len(calls) == 1
    assert running.cancelled()
    assert not lock.locked


def test_ten_thousand_that_are_done_at_once_are_no_recursion():
    lock, order = DeferredLock(), []
    lock.acquire()
    for number in range(10_000):
        lock.run(order.append, number)
    lock.release()
    assert order == list(range(10_000))
    assert not lock.locked


def test_who_comes_while_places_are_handed_out_is_last():
    lock, order = DeferredLock(), []

    def first():
        lock.run(order.append, "third")

    lock.acquire()
    lock.run(first)
    lock.run(order.append, "second")
    lock.release()
    assert order == ["second", "third"]


def test_async_with(run):
    async def main():
        lock, inside, most = DeferredSemaphore(2), 0, 0

        async def work():
            nonlocal inside, most
            async with lock as held:
                assert held is lock
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(work() for _ in range(10)))
        assert (inside, most) == (0, 2)
        with pytest.raises(ValueError, match="no"):
            async with lock:
                raise ValueError("no")
        assert lock.statistics()["held"] == 0

    run(main())


@pytest.mark.parametrize("is_given", [False, True], ids=["waiting", "just given"])
def test_a_task_that_is_cancelled_keeps_no_place(run, is_given):
    async def main():
        lock = DeferredLock()

        async def work():
            async with lock:
                pytest.fail("it was cancelled before")

        await lock.acquire()
        task = asyncio.ensure_future(work())
        await asyncio.sleep(0)
        if is_given:
            lock.release()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if not is_given:
            lock.release()
        assert not lock.locked

    run(main())
