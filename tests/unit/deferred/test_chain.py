"""The chain: callbacks in their order, suspended by a Deferred that one of them returns."""

import gc
import weakref

import pytest

from sennit import Deferred, Failure, fail, succeed
from sennit.errors import AlreadyFiredError


def test_callbacks_run_in_order_each_with_what_the_last_one_returned():
    deferred = Deferred()
    assert deferred.add_callback(lambda value: value + 1) is deferred
    deferred.add_callback(lambda value: value * 10)
    deferred.callback(1)
    assert deferred.result() == 20


def test_they_run_in_the_very_call_that_fires():
    seen = []
    deferred = Deferred().add_callback(seen.append)
    assert seen == []
    deferred.callback(1)
    assert seen == [1]


def test_one_that_is_added_later_runs_at_once():
    seen = []
    succeed(3).add_callback(seen.append)
    assert seen == [3]


def test_errbacks_get_a_failure_and_deal_with_it_by_returning_something_else():
    def deal(failure):
        assert isinstance(failure, Failure)
        failure.trap(ValueError)
        return "dealt with"

    deferred = Deferred()
    deferred.add_callback(lambda _: pytest.fail("there is an error"))
    deferred.add_errback(deal)
    deferred.add_callback(lambda value: [value])
    deferred.errback(ValueError("no"))
    assert deferred.result() == ["dealt with"]


@pytest.mark.parametrize("again", [lambda failure: failure, lambda failure: failure.trap(KeyError)])
def test_an_errback_that_returns_or_raises_the_failure_lets_the_chain_go_on_failing(again):
    error = ValueError("no")
    deferred = fail(error).add_errback(again)
    assert deferred.exception() is error


def test_a_callback_that_raises_fails_the_chain():
    error = ValueError("no")

    def fault(_value):
        raise error

    deferred = succeed(1).add_callback(fault).add_callback(lambda _: "not reached")
    assert deferred.exception() is error


def test_add_callbacks_runs_one_of_the_two():
    seen = []
    for deferred in (succeed(1), fail(ValueError("no"))):
        deferred.add_callbacks(
            lambda value: seen.append(("value", value)),
            lambda failure: seen.append(("failure", failure.type)),
        )
    assert seen == [("value", 1), ("failure", ValueError)]


def test_an_error_of_the_callback_does_not_reach_the_errback_beside_it():
    def fault(_value):
        raise ValueError("no")

    deferred = succeed(1).add_callbacks(fault, lambda _: pytest.fail("it stands beside"))
    assert isinstance(deferred.exception(), ValueError)


def test_add_both_runs_in_any_case():
    seen = []
    succeed(1).add_both(seen.append)
    fail(ValueError("no")).add_both(seen.append)
    assert seen[0] == 1
    assert seen[1].check(ValueError)


@pytest.mark.parametrize("name", ["add_callback", "add_both"])
def test_arguments_stand_behind_the_result(name):
    seen = []

    def note(*args, **kwargs):
        seen.append((args, kwargs))

    getattr(succeed(0), name)(note, 1, 2, three=3)
    getattr(succeed(0), name)(note, four=4)
    getattr(succeed(0), name)(note, 5)
    assert seen == [((0, 1, 2), {"three": 3}), ((0,), {"four": 4}), ((0, 5), {})]


def test_an_errback_has_its_arguments_too():
    deferred = fail(ValueError("no")).add_errback(
        lambda _failure, one, *, two: (one, two), 1, two=2
    )
    assert deferred.result() == (1, 2)


def test_add_callbacks_has_arguments_for_each():
    def note(_result, *args, **kwargs):
        return args, kwargs

    given = {
        "callback_args": (1,),
        "callback_keywords": {"two": 2},
        "errback_args": [3],
        "errback_keywords": {"four": 4},
    }
    assert succeed(0).add_callbacks(note, note, **given).result() == ((1,), {"two": 2})
    assert fail(OSError()).add_callbacks(note, note, **given).result() == ((3,), {"four": 4})


