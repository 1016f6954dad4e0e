"""Bodies of forms: `application/x-www-form-urlencoded` and `multipart/form-data`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from sennit.errors import ConfigError
from sennit.http.policy.parts import BytesContent, Content, content_of
from sennit.http.policy.query import Pairs, Scalar, as_text, encode_pairs, utf8

__all__ = ["URLENCODED", "FileSpec", "Multipart", "Value", "urlencoded"]

URLENCODED = "application/x-www-form-urlencoded"
"""The content type of what `urlencoded` gives."""

_Source = str | bytes | bytearray | memoryview | Path | BinaryIO

FileSpec = tuple[str | None, _Source] | tuple[str | None, _Source, str | None]
"""(file name, content) or (file name, content, content type). A text as content is the content, not
the name of a file. Without a file name it is a field; None as the type: guessed by the name."""

Value = Scalar | bytes | bytearray | memoryview | Path | BinaryIO | FileSpec
"""A field (text, number, bytes) or a file (a path, or a file open for reading bytes)."""

_BOUNDARY = re.compile(r"[0-9A-Za-z'+_.-]{1,70}")
_TYPE = re.compile(r"[!-~][ -~]*")
_UNKNOWN_TYPE = "application/octet-stream"
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})


def urlencoded(fields: Pairs) -> bytes:
    """Fields as a browser sends a plain form.

    Raises:
        TypeError: A value is neither text nor number.

    Source: WHATWG URL section 5.2.
    """
    return encode_pairs(fields).encode("ascii")


class Multipart:
    """Fields and files as one body, read from the files only while it is sent.

    Args:
        fields: Names with values; a mapping's value may be a list of several.
        boundary: Parts the parts; 1 to 70 letters, digits and `'+_.-`. Random by default, so that
            nobody can put it into a file.

    Raises:
        ConfigError: The boundary or a content type cannot be sent; a file is open as text.
        OSError: A file of a path is not there.
        TypeError: A value is nothing that can be sent.

    Source: RFC 7578; names are escaped as browsers do (WHATWG HTML section 4.10.21.8).
    """

    __slots__ = ("_boundary", "_end", "_parts")

    def __init__(
        self,
        fields: Mapping[str, Value | Sequence[Value]] | Iterable[tuple[str, Value]],
        *,
        boundary: str | None = None,
    ) -> None:
        if boundary is None:
            boundary = "sennit-" + os.urandom(16).hex()
        elif not _BOUNDARY.fullmatch(boundary):
            raise ConfigError(
                f"boundary {boundary[:100]!r} is not made of 1 to 70 letters, digits and '+_.-"
            )
        self._boundary = boundary
        self._end = f"--{boundary}--\r\n".encode()
        self._parts = [self._part(name, value) for name, value in _flatten(fields)]

    @property
    def content_type(self) -> str:
        """The value of the `content-type` field, with the boundary."""
        return f"multipart/form-data; boundary={self._boundary}"

    @property
    def length(self) -> int | None:
        """Bytes of the whole; None if a file is a pipe or the like, that does not know its end."""
        total = len(self._end)
        for head, content in self._parts:
            if content.length is None:
                return None
            total += len(head) + content.length + 2
        return total

    @property
    def is_repeatable(self) -> bool:
        """Whether `pieces` can be read more than once, as a redirect or a retry may need."""
        return all(content.is_repeatable for _, content in self._parts)

    def pieces(self) -> Iterator[bytes]:
        """The body from its start, in pieces of 64 KiB at most beside the texts.

        It reads files, and so may wait for a disk. Files that were given open stay open.

        Raises:
            LocalProtocolError: A file is shorter than it was, or can be read only once.
            OSError: A file cannot be read.
        """
        for head, content in self._parts:
            yield head
            yield from content.pieces()
            yield b"\r\n"
        yield self._end

    def read(self) -> bytes:
        """The whole body at once, for small ones.

        Raises:
            LocalProtocolError: As `pieces`.
            OSError: As `pieces`.
        """
        return b"".join(self.pieces())

    def _part(self, name: str, value: Value) -> tuple[bytes, Content]:
        file_name, content, content_type = _taken_apart(value)
        # These names as browsers write them: not every server knows that case does not count.
        lines = [f"--{self._boundary}", f'Content-Disposition: form-data; name="{_escaped(name)}"']
        if file_name is not None:
            lines[1] += f'; filename="{_escaped(file_name)}"'
            content_type = content_type or guess_type(file_name)
        if content_type is not None:
            if not _TYPE.fullmatch(content_type):
                raise ConfigError(f"content type {content_type[:100]!r} cannot be sent")
            lines.append(f"Content-Type: {content_type}")
        head = "\r\n".join(lines) + "\r\n\r\n"
        return utf8(head), content


def guess_type(file_name: str) -> str:
    """The content type that the end of a file's name stands for."""
    import mimetypes  # noqa: PLC0415 - reads the system's tables, which few programs need

    guessed, encoding = mimetypes.guess_type(file_name)
    # What is packed is not what is inside: a .tar.gz is no tar file.
    return _UNKNOWN_TYPE if guessed is None or encoding is not None else guessed


def _taken_apart(value: Value) -> tuple[str | None, Content, str | None]:
    """The file name, the content and its type; None where there is none."""
    if isinstance(value, tuple):
        if not 2 <= len(value) <= 3:
            raise TypeError("a file is (name, content) or (name, content, content type)")
        content = content_of(value[1])
        return value[0], content, value[2] if len(value) == 3 else None
    if isinstance(value, str | int | float):
        return None, BytesContent(utf8(as_text(value))), None
    content = content_of(value)
    return content.file_name, content, None


def _escaped(name: str) -> str:
    return name.translate(_ESCAPED)


def _flatten(
    fields: Mapping[str, Value | Sequence[Value]] | Iterable[tuple[str, Value]],
) -> Iterator[tuple[str, Value]]:
    if not isinstance(fields, Mapping):
        yield from fields
        return
    for name, value in fields.items():
        # A tuple is one file; only a list is several values.
        if isinstance(value, list):
            yield from ((name, one) for one in value)
        else:
            yield name, cast("Value", value)
