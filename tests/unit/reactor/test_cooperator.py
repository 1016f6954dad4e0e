"""`Cooperator`: long iterators in small steps, and the loop has its turns between them."""

import asyncio
import gc
import itertools
import threading
import weakref

import pytest

import sennit
from sennit import testing
from sennit.errors import ClosedError, ConfigError


@pytest.fixture
def clock():
    return testing.Clock()


@pytest.fixture
def cooperator(clock):
    return sennit.Cooperator(clock=clock)


def ticks(count, into=None, name=None):
    """An iterator of some steps; it notes each of them."""
    for index in range(count):
        if into is not None:
            into.append(index if name is None else (name, index))
        yield


def for_ever():
    while True:
        yield


class Turns:
    """A loop of nothing but turns, whose time passes when a step says so."""

    def __init__(self):
        self.now = 0.0
        self.ready = []

    def time(self):
        return self.now

    def call_later(self, delay, callback, *args):
        raise AssertionError("a loop has call_soon")

    def call_soon(self, callback, *args):
        self.ready.append((callback, args))

    def turn(self):
        ready, self.ready = self.ready, []
        for callback, args in ready:
            callback(*args)


def test_an_iterator_is_run_to_its_end(cooperator, clock):
    steps = []
    iterator = ticks(5, steps)
    done = cooperator.cooperate(iterator).when_done()
    assert steps == []  # not in here
    clock.advance(0)
    assert steps == [0, 1, 2, 3, 4]
    assert done.result() is iterator


def test_any_iterable_will_do(cooperator, clock):
    numbers = range(3)
    done = cooperator.cooperate(numbers).when_done()
    clock.advance(0)
    assert done.result() is numbers
    with pytest.raises(TypeError):
        cooperator.cooperate(1)


def test_iterators_take_turns(cooperator, clock):
    steps = []
    cooperator.cooperate(ticks(3, steps, "a"))
    cooperator.cooperate(ticks(1, steps, "b"))
    cooperator.cooperate(ticks(2, steps, "c"))
    clock.advance(0)
    order = ("a", 0), ("b", 0), ("c", 0), ("a", 1), ("c", 1), ("a", 2)
    assert steps == [*order]


def test_a_turn_is_over_when_its_time_is():
    clock, steps = Turns(), []

    def work():
        for index in range(10):
            clock.now += 0.004
            steps.append(index)
            yield

    cooperator = sennit.Cooperator(clock=clock)
    cooperator.cooperate(work())
    clock.turn()
    assert steps == [0, 1, 2]  # 12 ms: the step that goes beyond 10 ms is the last one
    clock.turn()
    assert len(steps) == 6
    assert cooperator.statistics() == {"tasks": 1, "ready": 1, "turns": 2, "steps": 6}


def test_a_step_that_is_too_long_is_the_only_one_of_its_turn():
    clock = Turns()

    def work():
        while True:
            clock.now += 1
            yield

    cooperator = sennit.Cooperator(clock=clock, max_seconds=0.5)
    for _ in range(2):
        cooperator.cooperate(work())
    for turn in range(1, 5):
        clock.turn()
        assert cooperator.statistics()["steps"] == turn


def test_a_turn_is_over_when_its_steps_are_done():
    clock = Turns()
    cooperator = sennit.Cooperator(clock=clock, max_steps=7)
    cooperator.cooperate(for_ever())
    cooperator.cooperate(for_ever())
    for turn in range(1, 5):
        clock.turn()
        assert cooperator.statistics()["steps"] == 7 * turn
        assert len(clock.ready) == 1


@pytest.mark.parametrize("options", [{"max_seconds": 0}, {"max_seconds": -1}, {"max_steps": 0}])
def test_limits_that_make_no_sense(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        sennit.Cooperator(**options)


def test_other_work_is_never_starved():
    """Two iterators without an end; timers, tasks and threads of the same loop go on."""

    async def main():
        loop, others = asyncio.get_running_loop(), []
        cooperator = sennit.Cooperator(max_steps=10)
        tasks = [cooperator.cooperate(for_ever()) for _ in range(2)]

        async def other():
            for _ in range(100):
                await asyncio.sleep(0)
                others.append(cooperator.statistics()["steps"])

        await other()
        between = {later - before for before, later in itertools.pairwise(others)}
        assert max(between) <= 10
        await asyncio.sleep(3600)
        assert loop.time() == 3600
        assert await loop.run_in_executor(None, threading.get_ident) != threading.get_ident()
        for task in tasks:
            task.stop()

    testing.run(main())


def test_nothing_is_scheduled_while_there_is_nothing_to_do(cooperator, clock):
    task = cooperator.cooperate(for_ever())
    task.pause()
    clock.advance(0)
    assert clock.statistics()["pending"] == 0
    assert cooperator.statistics() == {"tasks": 1, "ready": 0, "turns": 1, "steps": 0}
    task.resume()
    assert clock.statistics()["pending"] == 1
    task.stop()


def test_stopping_the_cooperator_stops_all(cooperator, clock):
    done = [cooperator.cooperate(for_ever()).when_done() for _ in range(3)]
    cooperator.stop()
    clock.advance(0)
    for deferred in done:
        with pytest.raises(ClosedError):
            deferred.result()
    again = cooperator.cooperate(ticks(1)).when_done()
    clock.advance(0)
    assert again.done()


def test_without_a_loop_and_a_clock_there_are_no_turns():
    with pytest.raises(RuntimeError, match="no running event loop"):
        sennit.cooperate(ticks(1))
    cooperator = sennit.Cooperator()
    with pytest.raises(RuntimeError, match="no running event loop"):
        cooperator.cooperate(ticks(1))
    assert cooperator.statistics()["tasks"] == 0


@pytest.mark.parametrize("loop_class", [sennit.Reactor, asyncio.SelectorEventLoop])
def test_everybody_on_a_loop_shares_its_turns(loop_class):
    async def main():
        steps = []
        one = sennit.cooperate(ticks(2, steps, "a"))
        other = sennit.cooperate(ticks(2, steps, "b"))
        await one.when_done()
        await other.when_done()
        return steps

    with asyncio.Runner(loop_factory=loop_class) as runner:
        assert runner.run(main()) == [("a", 0), ("b", 0), ("a", 1), ("b", 1)]


def test_one_cooperator_serves_loop_after_loop():
    cooperator, tasks = sennit.Cooperator(), []

    async def leave_it():
        tasks.append(cooperator.cooperate(for_ever()))

    async def finish_it():
        await cooperator.cooperate(ticks(3)).when_done()

    sennit.run(leave_it())
    sennit.run(finish_it())
    tasks[0].stop()


def test_a_loop_that_is_gone_takes_its_cooperator_along():
    async def main():
        sennit.cooperate(for_ever())
        return weakref.ref(asyncio.get_running_loop())

    loop = testing.run(main())
    gc.collect()
    assert loop() is None
