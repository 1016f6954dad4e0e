"""Servers: what they listen on, their limits and numbers, factories, and one graceful end."""

import asyncio
import contextlib
import socket

import pytest

from sennit import net
from sennit.errors import ConfigError, ConnectionLostError

ANY = "tcp://127.0.0.1:0"


class Echo(net.Protocol):
    def data_received(self, data):
        self.write(data)


class Lingering(net.Protocol):
    """Never closes by itself."""

    def __init__(self):
        self.heard = []

    def server_closing(self):
        self.heard.append("closing")

    def connection_lost(self, exc):
        self.heard.append(exc)


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


async def read_end(stream):
    """What comes until the end, which a reset may be as well."""
    heard = b""
    with contextlib.suppress(ConnectionLostError):
        while piece := await stream.read():
            heard += piece
    stream.abort()
    return heard


async def talk(url, **options):
    async with await net.connect(url, **options) as stream:
        await stream.write(b"hello")
        return await stream.read()


def test_several_urls_of_every_kind(on_reactor, tmp_path):
    path = tmp_path / "a b.sock"

    async def test():
        urls = (
            ANY,
            "tcp://[::1]:0",
            f"unix://{str(path).replace(' ', '%20')}",
            "unix:@sennit-test",
        )
        async with await net.listen(Echo, *urls) as server:
            assert server.state is net.ServerState.RUNNING
            assert server.port == int(server.urls[0].rpartition(":")[2]) > 0
            assert server.urls[1].startswith("tcp://[::1]:")
            assert server.urls[3] == "unix:@sennit-test"
            assert path.is_socket()
            for url in (*server.urls[:2], *urls[2:]):
                assert await talk(url) == b"hello"
            assert repr(server).startswith("<sennit.net.Server RUNNING tcp://127.0.0.1:")
        assert server.state is net.ServerState.STOPPED
        assert not path.exists()
        await server.close()
        with pytest.raises(ValueError, match="has no port"):
            async with await net.listen(Echo, urls[3]) as unix:
                assert unix.port

    on_reactor(test)


def test_the_path_of_somebody_else_stays(on_reactor, tmp_path):
    path = tmp_path / "s.sock"

    async def test():
        first = await net.listen(Echo, f"unix://{path}")
        second = await net.listen(Echo, f"unix://{path}")
        await first.close()
        assert path.is_socket()
        assert await talk(f"unix://{path}") == b"hello"
        await second.close()
        assert not path.exists()
        path.write_text("a file")
        with pytest.raises(OSError, match="already in use"):
            await net.listen(Echo, f"unix://{path}")
        assert path.read_text() == "a file"

    on_reactor(test)


def test_a_start_that_fails_leaves_nothing(on_reactor, tmp_path):
    path, factory = tmp_path / "s.sock", net.Factory(Echo)

    async def test():
        async with await net.listen(Echo, ANY) as server:
            with pytest.raises(OSError, match="in use"):
                await net.listen(factory, f"unix://{path}", ANY, server.urls[0])
            assert not path.exists()
            assert factory._servers == []
            with pytest.raises(OSError, match=r"cannot assign|can be bound"):
                await net.listen(factory, "tcp://203.0.113.1:0")
            with pytest.raises(ConfigError, match="of the whole server"):
                await net.listen(factory, ANY, f"{ANY}?max_connections=1")
        async with (
            await net.listen(Echo, f"{ANY}?reuse_port=yes") as server,
            await net.listen(Echo, f"{server.urls[0]}?reuse_port=1") as twin,
        ):
            assert server.port == twin.port

    on_reactor(test)


def test_no_more_connections_than_allowed(on_reactor):
    async def test():
        async with await net.listen(Echo, f"{ANY}?max_connections=2") as server:
            kept = [await net.connect(server.urls[0]) for _ in range(2)]
            await until(lambda: len(server.connections) == 2)
            refused = await net.connect(server.urls[0])
            assert await read_end(refused) == b""
            assert server.statistics()["connections_refused"] == 1
            kept.pop().abort()
            await until(lambda: len(server.connections) == 1)
            assert await talk(server.urls[0]) == b"hello"
            kept.pop().abort()
            await until(lambda: not server.connections)
            assert server.statistics() == {
                "connections_open": 0,
                "connections_accepted": 3,
                "connections_refused": 1,
                "connections_refused_per_address": 0,
                "handshakes_failed": 0,
                "certificates_reloaded": 0,
                "certificate_reloads_failed": 0,
            }

    on_reactor(test)


def test_no_more_connections_than_allowed_from_one_address(on_reactor):
    class Faked:
        """A transport whose peer is elsewhere."""

        def __init__(self, host):
            self.host = host

        def _peer(self):
            return (self.host, 1) if self.host else None

    async def test():
        async with await net.listen(Echo, ANY, max_connections_per_address=2) as server:
            near = [Faked(host) for host in (None, "127.0.0.1", "127.9.9.9", "::1") * 5]
            far = [Faked("192.0.2.1") for _ in range(3)]
            assert all(server._attach(transport) for transport in near)
            assert [server._attach(transport) for transport in far] == [True, True, False]
            other = Faked("192.0.2.2")
            assert server._attach(other)
            server._detach(far[0])
            assert server._attach(far[2])
            assert server.statistics()["connections_refused_per_address"] == 1
            for transport in (*near, *far[1:], other):
                server._detach(transport)
            assert server._addresses == {}
            assert server.statistics()["connections_open"] == 0

    on_reactor(test)


