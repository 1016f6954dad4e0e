"""Awaiting: a Deferred is a future in all that asyncio asks of one, on its own loop and on ours."""

import asyncio

import pytest

import sennit
import sennit.testing
from sennit import Deferred, fail, succeed


def soon(deferred, value=None):
    """Fires a Deferred in a later turn."""
    asyncio.get_running_loop().call_soon(deferred.callback, value)
    return deferred


def test_what_has_its_result_is_there_without_a_turn(run):
    async def main():
        turns = []
        asyncio.get_running_loop().call_soon(turns.append, 1)
        assert await succeed(5) == 5
        assert turns == []

    run(main())


@pytest.mark.parametrize("value", [None, 5, (1, 2), (), ValueError("a value"), StopIteration(3)])
def test_any_value_comes_out_as_it_is(run, value):
    async def main():
        assert await succeed(value) is value
        assert await soon(Deferred(), value) is value

    run(main())


def test_an_error_is_raised(run):
    error = ValueError("no")

    async def main():
        with pytest.raises(ValueError, match="no") as caught:
            await fail(error)
        assert caught.value is error
        deferred = Deferred()
        asyncio.get_running_loop().call_soon(deferred.errback, error)
        with pytest.raises(ValueError, match="no"):
            await deferred

    run(main())


def test_the_result_stays_for_whoever_comes_later(run):
    async def main():
        deferred = soon(Deferred(), 5)
        assert [await deferred, await deferred, deferred.result()] == [5, 5, 5]

    run(main())


def test_who_awaits_sees_what_the_callbacks_made_of_it(run):
    async def main():
        deferred = Deferred().add_callback(lambda value: value + 1)
        assert await soon(deferred, 1) == 2

    run(main())


def test_many_wait_for_one(run):
    async def main():
        deferred = Deferred()

        async def wait(number):
            return number, await deferred

        tasks = [asyncio.ensure_future(wait(number)) for number in range(20)]
        await asyncio.sleep(0)
        deferred.callback("all")
        assert await asyncio.gather(*tasks) == [(number, "all") for number in range(20)]

    run(main())


def test_a_task_is_woken_through_the_loop_never_inside_callback(run):
    async def main():
        order, deferred = [], Deferred()

        async def wait():
            await deferred
            order.append("woken")

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        deferred.add_callback(lambda _: order.append("callback"))
        deferred.callback()
        order.append("fired")
        await task
        assert order == ["callback", "fired", "woken"]

    run(main())


def test_a_done_callback_is_called_through_the_loop_too(run):
    async def main():
        seen, deferred = [], succeed(1)
        deferred.add_done_callback(seen.append)
        assert seen == []
        await asyncio.sleep(0)
        assert seen == [deferred]

    run(main())


def test_one_that_waits_again_before_the_waiter_runs_is_waited_for(run):
    async def main():
        first, second = Deferred(), Deferred()

        async def wait():
            return await first

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        first.callback("at first")
        first.add_callback(lambda _: second)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not task.done()
        second.callback("in the end")
        assert await task == "in the end"

    run(main())


def test_so_it_is_for_gather_wait_and_python_s_own_task(run):
    async def main():
        loop = asyncio.get_running_loop()

        async def wait():
            return await deferred

        async def wait_with(function):
            done, _ = await function([deferred])
            return done.pop().result()

        async def gathered():
            return (await asyncio.gather(deferred))[0]

        deferred, second = Deferred(), Deferred()
        waiting = [
            asyncio.tasks._PyTask(wait(), loop=loop),
            loop.create_task(wait_with(asyncio.wait)),
            loop.create_task(gathered()),
        ]
        await asyncio.sleep(0)
        deferred.callback("at first")
        deferred.add_callback(lambda _: second)
        for _ in range(5):
            await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        second.callback("in the end")
        for task in waiting:
            assert await task == "in the end"

    run(main())


