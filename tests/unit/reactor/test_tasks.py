"""Tasks, the exception handler, asynchronous generators."""

import asyncio
import contextvars
import logging

import pytest

import sennit

name_of = contextvars.ContextVar("name_of", default="nobody")


async def answer():
    await asyncio.sleep(0)
    return 42


def test_a_task_has_its_name(reactor):
    task = reactor.create_task(answer(), name="deep thought")
    assert task.get_name() == "deep thought"
    assert reactor.run_until_complete(task) == 42


def test_a_task_runs_in_the_context_it_is_given(reactor):
    async def see():
        await asyncio.sleep(0)
        return name_of.get()

    context = contextvars.copy_context()
    context.run(name_of.set, "somebody")
    assert reactor.run_until_complete(reactor.create_task(see(), context=context)) == "somebody"
    assert reactor.run_until_complete(reactor.create_task(see())) == "nobody"


def test_the_task_factory_makes_the_tasks(reactor):
    made = []

    class Special(asyncio.Task):
        pass

    def factory(loop, coro, **kwargs):
        made.append(kwargs)
        return Special(coro, loop=loop, **kwargs)

    reactor.set_task_factory(factory)
    assert reactor.get_task_factory() is factory
    context = contextvars.copy_context()
    task = reactor.create_task(answer(), name="x", context=context)
    assert isinstance(task, Special)
    assert task.get_name() == "x"
    assert made[0]["context"] is context
    assert reactor.run_until_complete(task) == 42
    reactor.set_task_factory(None)
    plain = reactor.create_task(answer())
    assert type(plain) is asyncio.Task
    reactor.run_until_complete(plain)


def test_a_task_factory_must_be_callable(reactor):
    with pytest.raises(TypeError):
        reactor.set_task_factory(1)


def test_a_group_and_a_timeout_work(reactor):
    async def main():
        async with asyncio.timeout(60), asyncio.TaskGroup() as group:
            tasks = [group.create_task(answer()) for _ in range(10)]
        return sum(task.result() for task in tasks)

    assert reactor.run_until_complete(main()) == 420


def test_a_failing_callback_is_reported_once_and_the_loop_goes_on(reactor, turns, reported):
    error = ValueError("wrong")

    def fail():
        raise error

    handle = reactor.call_soon(fail)
    order = []
    reactor.call_soon(order.append, "after")
    turns(1)
    assert order == ["after"]
    (context,) = reported
    assert context["exception"] is error
    assert context["handle"] is handle
    assert "fail" in context["message"]


def test_the_default_handler_logs_once(reactor, turns, caplog):
    def fail():
        raise ValueError("wrong")

    reactor.call_soon(fail)
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        turns(1)
    (record,) = caplog.records
    assert "Exception in callback" in record.message
    assert record.exc_info[0] is ValueError


def test_an_exception_handler_that_fails_is_logged_with_what_it_failed_on(reactor, turns, caplog):
    def broken(_loop, _context):
        raise RuntimeError("the handler itself")

    reactor.set_exception_handler(broken)
    assert reactor.get_exception_handler() is broken
    reactor.call_soon(lambda: 1 / 0)
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        turns(1)
    assert "Unhandled error in exception handler" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_an_exception_handler_must_be_callable(reactor):
    with pytest.raises(TypeError):
        reactor.set_exception_handler(1)
    reactor.set_exception_handler(None)
    assert reactor.get_exception_handler() is None


def test_a_subclass_may_have_its_own_default_handler(caplog):
    seen = []

    class Mine(sennit.Reactor):
        def default_exception_handler(self, context):
            seen.append(context["message"])
            raise OSError("and it fails")

    reactor = Mine()
    with caplog.at_level(logging.ERROR, logger="asyncio"):
        reactor.call_exception_handler({"message": "hello"})
    reactor.close()
    assert seen == ["hello"]
    assert "Exception in default exception handler" in caplog.text


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_leaving_passes_through_the_exception_handler(reactor, leaving):
    def handler(_loop, _context):
        raise leaving

    reactor.set_exception_handler(handler)
    reactor.call_soon(lambda: 1 / 0)
    with pytest.raises(leaving):
        reactor.run_forever()


def test_an_unretrieved_error_of_a_task_reaches_the_handler(reactor, reported):
    async def fail():
        raise LookupError

    async def main():
        task = reactor.create_task(fail())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        del task

    reactor.run_until_complete(main())
    assert [type(context["exception"]) for context in reported] == [LookupError]


def test_generators_are_closed_at_the_end(reactor):
    closed = []

    async def count():
        try:
            for index in range(10):
                yield index
        finally:
            await asyncio.sleep(0)
            closed.append("kept")

    async def main():
        generator = count()
        await anext(generator)
        return generator

    generator = reactor.run_until_complete(main())
    reactor.run_until_complete(reactor.shutdown_asyncgens())
    assert closed == ["kept"]
    assert generator.ag_frame is None


def test_a_dropped_generator_is_closed_in_the_loop(reactor, turns):
    closed = []

    async def count():
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            closed.append(asyncio.get_running_loop())

    async def main():
        generator = count()
        await anext(generator)
        del generator
        for _ in range(5):
            await asyncio.sleep(0)

    reactor.run_until_complete(main())
    assert closed == [reactor]


def test_a_generator_that_fails_to_close_is_reported(reactor, reported):
    async def count():
        try:
            yield 1
        finally:
            raise LookupError

    async def main():
        generator = count()
        await anext(generator)
        return generator

    generator = reactor.run_until_complete(main())
    reactor.run_until_complete(reactor.shutdown_asyncgens())
    assert reported[0]["asyncgen"] is generator


def test_a_generator_after_the_end_is_warned_of(reactor):
    async def count():
        yield 1

    async def main():
        generator = count()
        with pytest.warns(ResourceWarning, match="was scheduled after"):
            await anext(generator)
        await generator.aclose()

    reactor.run_until_complete(reactor.shutdown_asyncgens())
    reactor.run_until_complete(main())
