"""Errors that nobody took, said once, with where the Deferred was made; the story of a chain."""

import asyncio
import gc
import sys

import pytest

from sennit import (
    Deferred,
    DeferredLock,
    Failure,
    fail,
    inline_callbacks,
    maybe_deferred,
    race,
    succeed,
)


def forget():
    fail(ValueError("no"))


def asks_for(deferred):
    with pytest.raises(ValueError, match="no"):
        deferred.result()


def test_it_is_said_once_when_the_deferred_dies_with_where_it_was_made(reported):
    line = sys._getframe().f_lineno + 1
    deferred = Deferred()
    deferred.errback(ValueError("no"))
    assert reported() == []
    del deferred
    (record,) = reported()
    assert f"test_reporting.py:{line} in test_it_is_said_once" in record.getMessage()
    assert record.exc_info[1].args == ("no",)


def in_generator():
    yield succeed(1)
    raise ValueError("no")


@pytest.mark.parametrize(
    "make",
    [
        lambda: fail(ValueError("no")),
        lambda: succeed(Failure(ValueError("no"))),
        lambda: maybe_deferred(int, "no"),
        inline_callbacks(in_generator),
        lambda: DeferredLock().run(int, "no"),
        lambda: race([asked(fail(ValueError("no")))]),
    ],
)
def test_where_it_was_made_is_where_its_user_is(reported, make):
    make()
    assert "test_reporting.py" in reported()[0].getMessage()


def asked(deferred):
    deferred.exception()
    return deferred


@pytest.mark.parametrize(
    "die",
    [
        lambda: fail(ValueError()).add_callback(print),
        lambda: fail(ValueError()).add_errback(lambda failure: failure),
        lambda: succeed(1).add_callback(lambda _: Failure(ValueError())),
        lambda: succeed(1).add_callback(lambda _: fail(ValueError())),
        lambda: succeed(1).add_callback(lambda value: value.missing),
    ],
)
def test_whichever_way_the_error_came(reported, die):
    die()
    assert len(reported()) == 1


@pytest.mark.parametrize(
    "live",
    [
        lambda: fail(ValueError()).add_errback(lambda _: None),
        lambda: fail(ValueError()).exception(),
        lambda: fail(ValueError()).chain(Deferred().add_errback(lambda _: None)),
        lambda: asks_for(fail(ValueError("no"))),
        lambda: Deferred().cancel(),
        lambda: succeed(ValueError()),
        Deferred,
    ],
)
def test_what_was_taken_cancelled_or_is_no_error_is_not(reported, live):
    live()
    gc.collect()
    assert reported() == []


def test_what_was_awaited_is_not(run, reported, caplog):
    async def main():
        deferred = Deferred()
        asyncio.get_running_loop().call_soon(deferred.errback, ValueError("no"))
        with pytest.raises(ValueError, match="no"):
            await deferred
        await asyncio.gather(fail(ValueError("no")), return_exceptions=True)

    run(main())
    gc.collect()
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


def test_a_done_callback_that_does_not_ask_has_taken_nothing(run):
    told = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, said: told.append(said))
        await asyncio.wait([fail(ValueError("no"))])
        await asyncio.sleep(0)

    run(main())
    assert [said["exception"].args for said in told] == [("no",)]


def test_in_a_loop_its_exception_handler_is_told(run, reported):
    told = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, said: told.append(said))
        forget()

    run(main())
    assert [str(said["exception"]) for said in told] == ["no"]
    assert "in succeed" not in told[0]["message"]
    assert "nobody took the error of a Deferred made at" in told[0]["message"]
    assert reported() == []


def test_one_in_a_cycle_is_said_by_the_collector(reported):
    deferred = fail(ValueError("no"))
    deferred.itself = deferred
    del deferred
    assert reported() == []
    gc.collect()
    gc.collect()
    assert len(reported()) == 1


def test_one_whose_error_holds_it_is_said_too(reported):
    def cycle():
        deferred = Deferred()

        def fault(_value):
            raise ValueError(deferred)

        deferred.add_callback(fault).callback(1)

    cycle()
    gc.collect()
    assert len(reported()) == 1


