"""The pool: streams that are used again, bounds, and nothing stale."""

import asyncio
import socket

import pytest

from sennit import net, testing
from sennit.errors import ClosedError, ConfigError, ConnectError, DeadlineError, OverloadedError

ANY = "tcp://127.0.0.1:0"


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def echo_lines(stream):
    async for line in stream.frames(net.Lines()):
        if line == b"leave":
            return
        await stream.write(line + b"\n")


async def ask(stream, text=b"ping"):
    await stream.write(text + b"\n")
    return await stream.readline()


def test_a_stream_is_used_again(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server, net.Pool(server.urls[0]) as pool:
            for _ in range(3):
                async with pool.acquire() as stream:
                    assert await ask(stream) == b"ping\n"
            counters = pool.statistics()
            assert (counters["connected"], counters["reused"], counters["idle"]) == (1, 2, 1)
            assert server.statistics()["connections_accepted"] == 1

    on_reactor(test)


def test_no_more_than_max_size_are_in_use(on_reactor):
    async def test():
        most = 0

        async def use(pool):
            nonlocal most
            async with pool.acquire() as stream:
                most = max(most, pool.statistics()["in_use"])
                return await ask(stream)

        async with await net.listen(echo_lines, ANY) as server:
            async with net.Pool(server.urls[0], max_size=3) as pool:
                answers = await asyncio.gather(*(use(pool) for _ in range(20)))
            assert answers == [b"ping\n"] * 20
            assert most == 3
            assert server.statistics()["connections_accepted"] == 3

    on_reactor(test)


def test_too_many_that_wait_are_refused(on_reactor):
    async def test():
        async with (
            await net.listen(echo_lines, ANY) as server,
            net.Pool(server.urls[0], max_size=1, max_waiting=1) as pool,
        ):
            async with pool.acquire():
                waiting = asyncio.ensure_future(pool.acquire().__aenter__())
                await until(lambda: pool.statistics()["waiting"] == 1)
                with pytest.raises(OverloadedError, match="max_waiting"):
                    await pool.acquire().__aenter__()
                waiting.cancel()
                await asyncio.wait([waiting])
            assert pool.statistics()["refused"] == 1
            async with pool.acquire() as stream:
                assert await ask(stream) == b"ping\n"

    on_reactor(test)


def test_waiting_has_a_deadline(on_reactor):
    async def test():
        async with (
            await net.listen(echo_lines, ANY) as server,
            net.Pool(server.urls[0], max_size=1, acquire_timeout=0.01) as pool,
        ):
            async with pool.acquire():
                with pytest.raises(DeadlineError, match="acquire_timeout"):
                    await pool.acquire().__aenter__()
            assert pool.statistics()["waiting"] == 0

    on_reactor(test)


def test_after_an_error_a_stream_is_dropped(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server, net.Pool(server.urls[0]) as pool:
            with pytest.raises(ZeroDivisionError):
                async with pool.acquire():
                    raise ZeroDivisionError
            assert pool.statistics()["idle"] == 0
            async with pool.acquire() as stream:
                assert await ask(stream) == b"ping\n"

    on_reactor(test)


def test_a_stream_with_something_left_to_read_is_dropped(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server, net.Pool(server.urls[0]) as pool:
            async with pool.acquire() as stream:
                await stream.write(b"one\n")
                await until(lambda: stream.buffered)
            assert pool.statistics()["idle"] == 0

    on_reactor(test)


def test_a_stream_that_its_peer_has_closed_is_never_handed_out(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server, net.Pool(server.urls[0]) as pool:
            async with pool.acquire() as stream:
                await ask(stream)
            idle = stream
            await stream.write(b"leave\n")
            await until(idle.at_eof)
            async with pool.acquire() as stream:
                assert stream is not idle
                assert await ask(stream) == b"ping\n"
            assert pool.statistics()["stale"] == 1

    on_reactor(test)


def test_idle_streams_grow_old(on_reactor):
    async def test():
        async with (
            await net.listen(echo_lines, ANY) as server,
            net.Pool(server.urls[0], idle_timeout=0.01) as pool,
        ):
            async with pool.acquire() as stream:
                await ask(stream)
            await stream.wait_closed()
            assert pool.statistics()["idle"] == 0

    on_reactor(test)


def test_a_closed_pool_lets_nobody_wait(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server:
            pool = net.Pool(server.urls[0], max_size=1)
            async with pool.acquire() as stream:
                waiting = asyncio.ensure_future(pool.acquire().__aenter__())
                await until(lambda: pool.statistics()["waiting"])
                await pool.close()
                with pytest.raises(ClosedError):
                    await waiting
            assert stream.is_closing()
            with pytest.raises(ClosedError):
                await pool.acquire().__aenter__()

    on_reactor(test)


def test_a_turn_that_comes_with_a_cancellation_is_passed_on(on_reactor):
    async def test():
        async with (
            await net.listen(echo_lines, ANY) as server,
            net.Pool(server.urls[0], max_size=1) as pool,
        ):
            holder = pool.acquire()
            await holder.__aenter__()
            others = [pool.acquire(), pool.acquire()]
            first, second = (asyncio.ensure_future(one.__aenter__()) for one in others)
            await until(lambda: pool.statistics()["waiting"] == 2)
            await holder.__aexit__(None, None, None)  # the first one's turn comes ...
            first.cancel()  # ... in the same turn of the loop
            assert await ask(await second) == b"ping\n"
            assert pool.statistics()["in_use"] == 1

    on_reactor(test)


def test_an_endpoint_that_cannot_be_reached_leaves_the_pool_usable(on_reactor):
    async def test():
        server = await net.listen(echo_lines, ANY)
        url = server.urls[0]
        await server.close()
        async with net.Pool(url, max_size=1) as pool:
            for _ in range(2):
                with pytest.raises(ConnectError, match="refused"):
                    await pool.acquire().__aenter__()
            assert pool.statistics()["in_use"] == 0

    on_reactor(test)


@pytest.mark.parametrize(
    "settings",
    [{"max_size": 0}, {"max_waiting": -1}, {"acquire_timeout": 0}, {"idle_timeout": -1}],
)
def test_settings_that_make_no_sense(settings):
    with pytest.raises(ConfigError, match=next(iter(settings))):
        net.Pool("tcp://127.0.0.1:1", **settings)


@pytest.mark.parametrize(
    ("url", "options", "reason"),
    [
        ("udp://h:1", {}, "has datagrams"),
        ("tcp://h:0", {}, "says not where"),
        ("tcp://h:1", {"nothing": 1}, "is no option"),
        ("tcp://h:1", {"local_address": 5}, "must be text"),
        ("unix:///x", {"keep_alive": True}, "means nothing here"),
    ],
)
def test_what_could_never_connect_is_refused_at_once(url, options, reason):
    with pytest.raises(ConfigError, match=reason):
        net.Pool(url, **options)
    with pytest.raises(ConfigError, match=reason):
        net.Reconnector(url, **options)


# -- what makes a stream unfit for the next user ---------------------------------------------------


async def never_read(stream):
    stream.transport.pause_reading()
    await asyncio.Event().wait()


@pytest.mark.parametrize("what", ["unsent", "ended", "read by another task"])
def test_a_stream_on_which_something_is_under_way_is_not_used_again(on_reactor, what):
    async def test():
        async with await net.listen(never_read, ANY) as server:
            pool = net.Pool(server.urls[0])
            async with pool.acquire() as stream:
                if what == "unsent":
                    stream.write(bytes(16 * 1024 * 1024))
                elif what == "ended":
                    stream.write_eof()
                else:
                    reading = asyncio.ensure_future(stream.read())
                    await asyncio.sleep(0)
            assert pool.statistics()["idle"] == 0
            assert stream.is_closing()
            if what.startswith("read"):
                await asyncio.wait([reading])
                assert reading.exception() is not None
            await pool.close(0)
            await server.close(0)

    on_reactor(test)


def test_the_next_user_finds_the_settings_as_they_were(on_reactor):
    async def test():
        async with await net.listen(echo_lines, ANY) as server, net.Pool(server.urls[0]) as pool:
            async with pool.acquire() as stream:
                await ask(stream)
                stream.read_timeout, stream.write_timeout, stream.max_buffered = 0.001, 0.001, 1
            async with pool.acquire() as again:
                assert again is stream
                settings = (again.read_timeout, again.write_timeout, again.max_buffered)
                assert settings == (None, None, 64 * 1024)

    on_reactor(test)


@pytest.mark.parametrize("what", [b"", b"too late\n"], ids=["end", "data"])
def test_what_came_while_the_loop_was_busy_counts(on_reactor, what):
    """The peer acts, and the pool is asked before the loop has looked at the socket."""

    async def test():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            async with net.Pool(f"tcp://127.0.0.1:{listening.getsockname()[1]}") as pool:
                async with pool.acquire() as first:
                    far, _ = listening.accept()
                with far:
                    if what:
                        far.sendall(what)
                    else:
                        far.close()
                    async with pool.acquire() as second:
                        assert second is not first
                assert pool.statistics()["stale"] == 1

    on_reactor(test)


def test_closing_waits_for_a_peer_that_does_not_read_only_so_long():
    async def main():
        async with await net.listen(never_read, "tcp://10.0.0.1:7000") as server:
            pool = net.Pool(server.urls[0])
            async with pool.acquire() as stream:
                stream.write(bytes(16 * 1024 * 1024))
            began = asyncio.get_running_loop().time()
            await pool.close(3)
            took = asyncio.get_running_loop().time() - began
            await stream.wait_closed()
            await server.close(0)
            return took

    assert 3 <= testing.run(main()) < 3.5


def test_a_stream_that_leaves_the_pool_does_not_wait_for_ever_either():
    async def main():
        async with await net.listen(never_read, "tcp://10.0.0.1:7000") as server:
            pool = net.Pool(server.urls[0])
            async with pool.acquire() as stream:
                stream.write(bytes(16 * 1024 * 1024))
            began = asyncio.get_running_loop().time()
            await stream.wait_closed()
            took = asyncio.get_running_loop().time() - began
            await server.close(0)
            return took

    assert 5 <= testing.run(main()) < 5.5
