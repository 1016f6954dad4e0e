"""Ways in and out: values, functions, coroutines, futures; cancelling crosses both ways."""

import asyncio
import gc
import weakref

import pytest

from sennit import Deferred, Failure, ensure_deferred, fail, maybe_deferred, succeed


async def later(value):
    await asyncio.sleep(0)
    return value


def test_succeed_and_fail():
    assert succeed(1).result() == 1
    assert succeed().result() is None
    error = ValueError("no")
    assert fail(error).exception() is error
    try:
        raise error
    except ValueError:
        assert fail().exception() is error


def test_maybe_deferred_takes_whatever_a_function_does():
    def fault():
        raise error

    error, deferred = ValueError("no"), Deferred()
    assert maybe_deferred(lambda one, *, two: one + two, 1, two=2).result() == 3
    assert maybe_deferred(lambda: deferred) is deferred
    assert maybe_deferred(fault).exception() is error
    assert maybe_deferred(lambda: Failure(error)).exception() is error


def test_maybe_deferred_takes_coroutines_and_futures(run):
    async def main():
        future = asyncio.get_running_loop().create_future()
        future.set_result(2)
        assert await maybe_deferred(later, 1) == 1
        assert await maybe_deferred(lambda: future) == 2

    run(main())


def test_what_ends_the_program_leaves_maybe_deferred():
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        maybe_deferred(stop)


def test_ensure_deferred(run):
    class Awaitable:
        def __await__(self):
            yield from later(3).__await__()
            return 3

    async def main():
        deferred = Deferred()
        assert ensure_deferred(deferred) is deferred
        assert await ensure_deferred(later(1)) == 1
        assert await ensure_deferred(asyncio.ensure_future(later(2))) == 2
        assert await ensure_deferred(Awaitable()) == 3
        with pytest.raises(TypeError, match="not 3"):
            ensure_deferred(3)

    run(main())


def test_from_coroutine_runs_it_as_a_task(run):
    async def main():
        seen = []
        deferred = Deferred.from_coroutine(later(1)).add_callback(seen.append)
        assert seen == []
        await deferred
        assert seen == [1]
        error = ValueError("no")

        async def fault():
            raise error

        with pytest.raises(ValueError, match="no"):
            await Deferred.from_coroutine(fault())
        with pytest.raises(TypeError):
            Deferred.from_coroutine(3)

    run(main())


def test_a_coroutine_that_returns_a_deferred_is_waited_for_through_it(run):
    async def main():
        async def give(deferred):
            return deferred

        assert await Deferred.from_coroutine(give(succeed(4))) == 4
        with pytest.raises(ValueError, match="no"):
            await Deferred.from_coroutine(give(fail(ValueError("no"))))

    run(main())


def test_cancelling_the_deferred_cancels_the_coroutine_and_waits_for_it(run):
    async def main():
        order, started = [], asyncio.Event()

        async def work():
            started.set()
            try:
                await asyncio.sleep(3600)
            finally:
                await asyncio.sleep(0)
                order.append("cleaned up")

        deferred = Deferred.from_coroutine(work())
        deferred.add_errback(lambda failure: order.append(failure.type))
        await started.wait()
        assert deferred.cancel()
        await deferred
        assert order == ["cleaned up", asyncio.CancelledError]

    run(main())


def test_a_coroutine_may_refuse_to_be_cancelled(run):
    async def main():
        async def stubborn():
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                return "not I"

        deferred = Deferred.from_coroutine(stubborn())
        await asyncio.sleep(0)
        deferred.cancel()
        assert await deferred == "not I"

    run(main())


def test_a_second_cancel_does_not_wait(run):
    async def main():
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    await gate.wait()
                    return "too late"

        gate = asyncio.Event()
        deferred = Deferred.from_coroutine(stubborn())
        await asyncio.sleep(0)
        deferred.cancel()
        assert not deferred.done()
        deferred.cancel()
        assert deferred.cancelled()
        gate.set()
        for _ in range(5):
            await asyncio.sleep(0)

    run(main())


def test_a_task_that_is_cancelled_cancels_its_deferred_and_what_it_waits_for(run):
    async def main():
        calls = []

        async def wait():
            await Deferred(calls.append)

        task = asyncio.ensure_future(wait())
        deferred = Deferred.from_future(task)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await deferred
        assert deferred.cancelled()
        assert len(calls) == 1

    run(main())


def test_from_future(run):
    async def main():
        loop = asyncio.get_running_loop()
        good, bad, gone = (loop.create_future() for _ in range(3))
        deferreds = [Deferred.from_future(one) for one in (good, bad, gone)]
        good.set_result(1)
        bad.set_exception(ValueError("no"))
        assert await deferreds[0] == 1
        with pytest.raises(ValueError, match="no"):
            await deferreds[1]
        deferreds[2].cancel()
        assert gone.cancelled()
        with pytest.raises(asyncio.CancelledError):
            await deferreds[2]
        with pytest.raises(TypeError, match="takes a future, not 3"):
            Deferred.from_future(3)

    run(main())


def test_a_deferred_of_a_coroutine_is_in_no_cycle_when_it_is_over(run):
    async def end(error):
        await asyncio.sleep(0)
        if error is not None:
            raise error

    async def main():
        for error in (None, ValueError("no"), asyncio.CancelledError()):
            deferred = Deferred.from_coroutine(end(error))
            await asyncio.wait([deferred])
            assert deferred.done()
            deferred.add_errback(lambda _: None)
            reference = weakref.ref(deferred)
            del deferred
            await asyncio.sleep(0)
            assert reference() is None

    gc.disable()
    try:
        run(main())
    finally:
        gc.enable()


def test_as_future(run):
    async def main():
        deferred = Deferred()
        future = deferred.as_future()
        assert isinstance(future, asyncio.Future)
        deferred.callback(1)
        assert await future == 1
        assert deferred.result() is None
        with pytest.raises(ValueError, match="no"):
            await fail(ValueError("no")).as_future()
        gone = Deferred()
        future = gone.as_future()
        gone.cancel()
        assert future.cancelled()

    run(main())


def test_cancelling_the_future_cancels_the_deferred(run):
    async def main():
        calls = []
        future = Deferred(calls.append).as_future()
        future.cancel()
        await asyncio.sleep(0)
        assert len(calls) == 1

    run(main())


def test_a_future_that_is_over_cancels_nothing_any_more(run):
    async def main():
        deferred, inner = Deferred(), Deferred()
        future = deferred.as_future()
        deferred.cancel()
        deferred.add_both(lambda _: inner)
        assert future.cancelled()
        await asyncio.sleep(0)
        assert not inner.done()

    run(main())


def test_stop_iteration_reaches_a_future_as_another_error(run):
    async def main():
        future = succeed(1).add_callback(lambda _: next(iter(()))).as_future()
        with pytest.raises(RuntimeError, match="StopIteration"):
            await future

    run(main())


def test_a_cancelled_one_is_not_an_error_that_nobody_took(run, caplog):
    async def main():
        Deferred().cancel()
        Deferred.from_coroutine(later(1)).cancel()
        Deferred().as_future().cancel()
        for _ in range(3):
            await asyncio.sleep(0)

    run(main())
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []
