"""Blocking functions in threads: `run_in_executor` and the end of its pool."""

import asyncio
import concurrent.futures
import threading

import pytest

import sennit


def test_a_function_runs_in_another_thread(reactor):
    future = reactor.run_in_executor(None, threading.get_ident)
    assert reactor.run_until_complete(future) != threading.get_ident()
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_arguments_and_errors_pass_through(reactor):
    assert reactor.run_until_complete(reactor.run_in_executor(None, divmod, 17, 5)) == (3, 2)
    with pytest.raises(ZeroDivisionError):
        reactor.run_until_complete(reactor.run_in_executor(None, divmod, 1, 0))
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_an_executor_of_ones_own(reactor):
    with concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="mine") as pool:
        future = reactor.run_in_executor(pool, lambda: threading.current_thread().name)
        assert reactor.run_until_complete(future).startswith("mine")


def test_another_default_executor(reactor):
    pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="other")
    reactor.set_default_executor(pool)
    future = reactor.run_in_executor(None, lambda: threading.current_thread().name)
    assert reactor.run_until_complete(future).startswith("other")
    reactor.run_until_complete(reactor.shutdown_default_executor())
    with pytest.raises(RuntimeError):
        pool.submit(print)


def test_a_default_executor_must_have_threads(reactor):
    with pytest.raises(TypeError, match="ThreadPoolExecutor"):
        reactor.set_default_executor(object())


def test_nothing_runs_after_the_shutdown(reactor):
    reactor.run_until_complete(reactor.shutdown_default_executor())
    with pytest.raises(RuntimeError, match="shutdown"):
        reactor.run_in_executor(None, print)


def test_the_shutdown_waits_for_what_runs(reactor):
    release = threading.Event()
    reactor.run_in_executor(None, release.wait)

    async def main():
        shutdown = asyncio.create_task(reactor.shutdown_default_executor())
        await asyncio.sleep(0)
        assert not shutdown.done()
        release.set()
        await shutdown

    reactor.run_until_complete(main())


def test_the_shutdown_gives_up_after_its_timeout(reactor):
    release = threading.Event()
    future = reactor.run_in_executor(None, release.wait)
    with pytest.warns(RuntimeWarning, match="did not finish"):
        reactor.run_until_complete(reactor.shutdown_default_executor(timeout=0))
    release.set()
    reactor.run_until_complete(future)


def test_many_results_come_back():
    async def main():
        loop = asyncio.get_running_loop()
        return await asyncio.gather(
            *(loop.run_in_executor(None, abs, -index) for index in range(2000))
        )

    assert sennit.run(main()) == list(range(2000))


def test_to_thread_carries_the_context():
    async def main():
        return await asyncio.to_thread(threading.get_ident)

    assert sennit.run(main()) != threading.get_ident()


def test_closing_does_not_wait_for_threads(reactor):
    release = threading.Event()
    future = reactor.run_in_executor(None, release.wait)
    reactor.close()
    assert not future.done()
    release.set()
