"""`defer_later`: the result of a call that is made later."""

import asyncio
import contextvars
import gc

import pytest

import sennit
from sennit import testing
from sennit.errors import ConfigError

number = contextvars.ContextVar("number", default=0)


@pytest.fixture
def clock():
    return testing.Clock()


def test_the_result_is_that_of_the_function(clock):
    deferred = sennit.defer_later(2, lambda *a, **k: (a, k), 1, clock=clock, name="x")
    clock.advance(1)
    assert not deferred.done()
    clock.advance(1)
    assert deferred.result() == ((1,), {"name": "x"})


def test_without_a_function_it_just_waits():
    async def main():
        loop = asyncio.get_running_loop()
        assert await sennit.defer_later(3600) is None
        return loop.time()

    assert testing.run(main()) == 3600


def test_an_error_of_the_function_is_the_result(clock):
    deferred = sennit.defer_later(1, lambda: 1 / 0, clock=clock)
    clock.advance(1)
    with pytest.raises(ZeroDivisionError):
        deferred.result()


def test_an_error_nobody_takes_is_reported_with_the_place(clock, caplog):
    sennit.defer_later(1, lambda: 1 / 0, clock=clock)
    clock.advance(1)
    gc.collect()
    assert f"made at {__file__}" in caplog.text


def test_what_the_function_returns_is_waited_for(clock):
    inner = sennit.Deferred()
    deferred = sennit.defer_later(1, lambda: inner, clock=clock)
    clock.advance(1)
    assert not deferred.done()
    inner.callback("late")
    assert deferred.result() == "late"


def test_a_coroutine_function_is_run():
    async def work(seconds):
        await asyncio.sleep(seconds)
        return asyncio.get_running_loop().time()

    async def main():
        return await sennit.defer_later(1, work, 2)

    assert testing.run(main()) == 3


def test_cancelled_before_its_time_it_calls_nothing(clock):
    called = []
    deferred = sennit.defer_later(1, called.append, 1, clock=clock)
    deferred.cancel()
    assert clock.statistics()["pending"] == 0
    clock.advance(2)
    assert called == []
    with pytest.raises(asyncio.CancelledError):
        deferred.result()


def test_cancelled_afterwards_it_cancels_what_was_begun(clock):
    cancelled = []
    inner = sennit.Deferred(cancelled.append)
    deferred = sennit.defer_later(1, lambda: inner, clock=clock)
    clock.advance(1)
    deferred.cancel()
    assert cancelled == [inner]
    with pytest.raises(asyncio.CancelledError):
        deferred.result()


def test_cancelling_the_task_that_waits_takes_the_timer_away():
    async def wait():
        await sennit.defer_later(3600)

    async def program():
        loop = asyncio.get_running_loop()
        task = asyncio.create_task(wait())
        await asyncio.sleep(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await sennit.defer_later(3600)
        return loop.time()

    assert testing.run(program()) == 2


def test_the_context_is_that_of_the_place_where_it_was_made(clock):
    number.set(1)
    deferred = sennit.defer_later(1, number.get, clock=clock)
    number.set(0)
    clock.advance(1)
    assert deferred.result() == 1


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_times_that_make_no_sense(clock, seconds):
    with pytest.raises(ConfigError, match="delay is"):
        sennit.defer_later(seconds, clock=clock)


def test_a_timeout_of_a_deferred_takes_a_manual_clock(clock):
    slow = sennit.Deferred().add_timeout(5, clock=clock)
    quick = sennit.Deferred().add_timeout(5, clock=clock)
    assert clock.statistics()["pending"] == 2
    quick.callback("in time")
    assert clock.statistics()["pending"] == 1
    clock.advance(4)
    assert not slow.done()
    clock.advance(1)
    with pytest.raises(TimeoutError, match="5 s"):
        slow.result()
    assert quick.result() == "in time"
    assert clock.statistics()["pending"] == 0
