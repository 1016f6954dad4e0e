"""Files and the descriptors behind them: what goes wrong costs none."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.descriptors import only_free, open_descriptors
from tests.unit.http.talking import GET, Peer, with_peer

from sennit import errors, http
from sennit.http.conditions import evaluate

LARGE = bytes(100_000)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "large.bin").write_bytes(LARGE)
    (tmp_path / "large.bin.gz").write_bytes(LARGE)
    return tmp_path


@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_folder_without_descriptors_says_that_it_may_be_there_later(
    folder: Path, free: int
) -> None:
    handler = http.Folder(folder)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        raw = GET.replace(b"/", b"/large.bin", 1)
        before = open_descriptors()
        with only_free(free):
            for _ in range(30):
                answer = await peer.ask(raw)
                assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert open_descriptors() == before
        assert (await peer.ask(raw)).body == LARGE

    assert with_peer(handler, scenario) == []


def test_a_disk_that_fails_is_no_missing_file(folder: Path, monkeypatch: Any) -> None:
    handler = http.Folder(folder)
    real = os.open

    def failing(path: Any, *arguments: Any, **more: Any) -> int:
        if path == "large.bin":
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, *arguments, **more)

    async def scenario(peer: Peer, _server: http.Server) -> None:
        monkeypatch.setattr(os, "open", failing)
        answer = await peer.ask(GET.replace(b"/", b"/large.bin", 1))
        monkeypatch.undo()
        assert answer.status == 500

    (report,) = with_peer(handler, scenario)
    assert report["exception"].errno == errno.EIO


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"download_as": "\udc80"}, errors.LocalProtocolError, "download_as is .* lone surrogate"),
        ({"max_age": -1}, errors.ConfigError, "max_age is -1"),
        ({"content_type": "a\nb"}, errors.LocalProtocolError, "line break|CR|control"),
    ],
)
def test_what_a_caller_gets_wrong_leaves_nothing_open(
    folder: Path, arguments: dict[str, Any], error: type[Exception], words: str
) -> None:
    def handler(request: http.Request) -> str:
        before = open_descriptors()
        for _ in range(5):
            with pytest.raises(error, match=words):
                http.file_response(request, folder / "large.bin", **arguments)
        assert open_descriptors() == before
        return "nothing is open"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask()).body == b"nothing is open"

    assert with_peer(handler, scenario) == []


def test_one_file_without_descriptors_is_the_caller_s_to_answer(folder: Path) -> None:
    def handler(request: http.Request) -> str:
        with only_free(1), pytest.raises(OSError, match="Too many open files"):
            http.file_response(request, folder / "large.bin")
        return "told"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        before = open_descriptors()
        assert (await peer.ask()).body == b"told"
        assert open_descriptors() == before

    assert with_peer(handler, scenario) == []


@pytest.mark.parametrize(
    ("field", "status"),
    [
        (' , W/"b",\t"a"', 304),
        ('"b" "a"', 304),
        ("*", 304),
        ('"b", a, "a"', None),
        ('"b", "a', None),
        ('W/ "a"', None),
        ("", None),
    ],
)
def test_lists_of_entity_tags(field: str, status: int | None) -> None:
    assert evaluate(http.Headers({"if-none-match": field}), '"a"', 0) == status


class Measured(str):
    """Text that counts what is copied out of it."""

    copied = 0

    def __getitem__(self, key: Any) -> "Measured":
        part = Measured(super().__getitem__(key))
        Measured.copied += len(part)
        return part

    def lstrip(self, characters: str | None = None, /) -> "Measured":
        part = Measured(super().lstrip(characters))
        Measured.copied += len(part)
        return part


def test_a_list_of_entity_tags_is_looked_at_once() -> None:
    from sennit.http.conditions import _matches  # noqa: PLC0415 - what is measured

    Measured.copied = 0
    assert not _matches(Measured('"",' * 10_000), '"a"', weakly=True)
    assert Measured.copied < 100_000
