"""A stream and its loop: what leaves it, what closes it, and a loop that is not its own."""

import asyncio
import gc

import pytest

import sennit
from sennit.net.stream import Stream


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_what_leaves_the_loop_leaves_it(connect, error):
    reactor = sennit.Reactor()
    steps = []

    async def main():
        stream, peer = await connect(Stream())

        async def read():
            await stream.read()
            steps.append("interrupted")
            raise error

        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        await peer.send(b"x")
        steps.append(task)
        try:
            await asyncio.Event().wait()
        finally:
            stream.close()
            await stream.wait_closed()
            peer.close()

    waiting = reactor.create_task(main())
    with pytest.raises(error):
        reactor.run_until_complete(waiting)
    assert "interrupted" in steps
    with pytest.raises(error):
        steps[0].result()
    # The loop goes on afterwards.
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        reactor.run_until_complete(waiting)
    reactor.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_loop_that_is_closed_under_a_reader(connect):
    reactor = sennit.Reactor()
    stream, peer = reactor.run_until_complete(connect(Stream()))

    async def read():
        return await stream.read()

    task = reactor.create_task(read())
    reactor.run_until_complete(asyncio.sleep(0))
    reactor.close()
    task._log_destroy_pending = False
    assert not task.done()
    del task, peer
    gc.collect()
    with pytest.raises(ConnectionError, match="loop was closed"):
        stream.read().send(None)
    with pytest.raises(ConnectionError):
        stream.write(b"x")
    stream.close()


def test_a_waiter_of_another_loop_is_refused(connect):
    first, second = sennit.Reactor(), sennit.Reactor()
    stream, peer = first.run_until_complete(connect(Stream()))

    async def read():
        return await stream.read()

    with pytest.raises(RuntimeError, match="attached to a different loop"):
        second.run_until_complete(read())
    second.close()

    async def end():
        await peer.send(b"x")
        assert await stream.read() == b"x"
        stream.close()
        await stream.wait_closed()
        peer.close()

    first.run_until_complete(end())
    first.close()
