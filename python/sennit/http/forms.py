"""Forms of a request: fields and files, large files on disk as they arrive.

Source: RFC 7578 (multipart/form-data); the URL standard, section 5 (urlencoded).
"""

from __future__ import annotations

import asyncio
import io
from typing import IO, TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl

from sennit.errors import ConfigError, RemoteProtocolError
from sennit.http.headers import Headers
from sennit.http.values import Values

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator, Iterable

    import multipart

__all__ = ["Form", "FormFile", "FormLimits", "read_form"]

_BLOCKING = 64 * 1024
"""Bytes. A write of this size or more is done by a thread: the disk may take its time."""


class FormLimits(NamedTuple):
    """What one form may cost. A form that passes a limit is refused with 413."""

    max_form_size: int = 10 * 2**20
    """Bytes of the body; of a request's form the server's `max_body_size` by default."""
    max_memory: int = 2**20
    """Bytes kept in memory: fields with their names, and small files. Fields beyond are refused,
    files go to disk."""
    max_fields: int = 1000
    """Fields that are no files."""
    max_files: int = 100
    """Files."""
    max_file_memory: int = 64 * 1024
    """Bytes of one file that are kept in memory; a larger one goes to a temporary file."""


class FormFile:
    """A file of a form: in memory, or in a temporary file without a name that goes with it."""

    def __init__(self, file: IO[bytes], name: str, headers: Headers, size: int) -> None:
        self.file = file
        """An open file, at its beginning. Reading it may block."""
        self.name = name
        """As the client calls it: not to be believed, and not a path to be opened."""
        self.headers = headers
        """The header fields of the part."""
        self.size = size
        """Bytes."""

    def __repr__(self) -> str:
        return f"<sennit.http.FormFile {self.name!r} {self.size:,} bytes>"

    @property
    def content_type(self) -> str:
        """What the client says it is; empty if it says nothing."""
        return self.headers.get("content-type", "")

    async def read(self, size: int = -1) -> bytes:
        """Read from where the last read ended; all that is left by default."""
        if self.size < _BLOCKING:
            return self.file.read(size)
        return await asyncio.get_running_loop().run_in_executor(None, self.file.read, size)

    async def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole file to a path, which must not be there yet.

        Raises:
            FileExistsError: It is there.
            OSError: It cannot be written.
        """
        await asyncio.get_running_loop().run_in_executor(None, self._save, path)

    def _save(self, path: str | os.PathLike[str]) -> None:
        self.file.seek(0)
        with open(path, "xb") as target:  # noqa: PTH123 - a path of any kind
            while piece := self.file.read(1 << 20):
                target.write(piece)

    def close(self) -> None:
        """Let go of the file; a temporary one is gone then."""
        self.file.close()


class Form(Values):
    """The fields and files of a form, in the order in which they came.

    `form["name"]` is the first value of a field, `get_all` has all of them; `files` are apart. Use
    it as `async with await request.form() as form`, or close it: the files go with it.
    """

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(fields)
        self._files: list[tuple[str, FormFile]] = []

    def __repr__(self) -> str:
        return f"<sennit.http.Form {len(self._pairs)} fields, {len(self._files)} files>"

    @property
    def files(self) -> dict[str, FormFile]:
        """The first file of each field."""
        return dict(reversed(self._files))

    def get_files(self, name: str) -> list[FormFile]:
        """Every file of a field."""
        return [file for known, file in self._files if known == name]

    def close(self) -> None:
        """Let go of the files."""
        for _, file in self._files:
            file.close()

    async def __aenter__(self) -> Form:
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.close()


def _refuse(message: str, status: int) -> RemoteProtocolError:
    return RemoteProtocolError(message, rule="RFC 7578", hint=status)


def _too_large(what: str, limit: int, name: str) -> RemoteProtocolError:
    return _refuse(f"{what}, limit {limit:,} ({name})", 413)


async def read_form(headers: Headers, stream: AsyncIterator[bytes], **limits: int) -> Form:
    """Read a form.

    Args:
        headers: With the content type of the body.
        stream: The body.
        **limits: By the names of `FormLimits`.

    Raises:
        ConfigError: A limit makes no sense.
        RemoteProtocolError: The body is no form (hint 415), is malformed (400), or passes a limit
            (413).
    """
    for name, value in limits.items():
        if name not in FormLimits._fields or not _is_size(value):
            known = ", ".join(FormLimits._fields)
            raise ConfigError(f"{name} is {value!r}; limits are ints of at least 0: {known}")
    settings = FormLimits(**limits)
    content_type = headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "application/x-www-form-urlencoded":
        return await _read_urlencoded(stream, settings)
    if kind == "multipart/form-data":
        return await _read_multipart(content_type, stream, settings)
    raise _refuse(
        f"content type is {kind or 'missing'}; a form is multipart/form-data or "
        "application/x-www-form-urlencoded",
        415,
    )


def _is_size(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


async def _bounded(stream: AsyncIterator[bytes], limit: int, name: str) -> AsyncIterator[bytes]:
    size = 0
    async for piece in stream:
        size += len(piece)
        if size > limit:
            raise _too_large("form is larger than its limit", limit, name)
        yield piece


async def _read_urlencoded(stream: AsyncIterator[bytes], limits: FormLimits) -> Form:
    # All of it is in memory.
    limit, name = min((limits.max_memory, "max_memory"), (limits.max_form_size, "max_form_size"))
    pieces = [piece async for piece in _bounded(stream, limit, name)]
    try:
        text = b"".join(pieces).decode("utf-8", "replace")
        fields = parse_qsl(
            text, keep_blank_values=True, errors="replace", max_num_fields=limits.max_fields
        )
    except ValueError as error:
        raise _too_large("form has too many fields", limits.max_fields, "max_fields") from error
    return Form(fields)


async def _read_multipart(
    content_type: str, stream: AsyncIterator[bytes], limits: FormLimits
) -> Form:
    import multipart  # noqa: PLC0415 - most programs never read a form

    _, options = multipart.parse_options_header(content_type)
    form, memory = Form(), _Memory(limits.max_memory)
    part: _Part | None = None
    try:
        parser = multipart.PushMultipartParser(
            options.get("boundary", ""),
            max_segment_count=limits.max_fields + limits.max_files,
            # Its strict mode refuses the same bytes or not, as they happen to be cut.
            strict=False,
        )
        async for piece in _bounded(stream, limits.max_form_size, "max_form_size"):
            for event in parser.parse(piece):
                if event is None:
                    assert part is not None
                    part.finish(form)
                    part = None
                elif isinstance(event, multipart.MultipartSegment):
                    part = _Part(event, form, limits, memory)
                else:
                    assert part is not None
                    await part.take(event)
        parser.close()
    except multipart.ParserLimitReached as error:
        form.close()
        raise _refuse(f"multipart form passes a limit: {error}", 413) from error
    except multipart.MultipartError as error:
        form.close()
        raise _refuse(f"multipart form is malformed: {error}", 400) from error
    except BaseException:
        form.close()
        raise
    finally:
        if part is not None:
            part.discard()
    return form


class _Memory:
    """What a form keeps in memory, and may."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.used = 0

    def fits(self, size: int) -> bool:
        return self.used + size <= self.limit

    def take(self, size: int) -> None:
        if not self.fits(size):
            raise _too_large(
                "fields of the form are larger than their limit", self.limit, "max_memory"
            )
        self.used += size


