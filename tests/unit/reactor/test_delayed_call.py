"""`call_later`: one call, moved and cancelled while it waits."""

import asyncio
import contextvars
import gc
import weakref

import pytest

import sennit
from sennit import testing
from sennit.errors import ConfigError, NotActiveError

number = contextvars.ContextVar("number", default=0)


class Counting(testing.Clock):
    """A clock that counts the timers that are set."""

    def __init__(self):
        super().__init__()
        self.set = 0

    def call_at(self, *args, **kwargs):
        self.set += 1
        return super().call_at(*args, **kwargs)


class Bare:
    """A clock that has nothing but what one must have."""

    def __init__(self):
        clock = testing.Clock()
        self.time, self.call_later, self.advance = clock.time, clock.call_later, clock.advance


@pytest.fixture
def clock():
    return Counting()


@pytest.fixture
def calls():
    return []


def test_the_function_is_called_once_with_its_arguments(clock):
    got = []
    call = sennit.call_later(2, lambda *a, **k: got.append((a, k)), 1, 2, clock=clock, name="x")
    clock.advance(1.5)
    assert got == []
    clock.advance(0.5)
    clock.advance(10)
    assert got == [((1, 2), {"name": "x"})]
    assert not call.active


def test_it_is_a_timer_handle(clock, calls):
    clock.advance(5)
    call = sennit.call_later(2, calls.append, 1, clock=clock)
    assert isinstance(call, asyncio.TimerHandle)
    assert (call.when(), call.cancelled(), call.active, call.time_left()) == (7, False, True, 2)
    clock.advance(0.5)
    assert call.time_left() == 1.5
    clock.advance(100)
    assert (call.when(), call.cancelled(), call.active, call.time_left()) == (7, False, False, 0)


def test_the_reactor_s_own_call_later_is_asyncio_s(reactor):
    handle = reactor.call_later(1, print)
    assert isinstance(handle, asyncio.TimerHandle)
    assert not isinstance(handle, sennit.DelayedCall)
    handle.cancel()


def test_a_cancelled_call_is_not_made(clock, calls):
    call = sennit.call_later(1, calls.append, 1, clock=clock)
    call.cancel()
    clock.advance(2)
    assert calls == []
    assert (call.cancelled(), call.active) == (True, False)
    assert clock.statistics() == {"pending": 0, "called": 0}


def test_cancelling_what_is_over_is_no_error(clock, calls):
    call = sennit.call_later(1, calls.append, 1, clock=clock)
    clock.advance(1)
    call.cancel()
    assert not call.cancelled()  # it was called, which nothing undoes
    call = sennit.call_later(1, calls.append, 2, clock=clock)
    call.cancel()
    call.cancel()
    assert call.cancelled()


@pytest.mark.parametrize("end", ["called", "cancelled"])
def test_what_is_over_keeps_nothing_alive(clock, end):
    class Argument:
        pass

    argument = Argument()
    gone = weakref.ref(argument)
    call = sennit.call_later(1, lambda _: None, argument, clock=clock)
    del argument
    if end == "cancelled":
        call.cancel()
    else:
        clock.advance(1)
    assert gone() is None
    assert end in repr(call)


def test_moving_to_a_later_time_sets_no_timer(clock, calls):
    call = sennit.call_later(1, calls.append, "now", clock=clock)
    for _ in range(1024):
        clock.advance(1 / 2048)
        call.reset(1)
        call.delay(0.5)
    assert clock.set == 1
    assert call.when() == 2
    clock.advance(0.5)  # the timer's old time: it is set once more
    assert (calls, clock.set) == ([], 2)
    clock.advance(1)
    assert calls == ["now"]
    assert clock.set == 2


def test_moving_to_an_earlier_time_sets_another_timer(clock, calls):
    call = sennit.call_later(10, calls.append, "now", clock=clock)
    call.reset(1)
    assert clock.set == 2
    assert clock.statistics()["pending"] == 1
    clock.advance(1)
    assert calls == ["now"]
    clock.advance(20)
    assert calls == ["now"]


def test_back_to_a_time_behind_its_timer_sets_none(clock, calls):
    call = sennit.call_later(1, calls.append, "now", clock=clock)
    call.reset(100)
    call.reset(2)
    assert clock.set == 1
    clock.advance(1)
    assert calls == []
    clock.advance(1)
    assert calls == ["now"]


def test_moved_it_has_its_place_among_the_others_when_the_clock_jumps(clock, calls):
    sennit.call_later(1, calls.append, 3, clock=clock).reset(3)
    sennit.call_later(4, calls.append, 4, clock=clock)
    sennit.call_later(2, calls.append, 2, clock=clock)
    clock.advance(5)
    assert calls == [2, 3, 4]