def test_a_close_tells_waits_and_then_aborts(on_reactor, caplog):
    made = []

    def factory():
        made.append(Lingering())
        return made[-1]

    async def test():
        server = await net.listen(factory, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        closing = asyncio.create_task(server.close(0.05))
        await until(lambda: made[0].heard)
        assert (made[0].heard, server.state) == (["closing"], net.ServerState.DRAINING)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port))
        await closing
        assert made[0].heard == ["closing", None]
        assert server.state is net.ServerState.STOPPED
        assert await read_end(stream) == b""

    on_reactor(test)
    assert "1 connections are open after 0.05 s of grace: aborted" in caplog.text


def test_a_close_waits_for_what_goes_on(on_reactor):
    class Last(net.Protocol):
        def server_closing(self):
            self.write(b"last words")
            self.close()

    async def test():
        server = await net.listen(Last, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        await server.close()
        assert await read_end(stream) == b"last words"

    on_reactor(test)


def test_a_protocol_that_fails_in_the_end_is_reported_and_aborted(on_reactor, caplog):
    class Failing(net.Protocol):
        def server_closing(self):
            raise LookupError("not now")

    async def test():
        server = await net.listen(Failing, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        await server.close()
        assert await read_end(stream) == b""

    on_reactor(test)
    assert "failed in server_closing()" in caplog.text
    assert "not now" in caplog.text


def test_a_close_in_the_middle_of_a_handshake(on_reactor, caplog, certificates):
    async def test():
        server = await net.listen(Echo, "tls://127.0.0.1:0", tls=certificates.server_tls())
        silent = await net.connect(server.urls[0].replace("tls:", "tcp:"))
        await until(lambda: server.statistics()["connections_open"])
        assert len(server.factory) == 0
        await server.close()
        assert await read_end(silent) == b""

    on_reactor(test)
    assert caplog.text == ""


def test_a_cancelled_close_leaves_no_connection(on_reactor):
    async def test():
        server = await net.listen(Lingering, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        closing = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await server.wait_closed()
        assert await read_end(stream) == b""

    on_reactor(test)


def test_an_error_in_its_block_and_abort_drop_everything(on_reactor):
    async def test():
        with pytest.raises(LookupError):  # noqa: PT012 - the block is what is tested
            async with await net.listen(Lingering, ANY) as server:
                stream = await net.connect(server.urls[0])
                await until(lambda: server.connections)
                raise LookupError
        assert server.state is net.ServerState.STOPPED
        assert await read_end(stream) == b""
        server = await net.listen(Lingering, ANY)
        stream = await net.connect(server.urls[0])
        await until(lambda: server.connections)
        server.abort()
        server.abort()
        await server.wait_closed()
        assert await read_end(stream) == b""

    on_reactor(test)


def test_a_factory_knows_its_connections(on_reactor):
    class Chat(net.Factory):
        protocol = Lingering

    async def test():
        factory = Chat()
        async with (
            await net.listen(factory, ANY) as server,
            await net.listen(factory, ANY) as other,
        ):
            urls = (*server.urls, *other.urls, *server.urls)
            streams = [await net.connect(url) for url in urls]
            await until(lambda: len(factory) == 3)
            assert len(server.connections) == 2
            assert all(protocol.factory is factory for protocol in factory)
            one = next(iter(server.connections))
            assert factory.broadcast(bytearray(b"all"), besides=one) == 2
            one.write(b"one")
            heard = sorted([await stream.read() for stream in streams])
            assert heard == [b"all", b"all", b"one"]
            # What takes a connection over is what the factory knows.
            one.transport.set_protocol(new := Lingering())
            assert new in factory.connections
            assert one not in factory.connections
            new.connection_made(one.transport)
            for protocol in factory:
                protocol.abort()
            await until(lambda: not factory.connections)
            for stream in streams:
                assert await read_end(stream) == b""

    on_reactor(test)


def test_a_factory_that_fails_is_reported_and_serves_on(on_reactor, reported):
    class Moody(net.Factory):
        count = 0

        def make_protocol(self):
            self.count += 1
            if self.count == 1:
                raise LookupError("not today")
            return Echo()

    async def test():
        async with await net.listen(Moody(), ANY) as server:
            first = await net.connect(server.urls[0])
            assert await read_end(first) == b""
            assert await talk(server.urls[0]) == b"hello"

    on_reactor(test)
    assert [str(context["exception"]) for context in reported] == ["not today"]


def test_a_unix_socket_has_no_port_whatever_its_name(on_reactor, tmp_path):
    async def test():
        async with await net.listen(Echo, f"unix://{tmp_path}/a:80") as server:
            with pytest.raises(ValueError, match="has no port"):
                assert server.port

    on_reactor(test)
