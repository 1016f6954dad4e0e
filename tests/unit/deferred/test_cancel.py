"""Cancelling: with a canceller and without, and through chains that wait for one another."""

import asyncio
import itertools
import weakref

import pytest

from sennit import Deferred, succeed


def test_without_a_canceller_it_fails_with_cancelled_error():
    deferred, seen = Deferred(), []
    deferred.add_errback(lambda failure: seen.append(failure.type))
    assert deferred.cancel()
    assert seen == [asyncio.CancelledError]


def test_the_message_is_in_the_error():
    for cancel in (lambda d: d.cancel("why"), lambda d: d.cancel(msg="why")):
        deferred = Deferred()
        cancel(deferred)
        with pytest.raises(asyncio.CancelledError, match="why"):
            deferred.result()


def test_a_canceller_gets_the_deferred_and_may_fire_it():
    seen = []

    def canceller(deferred):
        seen.append(deferred)
        deferred.callback("given up")

    deferred = Deferred(canceller)
    assert deferred.cancel()
    assert seen == [deferred]
    assert deferred.result() == "given up"


def test_a_canceller_may_fail_it():
    error = ValueError("no")
    deferred = Deferred(lambda deferred: deferred.errback(error))
    deferred.cancel()
    assert deferred.exception() is error


def test_after_one_that_does_not_fire_it_is_cancelled():
    deferred = Deferred(lambda _: "whatever")
    deferred.cancel()
    assert deferred.cancelled()


def test_what_a_canceller_raises_is_the_result():
    error = ValueError("no")

    def canceller(_deferred):
        raise error

    deferred = Deferred(canceller)
    assert deferred.cancel()
    assert deferred.exception() is error


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_canceller_raises_after_it_has_fired_is_not_lost(monkeypatch):
    seen = []
    monkeypatch.setattr("sys.unraisablehook", lambda told: seen.append(told.exc_value))
    error = ValueError("no")

    def canceller(deferred):
        deferred.callback(1)
        raise error

    deferred = Deferred(canceller)
    deferred.cancel()
    assert deferred.result() == 1
    assert seen == [error]


def test_what_ends_the_program_leaves_a_canceller():
    def canceller(_deferred):
        raise KeyboardInterrupt

    deferred = Deferred(canceller)
    with pytest.raises(KeyboardInterrupt):
        deferred.cancel()
    assert isinstance(deferred.exception(), KeyboardInterrupt)


def test_a_canceller_is_called_once_even_from_within():
    calls = []

    def canceller(deferred):
        calls.append(deferred)
        deferred.cancel()

    deferred = Deferred(canceller)
    deferred.cancel()
    deferred.cancel()
    assert calls == [deferred]
    assert deferred.cancelled()


def test_a_canceller_that_drops_the_last_reference():
    holder = [Deferred(lambda _: holder.clear())]
    assert holder[0].cancel()
    assert holder == []


def test_after_the_result_there_is_nothing_to_cancel():
    calls = []
    deferred = Deferred(calls.append)
    deferred.callback(1)
    assert not deferred.cancel()
    assert deferred.result() == 1
    assert calls == []


def test_it_goes_through_waiting_chains_to_where_the_waiting_began():
    calls = []
    innermost = Deferred(calls.append)
    inner = succeed(1).add_callback(lambda _: innermost)
    outer = succeed(2).add_callback(lambda _: inner)
    assert outer.cancel()
    assert calls == [innermost]
    assert outer.cancelled()
    assert inner.result() is None


def test_an_errback_of_the_inner_one_may_refuse():
    inner = Deferred()
    outer = succeed(1).add_callback(lambda _: inner.add_errback(lambda _: "no, thanks"))
    outer.cancel()
    assert outer.result() == "no, thanks"


def test_a_chain_of_a_hundred_thousand_is_cancelled():
    deferreds = [Deferred() for _ in range(100_000)]
    for waiting, inner in itertools.pairwise(deferreds):
        waiting.add_callback(lambda _, inner=inner: inner)
    for waiting in deferreds[:-1]:
        waiting.callback(None)
    assert deferreds[0].cancel()
    assert deferreds[0].cancelled()


def test_the_canceller_is_let_go_of_when_the_result_is_there():
    class Canceller:
        def __call__(self, deferred):
            pass

    canceller = Canceller()
    deferred, reference = Deferred(canceller), weakref.ref(canceller)
    del canceller
    deferred.callback(1)
    assert reference() is None
