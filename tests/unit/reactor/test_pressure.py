"""A server under pressure: the full backlog, and no descriptor left."""

import asyncio
import socket
from pathlib import Path

from sennit.reactor import serving

BURST = 2000


def test_the_backlog_takes_a_burst_while_the_loop_rests(reactor):
    limit = int(Path("/proc/sys/net/core/somaxconn").read_text())
    burst = min(BURST, limit)
    made = []

    class Counter(asyncio.Protocol):
        def connection_made(self, transport):
            made.append(transport)

    server = reactor.run_until_complete(reactor.create_server(Counter, "127.0.0.1", 0))
    address = server.sockets[0].getsockname()
    # No turn is taken here: the kernel alone keeps these.
    clients = [socket.create_connection(address) for _ in range(burst)]

    async def main():
        while len(made) < burst:
            await asyncio.sleep(0)

    reactor.run_until_complete(main())
    for client in clients:
        client.close()
    server.close()
    reactor.run_until_complete(server.wait_closed())


def test_the_backlog_is_the_systems_by_default(reactor):
    assert serving.FULL_BACKLOG == 65_535


def test_running_out_of_descriptors_is_reported_once_and_ends(program):
    result = program(
        """
        import asyncio, os, resource, socket
        import sennit

        # The server raises the soft limit to the hard one, so both are lowered.
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))

        class Echo(asyncio.Protocol):
            def connection_made(self, transport):
                self.transport = transport

            def data_received(self, data):
                self.transport.write(data)

        async def main():
            loop = asyncio.get_running_loop()
            reports = []
            reported = asyncio.Event()

            def handler(_loop, context):
                reports.append(context)
                reported.set()

            loop.set_exception_handler(handler)
            server = await loop.create_server(Echo, "127.0.0.1", 0)
            address = server.sockets[0].getsockname()
            client = socket.socket()
            spare = []
            try:
                while True:
                    spare.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            client.connect(address)
            await reported.wait()
            # Several attempts of the resting listener pass without another report.
            await asyncio.sleep(0.35)
            print(len(reports), reports[0]["exception"].errno, "ulimit -n" in reports[0]["message"])
            for descriptor in spare:
                os.close(descriptor)
            client.setblocking(True)
            client.send(b"hello")
            print(await loop.run_in_executor(None, client.recv, 10))
            client.close()
            server.close()
            await server.wait_closed()

        sennit.run(main())
        """
    )
    assert (result.stdout, result.stderr) == ("1 24 True\nb'hello'\n", "")


def test_a_reactor_without_descriptors_is_refused_cleanly(program):
    result = program(
        """
        import os, resource, sennit
        resource.setrlimit(resource.RLIMIT_NOFILE, (16, 16))
        spare = []
        for left in (0, 1, 2):
            try:
                while True:
                    spare.append(os.open("/dev/null", os.O_RDONLY))
            except OSError:
                pass
            for _ in range(left):
                os.close(spare.pop())
            try:
                sennit.Reactor().close()
                print("made")
            except OSError as error:
                print(error.errno)
        """
    )
    assert (result.stdout, result.stderr) == ("24\n24\nmade\n", "")


def test_the_descriptor_limit_is_raised_by_a_server(program):
    result = program(
        """
        import asyncio, resource, sennit

        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (64, hard))

        async def main():
            server = await asyncio.start_server(print, "127.0.0.1", 0)
            server.close()

        sennit.run(main())
        print(resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard)
        """
    )
    assert (result.stdout, result.stderr) == ("True\n", "")
