"""`create_datagram_endpoint`, as asyncio's."""

import asyncio
import gc
import socket
import weakref
from pathlib import Path

import pytest


class Recorder(asyncio.DatagramProtocol):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []
        self.lost = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.heard.append((data, addr))

    def error_received(self, exc):
        self.heard.append(exc)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_there_and_back(reactor):
    async def main():
        theirs, their_protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        address = theirs.get_extra_info("sockname")
        ours, our_protocol = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        assert ours.get_extra_info("peername") == address
        assert theirs.get_extra_info("peername") is None
        for data in (b"bytes", bytearray(b"bytearray"), memoryview(b"memoryview")):
            ours.sendto(data)
        await until(lambda: len(their_protocol.heard) == 3)
        assert [data for data, _ in their_protocol.heard] == [b"bytes", b"bytearray", b"memoryview"]
        assert all(type(data) is bytes for data, _ in their_protocol.heard)
        _, peer = their_protocol.heard[0]
        assert peer == ours.get_extra_info("sockname")
        # An echo to the same peer makes no new address.
        assert their_protocol.heard[1][1] is peer
        theirs.sendto(b"back", peer)
        await until(lambda: our_protocol.heard)
        assert our_protocol.heard == [(b"back", address)]
        for transport, protocol in ((ours, our_protocol), (theirs, their_protocol)):
            transport.close()
            assert transport.is_closing()
            assert await protocol.lost is None
            transport.sendto(b"too late", address)

    reactor.run_until_complete(main())


def test_writes_of_one_turn_keep_their_order(reactor):
    async def main():
        theirs, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        address = theirs.get_extra_info("sockname")
        ours, _ = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        for number in range(100):
            ours.sendto(b"%d" % number)
        await until(lambda: len(protocol.heard) == 100)
        assert [data for data, _ in protocol.heard] == [b"%d" % number for number in range(100)]
        assert ours.statistics()["sent"] == 100
        ours.abort()
        theirs.abort()

    reactor.run_until_complete(main())


def test_what_is_queued_is_sent_before_the_end(reactor):
    async def main():
        theirs, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        address = theirs.get_extra_info("sockname")
        ours, our_protocol = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        ours.sendto(b"last words")
        ours.close()
        await our_protocol.lost
        await until(lambda: protocol.heard)
        ours, our_protocol = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        ours.sendto(b"never said")
        ours.abort()
        await our_protocol.lost
        ours, _ = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        ours.sendto(b"marker")
        await until(lambda: len(protocol.heard) == 2)
        assert [data for data, _ in protocol.heard] == [b"last words", b"marker"]
        ours.close()
        theirs.close()

    reactor.run_until_complete(main())


def test_a_refusal_is_an_error_received_and_no_end(reactor):
    async def main():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            address = gone.getsockname()
        transport, protocol = await reactor.create_datagram_endpoint(Recorder, remote_addr=address)
        transport.sendto(b"x")
        await until(lambda: protocol.heard)
        assert isinstance(protocol.heard[0], ConnectionRefusedError)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as back:
            back.bind(address)
            back.settimeout(60)
            transport.sendto(b"there now")
            await asyncio.sleep(0)
            data = await asyncio.get_running_loop().run_in_executor(None, back.recv, 100)
            assert data == b"there now"
        transport.close()
        await protocol.lost

    reactor.run_until_complete(main())
    reactor.run_until_complete(reactor.shutdown_default_executor())


def test_a_datagram_that_is_too_long_is_an_error_and_no_end(reactor):
    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(bytes(70_000), transport.get_extra_info("sockname"))
        await until(lambda: protocol.heard)
        assert protocol.heard[0].errno == 90  # EMSGSIZE
        transport.sendto(b"fits", transport.get_extra_info("sockname"))
        await until(lambda: len(protocol.heard) == 2)
        transport.close()

    reactor.run_until_complete(main())


