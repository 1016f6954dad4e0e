"""`sennit.net` on a real network, in memory and over a bad wire: one contract."""

import asyncio
import contextlib
import functools
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

import sennit
from sennit import net, testing
from sennit.errors import ConnectError, ConnectionLostError, RemoteProtocolError

LINK = testing.Link(latency=0.001, jitter=0.001, chunk=50_000, window=256 * 1024)
LOOPS: dict[str, Callable[[], sennit.Reactor]] = {
    "reactor": sennit.Reactor,
    "memory": testing.Reactor,
    "link": functools.partial(testing.Reactor, seed=1, link=LINK),
}
LINES = net.Lines(max_size=1000)

Scenario = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture(params=LOOPS)
def world(request: pytest.FixtureRequest) -> Callable[[Coroutine[Any, Any, None]], None]:
    def start(scenario: Coroutine[Any, Any, None]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(scenario, 60))

    return start


class Endpoints:
    """URLs to listen at, and what a client needs for each."""

    def __init__(self, folder: Path, certificates: Any) -> None:
        self.folder, self.certificates = folder, certificates

    def url(self, scheme: str) -> str:
        return f"unix://{self.folder}/s" if scheme == "unix" else f"{scheme}://127.0.0.1:0"

    def ours(self, scheme: str) -> dict[str, Any]:
        return {"tls": self.certificates.server_tls()} if scheme == "tls" else {}

    def theirs(self, scheme: str) -> dict[str, Any]:
        return {"ca": self.certificates.path("ca.pem")} if scheme == "tls" else {}


@pytest.fixture
def endpoints(tmp_path: Path, certificates: Any) -> Endpoints:
    return Endpoints(tmp_path, certificates)


schemes = pytest.mark.parametrize("scheme", ["tcp", "tls", "unix"])


