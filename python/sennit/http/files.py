"""Files as answers: whole or in parts, or not at all to a client that has them already."""

from __future__ import annotations

import os
import secrets
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.conditions import evaluate, is_range_current
from sennit.http.media_types import media_type
from sennit.http.message import FileBody, Request, Response
from sennit.http.policy.dates import http_date
from sennit.http.ranges import Unsatisfiable, parse_ranges

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sennit.http.headers import Headers

__all__ = ["StaticFile", "answer_file", "file_response"]

SMALL = 16 * 1024
"""Bytes. A file up to this size is kept in memory: it leaves in one piece with its head."""

_CONDITIONAL = ("if-none-match", "if-modified-since", "range", "if-match", "if-unmodified-since")


class StaticFile:
    """An open file and all that its answers say of it.

    Args:
        descriptor: Of a regular file. It stays the caller's, who closes it in any case.
        content_type: As the field has it.
        coding: A content coding that the file is in already, such as `gzip`.
        fields: More fields for each answer.

    Raises:
        ValueError: It is no regular file.
    """

    __slots__ = ("content_type", "etag", "fields", "modified", "response", "size", "whole")

    def __init__(
        self,
        descriptor: int,
        content_type: str,
        coding: str | None = None,
        fields: tuple[tuple[str, str], ...] = (),
    ) -> None:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("no regular file")
        self.size = status.st_size
        self.modified = int(status.st_mtime)
        # Seconds are too coarse for a strong validator (RFC 9110 section 8.8.1).
        suffix = f"-{coding}" if coding else ""
        self.etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}{suffix}"'
        self.whole: bytes | FileBody
        if self.size <= SMALL:
            self.whole = os.pread(descriptor, SMALL, 0)
            self.size = len(self.whole)
        else:
            self.whole = FileBody(descriptor)
            self.size = self.whole.length
        self.content_type = content_type
        own = [
            ("etag", self.etag),
            ("last-modified", http_date(self.modified)),
            ("accept-ranges", "bytes"),
            ("x-content-type-options", "nosniff"),
            *fields,
        ]
        if coding:
            own.append(("content-encoding", coding))
        self.fields = own
        self.response = Response(self.whole, headers=own, content_type=content_type)

    def part(self, begin: int, end: int) -> bytes | FileBody:
        """The bytes from `begin` to the one before `end`."""
        if isinstance(self.whole, bytes):
            return self.whole[begin:end]
        return self.whole.part(begin, end - begin)


def answer_file(request: Request, file: StaticFile) -> Response:
    """The answer to a GET or HEAD for a file."""
    headers = request.headers
    for name in _CONDITIONAL:
        if name in headers:
            return _answer_conditionally(request, file, headers)
    return file.response._copy()  # noqa: SLF001 - one room


def _answer_conditionally(request: Request, file: StaticFile, headers: Headers) -> Response:
    status = evaluate(headers, file.etag, file.modified)
    if status == 304:
        # RFC 9110 section 15.4.5: what a 200 would have said of caching, and nothing of the bytes.
        kept = [(name, value) for name, value in file.fields if name != "content-encoding"]
        return Response(None, 304, headers=kept)
    if status == 412:
        return Response("412 Precondition Failed\n", 412)
    wanted = headers.get("range") if request.method == "GET" else None
    if wanted and is_range_current(headers.get("if-range"), file.etag, file.modified):
        try:
            ranges = parse_ranges(wanted, file.size)
        except Unsatisfiable:
            size = {"content-range": f"bytes */{file.size}"}
            return Response("416 Range Not Satisfiable\n", 416, headers=size)
        if ranges is not None:
            return _answer_ranges(file, ranges)
    return file.response._copy()  # noqa: SLF001 - one room


def _answer_ranges(file: StaticFile, ranges: list[tuple[int, int]]) -> Response:
    if len(ranges) == 1:
        (begin, end) = ranges[0]
        fields = [*file.fields, ("content-range", f"bytes {begin}-{end - 1}/{file.size}")]
        part = file.part(begin, end)
        return Response(part, 206, headers=fields, content_type=file.content_type)
    boundary = secrets.token_hex(16)
    return Response(
        _parts(file, ranges, boundary),
        206,
        headers=file.fields,
        content_type=f"multipart/byteranges; boundary={boundary}",
    )


def _parts(
    file: StaticFile, ranges: list[tuple[int, int]], boundary: str
) -> Iterator[bytes | FileBody]:
    """The body of an answer with several ranges (RFC 9110 section 14.6)."""
    for begin, end in ranges:
        yield (
            f"\r\n--{boundary}\r\ncontent-type: {file.content_type}\r\n"
            f"content-range: bytes {begin}-{end - 1}/{file.size}\r\n\r\n"
        ).encode()
        yield file.part(begin, end)
    yield f"\r\n--{boundary}--\r\n".encode()


def cache_fields(max_age: float | None) -> tuple[tuple[str, str], ...]:
    """What a client may do with what it has got; None leaves that to it.

    Raises:
        ConfigError: It is no number of seconds from 0 on.
    """
    if max_age is None:
        return ()
    if not isinstance(max_age, int | float) or not 0 <= max_age <= 1e9:
        raise ConfigError(f"max_age is {max_age!r}, it must be a number of seconds from 0 on")
    return (("cache-control", f"max-age={int(max_age)}"),)


def file_response(
    request: Request,
    path: str | os.PathLike[str],
    *,
    content_type: str | None = None,
    max_age: float | None = None,
    download_as: str | None = None,
) -> Response:
    """The answer to a request for one file, with conditions and ranges.

    The path is believed: make it of what you know, not of what a client says. `Folder` is for that.

    Args:
        request: A GET or HEAD.
        path: Of a regular file.
        content_type: By the file's name by default.
        max_age: Seconds for which a client may use it without asking again.
        download_as: A file name under which a browser saves it (RFC 6266).

    Raises:
        OSError: The file cannot be opened.
        ValueError: It is no regular file.
        ConfigError: `max_age` makes no sense.
        LocalProtocolError: `download_as` or `content_type` has what no field may have.
    """
    fields = cache_fields(max_age)
    if download_as is not None:
        fields += (("content-disposition", f"attachment; filename*=UTF-8''{_quoted(download_as)}"),)
    kind = content_type or media_type(os.fspath(path))
    # Opened last: what a caller got wrong is known before there is anything to close.
    with _opened(path) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise ValueError(f"{os.fspath(path)!r} is no regular file")
        file = StaticFile(descriptor, kind, None, fields)
    return answer_file(request, file)


@contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[int]:
    # A FIFO without a writer would keep us waiting, a terminal would become ours.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    descriptor = os.open(path, flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _quoted(name: str) -> str:
    """A file name as RFC 8187 has it."""
    try:
        return quote(name, safe="")
    except UnicodeEncodeError as error:
        raise LocalProtocolError(
            f"download_as is {name!r}, which is no Unicode text: it has a lone surrogate"
        ) from error
