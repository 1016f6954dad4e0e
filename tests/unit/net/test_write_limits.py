"""A peer that does not read costs no more than its endpoint allows: in time, and in bytes."""

import asyncio
import importlib.util
import pathlib
from collections.abc import Callable, Coroutine
from typing import Any

from sennit import net, testing
from sennit.errors import ConnectionLostError, DeadlineError, OverloadedError

URL = "tcp://10.0.0.8:7000"
MEGABYTE = bytes(1_000_000)
LATE = 3.8
"""Seconds: a peer is looked at eight times in 30 s; the last byte it took may be so much older."""


def simulated(scenario: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def test() -> None:
        testing.run(scenario())

    test.__name__ = test.__qualname__ = scenario.__name__
    return test


def now() -> float:
    return asyncio.get_running_loop().time()


class Recorder(net.Protocol):
    """Writes down how it ends."""

    reason: Any = "open"
    lost_at = 0.0

    def connection_lost(self, exc: Exception | None) -> None:
        self.reason, self.lost_at = exc, now()


class Giver(Recorder):
    """Writes much in one go, and closes."""

    size = 50_000_000

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.write(bytes(self.size))
        self.close()


async def kept(factory: Callable[[], Any], url: str = URL, **options: Any) -> tuple[Any, list[Any]]:
    """A server, and the list that its protocols will be in."""
    made: list[Any] = []

    def make() -> Any:
        made.append(factory())
        return made[-1]

    return await net.listen(make, url, **options), made


@simulated
async def test_a_closing_connection_whose_peer_never_reads_is_dropped_after_30_s() -> None:
    server, made = await kept(Giver, max_connections=1)
    async with server:
        stream = await net.connect(URL)
        await asyncio.sleep(29.9)
        assert server.statistics()["connections_open"] == 1
        await asyncio.sleep(0.1 + LATE)
        assert server.statistics()["connections_open"] == 0
        assert server.statistics()["write_timeouts"] == 1
        assert isinstance(made[0].reason, DeadlineError)
        assert "queued bytes for 30 s (write_timeout)" in str(made[0].reason)
        # There is room for the next one.
        other = await net.connect(URL)
        assert await other.read_exactly(1000) == bytes(1000)
        for one in (stream, other):
            one.abort()


@simulated
async def test_an_open_connection_whose_peer_never_reads_is_dropped() -> None:
    server, made = await kept(Recorder, write_timeout=5)
    async with server:
        stream = await net.connect(URL)
        await asyncio.sleep(100)  # nothing is queued: nobody is late
        made[0].write(MEGABYTE * 5)
        began = now()
        await asyncio.sleep(6)
        assert isinstance(made[0].reason, DeadlineError)
        assert 5 <= made[0].lost_at - began < 5 + LATE
        stream.abort()


@simulated
async def test_a_peer_that_reads_slowly_is_served_to_the_end() -> None:
    server, made = await kept(Giver, write_timeout=5)
    made_size = 0
    async with server:
        stream = await net.connect(URL)
        while piece := await stream.read(4_000_000):
            made_size += len(piece)
            if made_size < 3_000_000:
                await asyncio.sleep(4)
        assert made_size == Giver.size
        assert (made[0].reason, server.statistics()["write_timeouts"]) == (None, 0)
        stream.close()


@simulated
async def test_who_writes_on_while_too_much_waits_loses_the_connection() -> None:
    server, made = await kept(Recorder)
    async with server:
        stream = await net.connect(URL)
        await asyncio.sleep(0.001)
        most = 0
        for _ in range(200):
            made[0].write(MEGABYTE)
            most = max(most, made[0].transport.get_write_buffer_size())
        assert made[0].transport.is_closing()
        await asyncio.sleep(0.001)
        assert 64 * 2**20 < most <= 64 * 2**20 + len(MEGABYTE)
        assert isinstance(made[0].reason, OverloadedError)
        assert "limit 67108864 (max_queued_bytes)" in str(made[0].reason)
        assert server.statistics()["write_overflows"] == 1
        stream.abort()


@simulated
async def test_one_write_may_have_any_size() -> None:
    server, made = await kept(Recorder, max_queued_bytes=1000)
    async with server:
        stream = await net.connect(URL)
        await asyncio.sleep(0.001)
        made[0].write(MEGABYTE * 9)
        assert len(await stream.read_exactly(9_000_000)) == 9_000_000
        made[0].write(b"more")
        assert await stream.read_exactly(4) == b"more"
        stream.close()


@simulated
async def test_broadcast_drops_members_that_do_not_keep_up() -> None:
    room: net.Factory[Recorder] = net.Factory(Recorder)
    async with await net.listen(room, URL) as server:
        silent = await net.connect(URL)
        reading = await net.connect(URL)
        await asyncio.sleep(0.001)
        members = list(room)
        counts = []
        for _ in range(20):
            counts.append(room.broadcast(MEGABYTE))
            await reading.read_exactly(len(MEGABYTE))
        assert counts[0] == 2
        assert counts[-1] == 1
        assert len(room) == 1
        reasons = [member.reason for member in members if member.reason != "open"]
        assert [type(reason) for reason in reasons] == [OverloadedError]
        assert "limit 8388608 (max_queued_bytes)" in str(reasons[0])
        assert server.statistics()["write_overflows"] == 1
        for one in (silent, reading):
            one.abort()


@simulated
async def test_a_stream_handler_hears_that_its_peer_takes_nothing() -> None:
    heard: list[Exception] = []

    async def handler(stream: net.Stream) -> None:
        try:
            while True:
                await stream.write(MEGABYTE)
        except ConnectionLostError as error:
            heard.append(error)

    async with await net.listen(handler, URL, write_timeout=7) as server:
        stream = await net.connect(URL)
        await asyncio.sleep(7 + LATE)
        assert server.statistics()["write_timeouts"] == 1
        stream.abort()
        await asyncio.sleep(0.001)
    assert "write_timeout" in str(heard[0])


@simulated
async def test_a_client_has_the_same_limits() -> None:
    async def deaf(stream: net.Stream) -> None:
        await stream.wait_closed()

    async with await net.listen(deaf, URL):
        late = await net.connect(URL, Recorder, write_timeout=3)
        late.write(MEGABYTE * 9)
        much = await net.connect(f"{URL}?max_queued_bytes=2000000", Recorder)
        for _ in range(9):
            much.write(MEGABYTE)
        await asyncio.sleep(4)
        assert isinstance(late.reason, DeadlineError)
        assert isinstance(much.reason, OverloadedError)


@simulated
async def test_what_a_client_writes_as_it_is_connected_counts() -> None:
    async def deaf(stream: net.Stream) -> None:
        await stream.wait_closed()

    async with await net.listen(deaf, URL):
        giver = await net.connect(URL, Giver)
        await asyncio.sleep(30 + LATE)
        assert isinstance(giver.reason, DeadlineError)


@simulated
async def test_asyncios_servers_wait_for_ever() -> None:
    made: list[Recorder] = []
    loop = asyncio.get_running_loop()

    def make() -> Recorder:
        made.append(Recorder())
        return made[-1]

    server = await loop.create_server(make, "10.0.0.8", 7000)
    stream = await net.connect(URL)
    await asyncio.sleep(0.001)
    for _ in range(100):
        made[0].write(MEGABYTE)
    await asyncio.sleep(100_000)
    assert made[0].transport.get_write_buffer_size() > 90_000_000
    stream.abort()
    server.close()


def test_tls_has_the_same_limits(certificates: Any) -> None:
    async def main() -> None:
        server, made = await kept(Giver, "tls://10.0.0.8:7443", tls=certificates.server_tls())
        async with server:
            ca = certificates.path("ca.pem")
            stream = await net.connect("tls://10.0.0.8:7443", ca=ca, server_name="localhost")
            await asyncio.sleep(30 + LATE)
            assert isinstance(made[0].reason, DeadlineError)
            stream.abort()

    testing.run(main())


def chat() -> Any:
    path = pathlib.Path(__file__).parents[3] / "examples" / "chat.py"
    spec = importlib.util.spec_from_file_location("chat_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@simulated
async def test_a_silent_reader_of_the_chat_is_shown_out_and_the_others_notice_nothing() -> None:
    example = chat()
    example.Member.patience = 1e6
    async with await net.listen(example.room, URL) as server:
        silent = await net.connect(URL)
        anna = (await net.connect(URL)).frames(net.Lines(max_size=1000))
        berta = (await net.connect(URL)).frames(net.Lines(max_size=1000))
        await anna.send(b"anna")
        while b"anna is here" not in (await berta.receive() or b""):
            pass
        began = now()
        while server.statistics()["connections_open"] == 3:
            for _ in range(20):
                await anna.send(b"x" * 990)
            for _ in range(20):
                assert await berta.receive() == b"anna: " + b"x" * 990
            await asyncio.sleep(0.1)
            assert now() - began < 60
        statistics = server.statistics()
        assert statistics["write_timeouts"] + statistics["write_overflows"] == 1
        assert len(example.room) == 2
        for one in (silent, anna.stream, berta.stream):
            one.abort()
