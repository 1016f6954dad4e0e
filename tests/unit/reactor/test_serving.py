"""Servers: what they listen on, how they end, what they count."""

import asyncio
import errno
import os
import socket

import pytest


class Recorder(asyncio.Protocol):
    """Keeps its transport and remembers that it has ended."""

    def __init__(self, all_of_them):
        all_of_them.append(self)
        self.lost = None

    def connection_made(self, transport):
        self.transport = transport
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def client(address):
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_UNSPEC
    if family == socket.AF_UNIX:
        return await asyncio.open_unix_connection(address)
    return await asyncio.open_connection(*address[:2])


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_a_tcp_server_accepts(reactor):
    async def main():
        made = []
        server = await reactor.create_server(lambda: Recorder(made), "127.0.0.1", 0)
        assert server.is_serving()
        assert server.get_loop() is reactor
        address = server.sockets[0].getsockname()
        _, writer = await client(address)
        await until(lambda: made)
        assert made[0].transport.get_extra_info("sockname") == address
        assert made[0].transport.get_extra_info("peername") == writer.get_extra_info("sockname")
        writer.close()
        await made[0].lost
        server.close()
        assert server.sockets == ()
        assert not server.is_serving()
        await server.wait_closed()

    reactor.run_until_complete(main())


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_a_unix_server_accepts(reactor, tmp_path, kind):
    async def main():
        made = []
        path = kind(str(tmp_path / "socket"))
        server = await reactor.create_unix_server(lambda: Recorder(made), path)
        assert (tmp_path / "socket").is_socket()
        _, writer = await client(str(tmp_path / "socket"))
        await until(lambda: made)
        writer.close()
        await made[0].lost
        server.close()
        again = await reactor.create_unix_server(lambda: Recorder(made), path)
        again.close()

    reactor.run_until_complete(main())


@pytest.mark.parametrize("kind", [str, os.fsencode])
def test_an_abstract_unix_server_accepts(reactor, kind):
    async def main():
        made = []
        path = kind(f"\0sennit-test-{os.getpid()}")
        server = await reactor.create_unix_server(lambda: Recorder(made), path)
        _, writer = await client(os.fsdecode(path))
        await until(lambda: made)
        writer.close()
        server.close()
        await server.wait_closed()

    reactor.run_until_complete(main())


def test_a_busy_unix_path_is_named(reactor, tmp_path):
    path = tmp_path / "not-a-socket"
    path.touch()
    with pytest.raises(OSError, match="not-a-socket") as caught:
        reactor.run_until_complete(reactor.create_unix_server(object, path))
    assert caught.value.errno == errno.EADDRINUSE
    assert path.exists()


def test_ipv6_where_there_is_one(reactor):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no IPv6 loopback")

    async def main():
        made = []
        server = await reactor.create_server(lambda: Recorder(made), "::1", 0)
        _, writer = await client(server.sockets[0].getsockname())
        await until(lambda: made)
        assert len(made[0].transport.get_extra_info("peername")) == 4
        writer.close()
        server.close()
        await server.wait_closed()

    reactor.run_until_complete(main())


def test_several_hosts_share_one_free_port(reactor):
    async def main():
        server = await reactor.create_server(object, ["127.0.0.1", "127.0.0.2", "127.0.0.3"], 0)
        addresses = [sock.getsockname() for sock in server.sockets]
        server.close()
        return addresses

    addresses = reactor.run_until_complete(main())
    assert [host for host, _ in addresses] == ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    assert len({port for _, port in addresses}) == 1


@pytest.mark.parametrize("host", ["", None])
def test_no_host_is_every_interface(reactor, host):
    async def main():
        made = []
        server = await reactor.create_server(lambda: Recorder(made), host, 0)
        port = server.sockets[0].getsockname()[1]
        _, writer = await client(("127.0.0.1", port))
        await until(lambda: made)
        writer.close()
        server.close()
        await server.wait_closed()

    reactor.run_until_complete(main())


