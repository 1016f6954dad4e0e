"""A pool of processes: its limits, its stop, the loop it belongs to."""

import asyncio
from pathlib import Path

import pytest

import sennit
from sennit.errors import (
    ClosedError,
    ConfigError,
    OverloadedError,
    ProcessDiedError,
    WrongThreadError,
)
from sennit.reactor.processes import PoolState, handle


async def until(condition):
    """Wait by turns; what is waited for comes from another process."""
    while not condition():
        await asyncio.sleep(0)


def is_alive(pid):
    return Path(f"/proc/{pid}").exists()


def written(path):
    return sorted(path.read_text().split()) if path.exists() else []


def test_a_full_queue_refuses_and_names_the_limit(errands, gate):
    async def main():
        async with sennit.ProcessPool(1, max_waiting=1, name="small") as pool:
            held = pool.defer(errands.hold, gate.folder)
            waiting = pool.defer(errands.same, 1)
            with pytest.raises(
                OverloadedError, match=r"1 calls wait.*limit 1 \(max_waiting.*small"
            ):
                await pool.defer(errands.same, 2)
            await gate.started()
            gate.let_go()
            await held
            assert await waiting == 1
            assert pool.statistics()["refused"] == 1

    sennit.run(main())


def test_many_small_calls_each_run_once(run, errands, tmp_path):
    path, count = tmp_path / "count", 2000

    async def main():
        async with sennit.ProcessPool(2, max_waiting=count) as pool:
            calls = [pool.defer(errands.count, path, number) for number in range(count)]
            assert await asyncio.gather(*calls) == list(range(count))

    run(main())
    assert written(path) == sorted(map(str, range(count)))


def test_a_worker_is_replaced_after_so_many_calls(errands):
    async def main():
        async with sennit.ProcessPool(1, max_calls=2) as pool:
            pids = [await pool.defer(errands.pid) for _ in range(6)]
            assert len(set(pids)) == 3
            assert pids[0] == pids[1] != pids[2]

    sennit.run(main())


def test_stop_lets_what_waits_run_and_takes_no_more(run, errands, gate, tmp_path):
    path = tmp_path / "count"

    async def main():
        pool = sennit.ProcessPool(1)
        held = pool.defer(errands.hold, gate.folder, "held")
        waiting = [pool.defer(errands.count, path, number) for number in range(20)]
        pid = await gate.started()
        stopping = asyncio.ensure_future(pool.stop())
        await until(lambda: pool.state is PoolState.DRAINING)
        with pytest.raises(ClosedError, match="draining"):
            await pool.defer(errands.count, path, "late")
        gate.let_go()
        await stopping
        assert held.result() == "held"
        assert [one.result() for one in waiting] == list(range(20))
        assert pool.state is PoolState.STOPPED
        assert not is_alive(pid)
        with pytest.raises(ClosedError, match="stopped"):
            await pool.defer(errands.count, path, "late")
        await pool.stop()

    run(main())
    assert written(path) == sorted(map(str, range(20)))


def test_stop_without_grace_ends_every_call_one_way_or_the_other(run, errands, gate, tmp_path):
    path = tmp_path / "count"

    async def main():
        pool = sennit.ProcessPool(1)
        done = await pool.defer(errands.count, path, "done")
        held = pool.defer(errands.hold, gate.folder)
        waiting = [pool.defer(errands.count, path, number) for number in range(20)]
        await gate.started()
        await pool.stop(grace=0)
        with pytest.raises(
            ProcessDiedError, match=r"was killed by SIGTERM while it ran errands\.h"
        ):
            await held
        for one in waiting:
            with pytest.raises(ClosedError, match=r"before errands.count had its turn \(grace 0 s"):
                await one
        assert done == "done"

    run(main())
    assert written(path) == ["done"]


def test_a_block_that_fails_waits_for_nobody(errands, gate):
    async def main():
        async def fail():
            async with pool:
                await gate.started()
                raise ZeroDivisionError

        pool = sennit.ProcessPool(1)
        held = pool.defer(errands.hold, gate.folder)
        with pytest.raises(ZeroDivisionError):
            await fail()
        with pytest.raises(ProcessDiedError, match="SIGTERM"):
            await held

    sennit.run(main())


def test_stop_kills_who_does_not_listen(errands, gate, monkeypatch):
    monkeypatch.setattr(handle, "LEAVING_TIME", 0)

    async def main():
        pool = sennit.ProcessPool(1)
        held = pool.defer(errands.hold, gate.folder, deaf=True)
        await gate.started()
        await pool.stop(grace=0)
        with pytest.raises(ProcessDiedError, match="SIGKILL"):
            await held

    sennit.run(main())


def test_a_worker_leaves_as_an_interpreter_does(run, errands, tmp_path):
    path = tmp_path / "count"

    async def main():
        await sennit.defer_to_process(errands.at_exit, path)

    run(main())
    assert written(path) == ["left"]


def test_a_pool_belongs_to_one_loop(errands):
    pool = sennit.ProcessPool(1)

    async def main():
        return await pool.defer(errands.same, 1)

    with sennit_runner() as first, sennit_runner() as second:
        assert first.run(main()) == 1
        with pytest.raises(WrongThreadError, match="belongs to another loop"):
            second.run(main())
        first.run(pool.stop())


def sennit_runner():
    return asyncio.Runner(loop_factory=sennit.Reactor)


def test_a_pool_that_was_never_used_stops(errands):
    async def main():
        async with sennit.ProcessPool() as pool:
            assert pool.state is PoolState.NEW
        assert pool.state is PoolState.STOPPED
        with pytest.raises(ClosedError):
            await pool.defer(errands.pid)

    sennit.run(main())


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"max_waiting": -1}, {"max_calls": -1}, {"max_message_size": 1}]
)
def test_a_number_that_makes_no_sense_is_refused(wrong):
    (word,) = wrong
    with pytest.raises(ConfigError, match=f"^{word} is "):
        sennit.ProcessPool(**wrong)


def test_without_a_loop_it_fails(errands):
    deferred = sennit.defer_to_process(errands.pid)
    with pytest.raises(RuntimeError, match="no running event loop"):
        deferred.result()
    deferred.add_errback(lambda _failure: None)


def test_a_process_that_cannot_be_started_fails_its_call(errands, monkeypatch):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            with monkeypatch.context() as patch:
                patch.setattr(handle.sys, "executable", "/no/such/interpreter")
                with pytest.raises(FileNotFoundError):
                    await pool.defer(errands.pid)
            assert await pool.defer(errands.same, 1) == 1

    sennit.run(main())


def test_a_pool_says_what_it_is():
    pool = sennit.ProcessPool(2, name="mine")
    assert repr(pool) == "<sennit.ProcessPool 'mine' new, 0 of 2 processes, 0 calls waiting>"