class _Part:
    """A part of a multipart form that is on its way."""

    def __init__(
        self,
        segment: multipart.MultipartSegment,
        form: Form,
        limits: FormLimits,
        memory: _Memory,
    ) -> None:
        self._segment = segment
        self._limits = limits
        self._memory = memory
        self._size = 0
        self._is_file = segment.filename is not None
        counted: list[Any] = form._files if self._is_file else form._pairs  # noqa: SLF001
        most, name = (
            (limits.max_files, "max_files") if self._is_file else (limits.max_fields, "max_fields")
        )
        if len(counted) >= most:
            raise _too_large(f"form has more than {most:,} of a kind", most, name)
        memory.take(sum(len(key) + len(value) for key, value in segment.headerlist))
        self._file: IO[bytes] = io.BytesIO()

    async def take(self, data: bytes | bytearray) -> None:
        """Keep what has come of it."""
        self._size += len(data)
        if not self._is_file:
            self._memory.take(len(data))
        elif isinstance(self._file, io.BytesIO):
            if self._size <= self._limits.max_file_memory and self._memory.fits(len(data)):
                self._memory.take(len(data))
            else:
                self._go_to_disk(self._file.getvalue())
        if len(data) >= _BLOCKING:
            await asyncio.get_running_loop().run_in_executor(None, self._file.write, data)
        else:
            self._file.write(data)

    def _go_to_disk(self, begun: bytes) -> None:
        import tempfile  # noqa: PLC0415 - few programs get large files

        self._memory.used -= len(begun)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - kept by the form
        self._file.write(begun)

    def finish(self, form: Form) -> None:
        """It has come whole."""
        name = self._segment.name or ""
        self._file.seek(0)
        if self._is_file:
            headers = Headers([(key.lower(), value) for key, value in self._segment.headerlist])
            file = FormFile(self._file, self._segment.filename or "", headers, self._size)
            form._files.append((name, file))  # noqa: SLF001 - one room
            return
        text = self._file.read().decode("utf-8", "replace")
        self._file.close()
        form._pairs.append((name, text))  # noqa: SLF001 - one room

    def discard(self) -> None:
        """It will never be whole."""
        self._file.close()
