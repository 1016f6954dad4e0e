"""`testing.Clock`: time that is moved by hand, without a loop."""

import asyncio
import contextvars

import pytest

import sennit
from sennit import testing
from sennit.errors import ConfigError, OverloadedError

number = contextvars.ContextVar("number", default=0)


@pytest.fixture
def clock():
    return testing.Clock()


@pytest.fixture
def calls():
    return []


def test_it_begins_at_zero_and_moves_when_told(clock):
    assert clock.time() == 0
    clock.advance(1.5)
    clock.pump([1, 0.5])
    assert clock.time() == 3


def test_what_is_due_is_called_in_the_order_of_its_time(clock, calls):
    for delay in (3, 1, 2, 1):
        clock.call_later(delay, calls.append, (delay, len(calls)))
    clock.call_at(2.5, calls.append, "at")
    clock.advance(2.5)
    assert calls == [(1, 0), (1, 0), (2, 0), "at"]
    clock.advance(0.5)
    assert calls[4:] == [(3, 0)]


def test_calls_of_one_time_come_in_the_order_they_were_made(clock, calls):
    for name in "abc":
        clock.call_at(1, calls.append, name)
    clock.advance(1)
    assert calls == ["a", "b", "c"]


def test_time_jumps_and_each_call_sees_the_new_time(clock, calls):
    clock.call_later(1, lambda: calls.append(clock.time()))
    clock.call_later(2, lambda: calls.append(clock.time()))
    clock.advance(5)
    assert calls == [5, 5]


def test_pump_goes_in_steps(clock, calls):
    clock.call_later(1, lambda: calls.append(clock.time()))
    clock.call_later(2, lambda: calls.append(clock.time()))
    clock.pump([1, 1, 1])
    assert calls == [1, 2]


def test_what_a_call_brings_about_is_due_as_well(clock, calls):
    def first():
        calls.append("first")
        clock.call_later(0, calls.append, "at once")
        clock.call_at(0.5, calls.append, "in the past")
        clock.call_later(1, calls.append, "later")

    clock.call_later(1, first)
    clock.advance(3)
    assert calls == ["first", "in the past", "at once"]
    clock.advance(1)
    assert calls[3:] == ["later"]


def test_a_handle_is_asyncio_s(clock, calls):
    clock.advance(1)
    handle = clock.call_later(2, calls.append, 1)
    assert isinstance(handle, asyncio.TimerHandle)
    assert (handle.when(), handle.cancelled()) == (3, False)
    handle.cancel()
    assert handle.cancelled()
    clock.advance(5)
    assert calls == []


def test_a_call_can_cancel_another_one_of_its_time(clock, calls):
    def cancel():
        other.cancel()

    clock.call_later(1, cancel)
    other = clock.call_later(1, calls.append, 1)
    clock.advance(1)
    assert calls == []


def test_statistics_count_what_is_pending_and_what_was_called(clock):
    handles = [clock.call_later(delay, lambda: None) for delay in (1, 2, 3)]
    assert clock.statistics() == {"pending": 3, "called": 0}
    handles[1].cancel()
    assert clock.statistics() == {"pending": 2, "called": 0}
    clock.advance(2)
    assert clock.statistics() == {"pending": 1, "called": 1}
    assert repr(clock) == "<sennit.testing.Clock 2 s, 1 pending>"


def test_an_error_comes_out_and_the_rest_comes_next_time(clock, calls):
    clock.call_later(1, lambda: 1 / 0)
    clock.call_later(1, calls.append, "rest")
    with pytest.raises(ZeroDivisionError):
        clock.advance(1)
    assert calls == []
    clock.advance(0)
    assert calls == ["rest"]


def test_calls_run_in_the_context_of_the_place_where_they_were_made(clock, calls):
    number.set(1)
    clock.call_later(1, lambda: calls.append(number.get()))
    number.set(0)
    clock.call_later(1, lambda: calls.append(number.get()), context=contextvars.Context())
    clock.advance(1)
    assert calls == [1, 0]


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_time_does_not_go_back(clock, seconds):
    with pytest.raises(ConfigError, match="advance"):
        clock.advance(seconds)
    assert clock.time() == 0


def test_a_call_needs_a_time(clock):
    with pytest.raises(ConfigError, match="nan"):
        clock.call_later(float("nan"), print)


def test_a_call_for_ever_at_one_time_is_an_error_and_no_hang(clock):
    looping = sennit.LoopingCall(lambda: None, clock=clock)
    looping.start(0)
    with pytest.raises(OverloadedError, match="10,000"):
        clock.advance(1)
    assert looping.running
    assert clock.statistics() == {"pending": 1, "called": 10_001}
    looping.stop()
    clock.advance(1)


def test_very_many_calls_at_one_time_are_no_error(clock):
    for _ in range(50_000):
        clock.call_later(1, lambda: None)
    clock.advance(1)
    assert clock.statistics() == {"pending": 0, "called": 50_000}


def test_inside_of_a_call_it_can_be_moved_too(clock, calls):
    def step():
        calls.append(clock.time())
        clock.advance(1)
        calls.append(clock.time())

    clock.call_later(1, step)
    clock.call_later(2, lambda: calls.append("second"))
    clock.advance(1)
    assert calls == [1, "second", 2]
