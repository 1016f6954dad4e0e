"""Time: a Deferred that takes too long is cancelled, under a clock that is moved by hand."""

import asyncio

import pytest

from sennit import Deferred, fail, testing
from sennit.errors import ConfigError, DeadlineError


def test_what_takes_too_long_is_cancelled_and_fails_with_a_deadline(clock):
    calls = []
    deferred = Deferred(calls.append).add_timeout(3, clock=clock)
    clock.advance(2.9)
    assert not deferred.done()
    clock.advance(0.1)
    assert calls == [deferred]
    with pytest.raises(DeadlineError, match="no result after 3 s"):
        deferred.result()


def test_what_is_there_in_time_stops_the_clock(clock):
    deferred = Deferred().add_timeout(3, clock=clock)
    deferred.callback(1)
    assert clock.calls == []
    assert deferred.result() == 1


def test_an_error_in_time_stays_what_it_is(clock):
    error = ValueError("no")
    assert fail(error).add_timeout(3, clock=clock).exception() is error
    assert clock.calls == []


def test_cancelled_by_somebody_else_is_no_deadline(clock):
    deferred = Deferred().add_timeout(3, clock=clock)
    deferred.cancel()
    assert deferred.cancelled()
    assert clock.calls == []


def test_a_function_may_say_what_comes_of_it(clock):
    seen = []

    def on_timeout(failure, seconds):
        seen.append((failure.check(asyncio.CancelledError), seconds))
        return "instead"

    deferred = Deferred().add_timeout(3, on_timeout, clock=clock)
    clock.advance(3)
    assert deferred.result() == "instead"
    assert seen == [(asyncio.CancelledError, 3)]


def test_what_a_canceller_gives_instead_is_the_result(clock):
    deferred = Deferred(lambda deferred: deferred.callback("a part")).add_timeout(3, clock=clock)
    clock.advance(3)
    assert deferred.result() == "a part"


def test_it_counts_for_the_callbacks_before_it_only(clock):
    deferred = Deferred().add_timeout(3, clock=clock).add_callback(lambda _: Deferred())
    deferred.callback(1)
    clock.advance(3)
    assert not deferred.done()


def test_it_reaches_what_the_chain_waits_for(clock):
    calls = []
    inner = Deferred(calls.append)
    deferred = Deferred().add_callback(lambda _: inner).add_timeout(3, clock=clock)
    deferred.callback(1)
    clock.advance(3)
    assert calls == [inner]
    assert isinstance(deferred.exception(), DeadlineError)


@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_a_time_that_makes_no_sense_is_refused(seconds, clock):
    with pytest.raises(ConfigError, match="must be 0 or more"):
        Deferred().add_timeout(seconds, clock=clock)


def test_the_running_loop_is_the_clock_by_default():
    async def main():
        with pytest.raises(DeadlineError):
            await Deferred().add_timeout(3600)
        return asyncio.get_running_loop().time()

    assert testing.run(main()) >= 3600
