"""The contract of a transport: what a protocol hears, in which order, and how it ends."""

import asyncio
import socket
import sys

import pytest

from sennit import testing


def receive_all(peer):
    data = bytearray()
    while piece := peer.recv(1 << 20):
        data += piece
    return bytes(data)


def in_thread(function, *arguments):
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def test_the_order_of_a_life(run):
    async def test(protocol, peer):
        peer.send(b"hello")
        await protocol.hears("data")
        peer.close()
        await protocol.hears("lost")
        assert protocol.events == ["made", "data", "eof", "lost"]
        assert protocol.data == b"hello"
        assert protocol.error is None

    run(test)


def test_data_and_end_at_once(run):
    async def test(protocol, peer):
        peer.send(b"last words")
        peer.close()
        await protocol.hears("lost")
        assert protocol.events[-2:] == ["eof", "lost"]
        assert protocol.data == b"last words"

    run(test)


def test_our_close_flushes_and_tells_no_end(run):
    data = bytes(range(251)) * 20_000

    async def test(protocol, peer):
        protocol.transport.write(data)
        protocol.transport.close()
        assert protocol.transport.is_closing()
        assert await in_thread(receive_all, peer) == data
        await protocol.hears("lost")
        assert protocol.error is None
        assert [e for e in protocol.events if e not in {"pause", "resume"}] == ["made", "lost"]

    run(test)


def test_abort_drops_what_waits(run):
    data = bytes(10_000_000)

    async def test(protocol, peer):
        protocol.transport.write(data)
        protocol.transport.abort()
        assert protocol.transport.is_closing()
        await protocol.hears("lost")
        assert protocol.error is None
        assert protocol.transport.get_write_buffer_size() == 0
        assert len(await in_thread(receive_all, peer)) < len(data)

    run(test)


def test_nothing_is_heard_after_close(run):
    async def test(protocol, peer):
        peer.send(b"too late")
        protocol.transport.close()
        await protocol.hears("lost")
        assert protocol.events == ["made", "lost"]

    run(test)


def test_closing_twice_is_closing_once(run):
    async def test(protocol, _peer):
        protocol.transport.close()
        protocol.transport.close()
        protocol.transport.abort()
        await protocol.hears("lost")
        for _ in range(5):
            await asyncio.sleep(0)
        protocol.transport.close()
        await asyncio.sleep(0)
        assert protocol.events == ["made", "lost"]

    run(test)


def test_close_is_told_later_and_not_inside_of_the_call(run):
    async def test(protocol, _peer):
        protocol.transport.close()
        assert protocol.events == ["made"]
        await protocol.hears("lost")

    run(test)


def test_a_write_after_close_is_ignored(run):
    async def test(protocol, peer):
        protocol.transport.close()
        await protocol.hears("lost")
        protocol.transport.write(b"into the void")
        assert await in_thread(receive_all, peer) == b""

    run(test)


def test_half_close_by_us(run):
    async def test(protocol, peer):
        assert protocol.transport.can_write_eof()
        protocol.transport.write(b"all that I have")
        protocol.transport.write_eof()
        protocol.transport.write_eof()
        assert await in_thread(receive_all, peer) == b"all that I have"
        peer.send(b"answer")
        await protocol.hears("data")
        assert protocol.data == b"answer"
        with pytest.raises(RuntimeError, match="write_eof"):
            protocol.transport.write(b"more")
        peer.close()
        await protocol.hears("lost")

    run(test)


def test_half_close_waits_for_what_is_queued(run):
    data = bytes(range(251)) * 40_000

    async def test(protocol, peer):
        protocol.transport.write(data)
        protocol.transport.write_eof()
        assert await in_thread(receive_all, peer) == data

    run(test)


def test_half_close_by_the_peer(run):
    async def test(protocol, peer):
        protocol.keep_open = True
        peer.shutdown(socket.SHUT_WR)
        await protocol.hears("eof")
        for _ in range(5):
            await asyncio.sleep(0)
        assert not protocol.transport.is_closing()
        protocol.transport.write(b"still here")
        protocol.transport.close()
        assert await in_thread(receive_all, peer) == b"still here"
        await protocol.hears("lost")
        assert protocol.events == ["made", "eof", "lost"]

    run(test)


def test_what_waits_is_sent_after_the_peers_end(run):
    data = bytes(range(251)) * 40_000

    async def test(protocol, peer):
        protocol.transport.write(data)
        peer.shutdown(socket.SHUT_WR)
        assert await in_thread(receive_all, peer) == data
        await protocol.hears("lost")

    run(test)


@pytest.mark.parametrize(
    "kind", [bytes, bytearray, memoryview, lambda data: memoryview(bytearray(data))]
)
def test_what_was_written_does_not_change(run, loop, kind):
    data = b"0123456789" * 50_000
    if sys.version_info >= (3, 12) and isinstance(loop, asyncio.SelectorEventLoop):
        pytest.skip("asyncio does not promise it any more")

    async def test(protocol, peer):
        given = kind(data)
        protocol.transport.write(given)
        if not memoryview(given).readonly:
            memoryview(given)[:] = b"x" * len(data)
        protocol.transport.write(kind(b""))
        protocol.transport.close()
        assert await in_thread(receive_all, peer) == data

    run(test)


