"""Calls in threads and calls back into the loop: results, errors, contexts, other loops."""

import asyncio
import contextvars
import threading

import pytest

import sennit
from sennit import testing
from sennit.errors import ClosedError, DeadlineError, WrongThreadError

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


def run(main):
    return sennit.run(main())


def test_the_result_and_the_error_come_back():
    async def main():
        assert await sennit.defer_to_thread(divmod, 17, 5) == (3, 2)
        assert await sennit.defer_to_thread(dict, first=1, second=2) == {"first": 1, "second": 2}
        assert await sennit.defer_to_thread(sorted, [1, 3, 2], reverse=True) == [3, 2, 1]
        with pytest.raises(ZeroDivisionError):
            await sennit.defer_to_thread(divmod, 1, 0)

    run(main)


def test_callbacks_run_in_the_loop():
    async def main():
        here = threading.get_ident()
        there = sennit.defer_to_thread(threading.get_ident)
        seen = []
        there.add_callback(lambda ident: seen.append((ident, threading.get_ident())))
        await there
        assert seen[0][0] != here
        assert seen[0][1] == here

    run(main)


def test_the_context_travels_and_stays_there():
    def work():
        before = variable.get()
        variable.set("changed in the thread")
        return before

    async def main():
        variable.set("set by the caller")
        assert await sennit.defer_to_thread(work) == "set by the caller"
        assert variable.get() == "set by the caller"

    run(main)


@pytest.mark.parametrize("function", [None, 17])
def test_what_cannot_be_called_is_refused(function):
    async def main():
        with pytest.raises(TypeError, match="needs a function"):
            sennit.defer_to_thread(function)
        with pytest.raises(TypeError, match="needs a function"):
            sennit.call_in_thread()

    run(main)


def test_what_has_to_be_awaited_is_no_result():
    async def coroutine():
        pass

    async def main():
        with pytest.raises(TypeError, match="has returned a coroutine"):
            await sennit.defer_to_thread(coroutine)
        with pytest.raises(TypeError, match="has returned a Deferred"):
            await sennit.defer_to_thread(sennit.Deferred)

    run(main)


def test_a_loop_must_run():
    with pytest.raises(RuntimeError, match="no running event loop"):
        sennit.defer_to_thread(int)


def test_call_in_thread_reports_its_errors(reactor, reported):
    async def main():
        assert sennit.call_in_thread(divmod, 1, 0) is None
        while not reported:
            await asyncio.sleep(0)

    reactor.run_until_complete(main())
    assert isinstance(reported[0]["exception"], ZeroDivisionError)
    assert "divmod" in reported[0]["message"]


def test_a_stock_loop_has_threads_too():
    async def main():
        assert await sennit.defer_to_thread(threading.get_ident) != threading.get_ident()
        with pytest.raises(ZeroDivisionError):
            await sennit.defer_to_thread(divmod, 1, 0)

    asyncio.run(main())


def test_the_default_executor_is_another_one():
    async def main():
        loop = asyncio.get_running_loop()
        await sennit.defer_to_thread(int)
        assert loop._default_executor is None
        await loop.run_in_executor(None, int)
        assert loop.threads.statistics()["completed"] == 1

    run(main)


def test_two_loops_in_two_threads_have_two_pools():
    async def main():
        return id(asyncio.get_running_loop().threads), await sennit.defer_to_thread(int)

    async def both():
        other = sennit.defer_to_thread(lambda: sennit.run(main()))
        assert await main() != await other

    run(both)


# -- back into the loop ----------------------------------------------------------------------------


def test_call_from_thread_finds_the_loop_that_the_call_came_from():
    async def main():
        here = threading.get_ident()
        called = asyncio.get_running_loop().create_future()

        def note(word, *, end):
            called.set_result((word + end, threading.get_ident(), variable.get()))

        def work():
            variable.set("of the thread")
            sennit.call_from_thread(note, "hello", end="!")

        await sennit.defer_to_thread(work)
        assert await called == ("hello!", here, "of the thread")

    run(main)


def test_call_from_thread_in_a_thread_of_ones_own_finds_the_only_reactor():
    async def main():
        called = asyncio.get_running_loop().create_future()
        thread = threading.Thread(target=sennit.call_from_thread, args=(called.set_result, 1))
        thread.start()
        assert await called == 1
        thread.join()

    run(main)


def test_call_from_thread_without_a_loop_says_so():
    with pytest.raises(RuntimeError, match="0 reactors run"):
        sennit.call_from_thread(int)


def test_blocking_call_from_thread_waits_for_whatever_comes():
    async def coroutine(value):
        await asyncio.sleep(0)
        return value

    def fail():
        raise LookupError("in the loop")

    async def main():
        loop = asyncio.get_running_loop()

        def work():
            call = sennit.blocking_call_from_thread
            assert call(loop, threading.get_ident) != threading.get_ident()
            assert call(loop, coroutine, 1) == 1
            assert call(loop, sennit.succeed, 2) == 2
            assert call(loop, dict, key=3) == {"key": 3}
            with pytest.raises(LookupError):
                call(loop, fail)
            with pytest.raises(asyncio.CancelledError):
                call(loop, lambda: sennit.fail(asyncio.CancelledError()))
            return "done"

        assert await sennit.defer_to_thread(work) == "done"

    run(main)


def test_blocking_call_from_thread_refuses_to_block_a_loop():
    async def main():
        with pytest.raises(WrongThreadError, match="would stand still"):
            sennit.blocking_call_from_thread(asyncio.get_running_loop(), int)

    run(main)


def test_blocking_call_from_thread_cancels_what_takes_too_long():
    async def main():
        loop = asyncio.get_running_loop()
        cancelled = loop.create_future()
        held = []

        def never():
            held.append(sennit.Deferred(lambda _: cancelled.set_result(True)))
            return held[0]

        def work():
            with pytest.raises(DeadlineError, match=r"0\.001 s"):
                sennit.blocking_call_from_thread(loop, never, timeout=0.001)

        await sennit.defer_to_thread(work)
        assert await cancelled

    run(main)


def test_blocking_call_from_thread_hears_of_the_end_of_the_loop():
    """A call that a closed loop drops, and one whose Deferred nobody has any more."""
    loop = sennit.Reactor()
    errors = []

    def work(function):
        try:
            sennit.blocking_call_from_thread(loop, function)
        except ClosedError as error:
            errors.append(error)

    dropped = threading.Thread(target=work, args=(sennit.Deferred,))
    dropped.start()
    while not errors:
        loop.call_soon(loop.stop)
        loop.run_forever()
    dropped.join()
    unseen = threading.Thread(target=work, args=(int,))
    unseen.start()
    while not loop.statistics()["ready"]:
        pass
    loop.close()
    unseen.join()
    work(int)
    assert len(errors) == 3


def test_a_job_holds_a_simulated_clock():
    """Else the timeout of an hour would be over before the thread has begun."""
    gate = threading.Event()

    async def main():
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(3600):
            call = sennit.defer_to_thread(gate.wait)
            sennit.call_in_thread(gate.set)
            assert await call
        queued = loop.threads
        queued.size = 1
        gate.clear()
        first, second = sennit.defer_to_thread(gate.wait), sennit.defer_to_thread(int)
        assert loop._calls_out() == 2
        second.cancel()
        assert loop._calls_out() == 1
        gate.set()
        await first
        assert loop._calls_out() == 0
        before = loop.time()
        await asyncio.sleep(1000)
        assert loop.time() - before >= 1000

    testing.run(main())