def test_a_busy_port_is_named(reactor):
    async def main():
        server = await reactor.create_server(object, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1.*{port}.*in use") as caught:
            await reactor.create_server(object, "127.0.0.1", port)
        assert caught.value.errno == errno.EADDRINUSE
        server.close()

    reactor.run_until_complete(main())


def test_a_port_that_somebody_else_listens_on_is_named(reactor):
    async def main():
        first = await reactor.create_server(object, "127.0.0.1", 0, start_serving=False)
        port = first.sockets[0].getsockname()[1]
        second = await reactor.create_server(object, "127.0.0.1", port, start_serving=False)
        await first.start_serving()
        with pytest.raises(OSError, match=rf"listen on address.*{port}"):
            await second.start_serving()
        first.close()
        second.close()

    reactor.run_until_complete(main())


def test_a_foreign_address_cannot_be_bound(reactor):
    # 192.0.2.0/24 is for documentation and belongs to no interface.
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        reactor.run_until_complete(reactor.create_server(object, "192.0.2.1", 0))


def test_wrong_arguments_are_refused(reactor, tmp_path):
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    calls = [
        lambda: reactor.create_server(object),
        lambda: reactor.create_server(object, "127.0.0.1", 0, sock=stream),
        lambda: reactor.create_server(object, sock=datagram),
        lambda: reactor.create_unix_server(object),
        lambda: reactor.create_unix_server(object, "path", sock=stream),
        lambda: reactor.create_unix_server(object, sock=stream),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"sock|host"):
            reactor.run_until_complete(call())
    stream.close()
    datagram.close()


def test_a_server_over_a_socket_that_is_there(reactor):
    async def main():
        made = []
        sock = socket.socket()
        sock.bind(("127.0.0.1", 0))
        server = await reactor.create_server(lambda: Recorder(made), sock=sock)
        _, writer = await client(sock.getsockname())
        await until(lambda: made)
        writer.close()
        server.close()
        assert sock.fileno() == -1

    reactor.run_until_complete(main())


def test_serving_starts_when_it_is_told(reactor):
    async def main():
        made = []
        server = await reactor.create_server(
            lambda: Recorder(made), "127.0.0.1", 0, start_serving=False
        )
        assert not server.is_serving()
        address = server.sockets[0].getsockname()
        with pytest.raises(ConnectionRefusedError):
            await client(address)
        async with server:
            await server.start_serving()
            await server.start_serving()
            _, writer = await client(address)
            await until(lambda: made)
            writer.close()
        assert not server.is_serving()
        with pytest.raises(RuntimeError, match="closed"):
            await server.start_serving()

    reactor.run_until_complete(main())


def test_the_end_waits_for_the_last_connection(reactor):
    async def main():
        made = []
        server = await reactor.create_server(lambda: Recorder(made), "127.0.0.1", 0)
        _, writer = await client(server.sockets[0].getsockname())
        await until(lambda: made)
        server.close()
        waiting = asyncio.ensure_future(server.wait_closed())
        await asyncio.sleep(0)
        assert not waiting.done()
        writer.close()
        await waiting
        assert made[0].lost.done()

    reactor.run_until_complete(main())


@pytest.mark.parametrize(("method", "arrives"), [("close_clients", True), ("abort_clients", False)])
def test_all_connections_can_be_ended_at_once(reactor, method, arrives):
    async def main():
        made, others = [], []
        server = await reactor.create_server(lambda: Recorder(made), "127.0.0.1", 0)
        other = await reactor.create_server(lambda: Recorder(others), "127.0.0.1", 0)
        clients = [await client(server.sockets[0].getsockname()) for _ in range(3)]
        bystander = await client(other.sockets[0].getsockname())
        await until(lambda: len(made) == 3 and others)
        for protocol in made:
            protocol.transport.write(b"last words")
        getattr(server, method)()
        for reader, writer in clients:
            assert await reader.read() == (b"last words" if arrives else b"")
            writer.close()
        server.close()
        await server.wait_closed()
        assert not others[0].lost.done()
        bystander[1].close()
        other.close()
        await other.wait_closed()

    reactor.run_until_complete(main())


def test_serve_forever_ends_by_cancellation(reactor):
    async def main():
        server = await reactor.create_server(object, "127.0.0.1", 0, start_serving=False)
        serving = asyncio.ensure_future(server.serve_forever())
        await until(server.is_serving)
        with pytest.raises(RuntimeError, match="already being awaited"):
            await server.serve_forever()
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving
        assert server.sockets == ()
        with pytest.raises(RuntimeError, match="closed"):
            await server.serve_forever()

    reactor.run_until_complete(main())


def test_serve_forever_ends_with_the_server(reactor):
    async def main():
        server = await reactor.create_server(object, "127.0.0.1", 0)
        serving = asyncio.ensure_future(server.serve_forever())
        await asyncio.sleep(0)
        server.close()
        with pytest.raises(asyncio.CancelledError):
            await serving

    reactor.run_until_complete(main())


def test_a_factory_that_fails_costs_its_connection_only(reactor, reported):
    async def main():
        made = []

        def factory():
            if not reported:
                raise LookupError("no protocol today")
            return Recorder(made)

        server = await reactor.create_server(factory, "127.0.0.1", 0)
        reader, writer = await client(server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        _, second = await client(server.sockets[0].getsockname())
        await until(lambda: made)
        second.close()
        server.close()
        await server.wait_closed()

    reactor.run_until_complete(main())
    assert [type(context["exception"]) for context in reported] == [LookupError]


def test_the_sockets_can_be_asked_but_not_closed(reactor):
    async def main():
        server = await reactor.create_server(object, "127.0.0.1", 0)
        assert not hasattr(server.sockets[0], "close")
        server.close()
        server.close()

    reactor.run_until_complete(main())
