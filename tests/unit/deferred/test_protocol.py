"""What asyncio asks of a future, one question at a time; contexts."""

import asyncio
import contextvars

import pytest

import sennit
from sennit import Deferred, succeed

VARIABLE = contextvars.ContextVar("VARIABLE", default="unset")


def test_the_future_protocol(run):
    async def main():
        deferred = Deferred()
        assert asyncio.isfuture(deferred)
        assert asyncio.ensure_future(deferred) is deferred
        assert deferred.get_loop() is asyncio.get_running_loop()
        assert not deferred.done()
        assert not deferred.cancelled()
        for ask in (deferred.result, deferred.exception):
            with pytest.raises(asyncio.InvalidStateError):
                ask()
        deferred.callback(1)
        assert (deferred.done(), deferred.result(), deferred.exception()) == (True, 1, None)
        gone = Deferred()
        gone.cancel()
        assert gone.done()
        assert gone.cancelled()
        for ask in (gone.result, gone.exception):
            with pytest.raises(asyncio.CancelledError):
                ask()

    run(main())


def test_done_callbacks_can_be_removed(run):
    async def main():
        seen, deferred = [], Deferred()

        class Same:
            def __eq__(self, other):
                return isinstance(other, Same)

            __hash__ = None

            def __call__(self, deferred):
                seen.append("same")

        deferred.add_callback(seen.append)
        deferred.add_done_callback(seen.append)
        deferred.add_done_callback(Same())
        deferred.add_done_callback(Same())
        assert deferred.remove_done_callback(Same()) == 2
        assert deferred.remove_done_callback(seen.append) == 1
        assert deferred.remove_done_callback(print) == 0
        deferred.callback(1)
        await asyncio.sleep(0)
        assert seen == [1]

    run(main())


def test_one_that_is_fired_while_done_callbacks_are_compared(run):
    async def main():
        seen, deferred = [], Deferred()

        class Firing:
            def __eq__(self, other):
                if not deferred.done():
                    deferred.callback(1)
                return False

            __hash__ = None

            def __call__(self, _deferred):
                seen.append("told")

        deferred.add_done_callback(Firing())
        assert deferred.remove_done_callback(Firing()) == 0
        await asyncio.sleep(0)
        assert seen == ["told"]

    run(main())


def test_comparing_that_raises_removes_nothing(run):
    async def main():
        class Fault:
            def __eq__(self, other):
                raise ValueError("no")

            __hash__ = None

        seen, deferred = [], Deferred()
        deferred.add_done_callback(seen.append)
        with pytest.raises(ValueError, match="no"):
            deferred.remove_done_callback(Fault())
        deferred.callback(1)
        await asyncio.sleep(0)
        assert seen == [deferred]

    run(main())


def test_outside_of_a_loop_there_is_nobody_to_wake():
    with pytest.raises(RuntimeError, match="no running event loop"):
        Deferred().add_done_callback(print)
    with pytest.raises(RuntimeError, match="no running event loop"):
        Deferred().get_loop()


def test_iterating_one_without_a_result_is_an_error_and_no_endless_loop():
    deferred = Deferred()
    with pytest.raises(RuntimeError, match="not for iterating"):
        list(deferred)


def test_a_loop_that_was_closed_meanwhile_is_said_and_does_not_stop_the_chain(monkeypatch):
    told, seen, deferred = [], [], Deferred()

    async def main():
        deferred.add_done_callback(print)

    sennit.run(main())
    monkeypatch.setattr("sys.unraisablehook", lambda one: told.append(str(one.exc_value)))
    deferred.add_callback(seen.append)
    deferred.callback(1)
    assert seen == [1]
    assert told == ["Event loop is closed"]


def test_a_callback_runs_in_the_context_of_the_place_where_it_was_added():
    seen, deferred = [], Deferred()

    def add(value):
        VARIABLE.set(value)
        deferred.add_callback(lambda _: seen.append(VARIABLE.get()))

    contextvars.copy_context().run(add, "here")
    contextvars.copy_context().run(add, "there")
    contextvars.copy_context().run(lambda: VARIABLE.set("firing") and deferred.callback(1))
    assert seen == ["here", "there"]


def test_callbacks_do_not_see_what_others_set():
    seen = []

    def change(_value):
        seen.append(VARIABLE.get())
        VARIABLE.set("changed")

    succeed(1).add_callback(change).add_callback(change)
    assert seen == ["unset", "unset"]
    assert VARIABLE.get() == "unset"


def test_a_context_that_is_entered_may_fire_and_add():
    seen = []

    def inside():
        VARIABLE.set("inside")
        deferred = Deferred().add_callback(lambda _: seen.append(VARIABLE.get()))
        deferred.callback(1)
        deferred.add_callback(lambda _: seen.append(VARIABLE.get()))

    contextvars.copy_context().run(inside)
    assert seen == ["inside", "inside"]


def test_done_callbacks_run_in_the_context_that_they_were_given(run):
    async def main():
        seen, context = [], contextvars.copy_context()
        context.run(VARIABLE.set, "given")
        succeed(1).add_done_callback(lambda _: seen.append(VARIABLE.get()), context=context)
        await asyncio.sleep(0)
        assert seen == ["given"]

    run(main())


def test_a_task_keeps_its_context_over_an_await(run):
    async def main():
        VARIABLE.set("the task's")
        await Deferred.from_coroutine(asyncio.sleep(0))
        assert VARIABLE.get() == "the task's"

    run(main())
