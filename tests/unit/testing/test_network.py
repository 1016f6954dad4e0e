"""The network: names, ports, who is refused, who is cut off; and nothing of the machine's."""

import asyncio
import errno
import gc
import socket
import weakref

import pytest

import sennit
from sennit import http, testing
from sennit.errors import ConfigError, ConnectError


async def echo(reader, writer):
    while line := await reader.readline():
        writer.write(line)
    writer.close()


async def ask(host, port, **options):
    reader, writer = await asyncio.open_connection(host, port, **options)
    writer.write(b"hello\n")
    assert await reader.readline() == b"hello\n"
    names = writer.get_extra_info("sockname"), writer.get_extra_info("peername")
    writer.close()
    await writer.wait_closed()
    return names


def test_an_asyncio_program_runs_unchanged(world):
    async def test(_reactor, network):
        network.add_host("db.example", "10.0.0.7", "fd00::7")
        seen = []

        async def serve(reader, writer):
            seen.append((writer.get_extra_info("peername"), writer.get_extra_info("sockname")))
            await echo(reader, writer)

        server = await asyncio.start_server(serve, "db.example", 5432)
        listening = [sock.getsockname() for sock in server.sockets]
        assert listening == [("10.0.0.7", 5432), ("fd00::7", 5432, 0, 0)]
        assert [sock.family for sock in server.sockets] == [socket.AF_INET, socket.AF_INET6]
        ours, theirs = await ask("db.example", 5432)
        assert theirs == ("10.0.0.7", 5432)
        assert ours == ("10.0.0.1", 49152)
        assert seen == [(ours, theirs)]
        ours, theirs = await ask("fd00::7", 5432)
        assert (ours[0], theirs) == ("fd00::1", ("fd00::7", 5432, 0, 0))
        server.close()
        await server.wait_closed()
        with pytest.raises(ConnectionRefusedError, match=r"10\.0\.0\.7"):
            await asyncio.open_connection("10.0.0.7", 5432)
        counts = network.statistics()
        assert (counts["connected"], counts["refused"], counts["hosts"]) == (2, 1, 2)

    world(test)


def test_no_port_of_the_machine_is_used(world):
    async def test(_reactor, _network):
        with socket.create_server(("127.0.0.1", 0)) as real:
            port = real.getsockname()[1]
            server = await asyncio.start_server(echo, "127.0.0.1", port)
            await ask("127.0.0.1", port)
            real.setblocking(False)
            with pytest.raises(BlockingIOError):
                real.accept()
            server.close()

    world(test)


def test_port_zero_picks_one_for_all_addresses(world):
    async def test(_reactor, _network):
        one = await asyncio.start_server(echo, None, 0)
        other = await asyncio.start_server(echo, "localhost", 0)
        ports = [{sock.getsockname()[1] for sock in server.sockets} for server in (one, other)]
        assert [len(server.sockets) for server in (one, other)] == [2, 2]
        assert [len(found) for found in ports] == [1, 1]
        assert ports[0] != ports[1]
        for host in ("10.9.9.9", "127.0.0.1", "::1", "localhost"):
            await ask(host, *ports[0])
        one.close()
        other.close()

    world(test)


def test_a_busy_port_is_in_use_until_it_is_closed(world):
    async def test(reactor, _network):
        server = await asyncio.start_server(echo, "10.0.0.7", 80)
        for host in ("10.0.0.7", "0.0.0.0"):
            with pytest.raises(OSError, match="already in use") as caught:
                await reactor.create_server(asyncio.Protocol, host, 80)
            assert caught.value.errno == errno.EADDRINUSE
        server.close()
        again = await asyncio.start_server(echo, "10.0.0.7", 80)
        await ask("10.0.0.7", 80)
        again.close()

    world(test)


def test_who_is_bound_and_does_not_listen_refuses(world):
    async def test(_reactor, _network):
        server = await asyncio.start_server(echo, "10.0.0.7", 80, start_serving=False)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("10.0.0.7", 80)
        await server.start_serving()
        await ask("10.0.0.7", 80)
        server.close()

    world(test)


def test_names_are_those_of_the_network(world):
    async def test(reactor, network):
        network.add_host("db.example", "10.0.0.7")
        found = await reactor.getaddrinfo("db.example", "80", type=socket.SOCK_STREAM)
        assert found == [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 80))]
        assert await reactor.getnameinfo(("10.0.0.7", 80)) == ("db.example", "80")
        assert await reactor.getnameinfo(("10.0.0.7", 80), 1) == ("10.0.0.7", "80")
        assert await reactor.getnameinfo(("127.0.0.1", 1)) == ("localhost", "1")
        with pytest.raises(socket.gaierror) as caught:
            await reactor.getaddrinfo("python.org", 80)
        assert caught.value.errno == socket.EAI_NONAME
        with pytest.raises(socket.gaierror, match="no name of this network"):
            await asyncio.open_connection("nowhere.example", 80)

    world(test)


@pytest.mark.parametrize(
    ("name", "addresses"),
    [("localhost", ["10.0.0.9"]), ("a", []), ("a", ["b"]), ("a", ["127.0.0.1"]),
     ("a", ["10.0.0.1"]), ("a", ["10.0.0.3", "10.0.0.4"])],
)  # fmt: skip
def test_a_host_that_cannot_be(world, name, addresses):
    async def test(_reactor, network):
        with pytest.raises(ConfigError, match=name):
            network.add_host(name, *addresses)

    world(test)


