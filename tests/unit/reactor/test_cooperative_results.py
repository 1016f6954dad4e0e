"""`CooperativeTask.when_done`: results, errors, and errors that nobody has waited for."""

import contextvars
import gc

import pytest

import sennit
from sennit import testing
from sennit.errors import ClosedError

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


def test_an_error_of_the_iterator_fails_the_task_and_no_other(cooperator, clock):
    def broken():
        yield
        raise ValueError("on purpose")

    failing, fine = cooperator.cooperate(broken()), cooperator.cooperate(ticks(5))
    waiting = [failing.when_done(), failing.when_done()]
    done = fine.when_done()
    clock.advance(0)
    for deferred in [*waiting, failing.when_done()]:
        with pytest.raises(ValueError, match="on purpose"):
            deferred.result()
    assert done.done()
    assert "failed" in repr(failing)


def test_an_error_nobody_waits_for_is_reported(cooperator, clock, caplog):
    def broken():
        raise ValueError("on purpose")
        yield

    cooperator.cooperate(broken())
    clock.advance(0)
    gc.collect()
    assert "nobody took the error" in caplog.text
    assert f"made at {__file__}" in caplog.text
    assert "on purpose" in caplog.text


def test_it_is_reported_as_soon_as_the_task_is_gone(cooperator, clock, caplog):
    def broken():
        yield
        raise ValueError("on purpose")

    gc.disable()
    try:
        cooperator.cooperate(broken())
        clock.advance(0)
        assert "on purpose" in caplog.text
    finally:
        gc.enable()


@pytest.mark.parametrize("how", ["raises", "closes badly"])
def test_an_error_of_a_task_that_has_stopped_itself_is_reported(cooperator, clock, caplog, how):
    def work():
        try:
            task.stop()
            if how == "closes badly":
                yield
        finally:
            raise ValueError("on purpose")

    task = cooperator.cooperate(work())
    done = task.when_done()
    clock.advance(0)
    with pytest.raises(ClosedError):
        done.result()
    task = None
    gc.collect()
    assert "on purpose" in caplog.text


def test_an_error_of_sennit_s_own_is_reported_too(cooperator, clock, caplog):
    def broken():
        raise ClosedError("of something else")
        yield

    cooperator.cooperate(broken())
    clock.advance(0)
    gc.collect()
    assert "of something else" in caplog.text


def test_an_error_that_is_asked_for_later_is_not_reported(cooperator, clock, caplog):
    def broken():
        raise ValueError("on purpose")
        yield

    task = cooperator.cooperate(broken())
    clock.advance(0)
    with pytest.raises(ValueError, match="on purpose"):
        task.when_done().result()
    del task
    gc.collect()
    assert caplog.text == ""


def test_cancelling_a_when_done_leaves_the_work_alone(cooperator, clock):
    steps = []
    task = cooperator.cooperate(ticks(3, steps))
    task.when_done().cancel()
    other = task.when_done()
    clock.advance(0)
    assert steps == [0, 1, 2]
    assert other.done()


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_goes_on_its_way(cooperator, clock, leaving):
    def end():
        yield
        raise leaving

    done = cooperator.cooperate(end()).when_done()
    rest = cooperator.cooperate(ticks(5)).when_done()
    with pytest.raises(leaving):
        clock.advance(0)
    with pytest.raises(leaving):
        done.result()
    clock.advance(0)
    assert rest.done()


def test_steps_run_in_the_context_of_the_place_where_the_task_was_made(cooperator, clock):
    seen = []

    def work():
        for _ in range(2):
            seen.append(number.get())
            number.set(number.get() + 1)
            yield

    number.set(5)
    cooperator.cooperate(work())
    number.set(0)
    clock.advance(0)
    assert seen == [5, 6]
    assert number.get() == 0
