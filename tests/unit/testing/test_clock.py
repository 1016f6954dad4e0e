"""The clock: it jumps when nothing can happen, is held by work elsewhere, and reports deadlocks."""

import asyncio
import threading
import time

import pytest

import sennit
from sennit import http, testing
from sennit.errors import ConfigError, DeadlockError


def test_ten_thousand_seconds_pass_at_once(world):
    async def test(reactor, _network):
        assert reactor.time() == 0.0
        began = time.monotonic()
        await asyncio.sleep(10_000)
        assert reactor.time() == 10_000.0
        return time.monotonic() - began

    assert world(test) < 5_000


def test_time_stands_still_while_callbacks_run(world):
    async def test(reactor, _network):
        times = set()
        for _ in range(2_000):
            await asyncio.sleep(0)
            times.add(reactor.time())
        assert times == {0.0}

    world(test)


def test_timers_run_in_order_each_at_its_own_time(world):
    async def test(reactor, _network):
        seen = []
        delays = [5.0, 0.1, 3600.0, 0.3, 0.1, 1e-9, 86_400.5, 0.7]
        for index, delay in enumerate(delays):
            reactor.call_at(delay, lambda index=index: seen.append((reactor.time(), index)))
        await asyncio.sleep(100_000)
        assert seen == sorted((delay, index) for index, delay in enumerate(delays))

    world(test)


def test_a_timeout_of_an_hour_takes_no_time(world):
    async def test(reactor, _network):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 3600)
        assert reactor.time() == 3600.0

    world(test)


def test_coarse_deadlines_follow_the_clock(world):
    async def test(reactor, _network):
        server = await http.listen(lambda _request: "hello", "http://10.0.0.8:80")
        reader, writer = await asyncio.open_connection("10.0.0.8", 80)
        writer.write(b"GET / HT")
        assert await reader.read() == b""
        # A deadline is never early and at most 10 ms late.
        assert 10.0 <= reactor.time() <= 10.02
        assert server.statistics()["header_timeouts"] == 1
        writer.close()
        await server.close()

    world(test)


def test_a_job_in_a_thread_holds_the_clock(world):
    async def test(reactor, _network):
        begun, may_end = threading.Event(), threading.Event()

        def job():
            begun.set()
            assert may_end.wait(60)
            return "done"

        result = reactor.run_in_executor(None, job)
        # An hour would be over at once, if nothing held it.
        timer = reactor.call_later(3600, lambda: None)
        while not begun.is_set():
            await asyncio.sleep(0)
        reactor.call_soon(may_end.set)
        assert await result == "done"
        assert reactor.time() == 0.0
        timer.cancel()

    world(test)


def test_while_it_is_held_time_passes_as_the_systems_does(world):
    async def test(reactor, _network):
        waiting = threading.Event()
        # The job waits for the reactor, which must not wait for the job.
        reactor.call_later(0.01, waiting.set)
        assert await reactor.run_in_executor(None, waiting.wait, 60)
        assert reactor.time() == 0.01

    world(test)


def test_a_thread_of_ones_own_needs_a_hold(world):
    async def test(reactor, _network):
        answer = reactor.create_future()
        thread = threading.Thread(
            target=reactor.call_soon_threadsafe, args=(answer.set_result, "from outside")
        )
        with reactor.hold():
            thread.start()
            assert await answer == "from outside"
        thread.join()

    world(test)


def test_a_deadlock_is_reported_with_who_waits_where(world):
    async def wait_for_godot():
        await asyncio.Event().wait()

    async def test(_reactor, _network):
        await asyncio.sleep(17)
        await asyncio.gather(
            asyncio.create_task(wait_for_godot(), name="Vladimir"),
            asyncio.create_task(wait_for_godot(), name="Estragon"),
        )

    with pytest.raises(DeadlockError) as caught:
        world(test)
    text = str(caught.value)
    assert "at 17 s nothing is scheduled" in text
    assert "3 tasks wait" in text
    for name in ("Vladimir", "Estragon"):
        assert f"{name} waits in" in text
    assert text.count("wait_for_godot") == 2
    assert "test_clock.py:" in text


def test_a_loop_without_tasks_is_a_deadlock_too():
    reactor = testing.Reactor()
    try:
        with pytest.raises(DeadlockError, match="no task waits"):
            reactor.run_forever()
    finally:
        reactor.close()


def test_by_hand_the_clock_moves_only_when_told(world):
    async def test(reactor, _network):
        seen = []

        async def tick():
            while True:
                await asyncio.sleep(1)
                seen.append(reactor.time())

        ticking = asyncio.create_task(tick())
        for _ in range(50):
            await asyncio.sleep(0)
        assert reactor.time() == 0.0
        await reactor.advance(2.5)
        assert (reactor.time(), seen) == (2.5, [1.0, 2.0])
        await reactor.advance(0.5)
        # What is due at that very time has happened as well.
        assert (reactor.time(), seen) == (3.0, [1.0, 2.0, 3.0])
        await asyncio.gather(reactor.advance(1), reactor.advance(2))
        assert reactor.time() == 5.0
        ticking.cancel()

    world(test, autojump=False)


@pytest.mark.parametrize("seconds", [-1, float("inf"), float("nan")])
def test_time_does_not_go_back(world, seconds):
    async def test(reactor, _network):
        with pytest.raises(ConfigError, match="advance"):
            await reactor.advance(seconds)

    world(test)


def test_who_waits_turn_by_turn_does_not_stop_the_time(world):
    async def test(reactor, _network):
        rung = []
        reactor.call_later(60, rung.append, "a minute")
        while not rung:
            await asyncio.sleep(0)
        assert reactor.time() == 60.0

    world(test)


def test_a_real_reactor_has_no_clock_to_move():
    reactor = sennit.Reactor()
    try:
        with pytest.raises(RuntimeError, match="moves itself"):
            reactor._move_clock(1)
    finally:
        reactor.close()
