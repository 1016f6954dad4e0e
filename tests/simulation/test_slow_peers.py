"""A thousand slow peers of each kind against an HTTP server, in simulated time.

Each is dropped at its documented deadline, and those who behave notice nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from sennit import http, testing

COUNT = 1000
ADDRESS = "http://10.0.0.8:80"
SLACK = 0.05
"""Seconds. A deadline is at most 10 ms late, and a drop of a drip is seen with the next byte."""

BIG = b"x" * 8_000_000
"""More than the two ends of a connection hold between them."""

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def handler(request: http.Request) -> http.Response | str:
    if request.path == "/body":
        return str(len(await request.body()))
    if request.path == "/stream":
        return str(sum([len(piece) async for piece in request.stream()]))
    if request.path == "/big":
        return http.Response(BIG)
    return "hello"


async def open_one() -> Connection:
    return await asyncio.open_connection("10.0.0.8", 80)


async def until_closed(connection: Connection) -> float:
    """When the server has ended a connection, in seconds from now."""
    reader, writer = connection
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while await reader.read(65536):
            pass
    except ConnectionError:
        pass
    writer.close()
    return loop.time() - began


async def silent() -> float:
    return await until_closed(await open_one())


async def dripping(first: bytes, interval: float, byte: bytes) -> float:
    reader, writer = await open_one()
    writer.write(first)

    async def drip() -> None:
        while not writer.is_closing():
            await asyncio.sleep(interval)
            writer.write(byte)

    drops = asyncio.ensure_future(drip())
    try:
        return await until_closed((reader, writer))
    finally:
        drops.cancel()


async def head_drip() -> float:
    return await dripping(b"GET / HTTP/1.1\r\nHost: h\r\nX: ", 1.0, b"x")


async def second_head_drip() -> float:
    reader, writer = await open_one()
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / H")
    assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200 OK")
    return await until_closed((reader, writer))


async def body_drip(path: str = "/body") -> float:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n"
    return await dripping(head.encode(), 1.0, b"x")


async def stream_drip() -> float:
    return await body_drip("/stream")


async def body_silence() -> float:
    reader, writer = await open_one()
    # Enough at the beginning to be above the rate for long.
    writer.write(
        b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 60_000
    )
    return await until_closed((reader, writer))


async def idle() -> float:
    reader, writer = await open_one()
    writer.write(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
    await reader.readuntil(b"hello")
    return await until_closed((reader, writer))


@pytest.mark.parametrize(
    ("kind", "deadline", "counter"),
    [
        (silent, 10.0, "header_timeouts"),
        (head_drip, 10.0, "header_timeouts"),
        (second_head_drip, 10.0, "header_timeouts"),
        (idle, 15.0, "keep_alive_timeouts"),
        (body_drip, 10.02, "bodies_too_slow"),
        (stream_drip, 10.02, "bodies_too_slow"),
        (body_silence, 60.0, "body_timeouts"),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_a_thousand_are_dropped_at_the_deadline(
    kind: Callable[[], Awaitable[float]], deadline: float, counter: str
) -> None:
    async def main() -> None:
        async with await http.listen(
            handler, ADDRESS, max_connections_per_address=2 * COUNT
        ) as server:
            peers = [asyncio.ensure_future(kind()) for _ in range(COUNT)]
            honest = 0
            while not all(peer.done() for peer in peers):
                async with http.Client(total_timeout=5) as client:
                    assert await (await client.get(ADDRESS)).body() == b"hello"
                honest += 1
                await asyncio.sleep(1)
            times = [peer.result() for peer in peers]
            assert deadline <= min(times)
            assert max(times) <= deadline + 1 + SLACK  # the next byte of a drip comes within 1 s
            assert honest >= deadline - 1
            assert server.statistics()[counter] == COUNT

    testing.run(main())


def test_a_thousand_who_never_read_are_dropped() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with await http.listen(
            handler, ADDRESS, max_connections_per_address=2 * COUNT
        ) as server:
            peers = [await open_one() for _ in range(COUNT)]
            for _, writer in peers:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
                writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\n\r\n")
            while server.statistics()["answered"] < COUNT:
                await asyncio.sleep(0.001)
            began = loop.time()
            while server.statistics()["open"]:
                await asyncio.sleep(0.01)
                assert loop.time() - began < 31
            assert server.statistics()["write_timeouts"] == COUNT
            assert loop.time() - began > 29.9
            for _, writer in peers:
                writer.close()

    testing.run(main())


def test_a_peer_that_reads_slowly_is_served() -> None:
    async def main() -> None:
        async with await http.listen(handler, ADDRESS) as server:
            reader, writer = await open_one()
            writer.write(b"GET /big HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            size = 0
            while piece := await reader.read(65536):
                size += len(piece)
                await asyncio.sleep(6)  # it takes more at once than it reads, so every 24 s or so
            assert size > len(BIG)
            assert server.statistics()["write_timeouts"] == 0
            writer.close()

    testing.run(main())