def test_one_that_came_back_is_said_no_second_time(reported):
    held = []

    class Returning:
        def __init__(self, deferred):
            self.deferred = deferred

        def __del__(self):
            held.append(self.deferred)

    deferred = fail(ValueError("no"))
    deferred.holder = Returning(deferred)
    del deferred
    gc.collect()
    assert len(held) == 1
    held.clear()
    gc.collect()
    assert len(reported()) == 1


def test_a_subclass_with_del_reports_through_super(reported):
    class Own(Deferred):
        def __del__(self):
            super().__del__()

    class Silent(Deferred):
        def __del__(self):
            pass

    for kind in (Own, Silent):
        kind().errback(ValueError("no"))
        deferred = kind()
        deferred.errback(ValueError("in a cycle"))
        deferred.itself = deferred
        del deferred
        gc.collect()
    assert [record.exc_info[1].args[0] for record in reported()] == ["no", "in a cycle"]


def test_an_error_that_is_set_meanwhile_is_kept(reported):
    try:
        with pytest.raises(KeyError):
            [deferred for deferred in [fail(ValueError("no"))] for _ in {}["missing"]]
    finally:
        gc.collect()
    assert len(reported()) == 1


def test_a_handler_that_raises_does_no_harm(run, monkeypatch):
    told = []
    monkeypatch.setattr("sys.unraisablehook", lambda said: told.append(said.exc_value))

    async def main():
        loop = asyncio.get_running_loop()
        monkeypatch.setattr(loop, "call_exception_handler", lambda _said: 1 / 0, raising=False)
        forget()

    run(main())
    assert [type(one) for one in told] == [ZeroDivisionError]


def test_after_the_end_of_the_interpreter_nothing_crashes(program):
    done = program(
        """
        import sennit
        from sennit.deferred import Failure

        class Own(sennit.Deferred):
            def __del__(self):
                super().__del__()

        kept = [sennit.fail(ValueError("at the end")), Own()]
        kept[1].errback(OSError("of its own"))
        kept[0].itself = kept[0]
        import builtins
        builtins.kept = kept
        waiting = [sennit.Deferred().add_callback(print) for _ in range(10)]
        """
    )
    assert done.returncode == 0, done.stderr
    assert "Fatal" not in done.stderr
    assert done.stderr.count("at the end") <= 1


def test_without_debug_mode_there_is_no_story():
    deferred = fail(ValueError("no")).add_callback(print)
    assert not hasattr(deferred.exception(), "__notes__")


@pytest.mark.usefixtures("debug")
def test_in_debug_mode_an_error_tells_the_story_of_its_chain():
    def fault(_value):
        raise ValueError("no")

    deferred = succeed(1)
    first = sys._getframe().f_lineno + 1
    deferred.add_callback(str)
    deferred.add_callback(fault)
    deferred.add_callback(print, 1, sep="")
    deferred.add_callbacks(print)
    full = Failure(deferred.exception()).full()
    notes = deferred.exception().__notes__
    assert [note.split(",")[0] for note in notes] == [
        f"raised by {fault.__qualname__}",
        "passed by print",
        "passed by print",
    ]
    assert [int(note.split(":")[1].split()[0]) for note in notes] == [
        first + 1,
        first + 2,
        first + 3,
    ]
    assert all(note in full for note in notes)


@pytest.mark.usefixtures("debug")
def test_a_story_has_an_end():
    deferred = fail(ValueError("no"))
    for _ in range(300):
        deferred.add_callback(print)
    notes = deferred.exception().__notes__
    assert len(notes) == 101
    assert "left out" in notes[-1]


@pytest.mark.usefixtures("debug")
def test_arguments_and_results_are_the_same_in_debug_mode():
    def note(*args, **kwargs):
        return args, kwargs

    assert succeed(0).add_callback(note, 1, two=2).result() == ((0, 1), {"two": 2})
    assert succeed(0).add_callbacks(note, callback_args=(1,)).result() == ((0, 1), {})


def test_run_in_debug_mode_by_the_environment(program, monkeypatch):
    monkeypatch.setenv("PYTHONASYNCIODEBUG", "1")
    source = """
        import sennit
        print(hasattr(sennit.fail(ValueError()).add_callback(print).exception(), "__notes__"))
        """
    assert program(source).stdout == "True\n"
