"""Datagrams by `sennit.net`: bound, connected, with await and by protocols."""

import asyncio
import socket

import pytest

from sennit import net
from sennit.errors import BusyError, ClosedError, ConfigError, ConnectError, LocalProtocolError

ANY = "udp://127.0.0.1:0"


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


class Echo(net.DatagramProtocol):
    def datagram_received(self, data, addr):
        self.send(data, addr)


def test_a_protocol_answers_and_its_server_knows_its_url(on_reactor):
    async def test():
        async with await net.listen(Echo, ANY) as server:
            assert server.urls == [f"udp://127.0.0.1:{server.port}"]
            async with await net.connect(server.urls[0]) as ours:
                for text in (b"one", b"", b"x" * 65_507):
                    await ours.send(text)
                    assert await ours.receive() == (text, ("127.0.0.1", server.port))
        assert server.state is net.ServerState.STOPPED
        async with await net.connect(server.urls[0]) as ours:
            await ours.send(b"anybody?")
            with pytest.raises(ConnectError, match="refused"):
                await ours.receive()

    on_reactor(test)


def test_what_is_there_is_returned_without_suspending(on_reactor):
    async def test():
        async with await net.bind(ANY) as ours, await net.connect(ours.url) as theirs:
            for number in range(3):
                theirs.send(b"%d" % number)
            await until(lambda: ours.statistics()["queued"] == 3)
            receiving = ours.receive()
            with pytest.raises(StopIteration) as done:
                receiving.send(None)
            assert done.value.value == (b"0", theirs.local_address)
            assert ours.receive_nowait() == (b"1", theirs.local_address)
            assert (await ours.receive()).data == b"2"
            assert ours.receive_nowait() is None

    on_reactor(test)


def test_the_newest_are_dropped_when_nobody_receives(on_reactor):
    async def test():
        async with (
            await net.bind(f"{ANY}?max_queued=10") as ours,
            await net.connect(ours.url) as theirs,
        ):
            for number in range(25):
                theirs.send(b"%d" % number)
            await until(lambda: ours.statistics()["received"] == 25)
            counters = ours.statistics()
            assert (counters["queued"], counters["dropped_receiving"]) == (10, 15)
            assert [ours.receive_nowait().data for _ in range(10)] == [
                b"%d" % number for number in range(10)
            ]

    on_reactor(test)


def test_a_burst_of_ten_thousand_arrives(on_reactor):
    async def test():
        async with (
            await net.bind(ANY, max_queued=20_000) as ours,
            await net.connect(ours.url) as theirs,
        ):
            for number in range(10_000):
                await theirs.send(b"%d" % number)
                if number % 100 == 99:
                    await asyncio.sleep(0)
            await until(lambda: ours.statistics()["received"] == 10_000)
            assert theirs.statistics()["sent"] == 10_000
            got = [ours.receive_nowait().data for _ in range(10_000)]
            assert got == [b"%d" % number for number in range(10_000)]

    on_reactor(test)


def test_iteration_ends_when_the_socket_is_closed(on_reactor):
    async def test():
        ours = await net.bind(ANY)
        got = []

        async def collect():
            async for datagram in ours:
                got.append(datagram.data)

        task = asyncio.ensure_future(collect())
        async with await net.connect(ours.url) as theirs:
            theirs.send(b"a")
            theirs.send(b"b")
        await until(lambda: len(got) == 2)
        ours.close()
        await ours.wait_closed()
        await task
        assert got == [b"a", b"b"]
        with pytest.raises(ClosedError):
            await ours.receive()
        with pytest.raises(ClosedError):
            ours.send(b"x", ("127.0.0.1", 9))
        await ours.wait_closed()

    on_reactor(test)


def test_one_task_receives_at_a_time(on_reactor):
    async def test():
        async with await net.bind(ANY) as ours:
            first = asyncio.ensure_future(ours.receive())
            await asyncio.sleep(0)
            with pytest.raises(BusyError, match="another task"):
                await ours.receive()
            first.cancel()
            await asyncio.wait([first])
            async with await net.connect(ours.url) as theirs:
                theirs.send(b"x")
                assert (await ours.receive()).data == b"x"

    on_reactor(test)


def test_a_refusal_is_told_to_whoever_receives_next(on_reactor):
    async def test():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as gone:
            gone.bind(("127.0.0.1", 0))
            url = f"udp://127.0.0.1:{gone.getsockname()[1]}"
        async with await net.connect(url) as ours:
            ours.send(b"x")
            with pytest.raises(ConnectError, match="refused"):
                await ours.receive()
            assert ours.statistics()["errors"] == 1
            assert not ours.is_closing()

    on_reactor(test)


