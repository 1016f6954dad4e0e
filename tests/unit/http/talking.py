"""A client that sends exactly the bytes it is told to, and a server to send them to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import sennit
from sennit import http

GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
LAST = b"GET /last HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"


def post(body: bytes, *fields: str, path: str = "/") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: h", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body


def chunked(*chunks: bytes, path: str = "/") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (*chunks, b""))


class Answer(NamedTuple):
    """One answer of a server."""

    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    """One connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def head(self) -> Answer:
        """The next head, without the body."""
        raw = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = raw.removesuffix("\r\n\r\n").split("\r\n")
        headers: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            assert name not in headers, f"{name} twice"
            headers[name] = value
        assert first.startswith("HTTP/1.1 ")
        return Answer(int(first.split()[1]), headers, b"")

    async def answer(self, *, to_head: bool = False) -> Answer:
        """The next answer."""
        answer = await self.head()
        has_body = not to_head and answer.status not in {100, 204, 304}
        length = int(answer.headers["content-length"]) if has_body else 0
        return answer._replace(body=await self.reader.readexactly(length))

    async def in_chunks(self) -> tuple[http.Headers, bytes, bytes]:
        """Head, body and trailer section of the next answer, which comes in chunks."""
        head = await self.head()
        assert head.headers["transfer-encoding"] == "chunked"
        assert "content-length" not in head.headers
        pieces = []
        while size := int(await self.reader.readuntil(b"\r\n"), 16):
            pieces.append(await self.reader.readexactly(size))
            assert await self.reader.readexactly(2) == b"\r\n"
        trailers = b""
        while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
            trailers += line
        return http.Headers(head.headers), b"".join(pieces), trailers

    async def ask(self, raw: bytes = GET) -> Answer:
        self.send(raw)
        return await self.answer()

    async def end(self) -> bytes:
        """What comes until the server ends the connection, which a reset may do as well."""
        try:
            return await self.reader.read()
        except ConnectionError:
            return b""


@asynccontextmanager
async def connected(server: http.Server | int) -> AsyncIterator[Peer]:
    port = server if isinstance(server, int) else server.port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield Peer(reader, writer)
    finally:
        writer.close()


def with_server(
    handler: http.Handler,
    scenario: Callable[[http.Server], Awaitable[Any]],
    *,
    within: float = 30,
    **settings: float,
) -> list[dict[str, Any]]:
    """Runs a scenario against a handler; what the loop's exception handler was told.

    A scenario that hangs is given up after a while, in seconds.
    """
    reports: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reports.append(told))
        server = await http.listen(handler, "http://127.0.0.1:0", **settings)
        try:
            async with asyncio.timeout(within):
                await scenario(server)
        finally:
            await server.close(0)

    sennit.run(main())
    return reports


def with_peer(
    handler: http.Handler,
    scenario: Callable[[Peer, http.Server], Awaitable[Any]],
    **settings: float,
) -> list[dict[str, Any]]:
    """Runs a scenario on one connection to a handler."""

    async def connect(server: http.Server) -> None:
        async with connected(server) as peer:
            await scenario(peer, server)

    return with_server(handler, connect, **settings)


async def eventually(condition: Callable[[], object]) -> None:
    """Lets the loop run until something is so."""
    while not condition():
        await asyncio.sleep(0.0005)
