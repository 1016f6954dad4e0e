"""What must not break the native core: failures between its own steps."""

import asyncio
import os
import socket
import sys

import pytest

import sennit


class Odd(asyncio.Protocol):
    """A protocol that cannot even say what it is."""

    @property
    def __class__(self):
        raise LookupError("no class today")


class Recorder(asyncio.Protocol):
    def __init__(self):
        self.heard = []

    def connection_made(self, transport):
        self.transport = transport
        self.socket = transport.get_extra_info("socket")
        self.heard.append("made")

    def connection_lost(self, exc):
        self.heard.append(("lost", type(exc)))


def test_a_server_counts_rightly_when_a_protocol_is_odd(reactor, reported):
    async def main():
        server = await reactor.create_server(Odd, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        assert await reader.read() == b""
        writer.close()
        server.close()
        await server.wait_closed()

    reactor.run_until_complete(main())
    assert [type(context["exception"]) for context in reported] == [LookupError]


def test_a_transport_that_cannot_start_tells_its_protocol(reactor):
    # A descriptor that is watched already cannot be watched again: the last step fails.
    listening = socket.socket()
    listening.listen()
    token = reactor._listen(listening.fileno(), Recorder, None)
    descriptor = listening.detach()
    protocol = Recorder()
    with pytest.raises(FileExistsError):
        reactor._make_transport(descriptor, protocol)
    reactor._stop_listening(token)
    assert protocol.heard == ["made", ("lost", FileExistsError)]
    assert protocol.socket.fileno() == -1
    assert protocol.transport.get_protocol() is None
    transport = protocol.transport
    del protocol.transport, protocol.socket
    assert sys.getrefcount(transport) == 2
    del transport
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(descriptor)


def test_a_stale_watcher_does_not_take_a_transports_events(reactor):
    async def main():
        async def echo(reader, writer):
            writer.write(await reader.readline())
            writer.close()

        server = await asyncio.start_server(echo, "127.0.0.1", 0)
        reading, writing = os.pipe()
        stale = []
        reactor.add_reader(reading, stale.append, "stale")
        os.close(reading)
        os.close(writing)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        number = writer.get_extra_info("socket").fileno()
        assert number in {reading, writing}
        assert reactor.remove_reader(reading) is False
        writer.write(b"through\n")
        assert await reader.read() == b"through\n"
        writer.close()
        server.close()
        assert stale == []

    reactor.run_until_complete(main())


def test_a_transports_descriptor_cannot_be_watched(reactor):
    async def main():
        server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with pytest.raises(RuntimeError, match="is used by a transport"):
            reactor.add_reader(writer.get_extra_info("socket"), print)
        writer.close()
        server.close()

    reactor.run_until_complete(main())


def test_native_types_are_not_made_by_hand(reactor):
    handle, timer = reactor.call_soon(print), reactor.call_later(3600, print)
    for native in (type(handle), type(timer)):
        with pytest.raises(TypeError):
            native()
        with pytest.raises(TypeError):
            type("Mine", (native,), {})
    with pytest.raises(TypeError):
        handle.__class__ = asyncio.Handle


def test_a_handle_can_be_run_by_hand(reactor, reported):
    order = []
    reactor.call_soon(order.append, 1)._run()
    reactor.call_soon(lambda: 1 / 0)._run()
    cancelled = reactor.call_soon(order.append, 2)
    cancelled.cancel()
    cancelled._run()
    assert order == [1]
    assert [type(context["exception"]) for context in reported] == [ZeroDivisionError]


def test_a_subclass_that_forgets_its_base_is_no_crash():
    class Forgetful(sennit.Reactor):
        def __init__(self):
            pass

        def __del__(self):
            pass

    loop = Forgetful()
    assert loop.is_closed() is False
    loop._close_native()
    assert loop.is_closed() is True
