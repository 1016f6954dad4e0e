"""The contract of a transport: flow control both ways, and buffers of the protocol's own."""

import asyncio

import pytest


def in_thread(function, *arguments):
    return asyncio.get_running_loop().run_in_executor(None, function, *arguments)


def receive(peer, count):
    data = bytearray()
    while len(data) < count:
        data += peer.recv(min(1 << 20, count - len(data)))
    return bytes(data)


def test_pause_and_resume_take_turns(run):
    block = bytes(300_000)

    async def test(protocol, peer):
        for _ in range(5):
            sent = 0
            while protocol.events[-1] != "pause":
                protocol.transport.write(block)
                sent += len(block)
            protocol.transport.write(block)
            sent += len(block)
            count = protocol.events.count("resume")
            reading = in_thread(receive, peer, sent)
            await protocol.hears(lambda count=count: protocol.events.count("resume") == count + 1)
            assert len(await reading) == sent
        assert protocol.events == ["made", *(["pause", "resume"] * 5)]

    run(test)


def test_the_marks_can_be_set(run):
    async def test(protocol, _peer):
        transport = protocol.transport
        assert transport.get_write_buffer_limits() == (16 * 1024, 64 * 1024)
        for given, marks in (
            ({"high": 1024}, (256, 1024)),
            ({"low": 100}, (100, 400)),
            ({"high": 1000, "low": 10}, (10, 1000)),
            ({"high": 0}, (0, 0)),
            ({}, (16 * 1024, 64 * 1024)),
        ):
            transport.set_write_buffer_limits(**given)
            assert transport.get_write_buffer_limits() == marks
        for wrong in ({"high": 1, "low": 2}, {"high": -1}, {"low": -1}):
            with pytest.raises(ValueError, match="must be >="):
                transport.set_write_buffer_limits(**wrong)

    run(test)


def test_a_mark_of_nothing_resumes_when_all_is_sent(run):
    async def test(protocol, peer):
        protocol.transport.set_write_buffer_limits(high=0)
        data = bytes(5_000_000)
        protocol.transport.write(data)
        assert protocol.transport.get_write_buffer_size() > 0
        assert protocol.events == ["made", "pause"]
        reading = in_thread(receive, peer, len(data))
        await protocol.hears("resume")
        assert protocol.transport.get_write_buffer_size() == 0
        await reading

    run(test)


def test_a_paused_protocol_hears_nothing(run):
    async def test(protocol, peer):
        transport = protocol.transport
        assert transport.is_reading()
        transport.pause_reading()
        transport.pause_reading()
        assert not transport.is_reading()
        peer.send(b"wait for it")
        for _ in range(20):
            await asyncio.sleep(0)
        assert protocol.events == ["made"]
        transport.resume_reading()
        transport.resume_reading()
        assert transport.is_reading()
        await protocol.hears("data")
        assert protocol.data == b"wait for it"

    run(test)


def test_pausing_inside_of_data_received_holds_the_rest_back(run):
    async def test(protocol, peer):
        def pause(data):
            type(protocol).data_received(protocol, data)
            protocol.transport.pause_reading()

        protocol.data_received = pause
        total = 3_000_000
        sending = in_thread(peer.sendall, bytes(total))
        turns = 0
        while len(protocol.data) < total:
            await protocol.hears(lambda turns=turns: protocol.events.count("data") > turns)
            turns = protocol.events.count("data")
            for _ in range(3):
                await asyncio.sleep(0)
            assert protocol.events.count("data") == turns
            protocol.transport.resume_reading()
        await sending
        assert len(protocol.data) == total

    run(test)


def test_an_end_while_paused_is_heard_after_the_data(run):
    async def test(protocol, peer):
        protocol.transport.pause_reading()
        peer.send(b"last")
        peer.close()
        for _ in range(20):
            await asyncio.sleep(0)
        assert protocol.events == ["made"]
        protocol.transport.resume_reading()
        await protocol.hears("lost")
        assert protocol.events == ["made", "data", "eof", "lost"]

    run(test)


