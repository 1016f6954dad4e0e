"""A protocol that is called with each frame, and what it may do in the middle of that."""

import asyncio

import pytest

import sennit
from sennit.errors import ClosedError, ConfigError, LocalProtocolError, RemoteProtocolError
from sennit.net.framing import FixedSize, FrameProtocol, LengthPrefixed, Lines
from sennit.net.stream import Stream


class Recorder(FrameProtocol):
    """Writes down what it hears, and does what it is told to do at a frame."""

    framing = Lines(max_size=100)

    def __init__(self, framing=None, **at):
        super().__init__(framing)
        self.heard = []
        self.at = at
        self.over = None

    def frame_received(self, frame):
        self.heard.append(frame)
        if action := self.at.get(frame.decode("latin-1")):
            action(self)

    def connection_lost(self, exc):
        self.heard.append(exc)
        if self.over is not None:
            self.over.set()


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_frames_in_any_pieces(run, connect):
    async def main():
        protocol, peer = await connect(Recorder())
        protocol.over = asyncio.Event()
        await peer.send(b"one\ntwo\r\n\nthr")
        await until(lambda: len(protocol.heard) == 3)
        assert protocol.buffered in (0, 3)
        for byte in b"ee\nfour\n":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)
        peer.close()
        await protocol.over.wait()
        assert protocol.heard == [b"one", b"two", b"", b"three", b"four", None]

    run(main())


def test_frames_are_sent(run, connect):
    async def main():
        protocol, peer = await connect(Recorder())
        protocol.send_frame(b"one")
        protocol.send_frame(bytearray(b"two"))
        protocol.send_frame(b"x" * 20_000)
        with pytest.raises(LocalProtocolError):
            protocol.send_frame(b"a\nb")
        with pytest.raises(TypeError):
            protocol.send_frame("text")
        assert await peer.receive_exactly(20_009) == b"one\ntwo\n" + b"x" * 20_000 + b"\n"
        protocol.transport.close()
        peer.close()

    run(main())


def test_a_broken_framing_ends_the_connection(run, connect):
    async def main():
        protocol, peer = await connect(Recorder())
        protocol.over = asyncio.Event()
        await peer.send(b"fine\n" + b"x" * 101)
        await protocol.over.wait()
        assert protocol.heard[0] == b"fine"
        assert len(protocol.heard) == 2
        if isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            assert protocol.heard[1] is None
        else:
            assert isinstance(protocol.heard[1], RemoteProtocolError)
            assert "at least 101 bytes, limit 100 (max_size)" in str(protocol.heard[1])
        peer.close()

    run(main())


def test_an_end_within_a_frame_is_an_error(run, connect):
    class Tolerant(Recorder):
        def frame_error(self, error):
            self.heard.append(str(error))

    async def main():
        protocol, peer = await connect(Tolerant())
        protocol.over = asyncio.Event()
        await peer.send(b"one\ntw")
        peer.close()
        await protocol.over.wait()
        assert protocol.heard[0] == b"one"
        assert "2 bytes of it came, at least 1 are missing" in protocol.heard[1]
        assert protocol.heard[2] is None

    run(main())


def test_another_framing_after_an_error(run, connect):
    class Forgiving(Recorder):
        def frame_error(self, error):
            self.heard.append("error")
            assert self.take_buffered().startswith(b"x" * 101)
            self.set_framing(FixedSize(2))

    async def main():
        protocol, peer = await connect(Forgiving())
        await peer.send(b"x" * 101)
        await until(lambda: protocol.heard == ["error"])
        await peer.send(b"abcd")
        await until(lambda: protocol.heard == ["error", b"ab", b"cd"])
        protocol.transport.abort()
        peer.close()

    run(main())


def test_after_a_close_no_frame_is_handed_out(run, connect):
    async def main():
        protocol, peer = await connect(Recorder(two=lambda self: self.transport.close()))
        protocol.over = asyncio.Event()
        await peer.send(b"one\ntwo\nthree\nfour\n")
        await protocol.over.wait()
        assert protocol.heard == [b"one", b"two", None]
        peer.close()

    run(main())