@pytest.mark.parametrize(
    ("use", "message"),
    [
        (lambda: Deferred().add_callback(), "missing the function"),
        (lambda: Deferred().add_callback(3), "needs a function, not 3"),
        (lambda: Deferred().add_callbacks(None, None), "needs a callback, an errback, or both"),
        (lambda: Deferred().add_callbacks(print, 3), "needs a function, not 3"),
        (lambda: Deferred().chain(3), "takes a Deferred, not 3"),
        (lambda: Deferred().add_callbacks(print, whatever=1), "unexpected keyword argument"),
    ],
)
def test_what_cannot_be_called_is_refused_when_it_is_added(use, message):
    with pytest.raises(TypeError, match=message):
        use()


def test_a_returned_deferred_suspends_the_chain():
    seen, inner = [], Deferred()
    outer = succeed(1).add_callback(lambda _: inner).add_callback(seen.append)
    assert seen == []
    assert not outer.done()
    inner.callback("later")
    assert seen == ["later"]
    assert inner.result() is None


def test_what_was_added_to_the_returned_one_before_runs_first():
    inner = Deferred()
    outer = succeed(1).add_callback(lambda _: inner.add_callback(lambda value: value + 1))
    outer.add_callback(lambda value: value * 10)
    inner.callback(1)
    assert outer.result() == 20


def test_a_returned_one_that_has_its_result_costs_no_wait():
    inner = succeed(5)
    assert succeed(1).add_callback(lambda _: inner).result() == 5
    assert inner.result() is None


def test_a_returned_one_that_has_failed_fails_the_chain():
    error = ValueError("no")
    inner = fail(error)
    outer = succeed(1).add_callback(lambda _: inner)
    assert outer.exception() is error
    assert inner.result() is None


def test_a_returned_one_that_fails_later_does_too():
    error, inner = ValueError("no"), Deferred()
    outer = succeed(1).add_callback(lambda _: inner)
    inner.errback(error)
    assert outer.exception() is error


def test_a_returned_one_that_is_paused_is_waited_for():
    inner = succeed(5)
    inner.pause()
    outer = succeed(1).add_callback(lambda _: inner)
    assert not outer.done()
    inner.unpause()
    assert outer.result() == 5


def test_a_returned_one_whose_callback_runs_is_waited_for():
    outers = []

    def fire_another(value):
        outers.append(succeed(0).add_callback(lambda _: inner))
        assert not outers[0].done()
        return value + 1

    inner = Deferred().add_callback(fire_another).add_callback(lambda value: value * 10)
    inner.callback(1)
    assert outers[0].result() == 20
    assert inner.result() is None


def test_returning_itself_is_an_error():
    deferred = Deferred()
    deferred.add_callback(lambda _: deferred)
    deferred.callback(1)
    with pytest.raises(RuntimeError, match="wait for itself"):
        deferred.result()


def test_two_that_wait_for_each_other_are_an_error():
    one, two, three = Deferred(), Deferred(), Deferred()
    one.add_callback(lambda _: two)
    two.add_callback(lambda _: three)
    three.add_callback(lambda _: one)
    one.callback(1)
    two.callback(2)
    three.callback(3)
    with pytest.raises(RuntimeError, match="wait for itself"):
        one.result()
    assert not one.cancel()


def test_chain_fires_another_with_the_result_and_keeps_nothing():
    first, second = Deferred(), Deferred()
    assert first.chain(second) is first
    first.callback(7)
    assert second.result() == 7
    assert first.result() is None


def test_chain_fires_another_with_the_error():
    error, first, second = ValueError("no"), Deferred(), Deferred()
    first.chain(second)
    first.errback(error)
    assert second.exception() is error
    assert first.exception() is None


def test_chain_to_one_that_has_fired_is_an_error_of_the_chain():
    first = succeed(1).chain(succeed(2))
    assert isinstance(first.exception(), AlreadyFiredError)


def test_chain_to_one_that_was_cancelled_is_let_go_by():
    second = Deferred()
    second.cancel()
    assert succeed(1).chain(second).result() is None


