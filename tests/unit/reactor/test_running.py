"""Running, stopping, closing: what leaves the loop, and that it can be entered again."""

import asyncio
import gc
import warnings

import pytest

import sennit


async def answer():
    await asyncio.sleep(0)
    return 42


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("door", ["call_soon", "call_later"])
def test_leaving_from_a_callback_ends_the_run_and_no_more(reactor, leaving, door):
    def leave():
        raise leaving

    order = []
    delay = (0,) if door == "call_later" else ()
    getattr(reactor, door)(*delay, leave)
    getattr(reactor, door)(*delay, order.append, "after")
    with pytest.raises(leaving):
        reactor.run_forever()
    assert order == []
    assert not reactor.is_running()
    assert reactor.run_until_complete(answer()) == 42
    assert order == ["after"]


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_leaving_from_a_task_ends_the_run_and_no_more(reactor, leaving):
    async def leave():
        await asyncio.sleep(0)
        raise leaving

    with pytest.raises(leaving):
        reactor.run_until_complete(leave())
    assert reactor.run_until_complete(answer()) == 42


def test_stop_ends_the_turn_that_it_is_called_in(reactor):
    order = []
    reactor.call_soon(reactor.stop)
    reactor.call_soon(order.append, "same turn")
    reactor.call_soon(lambda: reactor.call_soon(order.append, "next turn"))
    reactor.run_forever()
    assert order == ["same turn"]
    reactor.call_soon(reactor.stop)
    reactor.run_forever()
    assert order == ["same turn", "next turn"]


def test_stop_before_the_run_allows_one_turn(reactor):
    order = []
    reactor.stop()
    reactor.call_soon(order.append, 1)
    reactor.call_soon(lambda: reactor.call_soon(order.append, 2))
    reactor.run_forever()
    assert order == [1]


def test_the_state_is_told(reactor):
    reactor.set_debug(False)
    states = []
    reactor.call_soon(lambda: states.append((reactor.is_running(), repr(reactor))))
    reactor.call_soon(reactor.stop)
    assert not reactor.is_running()
    assert "idle" in repr(reactor)
    reactor.run_forever()
    assert states == [(True, "<sennit.Reactor running debug=False>")]
    reactor.close()
    assert reactor.is_closed()
    assert "closed" in repr(reactor)


def test_a_run_inside_a_run_is_refused(reactor):
    async def main():
        coroutine = answer()
        with pytest.raises(RuntimeError, match="already running"):
            reactor.run_forever()
        with pytest.raises(RuntimeError, match="already running"):
            reactor.run_until_complete(coroutine)
        coroutine.close()
        with pytest.raises(RuntimeError, match="Cannot close a running"):
            reactor.close()
        other = sennit.Reactor()
        with pytest.raises(RuntimeError, match="another loop is running"):
            other.run_forever()
        other.close()
        return True

    assert reactor.run_until_complete(main())


def test_a_stop_before_the_result_is_an_error(reactor):
    future = reactor.create_future()
    reactor.call_soon(reactor.stop)
    with pytest.raises(RuntimeError, match="stopped before Future completed"):
        reactor.run_until_complete(future)


def test_a_future_of_another_loop_is_refused(reactor):
    other = sennit.Reactor()
    with pytest.raises(ValueError, match="loop"):
        reactor.run_until_complete(other.create_future())
    other.close()


def test_an_error_comes_out(reactor):
    async def fail():
        raise LookupError

    with pytest.raises(LookupError):
        reactor.run_until_complete(fail())


def test_a_closed_loop_refuses_work(reactor):
    reactor.close()
    reactor.close()
    coroutine = answer()
    for call in (
        lambda: reactor.call_soon(print),
        lambda: reactor.call_soon_threadsafe(print),
        lambda: reactor.call_later(0, print),
        lambda: reactor.call_at(0, print),
        lambda: reactor.add_reader(0, print),
        lambda: reactor.add_writer(0, print),
        lambda: reactor.run_in_executor(None, print),
        lambda: reactor.run_until_complete(coroutine),
        lambda: reactor.create_task(coroutine),
        reactor.run_forever,
    ):
        with pytest.raises(RuntimeError, match="Event loop is closed"):
            call()
    coroutine.close()
    assert reactor.remove_reader(0) is False
    assert reactor.remove_writer(0) is False
    reactor.stop()


def test_a_forgotten_loop_is_warned_of_and_closed():
    loop = sennit.Reactor()
    loop.call_soon(print)
    # The handle holds the loop that holds the handle.
    del loop
    with pytest.warns(ResourceWarning, match="unclosed event loop"):
        gc.collect()


def test_a_closed_loop_is_forgotten_quietly():
    loop = sennit.Reactor()
    loop.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del loop
        gc.collect()


def test_attributes_and_subclasses_are_allowed():
    class Mine(sennit.Reactor):
        def call_soon(self, callback, *args, context=None):
            self.calls = getattr(self, "calls", 0) + 1
            return super().call_soon(callback, *args, context=context)

    reactor = Mine()
    reactor.anything = "goes"
    assert reactor.run_until_complete(answer()) == 42
    assert reactor.calls > 0
    assert reactor.anything == "goes"
    reactor.close()


def test_time_goes_on(reactor):
    first = reactor.time()
    assert isinstance(first, float)
    assert reactor.time() >= first


def test_statistics_count(reactor, turns):
    before = reactor.statistics()
    reactor.call_soon(int)
    reactor.call_later(3600, int)
    assert reactor.statistics()["ready"] == 1
    assert reactor.statistics()["timers"] == 1
    turns(3)
    after = reactor.statistics()
    assert after["turns"] == before["turns"] + 3
    assert after["callbacks"] == before["callbacks"] + 4
    assert all(isinstance(value, int) for value in after.values())
