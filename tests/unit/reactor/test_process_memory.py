"""Large objects between processes: whole, and nothing is left of them."""

import asyncio
import gc
import os
import resource
import signal
from pathlib import Path

import numpy
import pytest

import sennit
from sennit.errors import ProcessDiedError, TransferError
from sennit.reactor.processes import handle, memory, messages

LIMITS = (messages.INLINE, handle._ASIDE)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def memory_files(pid="self"):
    """Those that a process has open, and those that it has mapped."""
    folder = Path(f"/proc/{pid}")
    opened = [str(one.readlink()) for one in (folder / "fd").iterdir() if one.is_symlink()]
    mapped = (folder / "maps").read_text().splitlines()
    return sum("memfd:sennit" in line for line in (*opened, *mapped))


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "str"])
def test_bytes_of_every_size_come_back_whole(run, errands, kind):
    make = {
        "bytes": os.urandom,
        "bytearray": lambda size: bytearray(os.urandom(size)),
        "str": lambda size: "\u00e4" * (size // 2),
    }[kind]

    async def main():
        async with sennit.ProcessPool(1) as pool:
            for limit in LIMITS:
                # The pickle's own bytes are a few dozen, so this meets the border itself, too.
                for size in range(limit - 90, limit + 10, 7):
                    value = make(size)
                    assert await pool.defer(errands.same, value) == value
            value = make(3_333_333)
            assert await pool.defer(errands.same, value) == value

    run(main())


def test_an_array_travels_both_ways_whole(run, errands):
    array = numpy.random.default_rng(7).integers(0, 2**60, 1_000_003)

    async def main():
        async with sennit.ProcessPool(1) as pool:
            back = await pool.defer(errands.same, array)
            assert numpy.array_equal(back, array)
            increased = await pool.defer(errands.increase, array)
            assert numpy.array_equal(increased, array + 1)

    run(main())


def test_what_one_side_writes_the_other_does_not_see(errands):
    array = numpy.zeros(1_000_000)

    async def main():
        async with sennit.ProcessPool(1) as pool:
            back = await pool.defer(errands.increase, array)
            assert array.sum() == 0
            assert back.flags.writeable
            back[:] = 5
            again = await pool.defer(errands.increase, array)
            assert again.sum() == len(array)
            assert back.sum() == 5 * len(array)

    sennit.run(main())


def test_what_cannot_be_written_stays_so(errands):
    array = numpy.zeros(100_000)
    array.flags.writeable = False

    async def main():
        assert not (await sennit.defer_to_process(errands.same, array)).flags.writeable

    sennit.run(main())


def test_arrays_of_every_shape(errands):
    base = numpy.arange(2_000_000, dtype="int32").reshape(1000, 2000)
    shapes = [base, base.T, base[::2, ::3], base[:0], numpy.asfortranarray(base), base[3:4]]

    async def main():
        back = await sennit.defer_to_process(errands.same, shapes)
        for one, other in zip(shapes, back, strict=True):
            assert one.shape == other.shape
            assert numpy.array_equal(one, other)

    sennit.run(main())


def test_more_buffers_than_a_message_may_have_descriptors(errands):
    parts = [numpy.full(10_000, number) for number in range(1000)]

    async def main():
        assert await sennit.defer_to_process(errands.total, parts) == [
            number * 10_000 for number in range(1000)
        ]
        back = await sennit.defer_to_process(errands.same, parts)
        assert all(numpy.array_equal(one, other) for one, other in zip(parts, back, strict=True))

    sennit.run(main())


def test_arrays_that_are_kept_hold_no_descriptor(errands):
    array = numpy.ones(10_000)

    async def main():
        async with sennit.ProcessPool(1) as pool:
            kept = [await pool.defer(errands.same, array)]
            before = descriptors()
            kept += [await pool.defer(errands.same, array) for _ in range(300)]
            assert descriptors() == before
            assert sum(one.sum() for one in kept) == 301 * len(array)

    sennit.run(main())


def test_nothing_is_left_of_what_nobody_has(run, errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            pid = await pool.defer(errands.pid)
            for size in (100, 10_000, 1_000_000):
                back = await pool.defer(errands.same, numpy.ones(size))
                assert back.sum() == size
                del back
            await pool.defer(errands.same, None)
            gc.collect()
            assert memory_files() == 0
            assert memory_files(pid) == 0

    run(main())


def test_descriptors_stay_flat_through_calls_and_kills(run, errands):
    async def main():
        async with sennit.ProcessPool(2, max_waiting=1000) as pool:
            array = numpy.ones(10_000)

            async def rounds(count):
                calls = [pool.defer(errands.same, number) for number in range(count)]
                calls += [pool.defer(errands.same, array) for _ in range(count // 4)]
                await asyncio.gather(*calls)
                for _ in range(3):
                    with pytest.raises(ProcessDiedError):
                        await pool.defer(errands.kill_oneself)
                    cancelled = pool.defer(errands.hold, "/nowhere")
                    cancelled.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await cancelled
                pids = [await pool.defer(errands.pid) for _ in range(2)]
                while pool.statistics()["workers"] < 2:
                    await asyncio.gather(*(pool.defer(errands.pid) for _ in range(2)))
                return pids

            await rounds(50)
            before = descriptors()
            for _ in range(3):
                await rounds(500)
            assert descriptors() == before
            gc.collect()
            assert memory_files() == 0

    outside = descriptors()
    run(main())
    gc.collect()
    assert descriptors() == outside


def test_a_worker_keeps_no_descriptors(errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            before = await pool.defer(errands.descriptors)
            for _ in range(200):
                await pool.defer(errands.same, numpy.ones(10_000))
            assert await pool.defer(errands.descriptors) == before

    sennit.run(main())


def test_a_worker_that_is_killed_leaves_no_memory(errands, gate):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            held = pool.defer(errands.hold, gate.folder, numpy.ones(1_000_000))
            pid = await gate.started()
            assert memory_files(pid) > 0
            os.kill(pid, signal.SIGKILL)
            with pytest.raises(ProcessDiedError):
                await held
            gc.collect()
            assert memory_files() == 0

    sennit.run(main())


def test_a_message_above_the_limit_is_refused_both_ways(errands):
    async def main():
        async with sennit.ProcessPool(1, max_message_size=100_000) as pool:
            with pytest.raises(
                TransferError, match=r"200,0\d\d bytes, limit 100,000 \(max_message"
            ):
                await pool.defer(errands.same, bytes(200_000))
            assert pool.statistics()["started"] == 0
            with pytest.raises(
                TransferError, match=r"bytes has returned.*limit 100,000 \(max_mess"
            ):
                await pool.defer(bytes, 200_000)
            assert len(await pool.defer(bytes, 90_000)) == 90_000

    sennit.run(main())


def test_without_a_free_descriptor_the_call_fails_and_others_go_on(errands):
    async def main():
        async with sennit.ProcessPool(1) as pool:
            await pool.defer(errands.same, 1)
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            large = pool.defer(bytes, 100_000)
            # The next free number is above the limit, so none can be had.
            probe = os.dup(0)
            os.close(probe)
            resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
            try:
                with pytest.raises(OSError, match="no descriptor was free"):
                    await large
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert len(await pool.defer(bytes, 100_000)) == 100_000

    sennit.run(main())


def test_a_memory_file_is_sealed():
    descriptor = memory.fill([(0, memoryview(b"whole"))], 5)
    try:
        for change in (
            lambda: os.write(descriptor, b"x"),
            lambda: os.ftruncate(descriptor, 1),
            lambda: os.ftruncate(descriptor, 100),
        ):
            with pytest.raises(PermissionError):
                change()
        view = memory.map_privately(descriptor, 5)
    finally:
        os.close(descriptor)
    view[0] = ord("W")
    assert bytes(view) == b"Whole"
