"""Proxies for tests: HTTP ones that pass requests on or make tunnels, and SOCKS5."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

USER, PASSWORD = "ann", "s3cret"


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
        writer.write_eof()


class Proxying:
    """A proxy, and what it was asked for."""

    def __init__(self, *, credentials: bool = False) -> None:
        self.asked: list[str] = []
        self.connections = 0
        self.credentials = credentials
        self.url = ""

    async def _join(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int
    ) -> None:
        # Whatever the name is: every origin of these tests is on this machine.
        there = await asyncio.open_connection("127.0.0.1" if "example" in host else host, port)
        try:
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))
        finally:
            there[1].close()

    async def http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Passes on, or connects."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            line, *fields = head.decode().split("\r\n")
            method, target, _ = line.split(" ")
            self.asked.append(f"{method} {target}")
            known = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            wanted = f"proxy-authorization: basic {known}".lower()
            if self.credentials and wanted not in [field.lower() for field in fields]:
                writer.write(b"HTTP/1.1 407 Who Are You\r\nContent-Length: 0\r\n\r\n")
                continue
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
                await self._join(reader, writer, host.strip("[]"), int(port))
                return
            body = f"{target} for {method}".encode()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    async def socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """SOCKS5."""
        version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        assert version == 5
        if self.credentials:
            if 2 not in methods:
                writer.write(b"\x05\xff")
                return
            writer.write(b"\x05\x02")
            _, length = await reader.readexactly(2)
            user = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            is_known = (user.decode(), password.decode()) == (USER, PASSWORD)
            writer.write(b"\x01\x00" if is_known else b"\x01\x01")
            if not is_known:
                return
        else:
            writer.write(b"\x05\x00")
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            assert kind == 1
            host = ".".join(map(str, await reader.readexactly(4)))
        port = int.from_bytes(await reader.readexactly(2))
        self.asked.append(f"{host}:{port}")
        if host == "refused.example":
            writer.write(b"\x05\x05\x00\x01\x00\x00\x00\x00\x00\x00")
            return
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        await self._join(reader, writer, host, port)


@asynccontextmanager
async def proxy(kind: str, *, credentials: bool = False) -> AsyncIterator[Proxying]:
    """A proxy of a kind, `http` or `socks`, at its `url`."""
    made = Proxying(credentials=credentials)
    tasks: set[asyncio.Task[None] | None] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())
        made.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await getattr(made, kind)(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    made.url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*filter(None, tasks), return_exceptions=True)
