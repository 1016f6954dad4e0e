"""Ways in: `sennit.run`, Runner, the policy, `current_reactor`."""

import asyncio
import contextvars

import pytest

import sennit

colour = contextvars.ContextVar("colour", default="none")


async def find():
    await asyncio.sleep(0)
    return sennit.current_reactor()


def test_run_gives_the_result_and_closes():
    loop = sennit.run(find())
    assert isinstance(loop, sennit.Reactor)
    assert loop.is_closed()


def test_run_passes_errors_on():
    async def fail():
        raise LookupError

    with pytest.raises(LookupError):
        sennit.run(fail())


def test_run_cancels_what_is_left():
    ends = []

    async def wait():
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ends.append("cancelled")

    async def main():
        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return task

    assert sennit.run(main()).cancelled()
    assert ends == ["cancelled"]


def test_run_takes_debug_and_context():
    async def main():
        colour.set("inside")
        return asyncio.get_running_loop().get_debug()

    context = contextvars.copy_context()
    assert sennit.run(main(), debug=True, context=context) is True
    assert context[colour] == "inside"
    assert colour.get() == "none"


def test_run_inside_a_running_loop_is_refused():
    async def main():
        coroutine = find()
        with pytest.raises(RuntimeError, match="running event loop"):
            sennit.run(coroutine)
        coroutine.close()

    sennit.run(main())


def test_run_wants_a_coroutine():
    with pytest.raises(ValueError, match="coroutine"):
        sennit.run(17)


def test_a_runner_takes_the_reactor():
    with asyncio.Runner(loop_factory=sennit.Reactor) as runner:
        first, second = runner.run(find()), runner.run(find())
    assert first is second
    assert first.is_closed()


def test_the_policy_serves_programs_that_call_asyncio(monkeypatch):
    asyncio.set_event_loop_policy(sennit.EventLoopPolicy())
    try:
        assert isinstance(asyncio.run(find()), sennit.Reactor)
        loop = asyncio.new_event_loop()
        assert isinstance(loop, sennit.Reactor)
        asyncio.set_event_loop(loop)
        assert asyncio.get_event_loop() is loop
        asyncio.set_event_loop(None)
        loop.close()
    finally:
        asyncio.set_event_loop_policy(None)


def test_there_is_no_reactor_outside_of_a_run():
    with pytest.raises(RuntimeError, match="no running event loop"):
        sennit.current_reactor()


def test_another_loop_is_no_reactor():
    with (
        asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner,
        pytest.raises(RuntimeError, match=r"not a sennit\.Reactor; start the program with"),
    ):
        runner.run(find())


def test_a_reactor_is_an_event_loop(reactor):
    assert isinstance(reactor, asyncio.AbstractEventLoop)
    abstract = {name for name in dir(asyncio.AbstractEventLoop) if not name.startswith("_")}
    missing = [
        name
        for name in abstract
        if getattr(sennit.Reactor, name) is getattr(asyncio.AbstractEventLoop, name)
    ]
    assert missing == []