def test_what_cannot_be_sent(on_reactor):
    async def test():
        async with await net.bind(ANY) as ours:
            with pytest.raises(LocalProtocolError, match="needs an address"):
                ours.send(b"x")
            with pytest.raises(LocalProtocolError, match="65,507"):
                ours.send(b"x" * 65_508, ("127.0.0.1", 9))
            with pytest.raises(LocalProtocolError, match="no IP address"):
                ours.send(b"x", ("localhost", 9))
            with pytest.raises(LocalProtocolError, match="0 to 65535"):
                ours.send(b"x", ("127.0.0.1", 70_000))
            async with await net.connect(ours.url) as theirs:
                with pytest.raises(LocalProtocolError, match="Invalid address"):
                    theirs.send(b"x", ("127.0.0.1", 9))
                theirs.send(b"y", ours.local_address)
                assert (await ours.receive()).data == b"y"

    on_reactor(test)


def test_multicast_reaches_its_group(on_reactor):
    async def test():
        async with (
            await net.bind("udp://*:0", groups=("239.255.7.7@127.0.0.1",)) as ours,
            await net.bind(ANY) as theirs,
        ):
            sock = theirs.transport.get_extra_info("socket")
            sock.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
            )
            theirs.send(b"to all", ("239.255.7.7", ours.port))
            assert await ours.receive() == (b"to all", theirs.local_address)
            ours.leave_group("239.255.7.7", "127.0.0.1")
            with pytest.raises(ConfigError, match=r"127\.0\.0\.1"):
                ours.leave_group("239.255.7.7", "127.0.0.1")
            with pytest.raises(ConfigError, match=r"'10\.0\.0\.1'"):
                ours.join_group("10.0.0.1")

    on_reactor(test)


def test_broadcast_needs_its_option(on_reactor):
    async def test():
        async with await net.bind(ANY) as ours:
            ours.send(b"x", ("255.255.255.255", 9))
            await until(lambda: ours.statistics()["errors"] == 1)
        async with await net.bind(ANY, broadcast=True) as ours:
            sock = ours.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)

    on_reactor(test)


def test_options_reach_the_socket(on_reactor):
    async def test():
        async with await net.bind(f"{ANY}?receive_buffer=100000&reuse_port=yes") as ours:
            sock = ours.transport.get_extra_info("socket")
            # The kernel doubles it, for what it has to remember of each datagram.
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 200_000
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)
            async with await net.connect(ours.url, local_address="127.0.0.2") as theirs:
                assert theirs.local_address[0] == "127.0.0.2"
                assert theirs.peer_address == ours.local_address

    on_reactor(test)


@pytest.mark.parametrize(
    ("url", "options", "problem"),
    [
        ("tcp://127.0.0.1:0", {}, "net.listen"),
        (ANY, {"colour": "red"}, "no option"),
        (ANY, {"max_queued": 0}, "at least 1"),
        (f"{ANY}?broadcast=perhaps", {}, "yes or no"),
        (f"{ANY}?max_queued=5", {"max_queued": 5}, "say it once"),
    ],
)
def test_what_makes_no_sense_is_refused(on_reactor, url, options, problem):
    async def test():
        with pytest.raises(ConfigError, match=problem):
            await net.bind(url, **options)

    on_reactor(test)


def test_ipv6(on_reactor):
    async def test():
        async with await net.bind("udp://[::1]:0") as ours, await net.connect(ours.url) as theirs:
            assert ours.url == f"udp://[::1]:{ours.port}"
            theirs.send(b"six")
            data, address = await ours.receive()
            assert (data, address[0]) == (b"six", "::1")
            ours.send(b"back", address)
            assert (await theirs.receive()).data == b"back"

    on_reactor(test)


def test_a_protocol_of_ones_own_can_be_connected(on_reactor):
    class Asking(net.DatagramProtocol):
        def __init__(self):
            self.answers = []

        def datagram_received(self, data, addr):
            self.answers.append(data)

    async def test():
        async with await net.listen(Echo, ANY) as server:
            protocol = await net.connect(server.urls[0], Asking)
            protocol.send(b"hello")
            await until(lambda: protocol.answers)
            assert protocol.answers == [b"hello"]
            protocol.transport.close()

    on_reactor(test)
