"""Functions in other processes: results, errors, the end of workers, cancellation."""

import asyncio
import os
import re
import signal
import threading
from pathlib import Path

import pytest

import sennit
from sennit.errors import ProcessDiedError, TransferError


async def until(condition):
    """Wait by turns; what is waited for comes from another process."""
    while not condition():
        await asyncio.sleep(0)


def is_alive(pid):
    return Path(f"/proc/{pid}").exists()


def written(path):
    return sorted(path.read_text().split()) if path.exists() else []


def test_a_result_comes_back(run, errands):
    async def main():
        assert await sennit.defer_to_process(errands.same, 1) == 1
        assert await sennit.defer_to_process(errands.same, 1, more=2) == (1, {"more": 2})
        deferred = sennit.defer_to_process(errands.same, 1).add_callback(lambda result: result + 1)
        assert await deferred == 2

    run(main())


def test_a_worker_is_a_fresh_interpreter(errands):
    errands.here.append("the parent's")

    async def main():
        assert await sennit.defer_to_process(errands.pid) != os.getpid()
        assert await sennit.defer_to_process(errands.remember, 1) == [1]
        assert "pytest" not in await sennit.defer_to_process(errands.modules)

    try:
        sennit.run(main())
    finally:
        errands.here.clear()


def test_context_variables_do_not_travel(errands):
    async def main():
        errands.place.set("here")
        assert await sennit.defer_to_process(errands.where) == "nowhere"

    sennit.run(main())


def test_an_exception_travels_with_its_traceback(run, errands):
    async def main():
        with pytest.raises(errands.SturdyError, match="it has a cause") as caught:
            await sennit.defer_to_process(errands.raise_from, "the cause")
        (note,) = caught.value.__notes__
        assert re.match(r"in process worker \d+:\nTraceback", note)
        assert "KeyError: 'the cause'" in note
        assert "in raise_from" in note

    run(main())


@pytest.mark.parametrize(
    ("kind", "args", "said"),
    [
        (
            "FragileError",
            (1, 2),
            "FragileError: 1 and 2; the exception itself cannot travel: TypeError",
        ),
        (
            "SealedError",
            ("x",),
            "SealedError: x; the exception itself cannot travel: RuntimeError: it is se",
        ),
        ("MuteError", (), None),
    ],
)
def test_an_exception_that_cannot_travel_is_told(errands, kind, args, said):
    async def main():
        wanted = TransferError if said else errands.MuteError
        with pytest.raises(wanted) as caught:
            await sennit.defer_to_process(errands.raise_it, getattr(errands, kind), *args)
        if said:
            assert said in str(caught.value)
            assert "errands.raise_it has failed" in str(caught.value)
        assert "in raise_it" in caught.value.__notes__[0]
        assert await sennit.defer_to_process(errands.same, 1) == 1

    sennit.run(main())


