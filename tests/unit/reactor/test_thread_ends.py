"""What ends around a pool: its loop, the interpreter, the process it was made in."""

import asyncio
import logging
import threading

import pytest

import sennit
from sennit.errors import ClosedError


def test_a_closed_reactor_fails_what_waits_and_lets_the_rest_finish(reactor):
    gate, begun, ended = threading.Event(), threading.Event(), threading.Event()
    ran, failed = [], []

    def work():
        begun.set()
        gate.wait()
        ended.set()

    async def main():
        pool = asyncio.get_running_loop().threads
        pool.size = 1
        first = sennit.defer_to_thread(work)
        while not begun.is_set():
            await asyncio.sleep(0)
        sennit.defer_to_thread(ran.append, 1).add_errback(failed.append)
        return pool, first

    pool, first = reactor.run_until_complete(main())
    threads = list(pool._members)
    reactor.close()
    assert failed[0].check(ClosedError)
    gate.set()
    assert ended.wait(60)
    for thread in threads:
        thread.join(60)
    assert not first.done()
    assert ran == []
    assert pool.state == "STOPPED"
    with pytest.raises(ClosedError):
        _ = reactor.threads


def test_a_result_for_a_closed_loop_is_dropped_and_said_once(reactor, caplog):
    gate, begun = threading.Event(), threading.Semaphore(0)

    def work():
        begun.release()
        gate.wait()

    async def main():
        for _ in range(3):
            sennit.defer_to_thread(work)
        return asyncio.get_running_loop().threads

    pool = reactor.run_until_complete(main())
    for _ in range(3):
        begun.acquire()
    threads = list(pool._members)
    reactor.close()
    with caplog.at_level(logging.WARNING, "sennit.threads"):
        gate.set()
        for thread in threads:
            thread.join(60)
    assert [record.message.count("is dropped") for record in caplog.records] == [1]


def test_a_result_for_a_closed_stock_loop_is_dropped_too(caplog):
    gate, begun = threading.Event(), threading.Event()
    pools = []

    def work():
        begun.set()
        gate.wait()

    async def main():
        pools.append(sennit.ThreadPool(1))
        pools[0].defer(work)
        while not begun.is_set():
            await asyncio.sleep(0)

    asyncio.run(main())
    threads = list(pools[0]._members)
    with caplog.at_level(logging.WARNING, "sennit.threads"):
        gate.set()
        pools[0].close()
        for thread in threads:
            thread.join(60)
    assert [record.message.count("is dropped") for record in caplog.records] == [1]


def test_run_finishes_what_was_given_to_threads():
    ran = []

    async def main():
        asyncio.get_running_loop().threads.size = 1
        for number in range(100):
            sennit.call_in_thread(ran.append, number)

    sennit.run(main())
    assert ran == list(range(100))


def test_the_shutdown_of_the_executor_gives_up_after_its_timeout(reactor):
    gate, begun = threading.Event(), threading.Event()

    def work():
        begun.set()
        return gate.wait()

    async def main():
        call = sennit.defer_to_thread(work)
        while not begun.is_set():
            await asyncio.sleep(0)
        with pytest.warns(RuntimeWarning, match="did not finish its work within 0 seconds"):
            await asyncio.get_running_loop().shutdown_default_executor(timeout=0)
        gate.set()
        assert await call

    reactor.run_until_complete(main())


IDLE_THREADS = """
    import sennit
    async def main():
        await sennit.gather_results([sennit.defer_to_thread(int) for _ in range(100)])
    {start}
    print("end")
"""


@pytest.mark.parametrize(
    "start",
    [
        "sennit.run(main())",
        "import asyncio; asyncio.run(main())",
        "loop = sennit.Reactor(); loop.run_until_complete(main())",
        "loop = sennit.Reactor(); loop.run_until_complete(main()); loop.keep = loop; del loop",
    ],
    ids=["run", "asyncio", "not closed", "cycle"],
)
def test_idle_threads_do_not_hold_the_interpreter(program, start):
    done = program(IDLE_THREADS.format(start=start))
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr


def test_the_interpreter_waits_for_what_runs_and_what_waits(program):
    done = program(
        """
        import sennit, threading
        gate = threading.Event()
        pool = sennit.ThreadPool(1)

        async def main():
            pool.call(gate.wait)
            for number in range(3):
                pool.call(print, number)

        sennit.run(main())
        threading.Timer(0.05, gate.set).start()
        """
    )
    assert (done.returncode, done.stdout) == (0, "0\n1\n2\n"), done.stderr


def test_an_interrupted_end_is_no_crash(program):
    """Ctrl-C while the interpreter waits for a thread: that asks for the GIL when there is none."""
    done = program(
        """
        import os, signal, sennit, threading, time
        pool = sennit.ThreadPool(1)

        async def main():
            pool.call(time.sleep, 0.3)

        sennit.run(main())
        kill = os.kill, (os.getpid(), signal.SIGINT)
        timer = threading.Timer(0.05, *kill)
        timer.daemon = True
        timer.start()
        """
    )
    assert done.returncode == 0, done.stderr
    assert "Fatal" not in done.stderr


def test_an_error_at_the_end_does_not_hang(program):
    done = program(
        """
        import sennit, sys

        async def main():
            sennit.call_in_thread(int)
            sys.exit(3)

        sennit.run(main())
        """
    )
    assert done.returncode == 3, done.stderr


def test_the_child_of_a_fork_is_told_and_may_have_threads_of_its_own(program):
    done = program(
        """
        import os, sennit

        pool = sennit.ThreadPool(2)

        async def parent():
            await pool.defer(int)

        async def child():
            print(pool.state, repr(pool))
            for act in (lambda: pool.defer(int), pool.statistics):
                try:
                    act()
                except RuntimeError as error:
                    print(error)
            pool.close()
            print(await sennit.defer_to_thread(int))

        sennit.run(parent())
        import asyncio
        asyncio.run(parent())
        pid = os.fork()
        if not pid:
            sennit.run(child())
            asyncio.run(child())
            print("child ends", flush=True)
            raise SystemExit(7)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
        sennit.run(parent())
        """
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert lines[0].startswith("FOREIGN <sennit.ThreadPool 'sennit' of the parent")
    assert sum("was made before a fork" in line for line in lines) == 4
    assert lines[-2:] == ["child ends", "7"]


def test_a_function_may_fork(program):
    done = program(
        """
        import os, sennit

        def work():
            pid = os.fork()
            if not pid:
                return "child"
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        async def main():
            print(await sennit.defer_to_thread(work), flush=True)
            print(await sennit.defer_to_thread(int), flush=True)

        sennit.run(main())
        """
    )
    assert (done.returncode, done.stdout) == (0, "0\n0\n"), done.stderr