async def until(condition: Callable[[], Any]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


class Echo(net.Protocol):
    """Sends everything back."""

    log: list[Any]

    def __init__(self) -> None:
        self.log = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.log.append("made")

    def data_received(self, data: bytes) -> None:
        self.write(data)

    def eof_received(self) -> None:
        self.log.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.log.append(exc)


class Shout(net.FrameProtocol):
    """Answers lines in capitals."""

    framing = LINES

    def frame_received(self, frame: bytes) -> None:
        self.send_frame(frame.upper())


async def greet(stream: net.Stream) -> None:
    await stream.write(b"Who are you?\n")
    name = await stream.readline(max_size=100)
    await stream.write(b"Hello, " + name)


async def echo(stream: net.Stream) -> None:
    async for chunk in stream:
        await stream.write(chunk)


class Bounce(net.DatagramProtocol):
    """Sends every datagram back."""

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self.send(data, addr)


# -- streams ---------------------------------------------------------------------------------------


@schemes
def test_a_protocol_hears_its_life_in_order(world: Any, endpoints: Endpoints, scheme: str) -> None:
    async def scenario() -> None:
        factory = net.Factory(Echo)
        url, options = endpoints.url(scheme), endpoints.ours(scheme)
        async with await net.listen(factory, url, **options) as server:
            stream = await net.connect(server.urls[0], **endpoints.theirs(scheme))
            data = bytes(range(256)) * 2000
            stream.write(data)
            assert await stream.read_exactly(len(data)) == data
            (protocol,) = factory
            assert protocol.factory is factory
            assert server.connections == {protocol}
            assert server.statistics()["connections_open"] == len(factory) == 1
            assert protocol.statistics()["queued"] == 0
            stream.write_eof()
            assert await stream.read() == b""
            await until(lambda: not server.connections)
            assert protocol.log == ["made", "eof", None]
            stream.close()
            await stream.wait_closed()

    world(scenario())


@schemes
def test_a_handler_has_a_conversation(world: Any, endpoints: Endpoints, scheme: str) -> None:
    async def scenario() -> None:
        async with await net.listen(
            greet, endpoints.url(scheme), **endpoints.ours(scheme)
        ) as server:
            stream = await net.connect(server.urls[0], **endpoints.theirs(scheme))
            assert await stream.readline() == b"Who are you?\n"
            await stream.write(b"Anna\n")
            assert await stream.readline() == b"Hello, Anna\n"
            assert await stream.read() == b""
            stream.close()

    world(scenario())


@schemes
def test_frames_both_ways(world: Any, endpoints: Endpoints, scheme: str) -> None:
    async def scenario() -> None:
        async with await net.listen(
            Shout, endpoints.url(scheme), **endpoints.ours(scheme)
        ) as server:
            stream = await net.connect(server.urls[0], **endpoints.theirs(scheme))
            frames = stream.frames(LINES)
            for line in (b"one", b"", b"x" * 1000):
                await frames.send(line)
            assert [await frames.receive() for _ in range(3)] == [b"ONE", b"", b"X" * 1000]
            stream.write(b"y" * 1001)
            # A line that is too long ends it, and without TLS's good-bye, for it was no good one.
            with contextlib.suppress(ConnectionLostError):
                assert await stream.read() == b""
            stream.close()

    world(scenario())


@schemes
def test_a_server_closes_in_order(world: Any, endpoints: Endpoints, scheme: str) -> None:
    async def scenario() -> None:
        server = await net.listen(Echo, endpoints.url(scheme), **endpoints.ours(scheme))
        stream = await net.connect(server.urls[0], **endpoints.theirs(scheme))
        await until(lambda: server.connections)
        waiting = [asyncio.ensure_future(server.wait_closed()) for _ in range(3)]
        await server.close()
        await asyncio.gather(*waiting)
        assert server.state is net.ServerState.STOPPED
        assert await stream.read() == b""
        stream.close()
        with pytest.raises(ConnectError):
            await net.connect(server.urls[0], **endpoints.theirs(scheme))

    world(scenario())


def test_more_than_is_allowed_is_refused(world: Any) -> None:
    async def scenario() -> None:
        async with await net.listen(Echo, "tcp://127.0.0.1:0", max_connections=1) as server:
            first = await net.connect(server.urls[0])
            await until(lambda: server.connections)
            second = await net.connect(server.urls[0])
            assert await second.read() == b""
            assert server.statistics()["connections_refused"] == 1
            for one in (first, second):
                one.close()

    world(scenario())


def test_a_broadcast_reaches_all_others(world: Any) -> None:
    async def scenario() -> None:
        room: net.Factory[Echo] = net.Factory(Echo)
        async with await net.listen(room, "tcp://127.0.0.1:0") as server:
            streams = [await net.connect(server.urls[0]) for _ in range(3)]
            await until(lambda: len(room) == 3)
            assert room.broadcast(b"hello") == 3
            assert [await one.read_exactly(5) for one in streams] == [b"hello"] * 3
            assert room.statistics()["connections_open"] == 3
            for one in streams:
                one.close()

    world(scenario())


def test_tls_begins_in_the_middle(world: Any, endpoints: Endpoints) -> None:
    tls = endpoints.certificates.server_tls()

    async def handler(stream: net.Stream) -> None:
        assert await stream.readline() == b"STARTTLS\n"
        await stream.write(b"go\n")
        await net.start_tls(stream, tls)
        await stream.write(await stream.readline())

    async def scenario() -> None:
        ours = net.ClientTls(ca=endpoints.certificates.path("ca.pem"))
        async with await net.listen(handler, "tcp://127.0.0.1:0") as server:
            stream = await net.connect(server.urls[0])
            await stream.write(b"STARTTLS\n")
            assert await stream.readline() == b"go\n"
            details = await net.start_tls(stream, ours, server_name="localhost")
            assert details.version == "TLSv1.3"
            await stream.write(b"secret\n")
            assert await stream.readline() == b"secret\n"
            stream.close()
        done = {"handshakes": 1, "resumptions": 0, "handshakes_failed": 0}
        assert ours.statistics() == tls.statistics() == done

    world(scenario())


def test_handshakes_that_fail_are_counted(world: Any, endpoints: Endpoints) -> None:
    async def scenario() -> None:
        tls, ours = endpoints.certificates.server_tls(), net.ClientTls()
        async with await net.listen(Echo, "tls://127.0.0.1:0", tls=tls) as server:
            with pytest.raises(RemoteProtocolError):
                await net.connect(server.urls[0], tls=ours)
            await until(lambda: server.statistics()["handshakes_failed"])
            assert ours.statistics()["handshakes_failed"] == 1
            assert tls.statistics() == {"handshakes": 0, "resumptions": 0, "handshakes_failed": 1}

    world(scenario())


# -- datagrams -------------------------------------------------------------------------------------


def test_datagrams_are_served(world: Any) -> None:
    async def scenario() -> None:
        factory = net.Factory(Bounce)
        server = await net.listen(factory, "udp://127.0.0.1:0")
        (protocol,) = factory
        assert protocol.factory is factory
        assert server.connections == {protocol}
        async with await net.connect(server.urls[0]) as ours:
            for text in (b"one", b"", b"x" * 20_000):
                await ours.send(text)
                assert await ours.receive() == (text, ("127.0.0.1", server.port))
        counters = server.statistics()
        assert (counters["datagrams_received"], counters["datagrams_sent"]) == (3, 3)
        assert counters["datagrams_bytes_received"] == 20_003
        assert protocol.statistics()["received"] == 3
        # Several may wait for the end, and it comes once for all.
        waiting = [asyncio.ensure_future(server.wait_closed()) for _ in range(3)]
        await asyncio.sleep(0)
        await server.close()
        await asyncio.gather(*waiting)
        assert (server.state, len(factory)) == (net.ServerState.STOPPED, 0)
        assert server.statistics()["datagrams_received"] == 3
        await server.close()

    world(scenario())


def test_one_address_that_cannot_be_reached_ends_nothing(world: Any) -> None:
    async def scenario() -> None:
        async with (
            await net.bind("udp://127.0.0.1:0") as ours,
            await net.connect(ours.url) as theirs,
        ):
            ours.send(b"x", ("127.0.0.1", 0))  # what an answer to a spoofed port 0 would be
            await until(lambda: ours.statistics()["errors"] == 1)
            got = []

            async def collect() -> None:
                async for datagram in ours:
                    got.append(datagram.data)
                    ours.send(b"x", ("127.0.0.1", 0))

            task = asyncio.ensure_future(collect())
            for number in (b"1", b"2"):
                theirs.send(number)
                await until(lambda number=number: number in got)
            await until(lambda: ours.statistics()["errors"] == 3)
            assert not task.done()
            ours.close()
            await task

    world(scenario())


def test_a_refusal_is_told_on_a_connected_socket_and_iteration_goes_on(world: Any) -> None:
    async def scenario() -> None:
        async with await net.bind("udp://127.0.0.1:0") as gone:
            url = gone.url
        async with await net.connect(url) as ours:
            ours.send(b"anybody?")
            with pytest.raises(ConnectError, match="refused"):
                await ours.receive()
            got = asyncio.ensure_future(anext(aiter(ours)))
            ours.send(b"anybody?")
            await until(lambda: ours.statistics()["errors"] == 2)
            async with await net.bind(url) as back:
                back.send(b"here", ours.local_address)
                assert (await got).data == b"here"

    world(scenario())


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
def test_every_interface_is_both_families(world: Any, host: str) -> None:
    async def scenario() -> None:
        async with await net.listen(Bounce, "udp://*:0") as server:
            assert server.urls == [f"udp://0.0.0.0:{server.port}", f"udp://[::]:{server.port}"]
            async with await net.connect(f"udp://{host}:{server.port}") as ours:
                ours.send(b"hello")
                assert (await ours.receive()).data == b"hello"
        async with (
            await net.bind("udp://*:0") as all_of_us,
            await net.connect(f"udp://{host}:{all_of_us.port}") as ours,
        ):
            ours.send(b"from me")
            data, address = await all_of_us.receive()
            assert (data, address) == (b"from me", ours.local_address)

    world(scenario())


def test_a_group_hears_what_is_sent_to_it(world: Any) -> None:
    async def scenario() -> None:
        group = "239.255.7.8"
        async with (
            await net.bind("udp://*:0", groups=(f"{group}@127.0.0.1",)) as ours,
            await net.bind("udp://127.0.0.1:0") as theirs,
        ):
            sock = theirs.transport.get_extra_info("socket")
            sock.setsockopt(0, 32, bytes([127, 0, 0, 1]))  # IP_MULTICAST_IF
            theirs.send(b"to all", (group, ours.port))
            assert await ours.receive() == (b"to all", theirs.local_address)
            ours.leave_group(group, "127.0.0.1")
            theirs.send(b"to all who stayed", (group, ours.port))
            theirs.send(b"to you", ("127.0.0.1", ours.port))
            assert (await ours.receive()).data == b"to you"

    world(scenario())


# -- a whole program -------------------------------------------------------------------------------


def test_a_service_of_streams_and_datagrams(world: Any) -> None:
    async def scenario() -> None:
        service = net.Service("both", grace=5)
        service.listen(echo, "tcp://127.0.0.1:0")
        service.listen(Bounce, "udp://127.0.0.1:0")
        async with service:
            stream = await net.connect(service.urls[0])
            await stream.write(b"x")
            assert await stream.read() == b"x"
            async with await net.connect(service.urls[1]) as ours:
                ours.send(b"x")
                assert (await ours.receive()).data == b"x"
            counters = service.statistics()["servers"]
            assert counters[0]["connections_open"] == 1
            assert counters[1]["datagrams_received"] == 1
        assert service.state is net.ServiceState.STOPPED
        assert await stream.read() == b""
        stream.close()

    world(scenario())
