"""The pool: limits, names, order, cancelling, stopping; nothing lost, nothing run twice."""

import asyncio
import collections
import os
import random
import subprocess
import sys
import threading

import pytest

import sennit
from sennit.errors import ClosedError, ConfigError, OverloadedError


@pytest.fixture
def gate():
    """Blocks threads until it is set; set in any case in the end."""
    event = threading.Event()
    yield event
    event.set()


def run(main):
    return sennit.run(main())


async def until(condition):
    """Lets turns pass until something is so."""
    while not condition():
        await asyncio.sleep(0)


def test_threads_have_names_and_can_be_seen():
    async def main():
        names = await sennit.gather_results(
            [sennit.defer_to_thread(lambda: threading.current_thread().name) for _ in range(50)]
        )
        assert {name.rpartition("-")[0] for name in names} == {"sennit"}
        seen = {thread.name for thread in threading.enumerate()}
        assert set(names) <= seen

    run(main)


def test_threads_are_started_one_by_one_up_to_the_size(gate):
    async def main():
        async with sennit.ThreadPool(2, name="mine") as pool:
            assert pool.state == "NEW"
            calls = [pool.defer(gate.wait) for _ in range(3)]
            await until(lambda: pool.statistics()["running"] == 2)
            assert pool.state == "RUNNING"
            assert pool.statistics()["threads"] == 2
            assert pool.statistics()["waiting"] == 1
            names = {thread.name for thread in threading.enumerate()}
            assert {"mine-0", "mine-1"} <= names
            assert "mine-2" not in names
            gate.set()
            assert await sennit.gather_results(calls) == [True] * 3
        assert pool.state == "STOPPED"
        assert pool.statistics()["threads"] == 0

    run(main)


def test_one_user_after_the_other_needs_one_thread():
    async def main():
        for _ in range(200):
            await sennit.defer_to_thread(int)
        assert asyncio.get_running_loop().threads.statistics()["threads"] == 1

    run(main)


def test_a_function_runs_under_the_usual_policy_and_so_does_what_it_starts():
    def policies():
        mine = os.sched_getscheduler(0)
        started = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"],
            capture_output=True,
            check=True,
        )
        return mine, int(started.stdout)

    async def main():
        usual = os.sched_getscheduler(0)
        for _ in range(2):
            assert await sennit.defer_to_thread(policies) == (usual, usual)

    run(main)


def test_a_full_queue_refuses_and_names_the_limit(gate):
    async def main():
        async with sennit.ThreadPool(1, max_waiting=2) as pool:
            calls = [pool.defer(gate.wait) for _ in range(3)]
            await until(lambda: pool.statistics()["running"] == 1)
            with pytest.raises(OverloadedError, match=r"limit 2 \(max_waiting\)"):
                pool.defer(gate.wait)
            assert pool.statistics()["refused"] == 1
            gate.set()
            assert len(await sennit.gather_results(calls)) == 3

    run(main)


@pytest.mark.parametrize("limits", [{"size": 0}, {"max_waiting": -1}])
def test_limits_that_make_no_sense(limits):
    with pytest.raises(ConfigError, match=str(next(iter(limits.values())))):
        sennit.ThreadPool(**limits)


def test_the_size_can_be_changed_both_ways(gate):
    async def main():
        async with sennit.ThreadPool(1) as pool:
            calls = [pool.defer(gate.wait) for _ in range(4)]
            await until(lambda: pool.statistics()["running"] == 1)
            pool.size = 3
            assert pool.size == 3
            await until(lambda: pool.statistics()["running"] == 3)
            pool.size = 1
            gate.set()
            await sennit.gather_results(calls)
            await until(lambda: pool.statistics()["threads"] == 1)
            assert await pool.defer(int) == 0

    run(main)


def test_max_waiting_can_be_changed(gate):
    async def main():
        async with sennit.ThreadPool(1, max_waiting=0) as pool:
            calls = [pool.defer(gate.wait)]
            await until(lambda: pool.statistics()["running"] == 1)
            with pytest.raises(OverloadedError):
                pool.defer(gate.wait)
            pool.max_waiting = 1
            calls.append(pool.defer(gate.wait))
            gate.set()
            await sennit.gather_results(calls)

    run(main)


def test_a_queued_call_that_is_cancelled_never_runs(gate):
    async def main():
        ran = []
        async with sennit.ThreadPool(1) as pool:
            first = pool.defer(gate.wait)
            await until(lambda: pool.statistics()["running"] == 1)
            second = pool.defer(ran.append, 2)
            third = pool.defer(ran.append, 3)
            assert second.cancel()
            assert pool.statistics()["waiting"] == 1
            with pytest.raises(asyncio.CancelledError):
                await second
            gate.set()
            await first
            await third
            assert ran == [3]
            assert pool.statistics()["cancelled"] == 1

    run(main)


