"""Files without blocking the loop: each operation runs in a thread of the loop's pool."""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any, AnyStr, Generic, Literal, TypeAlias, overload

from sennit._native.core import defer_to_thread
from sennit.deferred import DeferredLock
from sennit.errors import ConfigError, OverloadedError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable
    from typing import Self

__all__ = ["File", "Opening", "open_file", "read_file", "write_file"]

_AHEAD = 64 * 1024
"""Characters or bytes of lines that one visit to a thread brings: it costs as much as they do."""

_MAX_SIZE = 100 * 1024 * 1024
"""What `read_file` reads at most; the number of an `http.Client`'s bodies."""

_PIECE = 1024 * 1024
"""Bytes between two looks whether `write_file` was given up."""

_Path: TypeAlias = "str | bytes | os.PathLike[str] | os.PathLike[bytes]"
_Text: TypeAlias = Literal[
    "r", "w", "x", "a", "r+", "w+", "x+", "a+", "rt", "wt", "xt", "at", "r+t", "w+t", "x+t", "a+t"
]
_Binary: TypeAlias = Literal[
    "rb", "wb", "xb", "ab", "r+b", "w+b", "x+b", "a+b", "rb+", "wb+", "xb+", "ab+"
]


@overload
def open_file(
    path: _Path,
    mode: _Text = "r",
    *,
    encoding: str | None = None,
    errors: str | None = None,
    newline: str | None = None,
) -> Opening[str]: ...
@overload
def open_file(path: _Path, mode: _Binary) -> Opening[bytes]: ...
@overload
def open_file(path: _Path, mode: str, **options: Any) -> Opening[Any]: ...
def open_file(path: _Path, mode: str = "r", **options: Any) -> Opening[Any]:
    """Open a file whose operations are awaited.

    `file = await open_file(path)`, or `async with open_file(path) as file:`, which closes it.

    Args:
        path: Where it is.
        mode: As for the builtin `open`.
        options: `encoding`, `errors` and `newline`, as for the builtin `open`; text is UTF-8 by
            default.
    """
    if unknown := options.keys() - {"encoding", "errors", "newline"}:
        raise TypeError(
            f"open_file() has no option {min(unknown)!r}; there are encoding, errors, newline"
        )
    if "b" not in mode:
        options.setdefault("encoding", "utf-8")
        options["encoding"] = options["encoding"] or "utf-8"
    return Opening(path, mode, options)


class Opening(Generic[AnyStr]):
    """A file that is about to be opened: to be awaited, or entered by `async with`."""

    def __init__(self, path: _Path, mode: str, options: dict[str, Any]) -> None:
        self._arguments = path, mode, options
        self._file: File[AnyStr] | None = None

    async def _open(self) -> File[AnyStr]:
        path, mode, options = self._arguments
        opened: list[Any] = []
        is_wanted = True

        def work() -> None:
            opened.append(open(path, mode, **options))  # noqa: PTH123, SIM115 - any path; kept open
            if not is_wanted:
                opened[0].close()

        try:
            await defer_to_thread(work)
        except BaseException:
            # Cancelled while the thread was at it: one of the two closes what nobody will have.
            is_wanted = False
            for file in opened:
                file.close()
            raise
        return File(opened[0])

    def __await__(self) -> Generator[Any, None, File[AnyStr]]:
        return self._open().__await__()

    async def __aenter__(self) -> File[AnyStr]:
        self._file = await self._open()
        return self._file

    async def __aexit__(self, *_error: object) -> None:
        if self._file is not None:
            await self._file.close()