def test_lines_are_joined(run):
    async def test(protocol, peer):
        protocol.transport.writelines([b"one ", bytearray(b"two "), memoryview(b"three")])
        protocol.transport.writelines(iter([b" four"]))
        protocol.transport.writelines([])
        protocol.transport.close()
        assert await in_thread(receive_all, peer) == b"one two three four"

    run(test)


@pytest.mark.parametrize("wrong", ["text", 17, None, ["list"]])
def test_only_bytes_can_be_written(run, wrong):
    async def test(protocol, _peer):
        with pytest.raises(TypeError):
            protocol.transport.write(wrong)

    run(test)


def test_many_small_writes_keep_their_order(run):
    async def test(protocol, peer):
        for index in range(5_000):
            protocol.transport.write(b"%d " % index)
            if index % 1_000 == 0:
                await asyncio.sleep(0)
        protocol.transport.close()
        received = await in_thread(receive_all, peer)
        assert [int(word) for word in received.split()] == list(range(5_000))

    run(test)


def test_what_a_transport_knows(run, sockets):
    ours, peer = sockets
    names = {"sockname": ours.getsockname(), "peername": ours.getpeername()}

    async def test(protocol, _peer):
        transport = protocol.transport
        for name, value in names.items():
            assert transport.get_extra_info(name) == value
        assert transport.get_extra_info("socket").getsockname() == names["sockname"]
        assert transport.get_extra_info("nothing") is None
        assert transport.get_extra_info("nothing", 17) == 17
        assert transport.get_protocol() is protocol
        assert isinstance(transport, asyncio.Transport)
        transport.close()
        await protocol.hears("lost")
        # The names are remembered.
        assert transport.get_extra_info("peername") == names["peername"]

    run(test)
    peer.close()


def test_another_protocol_takes_over(run):
    async def test(protocol, peer):
        other = type(protocol)()
        protocol.transport.set_protocol(other)
        assert protocol.transport.get_protocol() is other
        peer.send(b"for the other")
        await other.hears("data")
        peer.close()
        await other.hears("lost")
        assert protocol.events == ["made"]
        assert other.events == ["data", "eof", "lost"]

    run(test)


def test_a_reset_by_the_peer_has_a_reason(run, loop, sockets, break_off):
    if sockets[0].family == socket.AF_UNIX and not isinstance(loop, testing.Reactor):
        pytest.skip("UNIX sockets are not reset by SO_LINGER")

    async def test(protocol, peer):
        break_off(peer)
        await protocol.hears("lost")
        assert isinstance(protocol.error, ConnectionResetError)
        assert "eof" not in protocol.events

    run(test)


def test_a_write_to_who_is_gone_ends_the_connection(run):
    async def test(protocol, peer):
        protocol.keep_open = True
        peer.close()
        await protocol.hears("eof")
        while "lost" not in protocol.events:
            protocol.transport.write(b"anybody?")
            await asyncio.sleep(0)
        assert isinstance(protocol.error, ConnectionError)

    run(test)


@pytest.mark.parametrize(
    "callback", ["data_received", "eof_received", "connection_lost", "pause_writing"]
)
def test_an_error_in_a_callback_is_reported_once_and_the_loop_goes_on(run, reported, callback):
    async def test(protocol, peer):
        def fail(*_args):
            protocol.note("failed")
            raise LookupError(callback)

        setattr(protocol, callback, fail)
        transport = protocol.transport
        if callback == "pause_writing":
            transport.write(bytes(10_000_000))
        else:
            peer.send(b"data")
            peer.close()
        await protocol.hears("failed")
        for _ in range(5):
            await asyncio.sleep(0)
        assert [str(context["exception"]) for context in reported] == [callback]
        if callback in {"data_received", "eof_received"}:
            await protocol.hears("lost")
            assert str(protocol.error) == callback
            assert transport.is_closing()
            assert protocol.events.count("lost") == 1

    run(test)


def test_an_error_in_connection_made_is_reported_and_the_loop_goes_on(loop, reported):
    class Broken(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            raise LookupError("made")

    async def main():
        server = await loop.create_server(Broken, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        while not reported:
            await asyncio.sleep(0)
        writer.close()
        await writer.wait_closed()
        server.close()
        await server.wait_closed()

    loop.run_until_complete(main())
    assert [str(context["exception"]) for context in reported] == ["made"]


@pytest.mark.parametrize("leaving", [KeyboardInterrupt, SystemExit])
def test_leaving_from_a_callback_leaves_the_loop(run, loop, leaving):
    async def test(protocol, peer):
        def leave(_data):
            raise leaving

        protocol.data_received = leave
        peer.send(b"data")
        await protocol.hears("lost")

    with pytest.raises(leaving):
        run(test)
    for task in asyncio.all_tasks(loop):
        task.cancel()
        with pytest.raises((asyncio.CancelledError, leaving)):
            loop.run_until_complete(task)