def test_delay_counts_from_the_time_of_the_call_and_reset_from_now(clock, calls):
    call = sennit.call_later(10, calls.append, 1, clock=clock)
    clock.advance(4)
    call.delay(3)
    assert (call.when(), call.time_left()) == (13, 9)
    call.reset(3)
    assert (call.when(), call.time_left()) == (7, 3)
    call.delay(-1)
    assert call.when() == 6
    call.delay(-100)
    assert call.when() == clock.time() == 4
    assert calls == []
    clock.advance(0)
    assert calls == [1]


@pytest.mark.parametrize("move", [lambda call: call.reset(1), lambda call: call.delay(1)])
def test_what_is_over_cannot_be_moved(clock, move):
    called = sennit.call_later(0, lambda: None, clock=clock)
    clock.advance(0)
    with pytest.raises(NotActiveError, match="called already"):
        move(called)
    cancelled = sennit.call_later(0, lambda: None, clock=clock)
    cancelled.cancel()
    with pytest.raises(NotActiveError, match="cancelled already"):
        move(cancelled)


def test_in_its_own_function_a_call_is_over(clock, calls):
    call = sennit.call_later(1, lambda: calls.append(call.active), clock=clock)
    clock.advance(1)
    assert calls == [False]


def test_a_call_that_another_one_has_moved_away_is_not_made(clock, calls):
    sennit.call_later(1, lambda: later.reset(5), clock=clock)
    later = sennit.call_later(1, calls.append, 1, clock=clock)
    clock.advance(1)
    assert calls == []
    clock.advance(5)
    assert calls == [1]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("-inf")])
def test_times_that_make_no_sense(clock, seconds):
    with pytest.raises(ConfigError, match="delay is"):
        sennit.call_later(seconds, print, clock=clock)
    call = sennit.call_later(1, print, clock=clock)
    with pytest.raises(ConfigError, match="reset"):
        call.reset(seconds)
    if seconds != -1:
        with pytest.raises(ConfigError, match="delay"):
            call.delay(seconds)
    assert call.when() == 1


def test_never_is_a_time(clock, calls):
    call = sennit.call_later(float("inf"), calls.append, 1, clock=clock)
    clock.advance(1e12)
    assert (calls, call.time_left()) == ([], float("inf"))
    call.reset(1)
    clock.advance(1)
    assert calls == [1]


def test_a_clock_needs_only_time_and_call_later(calls):
    clock = Bare()
    call = sennit.call_later(1, calls.append, 1, clock=clock)
    call.reset(2)
    clock.advance(1)
    call.delay(1)
    clock.advance(1)
    assert calls == []
    clock.advance(1)
    assert calls == [1]


def test_the_context_is_that_of_the_place_where_it_was_made(clock, calls):
    number.set(1)
    call = sennit.call_later(1, lambda: calls.append(number.get()), clock=clock)
    number.set(2)
    call.reset(0.5)
    clock.advance(1)
    assert calls == [1]
    number.set(0)


def test_without_a_loop_and_a_clock_there_is_no_time():
    with pytest.raises(RuntimeError, match="no running event loop"):
        sennit.call_later(1, print)


def test_an_error_comes_out_of_a_manual_clock(clock):
    sennit.call_later(1, lambda: 1 / 0, clock=clock)
    with pytest.raises(ZeroDivisionError):
        clock.advance(1)


def test_an_error_is_reported_by_the_loop(reactor, reported, turns):
    def broken():
        raise ValueError("on purpose")

    reactor.set_debug(True)
    call = sennit.call_later(0, broken, clock=reactor)
    turns(2)
    [context] = reported
    assert "broken()" in context["message"]
    assert isinstance(context["exception"], ValueError)
    assert context["handle"] is call
    assert context["source_traceback"]


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_leaves_the_loop(reactor, reported, leaving):
    def end():
        raise leaving

    sennit.call_later(0, end, clock=reactor)
    with pytest.raises(leaving):
        reactor.run_forever()
    assert reported == []


def test_it_runs_on_asyncio_s_own_loop():
    async def main():
        called = asyncio.Event()
        call = sennit.call_later(1000, called.set)
        call.reset(0)
        await called.wait()
        return call.active

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        assert runner.run(main()) is False


def test_one_is_equal_to_itself_only(clock):
    one = sennit.call_later(1, print, clock=clock)
    other = sennit.call_later(1, print, clock=clock)
    assert one != other
    before = {one, other}
    one.reset(5)
    assert one in before
    assert other < one
    assert "print() in 5 s" in repr(one)


def test_calls_of_a_loop_leave_no_garbage():
    async def main():
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                sennit.call_later(0, lambda: None)
                call = sennit.call_later(10, lambda: None)
                call.reset(5)
                call.cancel()
                await sennit.defer_later(0)
                sennit.defer_later(10).add_errback(lambda _: None).cancel()
                del call
            return gc.collect()
        finally:
            gc.enable()

    assert testing.run(main()) == 0