@pytest.mark.parametrize("by_transport", [False, True])
def test_a_pause_holds_what_has_come(run, connect, by_transport):
    async def main():
        protocol, peer = await connect(Recorder(one=lambda self: target(self).pause_reading()))
        if by_transport and isinstance(asyncio.get_running_loop(), asyncio.SelectorEventLoop):
            # Only a Reactor's transport tells when it goes on.
            protocol.transport.close()
            peer.close()
            return
        await peer.send(b"one\ntwo\nthree\n")
        await until(lambda: protocol.heard)
        for _ in range(5):
            await asyncio.sleep(0)
        assert protocol.heard == [b"one"]
        target(protocol).resume_reading()
        await until(lambda: len(protocol.heard) == 3)
        assert protocol.heard == [b"one", b"two", b"three"]
        await peer.send(b"four\n")
        await until(lambda: len(protocol.heard) == 4)
        protocol.transport.abort()
        peer.close()

    def target(protocol):
        return protocol.transport if by_transport else protocol

    run(main())


def test_the_framing_changes_in_the_middle(run, connect):
    async def main():
        protocol, peer = await connect(
            Recorder(
                sized=lambda self: self.set_framing(LengthPrefixed(8)),
                lines=lambda self: self.set_framing(Lines()),
            )
        )
        await peer.send(b"one\nsized\n\x02a\n\x05lines\x03\n\n")
        await until(lambda: len(protocol.heard) == 6)
        assert protocol.heard == [b"one", b"sized", b"a\n", b"lines", b"\x03", b""]
        protocol.transport.abort()
        peer.close()

    run(main())


def test_another_protocol_takes_over(run, connect):
    async def main():
        stream = Stream()

        def switch(self):
            rest = self.take_buffered()
            self.transport.set_protocol(stream)
            stream.connection_made(self.transport)
            stream.data_received(rest)

        protocol, peer = await connect(Recorder(switch=switch))
        await peer.send(b"one\nswitch\nfor the ")
        await until(lambda: stream.buffered)
        await peer.send(b"stream\n")
        assert await stream.readline() == b"for the stream\n"
        assert protocol.heard == [b"one", b"switch"]
        await stream.write(b"answer")
        assert await peer.receive() == b"answer"
        stream.close()
        await stream.wait_closed()
        peer.close()

    run(main())


def test_another_protocol_without_the_rest(run, connect):
    async def main():
        other = Recorder()
        protocol, peer = await connect(
            Recorder(one=lambda self: self.transport.set_protocol(other))
        )
        await peer.send(b"one\ntwo\n")
        await until(lambda: protocol.heard)
        await asyncio.sleep(0)
        assert (protocol.heard, other.heard) == ([b"one"], [])
        assert protocol.take_buffered() == b"two\n"
        protocol.transport.abort()
        peer.close()

    run(main())


def test_data_within_data(fake):
    protocol = Recorder(one=lambda self: self.data_received(b"three\nfo"))
    fake(protocol)
    protocol.data_received(b"one\ntwo\n")
    assert protocol.heard == [b"one", b"two", b"three"]
    protocol.data_received(memoryview(b"ur\n"))
    assert protocol.heard[-1] == b"four"


def test_an_error_of_the_program_ends_the_connection(connect):
    class Broken(FrameProtocol):
        framing = Lines()

        def frame_received(self, frame):
            raise ZeroDivisionError(frame)

        def connection_lost(self, exc):
            self.lost = exc

    reactor = sennit.Reactor()
    reported = []
    reactor.set_exception_handler(lambda _, context: reported.append(context))

    async def main():
        protocol, peer = await connect(Broken())
        await peer.send(b"one\ntwo\n")
        await until(lambda: hasattr(protocol, "lost"))
        peer.close()
        return protocol

    protocol = reactor.run_until_complete(main())
    reactor.close()
    assert isinstance(protocol.lost, ZeroDivisionError)
    assert protocol.lost.args == (b"one",)
    assert [context["message"] for context in reported] == [
        "Fatal error: protocol.frame_received() call failed."
    ]


def test_a_connection_made_without_super(connect):
    class Short(Recorder):
        def connection_made(self, transport):
            self.heard.append("made")

    async def main():
        protocol, peer = await connect(Short())
        protocol.send_frame(b"native transports are known anyway")
        assert await peer.receive() == b"native transports are known anyway\n"
        protocol.transport.abort()
        peer.close()

    sennit.run(main())


def test_without_a_transport_or_a_framing():
    with pytest.raises(ClosedError, match="no transport"):
        Recorder().send_frame(b"x")
    with pytest.raises(AttributeError, match="framing"):
        FrameProtocol().data_received(b"x")
    with pytest.raises(NotImplementedError, match="frame_received"):
        FrameProtocol(Lines()).data_received(b"x\n")
    with pytest.raises(TypeError, match="no framing"):
        FrameProtocol("lines")
    with pytest.raises(ConfigError):
        FrameProtocol(Lines(-1))
