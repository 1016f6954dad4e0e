"""`LoopingCall`: a steady beat, without drift, that says what it has skipped."""

import asyncio
import gc

import pytest

import sennit
from sennit import testing
from sennit.errors import BusyError, ConfigError, NotActiveError


@pytest.fixture
def clock():
    return testing.Clock()


@pytest.fixture
def beats(clock):
    """A LoopingCall by the manual clock, and the times that it has called at."""
    times = []
    looping = sennit.LoopingCall(lambda: times.append(clock.time()), clock=clock)
    return looping, times


def test_the_first_call_is_made_at_once(beats, clock):
    looping, times = beats
    looping.start(2)
    assert times == [0]
    clock.pump([1] * 5)
    assert times == [0, 2, 4]


def test_the_first_call_can_wait_for_the_first_beat(beats, clock):
    looping, times = beats
    looping.start(2, now=False)
    clock.pump([1] * 5)
    assert times == [2, 4]


def test_the_arguments_are_the_same_each_time(clock):
    got = []
    looping = sennit.LoopingCall(lambda *a, **k: got.append((a, k)), 1, clock=clock, name="x")
    looping.start(1)
    clock.advance(1)
    assert got == [((1,), {"name": "x"})] * 2


def test_stopped_it_fires_with_itself(beats, clock):
    looping, times = beats
    assert (looping.running, looping.interval) == (False, None)
    done = looping.start(1)
    assert (looping.running, looping.interval) == (True, 1)
    assert not done.done()
    looping.stop()
    assert done.result() is looping
    assert not looping.running
    assert clock.statistics()["pending"] == 0
    clock.advance(5)
    assert times == [0]


def test_stopping_what_does_not_run_is_no_error(beats):
    looping, _ = beats
    looping.stop()
    looping.start(1)
    looping.stop()
    looping.stop()
    assert not looping.running


def test_it_can_be_started_again(beats, clock):
    looping, times = beats
    looping.start(1)
    looping.stop()
    clock.advance(0.25)
    looping.start(2)
    clock.pump([1] * 4)
    assert times == [0, 0.25, 2.25, 4.25]
    assert looping.statistics() == {"calls": 4, "skipped": 0}


def test_it_is_not_started_twice(beats):
    looping, _ = beats
    looping.start(1)
    with pytest.raises(BusyError, match="start"):
        looping.start(1)


@pytest.mark.parametrize("interval", [-1, float("nan"), float("inf")])
def test_intervals_that_make_no_sense(beats, interval):
    looping, times = beats
    with pytest.raises(ConfigError, match="interval is"):
        looping.start(interval)
    assert times == []


def test_the_function_may_stop_it(clock):
    def work():
        looping.stop()

    looping = sennit.LoopingCall(work, clock=clock)
    assert looping.start(1).result() is looping
    assert clock.statistics()["pending"] == 0


def test_an_error_of_the_function_ends_it(clock):
    looping = sennit.LoopingCall(lambda: 1 / clock.statistics()["called"], clock=clock)
    done = looping.start(1, now=False)
    clock.advance(1)
    assert looping.running
    looping.stop()
    assert done.result() is looping
    looping = sennit.LoopingCall(lambda: 1 / 0, clock=clock)
    done = looping.start(1)
    with pytest.raises(ZeroDivisionError):
        done.result()
    assert not looping.running
    assert clock.statistics()["pending"] == 0


def test_an_error_nobody_takes_is_reported(clock, caplog):
    sennit.LoopingCall(lambda: 1 / 0, clock=clock).start(1)
    gc.collect()  # the traceback knows the frames, and they know the Deferred
    assert "nobody took the error" in caplog.text
    assert f"made at {__file__}" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_what_ends_the_program_goes_on_its_way_and_ends_it(clock):
    def leave():
        raise KeyboardInterrupt

    looping = sennit.LoopingCall(leave, clock=clock)
    done = looping.start(1, now=False)
    with pytest.raises(KeyboardInterrupt):
        clock.advance(1)
    assert not looping.running
    with pytest.raises(KeyboardInterrupt):
        done.result()


def test_a_deferred_is_waited_for(clock):
    waiting = []

    def work():
        waiting.append(sennit.Deferred())
        return waiting[-1]

    looping = sennit.LoopingCall(work, clock=clock)
    looping.start(1)
    clock.pump([0.5] * 5)
    assert len(waiting) == 1
    waiting[0].callback()  # at 2.5: beats 1 and 2 have gone by
    clock.advance(0.25)
    assert len(waiting) == 1
    clock.advance(0.25)
    assert len(waiting) == 2
    assert looping.statistics() == {"calls": 2, "skipped": 2}


def test_an_error_of_the_deferred_ends_it(clock):
    work = sennit.Deferred()
    looping = sennit.LoopingCall(lambda: work, clock=clock)
    done = looping.start(1)
    work.errback(ValueError("on purpose"))
    with pytest.raises(ValueError, match="on purpose"):
        done.result()
    assert not looping.running


def test_stopped_while_a_call_is_under_way_it_waits_for_that(clock):
    work = sennit.Deferred()
    looping = sennit.LoopingCall(lambda: work, clock=clock)
    done = looping.start(1)
    looping.stop()
    assert not looping.running
    assert not done.done()
    with pytest.raises(BusyError):
        looping.start(1)
    work.callback()
    assert done.result() is looping
    clock.advance(5)
    assert looping.statistics()["calls"] == 1


def test_cancelling_stops_it(beats, clock):
    looping, times = beats
    done = looping.start(1)
    done.cancel()
    with pytest.raises(asyncio.CancelledError):
        done.result()
    assert not looping.running
    clock.advance(5)
    assert times == [0]
    done = looping.start(1)
    assert times == [0, 5]
    looping.stop()
    assert done.result() is looping


def test_cancelling_cancels_a_call_under_way(clock):
    cancelled = []
    work = sennit.Deferred(cancelled.append)
    looping = sennit.LoopingCall(lambda: work, clock=clock)
    done = looping.start(1)
    done.cancel()
    assert cancelled == [work]
    assert not looping.running
    with pytest.raises(asyncio.CancelledError):
        done.result()


def test_cancelling_waits_for_a_coroutine_that_cleans_up():
    events = []

    async def work():
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await asyncio.sleep(1)
            events.append("cleaned up")

    async def main():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await sennit.LoopingCall(work).start(1)
        events.append(asyncio.get_running_loop().time())

    testing.run(main())
    assert events == ["cleaned up", 6]


def test_cancelled_by_its_own_function(clock):
    def work():
        done.cancel()
        return inner

    inner = sennit.Deferred()
    looping = sennit.LoopingCall(work, clock=clock)
    done = looping.start(1, now=False)
    clock.advance(1)
    assert inner.done()
    assert not looping.running
    with pytest.raises(asyncio.CancelledError):
        done.result()


def test_a_coroutine_function_runs_as_tasks():
    async def main():
        loop, times = asyncio.get_running_loop(), []

        async def work():
            times.append(loop.time())
            await asyncio.sleep(1.5)

        looping = sennit.LoopingCall(work)
        done = looping.start(1)
        await asyncio.sleep(5)
        looping.stop()
        assert await done is looping
        return times, loop.time()

    assert testing.run(main()) == ([0, 2, 4], 5.5)


def test_reset_needs_it_to_run(beats):
    looping, _ = beats
    with pytest.raises(NotActiveError, match="reset"):
        looping.reset()


def test_its_text_says_what_it_does(beats):
    looping, _ = beats
    looping.start(0.5)
    assert "every 0.5 s, waiting" in repr(looping)
