"""What has its result is not kept alive by what was to make it: no garbage for the collector."""

import asyncio
import gc
import weakref

import sennit
from sennit import testing


def test_a_fired_deferred_lets_its_canceller_go():
    class Canceller:
        def __call__(self, deferred):
            raise AssertionError

    canceller = Canceller()
    gone = weakref.ref(canceller)
    deferred = sennit.Deferred(canceller)
    del canceller
    deferred.callback(1)
    assert gone() is None
    assert deferred.result() == 1


def test_a_canceller_that_knows_its_deferred_keeps_nobody_alive(caplog):
    def make():
        deferred = sennit.Deferred(lambda _: deferred)
        deferred.errback(ValueError("on purpose"))

    gc.disable()
    try:
        make()
        assert "on purpose" in caplog.text  # it was reported when it died, which was at once
    finally:
        gc.enable()


def test_coroutines_and_futures_leave_no_garbage():
    async def work():
        await asyncio.sleep(0)

    async def main():
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                await sennit.ensure_deferred(work())
                future = asyncio.get_running_loop().create_future()
                future.set_result(1)
                await sennit.Deferred.from_future(future)
            return gc.collect()
        finally:
            gc.enable()

    assert testing.run(main()) == 0
