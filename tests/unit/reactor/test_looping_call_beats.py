"""The beats of a `LoopingCall`: counted from its start, skipped and told, against arithmetic."""

import asyncio
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sennit
from sennit import testing


@pytest.fixture
def clock():
    return testing.Clock()


def test_a_jump_of_the_clock_is_one_call_that_is_told_how_many(clock):
    counts = []
    looping = sennit.LoopingCall.with_count(counts.append, clock=clock)
    looping.start(1)
    clock.advance(1)
    clock.advance(5.5)
    clock.advance(0.25)
    clock.advance(0.25)
    assert counts == [1, 1, 5, 1]
    assert looping.statistics() == {"calls": 4, "skipped": 4}


def test_the_count_stands_before_the_other_arguments(clock):
    got = []
    looping = sennit.LoopingCall.with_count(
        lambda *a, **k: got.append((a, k)), "x", clock=clock, key=1
    )
    looping.start(1, now=False)
    clock.advance(3)
    assert got == [((3, "x"), {"key": 1})]


def test_reset_counts_the_beats_from_now(clock):
    counts = []
    looping = sennit.LoopingCall.with_count(
        lambda count: counts.append((clock.time(), count)), clock=clock
    )
    looping.start(2)
    clock.advance(1.5)
    looping.reset()
    clock.advance(1.5)
    assert counts == [(0, 1)]
    clock.pump([0.5, 2])
    assert counts == [(0, 1), (3.5, 1), (5.5, 1)]


def test_reset_forgets_the_beats_before(clock):
    counts = []
    looping = sennit.LoopingCall.with_count(counts.append, clock=clock)
    looping.start(2)
    clock.pump([2] * 5)
    looping.reset()
    clock.pump([2] * 2)
    assert counts == [1] * 8
    assert looping.statistics() == {"calls": 8, "skipped": 0}


def test_reset_while_a_call_is_under_way(clock):
    work = sennit.Deferred()
    looping = sennit.LoopingCall(lambda: work, clock=clock)
    looping.start(2)
    clock.advance(1)
    looping.reset()
    clock.advance(0.5)
    work.callback()
    clock.advance(1)
    assert looping.statistics()["calls"] == 1
    clock.advance(0.5)
    assert looping.statistics() == {"calls": 2, "skipped": 0}


@pytest.mark.parametrize("loop_class", [testing.Reactor, sennit.Reactor])
def test_interval_0_is_once_in_each_turn(loop_class):
    async def main():
        counts = []
        looping = sennit.LoopingCall.with_count(counts.append)
        looping.start(0)
        looping.reset()
        for _ in range(100):
            before = len(counts)
            await asyncio.sleep(0)
            # A turn runs this task once, and the call once.
            assert len(counts) - before <= 1
        looping.stop()
        assert set(counts) == {1}
        assert looping.statistics()["skipped"] == 0
        return len(counts)

    with asyncio.Runner(loop_factory=loop_class) as runner:
        assert 50 <= runner.run(main()) <= 101


def test_interval_0_starves_nobody():
    async def main():
        looping = sennit.LoopingCall(lambda: None)
        looping.start(0)
        await asyncio.sleep(3600)
        looping.stop()
        return asyncio.get_running_loop().time()

    assert testing.run(main()) == 3600


def test_ten_thousand_beats_do_not_drift():
    async def main():
        loop, worst, beat = asyncio.get_running_loop(), 0.0, 0

        async def work():
            nonlocal worst, beat
            worst = max(worst, abs(loop.time() - beat * 0.1))
            beat += 1
            await asyncio.sleep(0.03)  # what the work takes does not move the next beat

        looping = sennit.LoopingCall(work)
        done = looping.start(0.1)
        await asyncio.sleep(1000.05)
        looping.stop()
        await done
        return worst, beat, looping.statistics()

    worst, beat, statistics = testing.run(main())
    assert worst < 1e-8  # the clock counts nanoseconds
    assert (beat, statistics) == (10_001, {"calls": 10_001, "skipped": 0})


def test_a_clock_that_fires_a_hair_early_makes_no_beat_twice():
    class Early(testing.Clock):
        def call_at(self, when, *args, **kwargs):
            return super().call_at(when - 1e-6, *args, **kwargs)

    clock, counts = Early(), []
    sennit.LoopingCall.with_count(counts.append, clock=clock).start(1, now=False)
    for second in range(1, 11):
        clock.pump([second - 1e-6 - clock.time(), 1e-6])
    assert counts == [1] * 10


# Multiples of 1/8 are exact, so the model is too.
EIGHTHS = st.integers(0, 40).map(lambda number: number / 8)


@given(st.integers(1, 24).map(lambda number: number / 8), st.booleans(), st.lists(EIGHTHS))
def test_beats_against_arithmetic(interval, now, steps):
    clock, got, expected = testing.Clock(), [], []
    clock.advance(1000)
    looping = sennit.LoopingCall.with_count(
        lambda count: got.append((clock.time() - 1000, count)), clock=clock
    )
    looping.start(interval, now)
    last = 0
    if now:
        expected.append((0, 1))
    for step in steps:
        clock.advance(step)
        time = clock.time() - 1000
        if (reached := time // interval) > last:
            expected.append((time, reached - last))
            last = reached
    assert got == expected
    statistics = looping.statistics()
    assert statistics["calls"] + statistics["skipped"] == last + now


@given(
    st.integers(1, 24).map(lambda number: number / 8), st.lists(EIGHTHS, min_size=1, max_size=12)
)
def test_the_next_beat_behind_the_work_against_arithmetic(interval, works):
    """Work that takes some time: the next call is at the first beat behind its end."""

    async def main():
        loop, got = asyncio.get_running_loop(), []
        left = iter(works)

        async def work(count):
            got.append((loop.time(), count))
            seconds = next(left, None)
            if seconds is None:
                looping.stop()
            else:
                await asyncio.sleep(seconds)

        looping = sennit.LoopingCall.with_count(work)
        await looping.start(interval)
        return got

    expected, beat = [(0, 1)], 0
    for seconds in works:
        following = math.floor((beat * interval + seconds) / interval) + 1
        expected.append((following * interval, following - beat))
        beat = following
    assert testing.run(main()) == expected