def test_code_can_run_as_a_hosts(world):
    async def test(_reactor, network):
        network.add_host("client", "10.0.1.1")
        network.add_host("server", "10.0.1.2")
        with network.at("server"):
            everywhere = await asyncio.start_server(echo, "0.0.0.0", 80)
            with pytest.raises(OSError, match=r"10\.0\.1\.1 is client's"):
                await asyncio.start_server(echo, "10.0.1.1", 80)
        with network.at("client"):
            assert await ask("server", 80) == (("10.0.1.1", 49152), ("10.0.1.2", 80))
            # Its own loopback is not the server's.
            with pytest.raises(ConnectionRefusedError):
                await ask("127.0.0.1", 80)
            own = await asyncio.create_task(ask("server", 80, local_addr=("10.0.1.1", 1234)))
            assert own[0] == ("10.0.1.1", 1234)
        everywhere.close()

    world(test)


def test_who_cannot_be_reached_times_out_after_127_seconds(world):
    async def test(reactor, network):
        network.add_host("far", "10.0.2.1")
        server = await asyncio.start_server(echo, "far", 80)
        network.partition("far")
        with pytest.raises(TimeoutError) as caught:
            await asyncio.open_connection("far", 80)
        assert caught.value.errno == errno.ETIMEDOUT
        assert reactor.time() == 127.0
        reactor.call_later(10, network.heal)
        await ask("far", 80)
        # The opening is sent again after 1, 3, 7 and 15 s.
        assert reactor.time() == 127.0 + 15.0
        network.partition("far", "10.0.0.1")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask("far", 80), 5)
        with pytest.raises(ConfigError, match="no host"):
            network.partition("nobody")
        assert network.statistics()["timed_out"] == 1
        server.close()

    world(test)


def test_unix_sockets_have_paths_of_the_network(world):
    async def test(reactor, _network):
        server = await asyncio.start_unix_server(echo, "/run/simulated.sock")
        assert server.sockets[0].getsockname() == "/run/simulated.sock"
        reader, writer = await asyncio.open_unix_connection("/run/simulated.sock")
        assert writer.get_extra_info("peername") == "/run/simulated.sock"
        writer.write(b"hello\n")
        assert await reader.readline() == b"hello\n"
        writer.close()
        server.close()
        for path in ("/run/simulated.sock", "/run/nobody.sock"):
            with pytest.raises(ConnectionRefusedError):
                await reactor.create_unix_connection(asyncio.Protocol, path)

    world(test)


def test_what_a_program_sets_on_its_socket_does_no_harm(world):
    async def test(_reactor, _network):
        server = await asyncio.start_server(echo, "10.0.0.7", 80)
        _, writer = await asyncio.open_connection("10.0.0.7", 80)
        sock = writer.get_extra_info("socket")
        assert (sock.family, sock.type) == (socket.AF_INET, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        assert "10.0.0.7" in repr(sock)
        writer.close()
        server.close()

    world(test)


def test_a_server_counts_its_connections(world):
    async def test(reactor, _network):
        made = []

        class Kept(asyncio.Protocol):
            def connection_made(self, transport):
                made.append(transport)

        server = await reactor.create_server(Kept, "10.0.0.7", 80)
        transport, _ = await reactor.create_connection(asyncio.Protocol, "10.0.0.7", 80)
        while not made:
            await asyncio.sleep(0)
        server.close()
        closed = asyncio.create_task(server.wait_closed())
        for _ in range(5):
            await asyncio.sleep(0)
        assert not closed.done()
        server.close_clients()
        await closed
        transport.close()

    world(test)


@pytest.mark.parametrize("link", [None, testing.Link(latency=0.1)])
def test_http_is_served_and_fetched_in_memory(world, link):
    async def test(reactor, network):
        network.add_host("web.example", "10.0.0.8")

        async def hello(_request):
            await asyncio.sleep(60)
            return "hello"

        async with await http.listen(hello, "http://web.example:80") as server:
            assert server.urls == ["http://10.0.0.8:80"]
            async with http.Client(total_timeout=100, read_timeout=100) as client:
                response = await client.get("http://web.example/")
                assert await response.body() == b"hello"
                # The date follows the clock, which starts with the year 2000.
                assert response.headers["date"] == "Sat, 01 Jan 2000 00:01:00 GMT"
                with pytest.raises(ConnectError, match="refused"):
                    await client.get("http://web.example:81/")
        assert 60 <= reactor.time() <= 62

    world(test, link=link)


def test_two_protocols_face_to_face(world, recorder):
    async def test(_reactor, _network):
        here, there = recorder(), recorder()
        ours, theirs = await testing.connected_pair(here, there)
        ours.write(b"ping")
        theirs.write(b"pong")
        ours.close()
        await there.lost
        assert (here.data, there.data) == (b"", b"ping")

    world(test)


def test_two_protocols_need_a_simulated_world():
    async def main():
        await testing.connected_pair(asyncio.Protocol(), asyncio.Protocol())

    with pytest.raises(RuntimeError, match=r"testing\.Reactor"):
        sennit.run(main())


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)


@pytest.mark.parametrize("link", [None, testing.Link(latency=0.1, loss=0.1)])
def test_nothing_is_left_behind(descriptors, link):
    kept = []

    async def main():
        reactor = sennit.current_reactor()
        kept.append(weakref.ref(reactor))
        server = await reactor.create_server(Echo, "10.0.0.7", 80)
        await reactor.create_datagram_endpoint(asyncio.DatagramProtocol, ("10.0.0.7", 53))
        for _ in range(3):
            await ask("10.0.0.7", 80)
            # Some are left open for the reactor to close.
            transport, _ = await reactor.create_connection(Echo, "10.0.0.7", 80)
            transport.write(b"never answered")
        # Its socket is an object of Python's, which warns when it is forgotten.
        server.close()

    before = descriptors()
    testing.run(main(), link=link)
    assert descriptors() == before
    gc.collect()
    assert kept[0]() is None