def test_pause_stops_the_chain_and_unpause_lets_it_go_on():
    seen = []
    deferred = Deferred().add_callback(seen.append)
    deferred.pause()
    deferred.pause()
    deferred.callback(1)
    assert not deferred.done()
    deferred.unpause()
    assert seen == []
    deferred.unpause()
    assert seen == [1]


def test_a_callback_that_pauses_stops_the_chain_behind_it():
    seen = []
    deferred = Deferred().add_callback(lambda value: deferred.pause() or value)
    deferred.add_callback(seen.append)
    deferred.callback(1)
    assert seen == []
    deferred.unpause()
    assert seen == [1]


def test_unpause_without_pause_is_an_error_and_does_not_undo_waiting():
    with pytest.raises(RuntimeError, match="not paused"):
        Deferred().unpause()
    inner = Deferred()
    outer = succeed(1).add_callback(lambda _: inner)
    with pytest.raises(RuntimeError, match="not paused"):
        outer.unpause()
    inner.callback(2)
    assert outer.result() == 2


def test_paused_while_it_waits_it_goes_on_after_both():
    inner = Deferred()
    outer = succeed(1).add_callback(lambda _: inner)
    outer.pause()
    inner.callback(2)
    assert not outer.done()
    outer.unpause()
    assert outer.result() == 2


def test_a_callback_that_adds_callbacks_puts_them_at_the_end():
    seen = []

    def first(value):
        deferred.add_callback(lambda value: seen.append("added") or value)
        assert seen == []
        return value

    deferred = (
        Deferred().add_callback(first).add_callback(lambda value: seen.append("second") or value)
    )
    deferred.callback(1)
    assert seen == ["second", "added"]


def test_a_callback_that_fires_another_runs_that_chain_inside():
    seen = []
    other = Deferred().add_callback(lambda _: seen.append("other"))
    deferred = Deferred().add_callback(other.callback).add_callback(lambda _: seen.append("own"))
    deferred.callback(1)
    assert seen == ["other", "own"]


def test_a_callback_that_fires_its_own_deferred_again_is_told():
    deferred = Deferred()
    deferred.add_callback(lambda _: deferred.callback(2))
    deferred.callback(1)
    assert isinstance(deferred.exception(), AlreadyFiredError)


def test_a_callback_that_cancels_its_own_deferred_changes_nothing():
    deferred = Deferred()
    deferred.add_callback(lambda value: (value, deferred.cancel()))
    deferred.callback(1)
    assert deferred.result() == (1, False)


def test_a_callback_that_drops_the_last_reference():
    holder, seen = [Deferred()], []
    holder[0].add_callback(lambda _: holder.clear())
    holder[0].add_callback(lambda _: seen.append("to its end"))
    seen.append(weakref.ref(holder[0]))
    holder[0].callback(1)
    assert seen[1:] == ["to its end"]
    assert seen[0]() is None


def test_garbage_is_collected_while_a_callback_runs():
    def collect(value):
        gc.collect()
        return value + 1

    inner = Deferred().add_callback(collect)
    outer = Deferred().add_callback(collect).add_callback(lambda _: inner).add_callback(collect)
    outer.callback(1)
    inner.callback(10)
    assert outer.result() == 12


def test_a_cycle_of_deferreds_is_collected():
    one, two = Deferred(), Deferred()
    one.add_callback(lambda _, held=two: held)
    two.add_callback(lambda _, held=one: held)
    references = [weakref.ref(one), weakref.ref(two)]
    one.callback(1)
    del one, two
    gc.collect()
    assert [reference() for reference in references] == [None, None]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_a_result_and_leaves(error):
    def stop(_value):
        raise error

    deferred, seen = Deferred().add_callback(stop), []
    deferred.add_errback(lambda failure: seen.append(failure.type))
    with pytest.raises(error):
        deferred.callback(1)
    assert seen == [error]


def test_a_failure_that_is_returned_is_an_error():
    error = ValueError("no")
    assert succeed(1).add_callback(lambda _: Failure(error)).exception() is error
