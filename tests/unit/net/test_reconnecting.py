"""Reconnecting: it comes back, waits longer each time, and knows when to stop."""

import asyncio
import contextlib

import pytest

from sennit import net
from sennit.errors import BusyError, ClosedError, ConfigError, ConnectError

ANY = "tcp://127.0.0.1:0"
QUICK = {"first_delay": 0.001, "max_delay": 0.004}


async def greet(stream):
    await stream.write(b"hello")


async def nowhere():
    server = await net.listen(greet, ANY)
    await server.close()
    return server.urls[0]


def test_each_round_of_the_loop_has_a_connection_of_its_own(on_reactor):
    async def test():
        async with await net.listen(greet, ANY) as server:
            reconnector = net.Reconnector(server.urls[0], **QUICK)
            heard = []
            async for stream in reconnector:
                assert reconnector.state is net.ReconnectorState.CONNECTED
                heard.append(await stream.read_exactly(5))
                if len(heard) == 3:
                    break
            assert heard == [b"hello"] * 3
            assert reconnector.statistics()["connections"] == 3

    on_reactor(test)


def test_it_gives_up_after_so_many_attempts_in_a_row(on_reactor):
    async def test():
        reconnector = net.Reconnector(await nowhere(), max_attempts=3, **QUICK)
        with pytest.raises(ConnectError, match="refused") as caught:
            async for _ in reconnector:
                pass
        assert "max_attempts" in "".join(caught.value.__notes__)
        counters = reconnector.statistics()
        assert (counters["attempts"], counters["failures"]) == (3, 3)
        assert reconnector.state is net.ReconnectorState.STOPPED

    on_reactor(test)


def test_the_delay_grows_to_its_limit(on_reactor):
    async def test():
        delays = []
        reconnector = net.Reconnector(
            await nowhere(), first_delay=0.001, max_delay=0.005, factor=2, max_attempts=5
        )
        real = asyncio.sleep

        async def sleep(delay):
            delays.append(delay)
            await real(0)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(asyncio, "sleep", sleep)
            with pytest.raises(ConnectError):
                async for _ in reconnector:
                    pass
        assert len(delays) == 4
        for delay, most in zip(delays, (0.001, 0.002, 0.004, 0.005), strict=True):
            assert most / 2 <= delay <= most

    on_reactor(test)


@pytest.mark.parametrize(("stable_after", "delay"), [(0.0, 0.001), (60.0, 0.008)])
def test_the_delay_starts_again_after_a_connection_that_has_lasted(on_reactor, stable_after, delay):
    async def test():
        async with await net.listen(greet, ANY) as server:
            reconnector = net.Reconnector(
                server.urls[0], first_delay=0.001, max_delay=1, stable_after=stable_after
            )
            rounds = 0
            async for stream in reconnector:
                await stream.read()
                rounds += 1
                if rounds == 4:
                    # What comes next is what the first three connections have made of it.
                    assert reconnector.statistics()["next_delay"] == max(delay, 0.002)
                    break

    on_reactor(test)


def test_a_protocol_in_the_background_comes_back(on_reactor):
    class Counting(net.Protocol):
        made = 0

        def connection_made(self, transport):
            super().connection_made(transport)
            type(self).made += 1

    async def test():
        server = await net.listen(net.Protocol, ANY)
        async with net.Reconnector(server.urls[0], Counting, **QUICK) as reconnector:
            first = await reconnector.wait_connected()
            assert reconnector.protocol is first
            while not server.connections:
                await asyncio.sleep(0)
            for protocol in server.connections:
                protocol.abort()
            while reconnector.protocol is first:
                await asyncio.sleep(0)
            second = await reconnector.wait_connected()
            assert second is not first
            assert Counting.made == 2
        assert reconnector.state is net.ReconnectorState.STOPPED
        assert second.transport.is_closing()
        with pytest.raises(ClosedError):
            await reconnector.wait_connected()
        await server.close()

    on_reactor(test)


def test_whoever_waits_hears_that_it_has_given_up(on_reactor):
    async def test():
        url = await nowhere()
        async with net.Reconnector(url, net.Protocol, max_attempts=2, **QUICK) as reconnector:
            with pytest.raises(ConnectError):
                await reconnector.wait_connected()

    on_reactor(test)


def test_one_reconnector_is_used_once(on_reactor):
    async def test():
        async with await net.listen(greet, ANY) as server:
            reconnector = net.Reconnector(server.urls[0], **QUICK)
            async for _ in reconnector:
                with pytest.raises(BusyError):
                    async for _ in reconnector:
                        pass
                break
            with pytest.raises(ConfigError, match="async for"):
                await net.Reconnector(server.urls[0]).__aenter__()
            with pytest.raises(ConfigError, match="async with"):
                async for _ in net.Reconnector(server.urls[0], net.Protocol):
                    pass

    on_reactor(test)


@pytest.mark.parametrize(
    "settings",
    [
        {"first_delay": 0},
        {"first_delay": 2, "max_delay": 1},
        {"factor": 0.5},
        {"jitter": 1.5},
        {"max_attempts": 0},
    ],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        net.Reconnector("tcp://127.0.0.1:1", **settings)


def test_an_option_that_makes_no_sense_is_not_tried_again(on_reactor):
    async def test():
        with pytest.raises(ConfigError, match="no option"):
            async for _ in net.Reconnector("tcp://127.0.0.1:1", colour="red", **QUICK):
                pass

    on_reactor(test)


@pytest.mark.parametrize("moment", ["connected", "waiting"])
def test_closing_ends_a_loop_over_streams(on_reactor, moment):
    async def test():
        async with await net.listen(greet, ANY) as server:
            url = server.urls[0] if moment == "connected" else await nowhere()
            reconnector = net.Reconnector(url, first_delay=1000, max_delay=1000)
            heard = []

            async def use():
                async for stream in reconnector:
                    heard.append(await stream.read_exactly(5))
                    with contextlib.suppress(ClosedError):
                        await stream.read()
                        await asyncio.Event().wait()

            using = asyncio.ensure_future(use())
            wanted = net.ReconnectorState[moment.upper()]
            while reconnector.state is not wanted or (moment == "connected") != bool(heard):
                await asyncio.sleep(0)
            await reconnector.close()
            await using
            assert heard == ([b"hello"] if moment == "connected" else [])
            assert reconnector.state is net.ReconnectorState.STOPPED

    on_reactor(test)


def test_closing_does_not_swallow_a_cancellation(on_reactor):
    async def test():
        class Deaf(net.Protocol):
            pass

        async with await net.listen(greet, ANY) as server:
            reconnector = net.Reconnector(server.urls[0], Deaf)
            await reconnector.__aenter__()
            await reconnector.wait_connected()
            closing = asyncio.ensure_future(reconnector.close())
            await asyncio.sleep(0)
            closing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await closing
            await reconnector.close()
            assert reconnector.state is net.ReconnectorState.STOPPED

    on_reactor(test)


def test_a_loop_that_is_cancelled_while_it_connects_leaves_nothing_behind(on_reactor):
    async def test():
        async with await net.listen(greet, ANY) as server:
            reconnector = net.Reconnector(server.urls[0])

            async def use():
                async for _ in reconnector:
                    raise AssertionError

            using = asyncio.ensure_future(use())
            while reconnector.state is not net.ReconnectorState.CONNECTING:
                await asyncio.sleep(0)
            using.cancel()
            with pytest.raises(asyncio.CancelledError):
                await using
            assert reconnector.state is net.ReconnectorState.STOPPED

    on_reactor(test)