def test_a_running_call_that_is_cancelled_finishes_and_its_result_is_dropped(gate):
    async def main():
        ended = []
        begun = threading.Event()

        def work():
            begun.set()
            gate.wait()
            ended.append(1)
            raise ValueError("nobody hears this")

        async with sennit.ThreadPool(1) as pool:
            call = pool.defer(work)
            await until(begun.is_set)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            gate.set()
        assert ended == [1]

    run(main)


def test_a_cancelled_task_takes_its_call_out_of_the_queue(gate):
    async def main():
        ran = []
        async with sennit.ThreadPool(1) as pool:
            first = pool.defer(gate.wait)
            await until(lambda: pool.statistics()["running"] == 1)

            async def wait():
                await pool.defer(ran.append, 1)

            task = asyncio.create_task(wait())
            await until(lambda: pool.statistics()["waiting"] == 1)
            task.cancel()
            await asyncio.wait([task])
            assert pool.statistics()["waiting"] == 0
            gate.set()
            await first
        assert ran == []

    run(main)


def test_stopping_finishes_what_waits(gate):
    async def main():
        pool = sennit.ThreadPool(1)
        calls = [pool.defer(gate.wait), pool.defer(int), pool.defer(str)]
        stopping = asyncio.create_task(pool.stop(grace=None))
        await asyncio.sleep(0)
        assert pool.state == "DRAINING"
        with pytest.raises(ClosedError):
            pool.defer(int)
        gate.set()
        assert await stopping
        assert await sennit.gather_results(calls) == [True, 0, ""]
        assert await pool.stop()

    run(main)


def test_stopping_fails_what_waits_if_it_is_told_to(gate):
    begun = threading.Event()

    def block():
        begun.set()
        return gate.wait()

    async def main():
        pool = sennit.ThreadPool(1)
        first = pool.defer(block)
        await until(begun.is_set)
        ran = []
        second = pool.defer(ran.append, 1)
        stopping = asyncio.create_task(pool.stop(grace=None, finish_waiting=False))
        with pytest.raises(ClosedError, match="before the call began"):
            await second
        gate.set()
        assert await stopping
        assert await first
        assert ran == []

    run(main)


def test_the_grace_time_ends_the_wait_and_fails_what_still_waits(gate):
    async def main():
        pool = sennit.ThreadPool(1)
        first = pool.defer(gate.wait)
        await until(lambda: pool.statistics()["running"] == 1)
        second = pool.defer(int)
        assert not await pool.stop(grace=0)
        with pytest.raises(ClosedError):
            await second
        gate.set()
        assert await first

    run(main)


def test_a_thread_that_cannot_be_started_is_told(monkeypatch):
    async def main():
        pool = sennit.ThreadPool(1)

        def fail(_thread):
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", fail)
            with pytest.raises(RuntimeError, match="can't start"):
                pool.defer(int)
            assert pool.statistics()["waiting"] == 0
        assert await pool.defer(int) == 0
        await pool.stop()

    run(main)


@pytest.mark.parametrize("seed", range(4))
def test_under_stress_nothing_is_lost_and_nothing_runs_twice(seed):
    """Exceptions, cancellations, changed sizes, and an end with work in the queue."""
    chance = random.Random(seed)
    ran: collections.Counter[int] = collections.Counter()
    told: collections.Counter[int] = collections.Counter()
    outcomes: collections.Counter[str] = collections.Counter()

    def work(number):
        ran[number] += 1
        if number % 3 == 0:
            raise ValueError(number)
        return number

    def record(result, number):
        told[number] += 1
        if not isinstance(result, sennit.Failure):
            assert result == number
            outcomes["value"] += 1
        else:
            outcomes[type(result.value).__name__] += 1

    async def main():
        pool = sennit.ThreadPool(3, max_waiting=10_000)
        calls = []
        for number in range(3000):
            call = pool.defer(work, number)
            call.add_both(record, number)
            calls.append(call)
            if chance.random() < 0.2:
                chance.choice(calls).cancel()
            if chance.random() < 0.01:
                pool.size = chance.randint(1, 6)
            if chance.random() < 0.02:
                await asyncio.sleep(0)
        assert await pool.stop(grace=None, finish_waiting=bool(seed % 2))
        await asyncio.sleep(0)
        return pool.statistics()

    counts = run(main)
    assert set(told.values()) == {1}
    assert len(told) == 3000
    assert set(ran.values()) == {1}
    assert counts["completed"] == len(ran)
    assert counts["completed"] + counts["cancelled"] == 3000
    assert counts["running"] == counts["waiting"] == counts["threads"] == 0
    assert outcomes["value"] > 0
    assert outcomes["ValueError"] > 0
    assert sum(outcomes.values()) == 3000