def test_closing_inside_of_a_callback_drops_the_rest(reactor):
    class Once(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            self.transport.close()

    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Once, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for number in range(5):
                peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        await protocol.lost
        assert [data for data, _ in protocol.heard] == [b"0"]

    reactor.run_until_complete(main())


def test_a_protocol_that_fails_is_reported_and_ends(reactor, reported):
    class Failing(Recorder):
        def datagram_received(self, data, addr):
            raise ZeroDivisionError

    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Failing, local_addr=("127.0.0.1", 0)
        )
        transport.sendto(b"x", transport.get_extra_info("sockname"))
        assert isinstance(await protocol.lost, ZeroDivisionError)

    reactor.run_until_complete(main())
    (context,) = reported
    assert isinstance(context["exception"], ZeroDivisionError)


def test_another_protocol_takes_over(reactor):
    async def main():
        transport, first = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        second = Recorder()
        second.connection_made(transport)
        transport.set_protocol(second)
        assert transport.get_protocol() is second
        transport.sendto(b"x", transport.get_extra_info("sockname"))
        await until(lambda: second.heard)
        assert first.heard == []
        transport.close()
        await second.lost

    reactor.run_until_complete(main())


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, ValueError, "unexpected address family"),
        ({"local_addr": "127.0.0.1"}, TypeError, "2-tuple"),
        ({"local_addr": ("h", 1, 2)}, TypeError, "2-tuple"),
        ({"family": socket.AF_UNIX, "local_addr": ("h", 1)}, TypeError, "string"),
        (
            {"local_addr": ("127.0.0.1", 0), "remote_addr": ("::1", 1)},
            ValueError,
            "can not get address information",
        ),
    ],
)
def test_arguments_that_contradict_each_other(reactor, arguments, error, text):
    with pytest.raises(error, match=text):
        reactor.run_until_complete(reactor.create_datagram_endpoint(Recorder, **arguments))


def test_a_socket_comes_alone_and_carries_datagrams(reactor):
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with datagrams as sock, pytest.raises(ValueError, match="local_addr"):
        reactor.run_until_complete(
            reactor.create_datagram_endpoint(Recorder, local_addr=("h", 1), sock=sock)
        )
    with socket.socket() as sock, pytest.raises(ValueError, match="datagram socket was expected"):
        reactor.run_until_complete(reactor.create_datagram_endpoint(Recorder, sock=sock))


def test_an_address_in_use_says_so_and_leaves_nothing_open(reactor):
    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        before = descriptors()
        with pytest.raises(OSError, match="in use"):
            await reactor.create_datagram_endpoint(
                Recorder, local_addr=transport.get_extra_info("sockname")
            )
        assert descriptors() == before
        transport.close()
        await protocol.lost

    reactor.run_until_complete(main())


def test_nothing_stays_when_it_is_over(reactor):
    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        protocol.circle = transport
        watched = weakref.ref(protocol), weakref.ref(transport)
        transport.close()
        await protocol.lost
        return watched

    watched = reactor.run_until_complete(main())
    gc.collect()
    assert [watch() for watch in watched] == [None, None]


def test_a_reactor_that_is_closed_takes_its_sockets_along(reactor):
    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=("127.0.0.1", 0)
        )
        return transport, weakref.ref(protocol)

    transport, watched = reactor.run_until_complete(main())
    reactor.close()
    assert transport.is_closing()
    transport.sendto(b"x", ("127.0.0.1", 9))
    transport.close()
    transport.abort()
    del transport
    gc.collect()
    assert watched() is None


def test_an_interrupt_loses_nothing(reactor):
    class Interrupted(Recorder):
        def datagram_received(self, data, addr):
            super().datagram_received(data, addr)
            if len(self.heard) in {1, 3}:
                raise KeyboardInterrupt

    async def start():
        transport, protocol = await reactor.create_datagram_endpoint(
            Interrupted, local_addr=("127.0.0.1", 0)
        )
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
            for number in range(30):
                peer.sendto(b"%d" % number, transport.get_extra_info("sockname"))
        return transport, protocol

    transport, protocol = reactor.run_until_complete(start())
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            reactor.run_until_complete(until(lambda: len(protocol.heard) == 30))
    reactor.run_until_complete(until(lambda: len(protocol.heard) == 30))
    assert [data for data, _ in protocol.heard] == [b"%d" % number for number in range(30)]

    async def end():
        transport.close()
        await protocol.lost

    reactor.run_until_complete(end())
