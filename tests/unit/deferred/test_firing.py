"""Firing: once, with a value or an error, in the thread that the Deferred belongs to."""

import asyncio
import threading

import pytest

import sennit
from sennit import Deferred, Failure, fail, succeed
from sennit.errors import AlreadyFiredError, WrongThreadError


@pytest.mark.parametrize("first", [lambda d: d.callback(1), lambda d: d.errback(OSError())])
@pytest.mark.parametrize("second", [lambda d: d.callback(2), lambda d: d.errback(ValueError())])
def test_twice_is_an_error_that_changes_nothing(first, second):
    deferred = Deferred()
    first(deferred)
    deferred.add_errback(lambda _: 1)
    with pytest.raises(AlreadyFiredError, match="may be called once"):
        second(deferred)
    assert deferred.result() == 1


def test_once_after_cancel_is_let_go_by():
    deferred = Deferred()
    deferred.cancel()
    deferred.callback("too late")
    with pytest.raises(AlreadyFiredError):
        deferred.callback("twice")
    assert deferred.cancelled()


def test_after_a_canceller_that_did_not_fire_it_is_let_go_by_too():
    deferred = Deferred(lambda _: None)
    deferred.cancel()
    deferred.errback(ValueError("too late"))
    assert deferred.cancelled()


def test_after_a_canceller_that_fired_it_is_an_error():
    deferred = Deferred(lambda deferred: deferred.callback("given up"))
    deferred.cancel()
    with pytest.raises(AlreadyFiredError):
        deferred.callback("twice")


def test_one_that_waits_for_another_has_fired():
    outer = succeed(1).add_callback(lambda _: Deferred())
    with pytest.raises(AlreadyFiredError):
        outer.callback(2)


def test_without_a_value_it_is_none():
    deferred = Deferred()
    deferred.callback()
    assert deferred.result() is None


def test_callback_refuses_a_deferred():
    deferred = Deferred()
    with pytest.raises(TypeError, match="return it from a callback"):
        deferred.callback(Deferred())
    assert not deferred.done()


def test_callback_with_a_failure_fails():
    error = ValueError("no")
    assert succeed(Failure(error)).exception() is error


def test_errback_takes_exceptions_and_failures():
    error = ValueError("no")
    assert fail(error).exception() is error
    assert fail(Failure(error)).exception() is error


@pytest.mark.parametrize("what", [3, "no", ValueError])
def test_errback_refuses_anything_else(what):
    with pytest.raises(TypeError, match="takes an exception or a Failure, not"):
        Deferred().errback(what)


def test_errback_refuses_what_would_look_like_a_return():
    with pytest.raises(TypeError, match="StopIteration"):
        Deferred().errback(StopIteration(3))


def test_errback_without_an_error_takes_the_one_being_handled():
    deferred = Deferred()
    try:
        raise ValueError("no")
    except ValueError:
        deferred.errback()
    assert str(deferred.exception()) == "no"
    with pytest.raises(TypeError, match="except block"):
        Deferred().errback()


def test_refused_arguments():
    with pytest.raises(TypeError):
        Deferred().callback(1, 2)
    with pytest.raises(TypeError, match="multiple values"):
        Deferred(print, canceller=print)
    with pytest.raises(TypeError):
        Deferred(whatever=1)


def in_thread(function, *args):
    found = []

    def run():
        try:
            found.append(function(*args))
        except Exception as error:  # noqa: BLE001 - handed over
            found.append(error)

    thread = threading.Thread(target=run, name="another")
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize(
    "use",
    [
        lambda deferred: deferred.callback(1),
        lambda deferred: deferred.errback(ValueError()),
        lambda deferred: deferred.cancel(),
        lambda deferred: succeed(1).chain(deferred).result(),
    ],
)
def test_from_another_thread_it_is_an_error(use):
    async def main():
        deferred = Deferred()
        error = in_thread(use, deferred)
        assert isinstance(error, WrongThreadError)
        assert "this one is another" in str(error)
        assert not deferred.done()

    sennit.run(main())


def test_unpausing_from_another_thread_is_an_error():
    async def main():
        deferred = succeed(1)
        deferred.pause()
        assert isinstance(in_thread(deferred.unpause), WrongThreadError)
        deferred.unpause()
        assert await deferred == 1

    sennit.run(main())


def test_what_is_awaited_belongs_to_the_loop_s_thread(run):
    deferred = Deferred()

    async def main():
        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        assert isinstance(in_thread(deferred.callback, 1), WrongThreadError)
        asyncio.get_running_loop().call_soon_threadsafe(deferred.callback, 2)
        assert await task == 2

    async def wait():
        return await deferred

    run(main())


def test_one_without_a_loop_belongs_to_nobody():
    deferred = Deferred()
    assert in_thread(deferred.callback, 1) is None
    assert deferred.result() == 1


def test_a_thread_that_awaits_what_belongs_to_another_is_told():
    async def main():
        deferred = Deferred()

        async def wait():
            await deferred

        error = in_thread(sennit.run, wait())
        assert isinstance(error, WrongThreadError)
        assert "cannot wait for it" in str(error)

    sennit.run(main())
