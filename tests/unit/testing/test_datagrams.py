"""UDP in memory: lost, late, twice, out of order, refused."""

import asyncio
import errno

import pytest

from sennit import testing


class Listener(asyncio.DatagramProtocol):
    def __init__(self):
        self.events = []
        self.errors = []
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        self.events.append((asyncio.get_running_loop().time(), data, addr))

    def error_received(self, exc):
        self.errors.append(exc)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def open_at(reactor, **addresses):
    return (await reactor.create_datagram_endpoint(Listener, **addresses))[1]


def test_there_and_back(world):
    async def test(reactor, network):
        network.add_host("dns.example", "10.0.0.53")
        server = await open_at(reactor, local_addr=("dns.example", 53))
        client = await open_at(reactor, remote_addr=("dns.example", 53))
        assert client.transport.get_extra_info("peername") == ("10.0.0.53", 53)
        ours = client.transport.get_extra_info("sockname")
        client.transport.sendto(b"question")
        await asyncio.sleep(1)
        assert server.events == [(0.1, b"question", ours)]
        server.transport.sendto(b"answer", ours)
        await asyncio.sleep(1)
        assert client.events == [(1.1, b"answer", ("10.0.0.53", 53))]
        client.transport.close()
        client.transport.close()
        assert client.transport.is_closing()
        assert await client.lost is None
        client.transport.sendto(b"too late")
        server.transport.abort()
        assert network.statistics()["datagrams"] == 2

    world(test, link=testing.Link(latency=0.1))


def test_some_are_lost_some_come_twice_and_all_may_overtake(world):
    async def test(reactor, network):
        server = await open_at(reactor, local_addr=("10.0.0.7", 1))
        client = await open_at(reactor, remote_addr=("10.0.0.7", 1))
        for index in range(1_000):
            client.transport.sendto(b"%d" % index)
        await asyncio.sleep(10)
        order = [int(data) for _, data, _ in server.events]
        lost = 1_000 - len(set(order))
        assert 50 < lost < 150
        assert network.statistics()["datagrams_lost"] == lost
        assert 50 < len(order) - len(set(order)) < 150
        assert order != sorted(order)
        assert all(0.1 <= time <= 0.2 for time, _, _ in server.events)

    world(test, link=testing.Link(latency=0.1, jitter=0.1, loss=0.1, duplicate=0.1))


def test_a_slow_wire_queues_and_then_drops(world):
    async def test(reactor, network):
        server = await open_at(reactor, local_addr=("10.0.0.7", 1))
        client = await open_at(reactor, remote_addr=("10.0.0.7", 1))
        for _ in range(100):
            client.transport.sendto(bytes(100))
        await asyncio.sleep(100)
        # A second holds 1,000 bytes; those behind it find no room.
        assert [time for time, _, _ in server.events] == [n / 10 for n in range(1, 12)]
        assert network.statistics()["datagrams_lost"] == 89

    world(test, link=testing.Link(bandwidth=1000, window=1000))


def test_a_closed_port_is_told_to_who_is_connected(world):
    async def test(reactor, _network):
        client = await open_at(reactor, remote_addr=("10.0.0.7", 1))
        client.transport.sendto(b"anybody?")
        await asyncio.sleep(1)
        assert [error.errno for error in client.errors] == [errno.ECONNREFUSED]
        free = await open_at(reactor, local_addr=("127.0.0.1", 0))
        free.transport.sendto(b"anybody?", ("127.0.0.1", 1))
        await asyncio.sleep(1)
        assert free.errors == []

    world(test)


def test_what_cannot_be_sent(world):
    async def test(reactor, _network):
        free = await open_at(reactor, local_addr=("127.0.0.1", 0))
        with pytest.raises(ValueError, match="needs one"):
            free.transport.sendto(b"to whom?")
        with pytest.raises(ValueError, match="no address"):
            free.transport.sendto(b"", ("a name", 1))
        with pytest.raises(TypeError, match="bytes-like"):
            free.transport.sendto("text", ("127.0.0.1", 1))
        free.transport.sendto(bytes(65_508), ("127.0.0.1", 1))
        await asyncio.sleep(0)
        assert [error.errno for error in free.errors] == [errno.EMSGSIZE]
        client = await open_at(reactor, remote_addr=("127.0.0.1", 1))
        with pytest.raises(ValueError, match="Invalid address"):
            client.transport.sendto(b"", ("127.0.0.1", 2))
        with pytest.raises(ValueError, match="no host and port"):
            await open_at(reactor, local_addr="/a/path")

    world(test)


def test_a_port_has_one_endpoint(world):
    async def test(reactor, _network):
        first = await open_at(reactor, local_addr=("10.0.0.7", 53))
        with pytest.raises(OSError, match="already in use"):
            await open_at(reactor, local_addr=("10.0.0.7", 53))
        first.transport.close()
        await open_at(reactor, local_addr=("10.0.0.7", 53))

    world(test)


def test_a_partition_swallows_datagrams(world):
    async def test(reactor, network):
        network.add_host("far", "10.0.2.1")
        server = await open_at(reactor, local_addr=("far", 1))
        client = await open_at(reactor, remote_addr=("far", 1))
        network.partition("far")
        client.transport.sendto(b"lost")
        await asyncio.sleep(1)
        network.heal()
        client.transport.sendto(b"heard")
        await asyncio.sleep(1)
        assert [data for _, data, _ in server.events] == [b"heard"]

    world(test)
