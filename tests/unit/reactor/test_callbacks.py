"""Callbacks and timers: their order, their cancellation, their contexts."""

import asyncio
import contextvars
import functools
import gc
import weakref

import pytest

number = contextvars.ContextVar("number", default=0)


def test_callbacks_run_in_the_order_they_were_added(reactor, turns):
    order = []
    for name in "abc":
        reactor.call_soon(order.append, name)
    turns(1)
    assert order == ["a", "b", "c"]


def test_both_doors_lead_into_one_queue(reactor, turns):
    order = []
    for index in range(20):
        door = reactor.call_soon_threadsafe if index % 3 else reactor.call_soon
        door(order.append, index)
    turns(1)
    assert order == list(range(20))


def test_a_callback_added_in_a_turn_waits_for_the_next(reactor, turns):
    order = []

    def first():
        order.append("first")
        reactor.call_soon(order.append, "added")

    reactor.call_soon(first)
    reactor.call_soon(order.append, "second")
    turns(1)
    assert order == ["first", "second"]
    turns(1)
    assert order == ["first", "second", "added"]


def test_a_callback_that_adds_itself_does_not_shut_others_out(reactor):
    reader_ran = []

    def again():
        if not reader_ran:
            reactor.call_soon(again)

    reactor.call_soon(again)
    reactor.call_later(0, reader_ran.append, True)
    reactor.call_later(0, reactor.stop)
    reactor.run_forever()
    assert reader_ran


def test_a_cancelled_callback_does_not_run(reactor, turns):
    order = []
    handle = reactor.call_soon(order.append, "no")
    reactor.call_soon(order.append, "yes")
    handle.cancel()
    handle.cancel()
    turns(1)
    assert order == ["yes"]
    assert handle.cancelled()


def test_a_callback_may_cancel_one_of_the_same_turn(reactor, turns):
    order = []
    handles = []

    def cancel_the_next():
        handles[0].cancel()

    reactor.call_soon(cancel_the_next)
    handles.append(reactor.call_soon(order.append, "no"))
    turns(2)
    assert order == []


def test_a_callback_may_cancel_itself(reactor, turns, reported):
    handles = []

    def fail():
        handles[0].cancel()
        raise LookupError("after its own end")

    handles.append(reactor.call_soon(fail))
    turns(1)
    assert [type(context["exception"]) for context in reported] == [LookupError]


def test_a_cancelled_handle_lets_go_of_its_callback(reactor):
    class Thing:
        pass

    thing = Thing()
    gone = weakref.ref(thing)
    soon, later = reactor.call_soon(print, thing), reactor.call_later(1000, print, thing)
    del thing
    soon.cancel()
    assert gone() is not None
    later.cancel()
    assert gone() is None


def test_handles_are_asyncios_own_kind(reactor):
    reactor.set_debug(False)
    soon, later = reactor.call_soon(print, 1), reactor.call_later(1000, print, 2)
    assert isinstance(soon, asyncio.Handle)
    assert not isinstance(soon, asyncio.TimerHandle)
    assert isinstance(later, asyncio.TimerHandle)
    assert "print" in repr(soon)
    assert "print" in repr(later)
    assert weakref.ref(soon)() is soon
    later.cancel()
    assert "cancelled" in repr(later)


def test_timers_run_by_time_and_then_by_order(reactor):
    order = []
    now = reactor.time()
    reactor.call_at(now + 0.002, order.append, "late")
    reactor.call_at(now, order.append, "first")
    reactor.call_at(now, order.append, "second")
    reactor.call_at(now - 5, order.append, "past")
    reactor.call_at(now + 0.003, reactor.stop)
    reactor.run_forever()
    assert order == ["past", "first", "second", "late"]


def test_a_timer_knows_its_time(reactor):
    before = reactor.time()
    handle = reactor.call_later(5, print)
    assert before + 5 <= handle.when() <= reactor.time() + 5
    assert reactor.call_at(7.25, print).when() == 7.25
    assert reactor.call_at(1, print) < reactor.call_at(2, print)


def test_a_timer_is_never_early(reactor):
    seen = []
    handle = reactor.call_later(0.001, lambda: seen.append(reactor.time()))
    reactor.call_later(0.001, reactor.stop)
    reactor.run_forever()
    assert seen[0] >= handle.when()


@pytest.mark.parametrize("delay", [-1, 0, True, 0.0])
def test_a_delay_that_is_over_means_now(reactor, delay):
    reactor.call_later(delay, reactor.stop)
    reactor.run_forever()


def test_a_delay_for_ever_is_allowed(reactor, turns):
    order = []
    reactor.call_later(float("inf"), order.append, "never")
    reactor.call_later(1e300, order.append, "never")
    turns(2)
    assert order == []


def test_cancelled_timers_do_not_pile_up(reactor):
    for _ in range(100_000):
        reactor.call_later(3600, print).cancel()
    assert reactor.statistics()["timers"] < 1000


def test_sweeping_keeps_the_timers_that_live(reactor):
    order = []
    now = reactor.time()
    kept = [reactor.call_at(now, order.append, index) for index in range(50)]
    for _ in range(10_000):
        reactor.call_later(3600, print).cancel()
    reactor.call_at(now, reactor.stop)
    reactor.run_forever()
    assert order == list(range(50))
    assert len(kept) == 50


def test_a_cancelled_timer_does_not_keep_the_reactor_asleep(reactor, turns):
    order = []
    timer = reactor.call_later(0, order.append, "no")
    timer.cancel()
    turns(2)
    assert order == []


def test_a_callback_has_the_context_it_was_added_in(reactor, turns):
    seen = []
    number.set(1)
    reactor.call_soon(lambda: seen.append(number.get()))
    reactor.call_later(0, lambda: seen.append(number.get()))
    reactor.call_soon_threadsafe(lambda: seen.append(number.get()))
    number.set(2)
    turns(2)
    assert seen == [1, 1, 1]


def test_a_callback_can_be_given_a_context(reactor, turns):
    context = contextvars.copy_context()
    reactor.call_soon(number.set, 7, context=context)
    reactor.call_later(0, lambda: number.set(number.get() + 1), context=context)
    turns(2)
    assert context[number] == 8
    assert number.get() != 8


def test_what_a_callback_sets_stays_in_its_context(reactor, turns):
    number.set(1)
    reactor.call_soon(number.set, 99)
    turns(1)
    assert number.get() == 1


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe"])
def test_wrong_arguments_are_refused(reactor, method):
    call = getattr(reactor, method)
    with pytest.raises(TypeError, match=method):
        call()
    with pytest.raises(TypeError, match="colour"):
        call(print, colour="red")
    with pytest.raises(TypeError):
        reactor.call_later("soon", print)
    with pytest.raises(TypeError, match="call_later"):
        reactor.call_later(1)


def test_a_chain_of_handles_ends_without_recursion(reactor, turns):
    handle = None
    for _ in range(100_000):
        handle = reactor.call_soon(functools.partial(print, handle))
        handle.cancel()
    turns(1)
    link = None
    for _ in range(100_000):
        link = reactor.call_later(3600, int, link)
    reactor.close()
    del link, handle
    gc.collect()


def test_a_handle_whose_slots_were_changed_fails_alone(reactor, turns, reported):
    for name, value in (("_args", None), ("_args", [1])):
        setattr(reactor.call_soon(print), name, value)
    broken = reactor.call_soon(print)
    del broken._callback
    order = []
    reactor.call_soon(order.append, "after")
    turns(1)
    assert order == ["after"]
    assert [type(context["exception"]) for context in reported] == [TypeError] * 3