class File(Generic[AnyStr]):
    """An open file whose operations run in threads, one at a time, in the order of the calls.

    Lines are read ahead, 64 KiB in a visit to a thread, if the file can be positioned; every other
    operation begins behind the last line that was taken. After an operation that was cancelled
    while it ran the position is not known: `seek` sets it.
    """

    def __init__(self, file: Any) -> None:
        self._file = file
        self._turn = DeferredLock()
        # A cancelled operation may still run when the next one begins.
        self._guard = threading.Lock()
        self._empty: AnyStr = b"" if "b" in file.mode else ""  # type: ignore[assignment]
        self._ahead: deque[AnyStr] = deque()
        # Where the lines read ahead begin, and how many of them were taken.
        self._mark = 0
        self._taken = 0
        # The same, if lines were given up and the file is still to be put back behind those that
        # were taken.
        self._back: tuple[int, int] | None = None

    @property
    def name(self) -> Any:
        """The path, or the descriptor, that it was opened with."""
        return self._file.name

    @property
    def mode(self) -> str:
        """How it was opened."""
        return str(self._file.mode)

    @property
    def closed(self) -> bool:
        """Whether it is closed."""
        return bool(self._file.closed)

    def fileno(self) -> int:
        """The descriptor."""
        return int(self._file.fileno())

    async def read(self, size: int = -1) -> AnyStr:
        """Read up to `size` characters or bytes, -1: all that is left; empty at the end."""
        result: AnyStr = await self._run(self._file.read, size)
        return result

    async def readline(self) -> AnyStr:
        """Read a line with its end; empty at the end of the file."""
        if not self._ahead:
            async with self._turn:
                if not self._ahead:
                    self._mark, lines = await defer_to_thread(self._read_ahead)
                    self._ahead.extend(lines)
                    self._taken = 0
                return self._take()
        return self._take()

    def _take(self) -> AnyStr:
        if not self._ahead:
            return self._empty
        self._taken += 1
        return self._ahead.popleft()

    async def readlines(self) -> list[AnyStr]:
        """Read all lines that are left."""
        result: list[AnyStr] = await self._run(self._file.readlines)
        return result

    async def write(self, data: AnyStr) -> int:
        """Write; how many characters or bytes that were."""
        return int(await self._run(self._file.write, data))

    async def writelines(self, lines: Iterable[AnyStr]) -> None:
        """Write lines, which have their ends already."""
        await self._run(self._file.writelines, list(lines))

    async def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position; it is returned."""
        return int(await self._run(self._file.seek, offset, whence))

    async def tell(self) -> int:
        """The position."""
        return int(await self._run(self._file.tell))

    async def truncate(self, size: int | None = None) -> int:
        """Cut the file off at a size, by default at the position."""
        return int(await self._run(self._file.truncate, size))

    async def flush(self) -> None:
        """Give the system what was written."""
        await self._run(self._file.flush)

    async def sync(self) -> None:
        """Give the system what was written, and wait until it is on the disk."""
        await self._run(self._sync)

    async def close(self) -> None:
        """Write what is left, and close. A second call does nothing."""
        if not self._file.closed:
            self._ahead.clear()
            async with self._turn:
                await defer_to_thread(self._guarded, self._file.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AnyStr:
        line = await self.readline()
        if not line:
            raise StopAsyncIteration
        return line

    def __repr__(self) -> str:
        return f"<sennit.File {self._file!r}>"

    async def _run(self, function: Callable[..., Any], *args: Any) -> Any:
        async with self._turn:
            if self._ahead:
                self._back = self._mark, self._taken
                self._ahead.clear()
            return await defer_to_thread(self._guarded, function, *args)

    # -- in a thread -------------------------------------------------------------------------------

    def _guarded(self, function: Callable[..., Any], *args: Any) -> Any:
        with self._guard:
            self._go_back()
            return function(*args)

    def _go_back(self) -> None:
        """To the end of the last line that was taken."""
        back, self._back = self._back, None
        if back is not None and not self._file.closed:
            mark, taken = back
            self._file.seek(mark)
            for _ in range(taken):
                self._file.readline()

    def _read_ahead(self) -> tuple[int, list[AnyStr]]:
        with self._guard:
            self._go_back()
            file = self._file
            if not file.seekable():
                line = file.readline()
                return 0, [line] if line else []
            mark, size = file.tell(), 0
            lines: list[AnyStr] = []
            while size < _AHEAD and (line := file.readline()):
                lines.append(line)
                size += len(line)
            return mark, lines

    def _sync(self) -> None:
        self._file.flush()
        os.fsync(self._file.fileno())


# -- whole files -----------------------------------------------------------------------------------


async def read_file(path: _Path, *, max_size: int = _MAX_SIZE) -> bytes:
    """Read a whole file.

    Args:
        path: Where it is.
        max_size: Bytes that it may have.

    Raises:
        OverloadedError: It is larger.
        OSError: It cannot be read.
    """
    return await defer_to_thread(_read, path, max_size)


def _read(path: _Path, max_size: int) -> bytes:
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - a path may be bytes
        size = os.fstat(file.fileno()).st_size
        pieces: list[bytes] = []
        total = 0
        # The size is a hint: a file may grow, and those of /proc say 0.
        while total <= max_size:
            piece = file.read(min(max(size - total, 0) or _PIECE, max_size - total) + 1)
            if not piece:
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.append(piece)
            total += len(piece)
    raise OverloadedError(f"{os.fsdecode(path)} has more than {max_size:,} bytes (max_size)")


async def write_file(
    path: _Path, data: bytes | bytearray | memoryview | str, *, permissions: int | None = None
) -> None:
    """Replace a file by a new one with these contents, or make it.

    Whoever opens the path gets the old contents or the new ones, whole, also after a crash: they
    are written to another file of the folder, which is brought to the disk and takes the name then.
    A symbolic link stays one, and its target is replaced. If it fails, or is cancelled before the
    file has taken the name, the old one is left as it was and nothing else is left.

    Args:
        path: Where it is to be.
        data: The contents; text becomes UTF-8.
        permissions: Such as `0o640`; `None`: those of the file that is replaced, or what the
            process's umask leaves of `0o666`.

    Raises:
        ConfigError: The permissions are none.
        OSError: It cannot be written.
    """
    if permissions is not None and not 0 <= permissions <= 0o7777:
        raise ConfigError(f"permissions are {permissions:#o}, must be 0 to 0o7777")
    contents = data.encode() if isinstance(data, str) else bytes(data)
    given_up = threading.Event()
    try:
        await defer_to_thread(_replace, path, contents, permissions, given_up)
    finally:
        # After a cancellation the thread may still be at it.
        given_up.set()


def _replace(
    path: _Path, contents: bytes, permissions: int | None, given_up: threading.Event
) -> None:
    target = Path(os.path.realpath(os.fsdecode(path)))
    if permissions is None:
        with contextlib.suppress(FileNotFoundError):
            permissions = stat.S_IMODE(target.stat().st_mode)
    temporary = target.with_name(f".{target.name[:200]}.{os.urandom(8).hex()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
    # Until its contents are there nobody else need read it.
    descriptor = os.open(temporary, flags, 0o666 if permissions is None else 0o600)
    try:
        try:
            _write_all(descriptor, contents, given_up)
            if permissions is not None:
                os.fchmod(descriptor, permissions)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if given_up.is_set():
            raise InterruptedError("write_file was cancelled")
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _sync_folder(target.parent)


def _write_all(descriptor: int, contents: bytes, given_up: threading.Event) -> None:
    view = memoryview(contents)
    while view and not given_up.is_set():
        view = view[os.write(descriptor, view[:_PIECE]) :]


def _sync_folder(folder: Path) -> None:
    """The new name is on the disk as well."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
