"""Whatever becomes of a request, it leaves no connection, no timer and no half-read body."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from tests.unit.http.client.test_streamed_responses import PIECE, until, with_server
from tests.unit.http.misbehaving import OK, origin, read_head

import sennit
from sennit import errors, http


def open_ended(status: int, *fields: str) -> bytes:
    """The head of an answer whose body never ends."""
    return "\r\n".join((f"HTTP/1.1 {status} X", *fields, "Content-Length: 999", "", "x")).encode()


async def leaves_open(head: bytes, client: http.Client, **options: Any) -> None:
    """Streams from an origin that answers with a head; ten requests fail and leave nothing."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(head)
        await reader.read()

    async with origin(script) as url:
        for _ in range(10):
            with pytest.raises((errors.SennitError, ZeroDivisionError)):
                async with client.stream(options.get("method", "GET"), url, **options["more"]):
                    pass
        assert client.statistics()["open"] == 0


@pytest.mark.parametrize(
    ("head", "method", "more"),
    [
        (open_ended(302, "Location: ftp://x/"), "GET", {}),
        (open_ended(302, "Location: /again"), "GET", {"redirects": 1}),
        (open_ended(302, "Location: /a", "Location: /b"), "GET", {}),
        (open_ended(307, "Location: /again"), "POST", {"body": iter(["x"])}),
    ],
    ids=["bad location", "too many", "two locations", "body read once"],
)
def test_a_redirect_that_cannot_be_followed_frees_its_connection(
    head: bytes, method: str, more: dict[str, Any]
) -> None:
    async def main() -> None:
        async with http.Client() as client:
            await leaves_open(head, client, method=method, more=more)

    sennit.run(main())


def test_a_hook_that_raises_frees_the_connection() -> None:
    async def main() -> None:
        async with http.Client(on_response=lambda *_: 1 / 0) as client:
            await leaves_open(open_ended(200), client, more={})

    sennit.run(main())


def test_a_stream_that_is_never_entered_sends_nothing() -> None:
    async def scenario(url: str, client: http.Client) -> None:
        streams = [client.stream("GET", url) for _ in range(3)]
        assert await (await client.get(url)).text() == "ok"
        assert client.statistics()["requests"] == 1
        async with streams[0] as response:
            assert await response.text() == "ok"
        with pytest.raises(RuntimeError, match="entered before"):
            await streams[0].__aenter__()

    with_server(lambda _: "ok", scenario)


@pytest.mark.parametrize("status", [307, 503])
def test_the_body_of_the_request_before_is_not_heard_of_any_more(status: int) -> None:
    """Its iterator fails when it is closed: that is not the fault of the request that follows."""
    ended: list[int] = []

    class Sulking:
        """Pieces without end the first time, and not closed without a word; then few."""

        turns = 0

        def __iter__(self) -> Iterator[bytes]:
            self.turns += 1
            return self.endless() if self.turns == 1 else iter([b"end"])

        def endless(self) -> Iterator[bytes]:
            try:
                while True:
                    yield PIECE
            finally:
                ended.append(self.turns)
                raise ValueError("too late")

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        if body.turns == 1:
            answer = f"HTTP/1.1 {status} X\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n"
            writer.write(answer.encode())
            await gate.wait()
        else:
            await reader.readuntil(b"end\r\n0\r\n\r\n")
            await until(lambda: ended)
            writer.write(OK)
            await reader.read()

    body, gate = Sulking(), asyncio.Event()

    async def main() -> None:
        retry = http.Retry(backoff=0.001)
        async with origin(script) as url, http.Client(retry=retry) as client:
            response = await client.put(url, body=body)
            assert (response.status, ended, body.turns) == (200, [1], 2)
            gate.set()

    sennit.run(main())


def test_closing_ends_what_waits_to_be_tried_again() -> None:
    async def main() -> None:
        client = http.Client(retry=http.Retry(backoff=30, jitter=False))
        call = client.get("http://127.0.0.1:1/")
        await until(lambda: client.statistics()["failures"])
        for _ in range(3):
            await asyncio.sleep(0)
        await client.close()
        assert call.done()
        with pytest.raises(errors.ClosedError, match="tried again") as caught:
            await call
        assert caught.value.step == "waiting to try again"
        assert caught.value.origin == "http://127.0.0.1:1"

    sennit.run(main())
