"""asyncio's debug mode."""

import asyncio
import logging
import os
import subprocess
import sys
import threading

import pytest


@pytest.fixture
def debugged(reactor):
    """A reactor in debug mode in which nothing counts as slow."""
    reactor.set_debug(True)
    reactor.slow_callback_duration = 3600
    return reactor


def test_debug_mode_can_be_switched(reactor):
    reactor.set_debug(0)
    assert reactor.get_debug() is False
    reactor.set_debug(1)
    assert reactor.get_debug() is True


@pytest.mark.parametrize(
    ("options", "expected"), [((), "False"), (("-X", "dev"), "True"), (("-E",), "False")]
)
def test_the_interpreter_decides_at_first(options, expected):
    source = "import sennit; r = sennit.Reactor(); print(r.get_debug()); r.close()"
    environment = {name: value for name, value in os.environ.items() if "ASYNCIO" not in name}
    if options == ("-E",):
        environment["PYTHONASYNCIODEBUG"] = "1"
    result = subprocess.run(
        [sys.executable, *options, "-c", source],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.strip() == expected


def test_a_slow_callback_is_logged(reactor, turns, caplog):
    reactor.set_debug(True)
    reactor.slow_callback_duration = 0
    reactor.call_soon(sum, [1, 2, 3])
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        turns(1)
    assert any("sum" in record.message and "took" in record.message for record in caplog.records)


def test_a_quick_callback_is_not_logged(debugged, turns, caplog):
    debugged.call_soon(sum, [1, 2, 3])
    with caplog.at_level(logging.WARNING, logger="asyncio"):
        turns(1)
    assert not caplog.records


@pytest.mark.parametrize("method", ["call_soon", "call_soon_threadsafe", "run_in_executor"])
def test_coroutines_are_no_callbacks(debugged, method):
    async def coroutine():
        pass

    call = getattr(debugged, method)
    first = (None,) if method == "run_in_executor" else ()
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        call(*first, coroutine)
    pending = coroutine()
    with pytest.raises(TypeError, match="coroutines cannot be used"):
        call(*first, pending)
    pending.close()
    with pytest.raises(TypeError, match="callable object was expected"):
        call(*first, 17)


@pytest.mark.parametrize("timer", ["call_later", "call_at"])
def test_coroutines_are_no_timers(debugged, timer):
    async def coroutine():
        pass

    with pytest.raises(TypeError, match=timer):
        getattr(debugged, timer)(0, coroutine)


def test_the_wrong_thread_is_noticed(debugged):
    errors = []

    def intrude():
        for call in (
            lambda: debugged.call_soon(print),
            lambda: debugged.call_later(0, print),
            lambda: debugged.call_at(0, print),
        ):
            try:
                call()
            except RuntimeError as error:
                errors.append(str(error))
        debugged.call_soon_threadsafe(debugged.stop)

    debugged.call_soon(lambda: threading.Thread(target=intrude).start())
    debugged.run_forever()
    assert len(errors) == 3
    assert all("call_soon_threadsafe" in error for error in errors)


def test_a_handle_remembers_where_it_was_made(debugged, turns, reported):
    handle = debugged.call_soon(lambda: 1 / 0)
    assert any(
        frame.name == "test_a_handle_remembers_where_it_was_made"
        for frame in handle._source_traceback
    )
    turns(1)
    assert reported[0]["source_traceback"]


def test_a_cancelled_handle_keeps_its_text(debugged):
    handle = debugged.call_soon(sum, [1, 2])
    handle.cancel()
    assert "sum" in repr(handle)


def test_coroutines_remember_where_they_were_made(debugged):
    async def inner():
        pass

    async def main():
        coroutine = inner()
        origin = coroutine.cr_origin
        await coroutine
        return origin

    assert debugged.run_until_complete(main())
    coroutine = inner()
    assert coroutine.cr_origin is None
    coroutine.close()


def test_a_debugged_program_runs(debugged):
    async def main():
        async with asyncio.timeout(60):
            await asyncio.gather(*(asyncio.sleep(0) for _ in range(10)))
        return True

    assert debugged.run_until_complete(main())
