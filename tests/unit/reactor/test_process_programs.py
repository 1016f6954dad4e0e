"""Processes of whole programs: the main module; the end of the loop, and of the parent."""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import sennit
from sennit import testing

FOLDER = Path(__file__).parent
PATIENCE = 60


@pytest.fixture
def script(tmp_path):
    """Runs a script of its own file; whatever of it is left at the end is killed."""
    started = []

    def run(source, *arguments, module=False, wait=True):
        path = tmp_path / "script.py"
        path.write_text(textwrap.dedent(source))
        start = ["-m", "script"] if module else [str(path)]
        process = subprocess.Popen(
            [sys.executable, "-X", "dev", *start, *map(str, arguments)],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(FOLDER)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        if not wait:
            return process
        out, err = process.communicate(timeout=PATIENCE)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    yield run
    for process in started:
        # Its forks are of its group, and outlive it.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def wait_gone(pids, then):
    """Do something, and wait for the end of processes that are nobody's children here."""
    pidfds = [os.pidfd_open(pid) for pid in pids]
    try:
        then()
        for pidfd in pidfds:
            poll = select.poll()
            poll.register(pidfd, select.POLLIN)
            assert poll.poll(PATIENCE * 1000)
    finally:
        for pidfd in pidfds:
            os.close(pidfd)


GUARDED = """
    import asyncio, sys, sennit

    class Point:
        def __init__(self, x):
            self.x = x
            self.module = __name__

    def moved(point, by):
        return Point(point.x + by)

    class Refused(Exception):
        pass

    def refuse():
        raise Refused("no")

    async def main():
        point = await sennit.defer_to_process(moved, Point(1), 2)
        print(type(point) is Point, point.x, point.module)
        try:
            await sennit.defer_to_process(refuse)
        except Refused as error:
            print("refused", error)
        print(await sennit.defer_to_process(len, sys.argv))

    print("started", __name__)
    if __name__ == "__main__":
        sennit.run(main())
"""


@pytest.mark.parametrize("module", [False, True])
def test_functions_and_classes_of_the_main_module(script, module):
    result = script(GUARDED, "argument", module=module)
    assert result.stderr == ""
    assert sorted(result.stdout.splitlines()) == sorted(
        ["started __main__", "started __mp_main__", "True 3 __mp_main__", "refused no", "2"]
    )


def test_a_main_module_that_starts_itself_is_told_what_to_do(script):
    result = script(
        """
        import sennit

        def work():
            return 1

        async def main():
            return await sennit.defer_to_process(work)

        print(sennit.run(main()))
        """
    )
    assert 'put what starts it behind if __name__ == "__main__":' in result.stderr
    assert result.returncode == 1


def test_it_does_no_harm_where_the_main_module_is_not_needed(script):
    result = script(
        """
        import math, sennit

        async def main():
            return await sennit.defer_to_process(math.factorial, 5)

        print(sennit.run(main()))
        """
    )
    assert (result.stdout, result.stderr) == ("120\n", "")


def test_functions_of_a_program_without_a_file(program):
    result = program(
        """
        import sennit
        from sennit.errors import TransferError

        def work():
            return 1

        async def main():
            try:
                await sennit.defer_to_process(work)
            except TransferError as error:
                print(error)

        sennit.run(main())
        """
    )
    assert "put the function into a module" in result.stdout
    assert result.stderr == ""


def test_workers_of_workers(script):
    result = script(
        """
        import asyncio, sennit

        def inner(number):
            return number + 1

        async def ask(number):
            return await sennit.defer_to_process(inner, number)

        def outer(number):
            return sennit.run(ask(number)) * 10

        async def main():
            print(await sennit.defer_to_process(outer, 3))

        if __name__ == "__main__":
            sennit.run(main())
        """
    )
    assert (result.stdout, result.stderr) == ("40\n", "")


def test_output_is_the_program_s_own(program):
    result = program(
        """
        import sennit

        async def main():
            await sennit.defer_to_process(print, "from a worker")

        sennit.run(main())
        """
    )
    assert (result.stdout, result.stderr) == ("from a worker\n", "")


def test_the_workers_of_the_default_pool_end_with_the_loop(run, errands):
    async def main():
        return await sennit.defer_to_process(errands.pid)

    first, second = run(main()), run(main())
    assert first != second
    assert not Path(f"/proc/{first}").exists()
    assert not Path(f"/proc/{second}").exists()


def test_closing_a_reactor_ends_its_processes(errands, gate):
    async def main():
        held = sennit.defer_to_process(errands.hold, gate.folder)
        pool = sennit.ProcessPool(1)
        return held, pool, await gate.started(), await pool.defer(errands.pid)

    reactor = sennit.Reactor()
    held, pool, *pids = reactor.run_until_complete(main())
    reactor.close()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not held.done()
    assert pool.state.value == "stopped"


def test_closing_a_loop_of_asyncio_alone_is_found_out(errands):
    async def main():
        return await sennit.defer_to_process(errands.pid)

    loop = asyncio.new_event_loop()
    pid = loop.run_until_complete(main())
    loop.close()
    assert Path(f"/proc/{pid}").exists()
    other = sennit.run(main())
    assert pid != other
    assert not Path(f"/proc/{pid}").exists()


def test_a_simulated_clock_waits_for_processes_that_work(errands):
    async def main():
        hour = asyncio.ensure_future(asyncio.sleep(3600))
        assert await sennit.defer_to_process(errands.same, 1) == 1
        assert not hour.done()
        # None works now, so an hour takes no time.
        await hour

    testing.run(main(), seed=1)


BUSY = """
    import asyncio, errands, sys, sennit

    async def main():
        pool = sennit.ProcessPool(2)
        print(await pool.defer(errands.pid))
        busy = pool.defer(errands.busy)
        print(await pool.defer(errands.pid), flush=True)
        {then}

    if __name__ == "__main__":
        sennit.run(main())
"""


def test_no_worker_survives_a_parent_that_is_killed(script):
    process = script(BUSY.format(then="await busy"), wait=False)
    pids = {int(process.stdout.readline()) for _ in range(2)}
    assert len(pids) == 2
    wait_gone(pids, process.kill)
    assert process.communicate()[1] == ""


def test_ctrl_c_ends_the_program_and_not_its_workers_one_by_one(script):
    process = script(BUSY.format(then="async with pool: await busy"), wait=False)
    pids = {int(process.stdout.readline()) for _ in range(2)}
    # A terminal sends it to every process of the program.
    wait_gone(pids, lambda: os.killpg(process.pid, signal.SIGINT))
    err = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == -signal.SIGINT
    assert err.count("\nKeyboardInterrupt") == 1


def test_a_fork_that_lives_on_keeps_no_worker_alive(script):
    process = script(
        BUSY.format(
            then="""
        import os, signal
        receiver, sender = os.pipe()
        if os.fork() == 0:
            os.write(sender, repr(pool).encode())
            signal.pause()
        print(os.read(receiver, 1000).decode(), flush=True)
        await busy
        """
        ),
        wait=False,
    )
    pids = {int(process.stdout.readline()) for _ in range(2)}
    assert "stopped, 0 of 2 processes" in process.stdout.readline()
    wait_gone(pids, process.kill)


@pytest.mark.parametrize(
    ("end", "code"), [("return", 0), ("sys.exit(3)", 3), ("import os; os._exit(4)", 4)]
)
def test_a_program_that_ends_while_workers_work(script, end, code):
    process = script(BUSY.format(then=f"sys.stdin.readline(); {end}"), wait=False)
    pids = {int(process.stdout.readline()) for _ in range(2)}
    wait_gone(pids, lambda: process.stdin.write("end\n") and process.stdin.flush())
    process.communicate(timeout=PATIENCE)
    assert process.returncode == code
