"""Files without blocking the loop: operations in order, lines read ahead, files replaced whole."""

import asyncio
import errno
import os
import stat
import threading

import pytest

import sennit
from sennit.errors import ConfigError, OverloadedError

LINES = [f"line {number} \u00e4\n" for number in range(20_000)]


@pytest.fixture
def text(tmp_path):
    path = tmp_path / "text"
    path.write_text("".join(LINES), encoding="utf-8")
    return path


def run(main):
    return sennit.run(main())


def hops():
    return asyncio.get_running_loop().threads.statistics()["completed"]


def test_an_opened_file_is_awaited_or_entered(tmp_path):
    async def main():
        path = tmp_path / "file"
        async with sennit.open_file(path, "w") as file:
            assert await file.write("one\ntwo\n") == 8
            assert file.mode == "w"
            assert file.name == str(path)
        assert file.closed
        file = await sennit.open_file(path)
        assert await file.read() == "one\ntwo\n"
        assert await file.read() == ""
        await file.close()
        await file.close()
        with pytest.raises(ValueError, match="closed"):
            await file.read()

    run(main)


def test_every_operation_of_a_file(tmp_path):
    async def main():
        async with sennit.open_file(tmp_path / "file", "w+b") as file:
            await file.writelines([b"one\n", b"two\n", b"three"])
            assert await file.tell() == 13
            await file.flush()
            await file.sync()
            assert await file.seek(0) == 0
            assert await file.read(2) == b"on"
            assert await file.readline() == b"e\n"
            assert await file.readlines() == [b"two\n", b"three"]
            assert await file.truncate(3) == 3
            assert await file.seek(0, os.SEEK_END) == 3
            assert os.fstat(file.fileno()).st_size == 3

    run(main)


def test_errors_come_out(tmp_path):
    async def main():
        with pytest.raises(FileNotFoundError):
            await sennit.open_file(tmp_path / "absent")
        with pytest.raises(TypeError, match="no option 'buffering'"):
            sennit.open_file(tmp_path / "absent", buffering=0)

    run(main)


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_lines_come_many_at_a_visit_to_a_thread(text, mode):
    async def main():
        async with sennit.open_file(text, mode) as file:
            before = hops()
            lines = [line async for line in file]
            assert hops() - before < len(LINES) / 1000
        wanted = LINES if mode == "r" else [line.encode() for line in LINES]
        assert lines == wanted

    run(main)


@pytest.mark.parametrize("mode", ["r", "rb"])
def test_an_operation_begins_behind_the_last_line_that_was_taken(text, mode):
    async def main():
        with text.open(mode, encoding=None if "b" in mode else "utf-8") as plain:
            async with sennit.open_file(text, mode) as file:
                for _ in range(100):
                    assert await file.readline() == plain.readline()
                assert await file.tell() == plain.tell()
                assert await file.read(7) == plain.read(7)
                assert await file.readline() == plain.readline()
                assert await file.seek(0, os.SEEK_CUR) == plain.seek(0, os.SEEK_CUR)
                async for line in file:
                    assert line == plain.readline()
                    break
                assert await file.read() == plain.read()
                assert await file.readline() == plain.readline() == type(line)()

    run(main)


def test_writing_behind_a_line_that_was_read(tmp_path):
    async def main():
        path = tmp_path / "file"
        path.write_bytes(b"one\ntwo\nsix\n")
        async with sennit.open_file(path, "r+b") as file:
            assert await file.readline() == b"one\n"
            await file.write(b"TWO")
        assert path.read_bytes() == b"one\nTWO\nsix\n"

    run(main)


def test_many_users_of_one_file_take_turns(text):
    async def main():
        async with sennit.open_file(text) as file:
            taken = []

            async def take():
                while line := await file.readline():
                    taken.append(line)
                    if len(taken) % 500 == 0:
                        await file.tell()
                    await asyncio.sleep(0)

            await asyncio.gather(*(take() for _ in range(5)))
        assert sorted(taken) == sorted(LINES)

    run(main)


def test_a_pipe_gives_a_line_as_soon_as_there_is_one():
    async def main():
        reading, writing = os.pipe()
        async with sennit.open_file(reading) as file:
            os.write(writing, b"one\n")
            assert await file.readline() == "one\n"
            os.write(writing, b"two\nthr")
            assert await file.readline() == "two\n"
            os.close(writing)
            assert await file.readline() == "thr"
            assert [line async for line in file] == []

    run(main)


