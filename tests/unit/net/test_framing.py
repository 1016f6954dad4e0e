"""Framings: what their settings may be, and frames of a stream with await."""

import asyncio
import dataclasses

import pytest

from sennit.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from sennit.net.framing import FixedSize, LengthPrefixed, Lines, Netstrings
from sennit.net.stream import Stream

FRAMES = [b"", b"a", b"two words", b"x" * 200]
WRITTEN = {
    Lines(): b"\na\ntwo words\n" + b"x" * 200 + b"\n",
    Lines(ending=b"\r\n"): b"\r\na\r\ntwo words\r\n" + b"x" * 200 + b"\r\n",
    Netstrings(): b"0:,1:a,9:two words,200:" + b"x" * 200 + b",",
    LengthPrefixed(8): b"\0\1a\x09two words\xc8" + b"x" * 200,
    LengthPrefixed(16): b"\0\0\0\1a\0\x09two words\0\xc8" + b"x" * 200,
    LengthPrefixed(32, byte_order="little"): b"\0\0\0\0\1\0\0\0a\x09\0\0\0two words\xc8\0\0\0"
    + b"x" * 200,
}
FRAMINGS = pytest.mark.parametrize("framing", WRITTEN, ids=repr)


@FRAMINGS
def test_what_is_written(fake, framing):
    stream = Stream()
    transport = fake(stream)
    frames = stream.frames(framing)
    for frame in FRAMES:
        frames.send(frame)
    assert transport.written == WRITTEN[framing]


@FRAMINGS
def test_frames_come_back(run, connect, framing):
    async def main():
        stream, peer = await connect(Stream())
        frames = stream.frames(framing)
        assert frames.stream is stream
        sent = [*FRAMES, bytearray(b"writable"), memoryview(b"a view")]
        for frame in sent:
            await frames.send(frame)
        size = sum(stream.statistics()[name] for name in ("bytes_sent", "queued"))
        await peer.send(await peer.receive_exactly(size))
        peer.writer.write_eof()
        assert [frame async for frame in frames] == sent
        assert await frames.receive() is None
        with pytest.raises(StopAsyncIteration):
            await anext(frames)
        stream.close()
        peer.close()

    run(main())


def test_frames_of_a_fixed_size(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        frames = stream.frames(FixedSize(4))
        await frames.send(b"four")
        with pytest.raises(LocalProtocolError, match="5 bytes, every frame must be 4"):
            frames.send(b"fives")
        await peer.send(b"abcdefghij")
        assert await frames.receive() == b"abcd"
        assert await frames.receive() == b"efgh"
        peer.writer.write_eof()
        with pytest.raises(RemoteProtocolError, match="2 bytes of it came, at least 2 are missing"):
            await frames.receive()
        assert await stream.read() == b"ij"
        stream.close()
        peer.close()

    run(main())


def test_large_frames(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        frames = stream.frames(LengthPrefixed(max_size=10_000_000))
        large = bytes(range(256)) * 20_000
        task = asyncio.create_task(peer.receive_exactly(len(large) + 4))
        await frames.send(large)
        task = asyncio.create_task(peer.send(await task))
        assert await frames.receive() == large
        await task
        stream.close()
        peer.close()

    run(main())


def test_a_length_above_the_limit_is_refused_before_the_body(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        frames = stream.frames(LengthPrefixed(max_size=1000))
        task = asyncio.create_task(frames.receive())
        await asyncio.sleep(0)
        await peer.send(b"\0\0\x03\xe9")
        with pytest.raises(RemoteProtocolError, match=r"1,001 bytes, limit 1,000 \(max_size\)"):
            await task
        stream.abort()
        peer.close()

    run(main())


def test_a_rule_is_named(fake):
    stream = Stream()
    fake(stream)
    stream.data_received(b"01:a,")
    with pytest.raises(RemoteProtocolError, match="leading zero") as caught:
        stream.frames(Netstrings()).receive().send(None)
    assert caught.value.rule == "netstrings"


def test_another_framing_in_the_middle(run, connect):
    async def main():
        stream, peer = await connect(Stream())
        lines, sized = stream.frames(Lines()), stream.frames(LengthPrefixed(8))
        task = asyncio.create_task(lines.receive())
        await peer.send(b"size follows\n\x03a\nb\x01")
        assert await task == b"size follows"
        assert await sized.receive() == b"a\nb"
        task = asyncio.create_task(sized.receive())
        await asyncio.sleep(0)
        task.cancel()
        await peer.send(b"\n")
        assert await lines.receive() == b"\x01"
        stream.close()
        peer.close()

    run(main())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Lines(-1), "max_size is -1"),
        (lambda: Lines(True), "max_size is True"),
        (lambda: Lines("1"), "max_size is '1'"),
        (lambda: Lines(ending=b""), "ending is b''"),
        (lambda: Lines(ending="\n"), "ending is '\\\\n'"),
        (lambda: Lines(ending=b"x" * 17), "1 to 16 bytes"),
        (lambda: Netstrings(2**32), "0 to 4,294,967,295"),
        (lambda: LengthPrefixed(24), "bits is 24"),
        (lambda: LengthPrefixed(8, 256), "0 to 255"),
        (lambda: LengthPrefixed(byte_order="middle"), "byte_order is 'middle'"),
        (lambda: FixedSize(0), "size is 0"),
    ],
)
def test_settings_that_make_no_sense(make, words):
    with pytest.raises(ConfigError, match=words):
        make()


def test_framings_are_values():
    assert Lines(10) == Lines(max_size=10)
    assert Lines(10) != Lines(11)
    assert len({LengthPrefixed(8), LengthPrefixed(8), LengthPrefixed(16)}) == 2
    assert LengthPrefixed(8).max_size == 255
    assert LengthPrefixed(32).max_size == 65536
    with pytest.raises(dataclasses.FrozenInstanceError):
        Lines().max_size = 5
    assert repr(Netstrings(5)) == "Netstrings(max_size=5)"
