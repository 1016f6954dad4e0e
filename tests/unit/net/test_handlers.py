"""Stream handlers: a task for each connection, and what becomes of its stream."""

import asyncio
import logging
import socket

import pytest

from sennit import net
from sennit.errors import ConfigError, ConnectionLostError

ANY = "tcp://127.0.0.1:0"


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def reset(stream):
    option = (1).to_bytes(4, "little") + bytes(4)  # SO_LINGER of 0 s
    sock = stream.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
    stream.abort()


async def echo(stream):
    async for chunk in stream:
        await stream.write(chunk)


def test_a_handler_serves_until_its_peer_has_ended(on_reactor):
    async def test():
        async with await net.listen(echo, ANY) as server:
            stream = await net.connect(server.urls[0])
            await stream.write(b"one line\n")
            assert await stream.readline() == b"one line\n"
            (served,) = server.connections
            assert served.peer_address == stream.local_address
            stream.write_eof()
            assert await stream.read() == b""
            await until(lambda: not server.connections)
            stream.close()
            assert server.statistics()["connections_open"] == 0

    on_reactor(test)


def test_what_a_handler_has_written_is_sent_when_it_returns(on_reactor):
    block = bytes(5_000_000)

    async def handler(stream):
        stream.write(block)

    async def test():
        async with await net.listen(handler, ANY) as server:
            stream = await net.connect(server.urls[0])
            got = [len(chunk) async for chunk in stream]
            assert sum(got) == len(block)

    on_reactor(test)


def test_a_handler_that_fails_is_reported_and_its_stream_reset(on_reactor, reported):
    async def handler(stream):
        stream.write(bytes(5_000_000))
        raise ZeroDivisionError

    async def test():
        async with await net.listen(handler, ANY) as server:
            stream = await net.connect(server.urls[0])
            with pytest.raises(ConnectionLostError):
                async for _ in stream:
                    pass

    on_reactor(test)
    (context,) = reported
    assert isinstance(context["exception"], ZeroDivisionError)
    assert "handler" in context["message"]


def test_a_peer_that_resets_is_no_mistake_of_the_handler(on_reactor, reported, caplog):
    async def test():
        with caplog.at_level(logging.DEBUG, "sennit.net"):
            async with await net.listen(echo, ANY) as server:
                stream = await net.connect(server.urls[0])
                await until(lambda: server.connections)
                reset(stream)
                await until(lambda: "reset" in caplog.text)
            assert server.statistics()["connections_open"] == 0

    on_reactor(test)
    assert reported == []


def test_a_closing_server_ends_the_handlers_stream(on_reactor):
    ended = []

    async def handler(stream):
        async for chunk in stream:
            await stream.write(chunk)
        ended.append(await stream.read())
        await stream.write(b"good-bye")

    async def test():
        server = await net.listen(handler, ANY)
        stream = await net.connect(server.urls[0])
        await stream.write(b"x")
        assert await stream.read() == b"x"
        await server.close()
        assert await stream.read() == b"good-bye"
        assert ended == [b""]
        assert server.state is net.ServerState.STOPPED

    on_reactor(test)


def test_a_handler_that_lingers_is_aborted_after_the_grace_time(on_reactor):
    async def handler(stream):
        await asyncio.Event().wait()

    async def test():
        server = await net.listen(handler, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        await server.close(grace=0.01)
        assert await stream.read() == b""
        assert not server.connections

    on_reactor(test)


def test_settings_of_streams_are_checked_before_the_first_connection():
    with pytest.raises(ConfigError, match="read_timeout"):
        net.StreamFactory(echo, read_timeout=-1)


def test_settings_reach_the_streams(on_reactor):
    seen = []

    async def handler(stream):
        seen.append((stream.read_timeout, stream.max_buffered))

    async def test():
        factory = net.StreamFactory(handler, read_timeout=7.0, max_buffered=1000)
        async with await net.listen(factory, ANY) as server:
            stream = await net.connect(server.urls[0])
            assert await stream.read() == b""
            stream.close()

    on_reactor(test)
    assert seen == [(7.0, 1000)]


def test_an_object_with_an_async_call_is_a_handler(on_reactor):
    class Greeter:
        async def __call__(self, stream):
            await stream.write(b"hello")

    async def test():
        async with await net.listen(Greeter(), ANY) as server:
            stream = await net.connect(server.urls[0])
            assert await stream.read() == b"hello"
            stream.close()

    on_reactor(test)


def test_a_handler_is_cancelled_when_the_grace_time_is_over(on_reactor, reported):
    log = []

    async def handler(stream):
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    async def test():
        server = await net.listen(handler, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        reset(stream)  # its peer is gone, and it does not read: it goes on
        await until(lambda: not server.connections)
        assert log == []
        await server.close(grace=0.01)
        assert log == ["cleaned up"]

    on_reactor(test)
    assert reported == []


def test_a_handler_may_finish_within_the_grace_time(on_reactor):
    done = []

    async def handler(stream):
        async for _ in stream:
            pass
        stream.close()
        for _ in range(20):
            await asyncio.sleep(0)
        done.append(True)

    async def test():
        server = await net.listen(handler, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        await server.close()
        assert done == [True]
        stream.close()

    on_reactor(test)


@pytest.mark.parametrize(
    ("fails", "reason"),
    [
        ("upstream", "ConnectionLostError: "),
        ("line", "RemoteProtocolError: frame is at least 3 bytes"),
    ],
)
def test_what_ends_a_handler_whose_own_connection_is_well_is_logged(
    on_reactor, reported, caplog, fails, reason
):
    async def serve(stream):
        if fails == "upstream":
            raise ConnectionLostError("the database is gone")
        await stream.frames(net.Lines(max_size=2)).receive()

    async def test():
        with caplog.at_level(logging.WARNING, "sennit.net"):
            async with await net.listen(serve, ANY) as server:
                stream = await net.connect(server.urls[0])
                stream.write(b"too long\n")
                await until(lambda: reason in caplog.text)
                stream.abort()

    on_reactor(test)
    assert reported == []


def test_dropping_everything_at_once_is_nothing_to_warn_of(on_reactor, caplog):
    async def linger(_stream):
        await asyncio.Event().wait()

    async def test():
        server = await net.listen(linger, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        await server.close(0)
        stream.abort()

    with caplog.at_level(logging.WARNING, "sennit.net"):
        on_reactor(test)
    assert caplog.text == ""
