"""Server-sent events, and the heart that beats while there are none."""

import asyncio
from typing import Any

import pytest
from tests.unit.http.talking import GET, Peer, eventually, with_peer

from sennit import errors, http, testing


@pytest.mark.parametrize(
    ("event", "lines"),
    [
        (http.Event("a"), "data: a\n\n"),
        (http.Event(""), "data: \n\n"),
        (http.Event("a\nb\r\nc\rd"), "data: a\ndata: b\ndata: c\ndata: d\n\n"),
        (http.Event("a", "kind", "7", 1.5), "event: kind\nid: 7\nretry: 1500\ndata: a\n\n"),
        (http.Event("\u2028x"), "data: \u2028x\n\n"),
    ],
)
def test_an_event_is_lines(event: http.Event, lines: str) -> None:
    assert event.encode() == lines


@pytest.mark.parametrize("value", ["a\nb", "a\rb", "a\0b"])
def test_type_and_id_are_one_line(value: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match="event is"):
        http.Event("x", event=value).encode()
    with pytest.raises(errors.LocalProtocolError, match="id is"):
        http.Event("x", id=value).encode()


@pytest.mark.parametrize("heartbeat", [0, -1, float("nan"), float("inf"), True, "1"])
def test_a_heart_cannot_beat_without_a_pause(heartbeat: Any) -> None:
    async def events() -> Any:
        yield "never"

    with pytest.raises(errors.ConfigError, match=r"heartbeat is .* above 0, or None"):
        http.EventStream(events(), heartbeat=heartbeat)


def test_a_stream_without_a_heartbeat_is_silent() -> None:
    async def events() -> Any:
        await asyncio.sleep(3600)
        yield "late"

    async def main() -> None:
        async with await http.listen(
            lambda _: http.EventStream(events(), heartbeat=None), "http://10.0.0.8:80"
        ):
            reader, writer = await asyncio.open_connection("10.0.0.8", 80)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            assert await chunk(reader) == b"data: late\n\n"
            writer.close()

    testing.run(main())


async def chunk(reader: asyncio.StreamReader) -> bytes:
    size = int(await reader.readuntil(b"\r\n"), 16)
    data = await reader.readexactly(size)
    await reader.readexactly(2)
    return data


def test_events_go_out_as_they_come() -> None:
    queue: list[str] = []
    ended: list[str] = []
    more = asyncio.Event()

    async def events() -> Any:
        try:
            while True:
                while queue:
                    yield queue.pop(0)
                more.clear()
                await more.wait()
        finally:
            ended.append("closed")

    async def scenario(peer: Peer, server: http.Server) -> None:
        peer.send(GET)
        # The head is there before the first event.
        head = await peer.head()
        assert head.headers["content-type"] == "text/event-stream"
        assert head.headers["cache-control"] == "no-store"
        for text in ("one", "two"):
            queue.append(text)
            more.set()
            assert await chunk(peer.reader) == f"data: {text}\n\n".encode()
        await server.close(grace=0.001)
        await eventually(lambda: ended)

    assert with_peer(lambda _: http.EventStream(events()), scenario) == []


def test_silence_is_filled_with_comments() -> None:
    async def events() -> Any:
        await asyncio.sleep(40)
        yield "late"

    async def main() -> None:
        reactor = asyncio.get_running_loop()
        address = "http://10.0.0.8:80"
        async with await http.listen(lambda _: http.EventStream(events()), address):
            reader, writer = await asyncio.open_connection("10.0.0.8", 80)
            writer.write(GET)
            await reader.readuntil(b"\r\n\r\n")
            heard = []
            for _ in range(3):
                heard.append((round(reactor.time()), await chunk(reader)))
            assert [text for _, text in heard] == [b":\n\n", b":\n\n", b"data: late\n\n"]
            assert round(reactor.time()) == 40
            assert await chunk(reader) == b""
            writer.close()

    testing.run(main())
