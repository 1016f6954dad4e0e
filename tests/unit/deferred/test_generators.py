"""Generators that yield Deferreds."""

import asyncio
import contextvars
import weakref

import pytest

from sennit import Deferred, fail, inline_callbacks, succeed

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_it_waits_where_it_yields_and_returns():
    @inline_callbacks
    def add(one, *, two):
        """Adds."""
        first = yield one
        second = yield two
        return first + second

    one = Deferred()
    deferred = add(one, two=succeed(2))
    assert not deferred.done()
    one.callback(1)
    assert deferred.result() == 3
    assert (add.__name__, add.__doc__) == ("add", "Adds.")


def test_errors_are_raised_where_it_yields():
    @inline_callbacks
    def run(deferred):
        try:
            yield deferred
        except ValueError as error:
            return f"dealt with {error}"

    assert run(fail(ValueError("no"))).result() == "dealt with no"
    deferred = Deferred()
    running = run(deferred)
    deferred.errback(ValueError("later"))
    assert running.result() == "dealt with later"


def test_what_it_raises_is_the_error():
    error = ValueError("no")

    @inline_callbacks
    def run():
        yield succeed(1)
        raise error

    assert run().exception() is error


def test_whatever_else_is_yielded_comes_back():
    @inline_callbacks
    def run():
        one = yield 1
        none = yield
        return one, none

    assert run().result() == (1, None)


def test_a_hundred_thousand_that_are_there_are_no_recursion():
    @inline_callbacks
    def run():
        total = 0
        for number in range(100_000):
            total += yield succeed(number)
        return total

    assert run().result() == sum(range(100_000))


@pytest.mark.parametrize("first", [lambda: succeed(1), Deferred], ids=["there", "later"])
def test_it_takes_the_result_and_the_error(first):
    @inline_callbacks
    def run(deferred):
        yield deferred

    deferred = first()
    run(deferred)
    if not deferred.done():
        deferred.callback(1)
    assert deferred.result() is None


def test_coroutines_and_futures_can_be_yielded(run):
    async def later(value):
        await asyncio.sleep(0)
        return value

    @inline_callbacks
    def both():
        one = yield later(1)
        two = yield asyncio.ensure_future(later(2))
        return one + two

    async def main():
        assert await both() == 3

    run(main())


def test_cancelling_reaches_what_it_waits_for():
    calls = []

    @inline_callbacks
    def run():
        try:
            yield Deferred(calls.append)
        finally:
            calls.append("cleaned up")

    deferred = run()
    assert deferred.cancel()
    assert calls[1:] == ["cleaned up"]
    assert deferred.cancelled()


def test_it_may_go_on_after_it_was_cancelled():
    second = Deferred()

    @inline_callbacks
    def run():
        try:
            yield Deferred()
        except asyncio.CancelledError:
            return (yield second)

    deferred = run()
    deferred.cancel()
    assert not deferred.done()
    second.callback("a result")
    assert deferred.result() == "a result"


def test_one_that_returns_a_deferred_is_waited_for_through_it():
    inner = Deferred()

    @inline_callbacks
    def run():
        yield succeed(1)
        return inner

    deferred = run()
    inner.callback(2)
    assert deferred.result() == 2


def test_it_has_a_context_of_its_own():
    @inline_callbacks
    def run(deferred):
        VARIABLE.set("inside")
        yield deferred
        return VARIABLE.get()

    deferred = Deferred()
    running = run(deferred)
    assert VARIABLE.get() == "unset"
    deferred.callback()
    assert running.result() == "inside"


def test_its_traceback_begins_with_the_generator_and_holds_no_cycle():
    @inline_callbacks
    def run():
        yield succeed(1)
        raise ValueError("no")

    deferred = run()
    assert deferred.exception().__traceback__.tb_frame.f_code.co_name == "run"
    reference = weakref.ref(deferred)
    del deferred
    assert reference() is None


def test_what_is_no_generator_is_refused():
    with pytest.raises(TypeError, match="is no generator function"):
        inline_callbacks(lambda: 3)()


def test_what_ends_the_program_is_a_result_and_leaves():
    @inline_callbacks
    def stop():
        yield succeed(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop()
