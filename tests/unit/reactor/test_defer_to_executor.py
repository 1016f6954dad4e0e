"""Work for executors of others: threads, processes, a Dask cluster."""

import asyncio
import concurrent.futures
import threading

import pytest

import sennit


@pytest.fixture
def threads():
    with concurrent.futures.ThreadPoolExecutor(1) as executor:
        yield executor


def test_a_result_of_a_thread(run, threads):
    async def main():
        deferred = sennit.defer_to_executor(threads, divmod, 7, 2)
        assert await deferred.add_callback(sum) == 4
        assert await sennit.defer_to_executor(threads, int, "ff", base=16) == 255

    run(main())


def test_an_error_of_a_thread(run, threads):
    async def main():
        with pytest.raises(ZeroDivisionError):
            await sennit.defer_to_executor(threads, divmod, 1, 0)

    run(main())


def test_a_result_of_a_process(run):
    async def main():
        with concurrent.futures.ProcessPoolExecutor(1) as executor:
            assert await sennit.defer_to_executor(executor, divmod, 7, 2) == (3, 1)

    run(main())


def test_cancelling_takes_a_call_out_of_the_executor(run, threads):
    go, ran = threading.Event(), []

    async def main():
        running = sennit.defer_to_executor(threads, go.wait)
        waiting = sennit.defer_to_executor(threads, ran.append, 1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        assert await running
        await sennit.defer_to_executor(threads, ran.append, 2)

    run(main())
    assert ran == [2]


def test_what_runs_and_is_cancelled_goes_on_unheard(run, threads, caplog):
    go = threading.Event()

    async def main():
        started = asyncio.Event()
        loop = asyncio.get_running_loop()

        def work():
            loop.call_soon_threadsafe(started.set)
            go.wait()
            raise ValueError("nobody is there")

        running = sennit.defer_to_executor(threads, work)
        await started.wait()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        go.set()
        await sennit.defer_to_executor(threads, int)

    run(main())
    assert caplog.records == []


def test_a_future_that_the_executor_cancels(run, threads):
    go = threading.Event()

    async def main():
        running = sennit.defer_to_executor(threads, go.wait)
        waiting = sennit.defer_to_executor(threads, int)
        threads.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        go.set()
        await running
        with pytest.raises(RuntimeError, match="after shutdown"):
            await sennit.defer_to_executor(threads, int)

    run(main())


def test_a_loop_that_is_closed_first(threads, caplog):
    go = threading.Event()

    async def main():
        sennit.defer_to_executor(threads, go.wait)

    sennit.run(main())
    go.set()
    threads.shutdown()
    assert caplog.records == []


def test_a_dask_cluster(program):
    result = program(
        """
        import asyncio, logging, threading, sennit
        from distributed import Client, LocalCluster

        def slow_square(number):
            return number * number

        def refuse():
            raise LookupError("not here")

        def wait_for(name):
            from distributed import Event
            return Event(name).wait(50)

        async def main(client):
            from distributed import Event
            cluster = client.get_executor()
            squares = [sennit.defer_to_executor(cluster, slow_square, n) for n in range(20)]
            print(sum(await sennit.gather_results(squares)))
            try:
                await sennit.defer_to_executor(cluster, refuse)
            except LookupError as error:
                print(error)
            held = sennit.defer_to_executor(cluster, wait_for, "go")
            waiting = sennit.defer_to_executor(cluster, slow_square, 5)
            waiting.cancel()
            try:
                await waiting
            except asyncio.CancelledError:
                print("cancelled")
            await asyncio.to_thread(Event("go", client=client).set)
            print(await held)

        if __name__ == "__main__":
            with LocalCluster(
                n_workers=1, threads_per_worker=1, processes=False, host="127.0.0.1",
                protocol="tcp", dashboard_address=None, worker_dashboard_address=None,
            ) as local, Client(local) as client:
                print(local.scheduler_address.rpartition(":")[0])
                sennit.run(main(client))
        """
    )
    wanted = ["tcp://127.0.0.1", "2470", "not here", "cancelled", "True"]
    assert result.stdout.splitlines() == wanted, result.stderr
    assert result.returncode == 0