def test_a_task_of_python_s_own_can_wait(run):
    async def main():
        async def wait(deferred):
            return await deferred

        loop = asyncio.get_running_loop()
        assert await asyncio.tasks._PyTask(wait(soon(Deferred(), 5)), loop=loop) == 5
        deferred = Deferred()
        loop.call_soon(deferred.errback, ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await asyncio.tasks._PyTask(wait(deferred), loop=loop)
        calls = []
        task = asyncio.tasks._PyTask(wait(Deferred(calls.append)), loop=loop)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert len(calls) == 1

    run(main())


def test_gather(run):
    async def main():
        assert await asyncio.gather(soon(Deferred(), 1), succeed(2)) == [1, 2]
        with pytest.raises(ValueError, match="no"):
            await asyncio.gather(succeed(1), fail(ValueError("no")))
        found = await asyncio.gather(fail(ValueError("no")), return_exceptions=True)
        assert isinstance(found[0], ValueError)

    run(main())


def test_wait(run):
    async def main():
        one, two = soon(Deferred(), 1), Deferred()
        done, pending = await asyncio.wait([one, two], return_when=asyncio.FIRST_COMPLETED)
        assert (done, pending) == ({one}, {two})
        two.callback(2)
        assert await asyncio.wait([two]) == ({two}, set())

    run(main())


def test_wait_for_and_timeout():
    async def main():
        assert await asyncio.wait_for(soon(Deferred(), 1), 5) == 1
        calls = []
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(Deferred(calls.append), 5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(5):
                await Deferred(calls.append)
        assert len(calls) == 3

    sennit.testing.run(main())


def test_shield(run):
    async def main():
        deferred = Deferred()
        outer = asyncio.shield(deferred)
        outer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await outer
        assert not deferred.done()
        deferred.callback(1)
        assert await asyncio.shield(deferred) == 1

    run(main())


def test_as_completed(run):
    async def main():
        deferreds = [Deferred(), soon(Deferred(), "first")]
        results = [await next(iter(asyncio.as_completed(deferreds)))]
        deferreds[0].callback("second")
        results += [await one for one in asyncio.as_completed(deferreds[:1])]
        assert results == ["first", "second"]

    run(main())


def test_task_group(run):
    async def main():
        cancelled = []

        async def wait(deferred):
            return await deferred

        async def together(*coroutines):
            async with asyncio.TaskGroup() as group:
                for coroutine in coroutines:
                    group.create_task(coroutine)

        async with asyncio.TaskGroup() as group:
            task = group.create_task(wait(soon(Deferred(), 1)))
        assert task.result() == 1
        with pytest.raises(ExceptionGroup):
            await together(wait(Deferred(cancelled.append)), wait(fail(ValueError("no"))))
        assert len(cancelled) == 1

    run(main())


def test_cancelling_a_task_cancels_what_it_waits_for(run):
    async def main():
        calls, order = [], []
        deferred = Deferred(calls.append)

        async def wait():
            try:
                await deferred
            finally:
                order.append("cleaned up")

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        task.cancel("why")
        with pytest.raises(asyncio.CancelledError, match="why"):
            await task
        assert calls == [deferred]
        assert order == ["cleaned up"]

    run(main())


def test_cancelling_a_task_between_result_and_waking_cancels_it(run):
    async def main():
        deferred = Deferred()

        async def wait():
            await deferred

        task = asyncio.ensure_future(wait())
        await asyncio.sleep(0)
        deferred.callback(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert deferred.result() == 1

    run(main())


def test_a_failed_one_awaited_again_raises_with_its_own_traceback_only(run):
    async def main():
        def fault(_value):
            raise ValueError("no")

        deferred, lengths = succeed(1).add_callback(fault), []
        for _ in range(5):
            try:
                await deferred
            except ValueError as error:
                traceback, length = error.__traceback__, 0
                while traceback is not None:
                    traceback, length = traceback.tb_next, length + 1
                lengths.append(length)
        assert lengths == [lengths[0]] * 5

    run(main())


def test_stop_iteration_of_a_callback_is_an_error_to_who_awaits(run):
    async def main():
        for deferred in (succeed(1), soon(Deferred())):
            deferred.add_callback(lambda _: next(iter(())))
            with pytest.raises(RuntimeError, match="StopIteration") as caught:
                await deferred
            assert isinstance(caught.value.__cause__, StopIteration)

    run(main())


def test_the_debug_mode_of_a_loop_has_nothing_to_say(run, caplog):
    async def main():
        deferred = Deferred()
        task = asyncio.ensure_future(asyncio.wait_for(deferred, 5))
        await asyncio.sleep(0)
        deferred.callback(1)
        assert await task == 1
        assert await soon(Deferred(), 2) == 2

    run(main(), debug=True)
    assert [record for record in caplog.records if record.levelname != "DEBUG"] == []
