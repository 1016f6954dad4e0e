"""Several as one: all, the first, the first that succeeds."""

import asyncio

import pytest

from sennit import Deferred, DeferredList, fail, first_success, gather_results, race, succeed
from sennit.errors import ConfigError, FirstError


def take(*deferreds):
    for deferred in deferreds:
        deferred.add_errback(lambda _: None)


def test_a_list_has_all_results_in_their_order():
    one, two = Deferred(), Deferred()
    both = DeferredList([one, two])
    two.errback(ValueError("no"))
    assert not both.done()
    one.callback(1)
    (good, value), (bad, failure) = both.result()
    assert (good, value, bad, failure.type) == (True, 1, False, ValueError)
    take(two)


def test_a_list_of_nothing_fires_at_once():
    assert DeferredList([]).result() == []
    assert gather_results([]).result() == []


def test_a_list_fires_on_the_first_result_if_it_should():
    one, two = Deferred(), Deferred()
    first = DeferredList([one, two], fire_on_one_callback=True)
    two.callback(2)
    assert first.result() == (2, 1)
    one.callback(1)


def test_a_list_fires_on_the_first_error_if_it_should():
    error, one, two = ValueError("no"), Deferred(), Deferred()
    first = DeferredList([one, two], fire_on_one_errback=True, consume_errors=True)
    two.errback(error)
    with pytest.raises(FirstError, match="number 1 has failed: ValueError: no") as caught:
        first.result()
    assert (caught.value.index, caught.value.__cause__) == (1, error)
    one.errback(OSError("nobody hears of it"))


def test_results_stay_with_the_deferreds_and_errors_unless_they_are_consumed():
    one, two = succeed(1), fail(ValueError("no"))
    DeferredList([one, two])
    assert one.result() == 1
    assert isinstance(two.exception(), ValueError)
    DeferredList([two], consume_errors=True)
    assert two.result() is None


def test_gather_results():
    one, two = Deferred(), Deferred()
    both = gather_results([one, two])
    two.callback(2)
    one.callback(1)
    assert both.result() == [1, 2]
    failing = fail(ValueError("no"))
    assert isinstance(gather_results([Deferred(), failing]).exception(), FirstError)
    take(failing)


@pytest.mark.parametrize("combine", [DeferredList, gather_results, race, first_success])
def test_cancelling_cancels_all_and_is_cancelled_itself(combine):
    calls = []
    combined = combine([Deferred(calls.append), Deferred(calls.append)])
    assert combined.cancel()
    assert len(calls) == 2
    assert combined.cancelled()


@pytest.mark.parametrize("combine", [DeferredList, gather_results, race, first_success])
def test_a_task_that_is_cancelled_while_it_waits_for_all_is_cancelled(run, combine):
    async def main():
        async def wait():
            await combine([Deferred(), asyncio.sleep(3600)])

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    run(main())


def test_race_has_the_first_and_cancels_the_others():
    calls, order = [], []
    slow, fast = Deferred(calls.append), Deferred()
    won = race([slow, fast]).add_callback(lambda value: order.append(list(calls)) or value)
    fast.callback("fast")
    assert won.result() == (1, "fast")
    assert calls == [slow]
    assert order == [[slow]]


def test_race_is_lost_to_an_error_too():
    error, other = ValueError("no"), Deferred()
    assert race([other, fail(error)]).exception() is error
    assert other.result() is None


def test_first_success_lets_errors_go_by():
    one, two = Deferred(), Deferred()
    won = first_success([one, two])
    one.errback(ValueError("no"))
    two.callback(2)
    assert won.result() == (1, 2)


def test_first_success_of_none_has_all_errors_in_their_order():
    one, two, three = ValueError("one"), OSError("two"), Deferred()
    won = first_success([three, fail(one), fail(two)])
    three.errback(KeyError("three"))
    group = won.exception()
    assert isinstance(group, ExceptionGroup)
    assert group.exceptions[1:] == (one, two)
    assert isinstance(group.exceptions[0], KeyError)


@pytest.mark.parametrize("combine", [race, first_success])
def test_a_race_of_nobody_is_refused(combine):
    with pytest.raises(ConfigError, match="nothing to wait for"):
        combine([])


def test_coroutines_and_futures_take_part(run):
    async def later(value):
        await asyncio.sleep(0)
        return value

    async def main():
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        loop.call_soon(future.set_result, 3)
        assert await gather_results([succeed(1), later(2), future]) == [1, 2, 3]
        assert await race([Deferred(), later(2)]) == (1, 2)

    run(main())
