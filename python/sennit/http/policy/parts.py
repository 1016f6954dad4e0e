"""The contents of a form's parts: bytes, files that are open, and files that are not yet."""

from __future__ import annotations

import io
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.policy.query import utf8

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["CHUNK_SIZE", "BytesContent", "Content", "FileContent", "PathContent", "content_of"]

CHUNK_SIZE = 64 * 1024
"""Bytes of a file that are in memory at once."""


class Content(ABC):
    """What stands in one part."""

    __slots__ = ("file_name", "length")

    file_name: str | None
    """The name of the file that it comes from, without folders."""
    length: int | None
    """Bytes; None: not known before the end."""

    @property
    def is_repeatable(self) -> bool:
        """Whether `pieces` can be read more than once."""
        return True

    @abstractmethod
    def pieces(self) -> Iterator[bytes]:
        """The content from its start, exactly `length` bytes."""


class BytesContent(Content):
    """Bytes that are there already."""

    __slots__ = ("_content",)

    def __init__(self, content: bytes) -> None:
        self.file_name = None
        self.length = len(content)
        self._content = content

    def pieces(self) -> Iterator[bytes]:
        """The bytes, in one piece."""
        if self._content:
            yield self._content


class PathContent(Content):
    """A file that is opened when its turn comes.

    Raises:
        OSError: It is not there.
        ConfigError: It is no regular file.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        status = path.stat()
        if not path.is_file():
            raise ConfigError(f"{str(path)!r} is no regular file; open it, and give the open file")
        self.file_name = path.name
        self.length: int = status.st_size
        self._path = path

    def pieces(self) -> Iterator[bytes]:
        """The file in chunks, as long as it was when it was given."""
        with self._path.open("rb") as file:
            yield from _read_exactly(file, self.length, repr(str(self._path)))


class FileContent(Content):
    """A file that is open, from where it stands to its end. It is not closed.

    Raises:
        ConfigError: It gives text.
    """

    __slots__ = ("_file", "_is_read", "_start")

    def __init__(self, file: BinaryIO) -> None:
        given: object = file
        if isinstance(given, io.TextIOBase):
            raise ConfigError("a file is open as text; open it with mode 'rb'")
        name = getattr(file, "name", None)
        # A file made from a descriptor has a number as its name, others have "<stdin>".
        self.file_name = "file"
        if isinstance(name, str) and not name.startswith("<"):
            self.file_name = Path(name).name
        self._file = file
        self._is_read = False
        self._start: int | None = None
        self.length = None
        if file.seekable():
            self._start = file.tell()
            self.length = max(0, file.seek(0, os.SEEK_END) - self._start)
            file.seek(self._start)

    @property
    def is_repeatable(self) -> bool:
        """Whether the file can seek."""
        return self._start is not None

    def pieces(self) -> Iterator[bytes]:
        """The file in chunks.

        Raises:
            LocalProtocolError: It cannot seek, and was read before.
        """
        if self._start is not None and self.length is not None:
            self._file.seek(self._start)
            yield from _read_exactly(self._file, self.length, repr(self.file_name))
            return
        if self._is_read:
            raise LocalProtocolError(
                f"file {self.file_name!r} cannot seek and was read before; it can be sent only once"
            )
        self._is_read = True
        while chunk := self._file.read(CHUNK_SIZE):
            yield chunk


def content_of(
    source: str | bytes | bytearray | memoryview | Path | BinaryIO,
) -> Content:
    """The content of whatever a program may give; text in UTF-8.

    Raises:
        ConfigError: A file is open as text, or a path is no regular file.
        OSError: A file is not there.
        TypeError: It is none of these.
    """
    if isinstance(source, str):
        return BytesContent(utf8(source))
    if isinstance(source, bytes | bytearray | memoryview):
        return BytesContent(bytes(source))
    if isinstance(source, Path):
        return PathContent(source)
    if hasattr(source, "read") and hasattr(source, "seekable"):
        return FileContent(source)
    raise TypeError(f"a part is {type(source).__name__}; give str, bytes, a Path or an open file")


def _read_exactly(file: BinaryIO, length: int, name: str) -> Iterator[bytes]:
    missing = length
    while missing:
        chunk = file.read(min(missing, CHUNK_SIZE))
        if not chunk:
            raise LocalProtocolError(
                f"file {name} has ended after {length - missing:,} bytes, and had {length:,} when "
                "it was given; leave it alone while it is sent"
            )
        missing -= len(chunk)
        yield chunk