def test_what_cannot_be_sent_is_refused_with_what_to_do(run, errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            with pytest.raises(TransferError, match=r"<lambda>.*top level of its module") as caught:
                await pool.defer(lambda: None)
            assert caught.value.__cause__ is not None
            with pytest.raises(TransferError, match=r"errands\.same and its arguments cannot"):
                await pool.defer(errands.same, threading.Lock())
            assert pool.statistics()["started"] == 0
            with pytest.raises(TransferError, match=r"what errands\.give_lambda has returned"):
                await pool.defer(errands.give_lambda)
            assert await pool.defer(errands.same, 1) == 1
            assert pool.statistics()["started"] == 1

    run(main())


def test_a_function_that_the_worker_does_not_find(errands, monkeypatch):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            await pool.defer(errands.pid)
            monkeypatch.setattr(errands, "novel", type("novel", (), {}), raising=False)
            errands.novel.__module__ = "errands"
            with pytest.raises(
                TransferError, match=r"cannot be rebuilt in a process worker.*novel"
            ):
                await pool.defer(errands.novel)
            assert await pool.defer(errands.same, 1) == 1

    sennit.run(main())


@pytest.mark.parametrize(
    ("errand", "argument", "said", "code"),
    [
        ("kill_oneself", signal.SIGKILL, "was killed by SIGKILL", -9),
        ("kill_oneself", signal.SIGSEGV, "was killed by SIGSEGV", -11),
        ("leave", 3, "ended with exit code 3", 3),
        ("drop_out", 0, "ended with exit code 0", 0),
    ],
)
def test_a_worker_that_ends_fails_its_call_with_the_reason(
    run, errands, errand, argument, said, code
):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            pid = await pool.defer(errands.pid)
            message = f"process worker {pid} {said} while it ran errands.{errand}"
            with pytest.raises(ProcessDiedError, match=f"^{re.escape(message)}$") as caught:
                await pool.defer(getattr(errands, errand), argument)
            assert (caught.value.pid, caught.value.exit_code) == (pid, code)
            assert await pool.defer(errands.pid) != pid
            assert pool.statistics()["started"] == 2

    run(main())


def test_others_go_on_when_a_worker_is_killed(errands, gate):
    async def main():
        async with sennit.ProcessPool(2) as pool:
            held = [pool.defer(errands.hold, gate.folder, number) for number in range(2)]
            waiting = pool.defer(errands.same, "after")
            victim = await gate.started()
            other = await gate.started()
            os.kill(victim, signal.SIGKILL)
            assert await waiting == "after"
            gate.let_go()
            results = await asyncio.gather(*held, return_exceptions=True)
            assert sorted(type(result).__name__ for result in results) == [
                "ProcessDiedError",
                "int",
            ]
            assert is_alive(other)

    sennit.run(main())


def test_an_idle_worker_that_dies_is_replaced(run, errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            pid = await pool.defer(errands.pid)
            os.kill(pid, signal.SIGKILL)
            await until(lambda: pool.statistics()["ended"] == 1)
            assert pool.statistics()["idle"] == pool.statistics()["workers"] == 0
            assert await pool.defer(errands.pid) != pid

    run(main())


def test_a_call_for_a_worker_that_has_just_died_is_run_by_another(errands, tmp_path):
    path = tmp_path / "count"

    async def main():
        async with sennit.ProcessPool(1) as pool:
            pid = await pool.defer(errands.pid)
            os.kill(pid, signal.SIGKILL)
            # Dead, and the loop has not heard of it.
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222
            assert await pool.defer(errands.count, path, "once") == "once"

    sennit.run(main())
    assert written(path) == ["once"]


def test_workers_do_not_end_with_ctrl_c(errands, gate):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            held = pool.defer(errands.hold, gate.folder, "done")
            os.kill(await gate.started(), signal.SIGINT)
            gate.let_go()
            assert await held == "done"

    sennit.run(main())


def test_cancelling_a_call_that_waits_takes_it_out(run, errands, gate, tmp_path):
    path = tmp_path / "count"

    async def main():
        async with sennit.ProcessPool(1) as pool:
            held = pool.defer(errands.hold, gate.folder)
            first, second = (pool.defer(errands.count, path, word) for word in ("one", "two"))
            pid = await gate.started()
            first.cancel()
            with pytest.raises(asyncio.CancelledError):
                await first
            gate.let_go()
            await held
            await second
            assert await pool.defer(errands.pid) == pid
            assert pool.statistics()["cancelled"] == 1

    run(main())
    assert written(path) == ["two"]


def test_cancelling_a_call_that_runs_kills_its_worker(run, errands, gate):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            task = asyncio.ensure_future(pool.defer(errands.hold, gate.folder))
            pid = await gate.started()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert await pool.defer(errands.pid) != pid
            assert not is_alive(pid)

    run(main())


def test_cancelling_a_call_that_is_being_copied_spares_the_worker(errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            pid = await pool.defer(errands.pid)
            large = pool.defer(errands.same, bytes(5_000_000))
            assert pool.statistics()["running"] == 1
            large.cancel()
            with pytest.raises(asyncio.CancelledError):
                await large
            assert await pool.defer(errands.pid) == pid

    sennit.run(main())