def test_a_paused_connection_can_be_closed(run):
    async def test(protocol, _peer):
        protocol.transport.pause_reading()
        protocol.transport.close()
        assert not protocol.transport.is_reading()
        await protocol.hears("lost")

    run(test)


def test_pausing_in_connection_made(loop):
    class Late(asyncio.Protocol):
        def connection_made(self, transport):
            self.transport = transport
            transport.pause_reading()
            self.data = asyncio.get_running_loop().create_future()

        def data_received(self, data):
            self.data.set_result(data)

    async def main():
        made = []

        def factory():
            made.append(Late())
            return made[-1]

        server = await loop.create_server(factory, "127.0.0.1", 0)
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"early")
        while not made or not hasattr(made[0], "data"):
            await asyncio.sleep(0)
        for _ in range(20):
            await asyncio.sleep(0)
        assert not made[0].data.done()
        made[0].transport.resume_reading()
        assert await made[0].data == b"early"
        writer.close()
        server.close()
        made[0].transport.close()
        await server.wait_closed()

    loop.run_until_complete(main())


def test_ten_megabytes_each_way_at_once(run):
    data = bytes(range(251)) * 40_000

    async def test(protocol, peer):
        protocol.transport.write(data)
        received, _ = await asyncio.gather(
            in_thread(receive, peer, len(data)), in_thread(peer.sendall, data)
        )
        assert received == data
        await protocol.hears(lambda: len(protocol.data) >= len(data))
        assert protocol.data == data

    run(test)


class Buffered(asyncio.BufferedProtocol):
    """Reads into eight bytes of its own."""

    def __init__(self):
        self.buffer = bytearray(8)
        self.data = bytearray()
        self.hints = set()
        self.lost = asyncio.get_running_loop().create_future()
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport

    def get_buffer(self, sizehint):
        self.hints.add(sizehint)
        return self.buffer

    def buffer_updated(self, nbytes):
        assert 0 < nbytes <= 8
        self.data += self.buffer[:nbytes]

    def connection_lost(self, exc):
        self.lost.set_result(exc)


def test_a_buffered_protocol_reads_into_its_own_buffer(run):
    data = bytes(range(251)) * 100

    async def test(protocol, peer):
        await in_thread(peer.sendall, data)
        peer.close()
        assert await protocol.lost is None
        assert protocol.data == data
        assert protocol.hints == {-1}

    run(test, Buffered)


@pytest.mark.parametrize(
    ("buffer", "error"),
    [(bytearray(), RuntimeError), (b"read only", TypeError), (None, TypeError)],
)
def test_a_buffer_that_cannot_be_used_ends_the_connection(run, reported, buffer, error):
    async def test(protocol, peer):
        protocol.buffer = buffer
        peer.send(b"data")
        reason = await protocol.lost
        assert len(reported) == 1
        assert isinstance(reason, (error, BufferError))

    run(test, Buffered)


@pytest.mark.parametrize("callback", ["get_buffer", "buffer_updated"])
def test_an_error_in_a_buffered_callback_ends_the_connection(run, reported, callback):
    async def test(protocol, peer):
        def fail(_argument):
            raise LookupError(callback)

        setattr(protocol, callback, fail)
        peer.send(b"data")
        assert str(await protocol.lost) == callback
        assert [str(context["exception"]) for context in reported] == [callback]

    run(test, Buffered)


def test_a_protocol_can_become_buffered_and_plain_again(run):
    async def test(protocol, peer):
        buffered = Buffered()
        protocol.transport.set_protocol(buffered)
        peer.send(b"first")
        while buffered.data != b"first":
            await asyncio.sleep(0)
        protocol.transport.set_protocol(protocol)
        peer.send(b"second")
        await protocol.hears("data")
        assert protocol.data == b"second"
        assert buffered.data == b"first"

    run(test)
