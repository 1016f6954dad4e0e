"""asyncio's streams on the reactor."""

import asyncio

import pytest

import sennit

LARGE = 10_000_000


@pytest.fixture(params=["tcp", "unix"])
def doors(request, tmp_path):
    """Ways to serve and to connect, over TCP or over a UNIX socket."""

    async def start(handler, **options):
        if request.param == "tcp":
            server = await asyncio.start_server(handler, "127.0.0.1", 0, **options)
            address = server.sockets[0].getsockname()
            return server, lambda **more: asyncio.open_connection(*address, **more)
        path = str(tmp_path / "socket")
        server = await asyncio.start_unix_server(handler, path, **options)
        return server, lambda **more: asyncio.open_unix_connection(path, **more)

    return start


async def echo(reader, writer):
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


def test_an_echo_comes_back(doors):
    async def main():
        server, connect = await doors(echo)
        async with server:
            reader, writer = await connect()
            for line in (b"one\n", b"two\n"):
                writer.write(line)
                assert await reader.readline() == line
            writer.write_eof()
            assert await reader.read() == b""
            writer.close()
            await writer.wait_closed()

    sennit.run(main())


def test_ten_megabytes_arrive_intact(doors):
    data = bytes(range(251)) * (LARGE // 251)

    async def main():
        server, connect = await doors(echo)
        async with server:
            reader, writer = await connect()

            async def send():
                writer.write(data)
                await writer.drain()
                writer.write_eof()

            _, received = await asyncio.gather(send(), reader.read())
            writer.close()
            await writer.wait_closed()
        return received

    assert sennit.run(main()) == data


def test_a_small_limit_pauses_the_sender(doors):
    async def main():
        server, connect = await doors(echo, limit=1000)
        async with server:
            reader, writer = await connect(limit=1000)
            blocks = [bytes([index]) * 1_000 for index in range(256)]

            async def send():
                for block in blocks:
                    writer.write(block)
                    await writer.drain()
                writer.write_eof()

            _, received = await asyncio.gather(send(), reader.read())
            assert received == b"".join(blocks)
            writer.close()
            await writer.wait_closed()

    sennit.run(main())


def test_many_at_once(doors):
    async def main():
        server, connect = await doors(echo)

        async def one(index):
            reader, writer = await connect()
            writer.write(b"%d\n" % index)
            line = await reader.readline()
            writer.close()
            await writer.wait_closed()
            return int(line)

        async with server:
            return await asyncio.gather(*(one(index) for index in range(300)))

    assert sennit.run(main()) == list(range(300))


def test_a_lost_connection_is_told_to_who_drains(doors):
    async def main():
        async def slam(_reader, writer):
            writer.transport.abort()

        server, connect = await doors(slam)
        async with server:
            reader, writer = await connect()
            assert await reader.read() == b""

            async def send_for_ever():
                while True:
                    writer.write(b"x" * 100_000)
                    await writer.drain()

            with pytest.raises(ConnectionError):
                await send_for_ever()
            writer.close()

    sennit.run(main())


def test_an_error_in_a_handler_is_reported(doors):
    async def main():
        reports = asyncio.Queue()
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _loop, context: reports.put_nowait(context))

        async def fail(_reader, writer):
            writer.close()
            raise LookupError

        server, connect = await doors(fail)
        async with server:
            _, writer = await connect()
            context = await reports.get()
            assert type(context["exception"]) is LookupError
            writer.close()

    sennit.run(main())