def test_a_cancelled_operation_does_not_meet_the_next_one():
    async def main():
        reading, writing = os.pipe()
        async with sennit.open_file(reading, "rb") as file:
            first = asyncio.create_task(file.read(3))
            while asyncio.get_running_loop().threads.statistics()["running"] == 0:
                await asyncio.sleep(0)
            first.cancel()
            await asyncio.wait([first])
            second = asyncio.create_task(file.read(3))
            os.write(writing, b"abcdef")
            assert await second in {b"abc", b"def"}
            os.close(writing)

    run(main)


def test_a_file_whose_opening_was_cancelled_is_closed(tmp_path, monkeypatch):
    begun, gate, files = threading.Event(), threading.Event(), []
    opened = open

    def slow(*arguments, **options):
        begun.set()
        gate.wait()
        files.append(opened(*arguments, **options))
        return files[0]

    async def main():
        monkeypatch.setattr("builtins.open", slow)
        task = asyncio.ensure_future(sennit.open_file(tmp_path / "file", "w")._open())
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        gate.set()
        await asyncio.get_running_loop().threads.stop(grace=None)

    run(main)
    assert files[0].closed


# -- whole files -----------------------------------------------------------------------------------


def test_a_whole_file_is_read_up_to_a_limit(tmp_path):
    async def main():
        path = tmp_path / "file"
        path.write_bytes(b"x" * 1000)
        assert await sennit.read_file(path) == b"x" * 1000
        assert await sennit.read_file(path, max_size=1000) == b"x" * 1000
        assert await sennit.read_file("/proc/self/status")
        with pytest.raises(OverloadedError, match=r"more than 999 bytes \(max_size\)"):
            await sennit.read_file(path, max_size=999)
        path.write_bytes(b"")
        assert await sennit.read_file(path, max_size=0) == b""

    run(main)


def test_a_file_is_replaced_and_keeps_its_permissions(tmp_path):
    async def main():
        path = tmp_path / "file"
        await sennit.write_file(path, "text \u00e4")
        assert path.read_text(encoding="utf-8") == "text \u00e4"
        umask = os.umask(0)
        os.umask(umask)
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask
        path.chmod(0o640)
        before = path.stat().st_ino
        with path.open("rb") as old:
            await sennit.write_file(path, bytearray(b"new"))
            assert old.read() == "text \u00e4".encode()
        assert path.stat().st_ino != before
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        await sennit.write_file(path, b"", permissions=0o604)
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
        assert [one.name for one in tmp_path.iterdir()] == ["file"]
        with pytest.raises(ConfigError, match="0o10000"):
            await sennit.write_file(path, b"", permissions=0o10000)

    run(main)


def test_a_symbolic_link_stays_one(tmp_path):
    async def main():
        target, link = tmp_path / "target", tmp_path / "link"
        target.write_bytes(b"old")
        link.symlink_to("target")
        await sennit.write_file(os.fsencode(link), b"new")
        assert link.is_symlink()
        assert target.read_bytes() == b"new"

    run(main)


@pytest.mark.parametrize("step", ["write", "fsync", "fchmod"])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, step):
    async def main():
        path = tmp_path / "file"
        path.write_bytes(b"old")

        def fail(*_arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, step, fail)
            with pytest.raises(OSError, match="No space left"):
                await sennit.write_file(path, b"new")
        assert path.read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == ["file"]

    run(main)


def test_a_cancelled_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    begun, gate = threading.Event(), threading.Event()
    sync = os.fsync

    def slow(descriptor):
        begun.set()
        gate.wait()
        sync(descriptor)

    async def main():
        path = tmp_path / "file"
        path.write_bytes(b"old")
        monkeypatch.setattr(os, "fsync", slow)
        task = asyncio.create_task(sennit.write_file(path, b"new"))
        while not begun.is_set():
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        gate.set()
        await asyncio.get_running_loop().threads.stop(grace=None)
        assert path.read_bytes() == b"old"
        assert [one.name for one in tmp_path.iterdir()] == ["file"]

    run(main)
