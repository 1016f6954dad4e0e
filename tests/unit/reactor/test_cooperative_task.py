"""`CooperativeTask`: paused, resumed, stopped, and what it waits for."""

import asyncio
import contextvars

import pytest

import sennit
from sennit import testing
from sennit.errors import ClosedError, NotActiveError

number = contextvars.ContextVar("number", default=0)


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


def test_a_paused_task_takes_no_step_and_goes_on_where_it_was(cooperator, clock):
    steps = []

    def work():
        yield from ticks(2, steps)
        task.pause()
        yield
        yield from ticks(2, steps)

    task = cooperator.cooperate(work())
    clock.advance(0)
    assert steps == [0, 1]
    assert "paused" in repr(task)
    task.resume()
    clock.advance(0)
    assert steps == [0, 1, 0, 1]
    assert "done" in repr(task)


def test_pauses_add_up(cooperator, clock):
    steps = []
    task = cooperator.cooperate(ticks(1, steps))
    task.pause()
    task.pause()
    task.resume()
    clock.advance(0)
    assert steps == []
    task.resume()
    clock.advance(0)
    assert steps == [0]


def test_paused_and_resumed_within_a_turn_it_has_one_place(cooperator, clock):
    steps = []
    task = cooperator.cooperate(ticks(3, steps, "a"))
    cooperator.cooperate(ticks(3, steps, "b"))
    for _ in range(5):
        task.pause()
        task.resume()
    clock.advance(0)
    assert steps == [(name, index) for index in range(3) for name in "ab"]


def test_resume_needs_a_pause(cooperator):
    task = cooperator.cooperate(ticks(1))
    with pytest.raises(NotActiveError, match="resume"):
        task.resume()


def test_a_stopped_task_takes_no_step_and_tells_who_waits(cooperator, clock):
    steps = []
    task = cooperator.cooperate(ticks(5, steps))
    done = task.when_done()
    task.stop()
    with pytest.raises(ClosedError, match="stopped"):
        done.result()
    with pytest.raises(ClosedError):
        task.when_done().result()
    task.stop()
    clock.advance(0)
    assert steps == []
    assert cooperator.statistics()["tasks"] == 0


def test_stopping_closes_a_generator(cooperator, clock):
    events = []

    def work():
        try:
            yield
            task.pause()
            yield
        finally:
            events.append("closed")

    task = cooperator.cooperate(work())
    clock.advance(0)
    task.stop()
    assert events == ["closed"]


def test_an_error_of_closing_is_the_error_of_the_task(cooperator, clock):
    def work():
        try:
            yield from for_ever()
        finally:
            raise ValueError("on purpose")

    cooperator.max_steps = 1
    task = cooperator.cooperate(work())
    cooperator.cooperate(iter([0, 1])).when_done().add_callback(lambda _: task.stop())
    done = task.when_done()
    clock.advance(0)
    with pytest.raises(ValueError, match="on purpose"):
        done.result()


def test_a_task_may_stop_itself(cooperator, clock):
    events = []

    def work():
        try:
            task.stop()
            yield
            events.append("never")
        finally:
            events.append("closed")

    task = cooperator.cooperate(work())
    done = task.when_done()
    clock.advance(0)
    with pytest.raises(ClosedError):
        done.result()
    assert events == ["closed"]


def test_a_deferred_that_is_yielded_is_waited_for(cooperator, clock):
    gate, steps = sennit.Deferred(), []

    def work():
        steps.append("before")
        yield gate
        steps.append("behind")

    task = cooperator.cooperate(work())
    clock.advance(0)
    assert (steps, clock.statistics()["pending"]) == (["before"], 0)
    assert "waiting" in repr(task)
    gate.callback("kept")
    assert steps == ["before"]  # in a turn, not in callback()
    clock.advance(0)
    assert steps == ["before", "behind"]
    assert gate.result() == "kept"


def test_a_deferred_that_has_its_result_costs_no_turn(cooperator, clock):
    done = cooperator.cooperate([sennit.succeed(1), 7, "text", sennit.succeed()]).when_done()
    clock.advance(0)
    assert done.done()
    assert cooperator.statistics()["turns"] == 1


def test_a_pause_outlasts_the_deferred(cooperator, clock):
    gate, steps = sennit.Deferred(), []

    def work():
        yield gate
        steps.append("behind")

    task = cooperator.cooperate(work())
    clock.advance(0)
    task.pause()
    gate.callback()
    clock.advance(0)
    assert steps == []
    task.resume()
    clock.advance(0)
    assert steps == ["behind"]


def test_a_resume_does_not_go_before_the_deferred(cooperator, clock):
    gate, steps = sennit.Deferred(), []

    def work():
        yield gate
        steps.append("behind")

    task = cooperator.cooperate(work())
    clock.advance(0)
    task.pause()
    task.resume()
    clock.advance(0)
    assert steps == []
    gate.callback()
    clock.advance(0)
    assert steps == ["behind"]


def test_an_error_of_the_deferred_fails_the_task_and_closes_it(cooperator, clock):
    gate, events = sennit.Deferred(), []

    def work():
        try:
            yield gate
        finally:
            events.append("closed")

    iterator = work()
    done = cooperator.cooperate(iterator).when_done()
    clock.advance(0)
    gate.errback(ValueError("on purpose"))
    assert events == ["closed"]
    with pytest.raises(ValueError, match="on purpose"):
        done.result()


def test_stopping_cancels_the_deferred_it_waits_for(cooperator, clock):
    cancelled = []
    gate = sennit.Deferred(cancelled.append)
    task = cooperator.cooperate(iter([gate]))
    clock.advance(0)
    task.stop()
    assert cancelled == [gate]
    with pytest.raises(ClosedError):
        task.when_done().result()


def test_coroutines_and_futures_are_waited_for():
    async def main():
        loop, times = asyncio.get_running_loop(), []
        future = loop.create_future()
        loop.call_later(5, future.set_result, None)

        def work():
            yield asyncio.sleep(2)
            times.append(loop.time())
            yield future
            times.append(loop.time())
            yield sennit.defer_later(1)
            times.append(loop.time())

        await sennit.cooperate(work()).when_done()
        return times

    assert testing.run(main()) == [2, 5, 6]


def test_a_coroutine_runs_in_the_context_of_its_task():
    seen = []

    async def look():
        seen.append(number.get())

    async def main():
        def work():
            number.set(number.get() + 1)
            yield look()

        number.set(3)
        await sennit.cooperate(work()).when_done()

    testing.run(main())
    assert seen == [4]


def test_a_coroutine_without_a_loop_fails_the_task(cooperator, clock):
    async def never():
        raise AssertionError

    coroutine = never()
    done = cooperator.cooperate(iter([coroutine])).when_done()
    clock.advance(0)
    with pytest.raises(RuntimeError, match="no running event loop"):
        done.result()
    coroutine.close()
