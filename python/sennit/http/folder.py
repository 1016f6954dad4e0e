"""A folder of files behind a URL, which cannot be left.

Laws:
- A path is taken apart into names, and each name is opened beneath the folder before it, never
  through a symbolic link. There is no path that could lead elsewhere.
- What is opened is a regular file or a folder, or it is not there: nothing else is ever read.
- A file is looked at again after a second. A hit in between costs no system call.
- What is kept is kept by the names in the path and by coding, never by what a client has sent: no
  spelling of a path or of `accept-encoding` makes another copy.
- What was opened on the way down is closed by who went down, whatever happens.
"""

from __future__ import annotations

import errno
import os
import stat
from asyncio import get_running_loop
from pathlib import Path

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.files import StaticFile, answer_file, cache_fields
from sennit.http.media_types import media_type
from sennit.http.message import Request, Response

__all__ = ["Folder"]

_VALID = 1.0
"""Seconds for which a file is believed to be as it was seen; nginx's open_file_cache has 60."""

_SUFFIXES = {"br": ".br", "zstd": ".zst", "gzip": ".gz"}
"""Codings of neighbours, the one that is liked best first."""

_PLAIN = ""
"""The coding of a file as it is."""

_MAX_DEPTH = 64
"""Names in a path; more are never there."""


_ABSENT = frozenset(
    (
        errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENAMETOOLONG,
        errno.ENXIO, errno.ENODEV, errno.EINVAL, errno.EILSEQ,
    )
)  # fmt: skip
"""Not there, no folder, a link, not ours to read: it is all the same to who asks."""

_EXHAUSTED = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM))
"""It may be there, and later we may have the means to look."""


class _Entry:
    """What is kept of one path: the file, and the neighbours that somebody has asked for."""

    __slots__ = ("files", "offered", "valid_until")

    def __init__(self, offered: tuple[str, ...], valid_until: float) -> None:
        self.offered = offered
        """Codings of neighbours that are no older than the file."""
        self.valid_until = valid_until
        self.files: dict[str, StaticFile] = {}
        """By coding."""


class Folder:
    """A handler that serves the files of a folder.

    It serves what the path of a request names, or, mounted in a router, what stands behind the
    mount. Opening a file that was not served before happens on the loop's thread: for folders on
    slow or remote disks put a cache in front.

    Args:
        path: The folder.
        index: The file that stands for a folder; None: folders are not there.
        max_age: Seconds for which clients may use a file without asking again.
        precompressed: Whether `name.br`, `name.zst` and `name.gz` are sent instead of `name` to
            clients that take them, if they are no older.
        hidden: Whether names that begin with a dot are there; `.well-known` always is (RFC 8615).
        follow_links: Whether symbolic links are followed. They may lead out of the folder.
        cache_size: Files that are held open, compressed neighbours counted.

    Raises:
        ConfigError: There is no such folder, or a setting makes no sense.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        index: str | None = "index.html",
        max_age: float | None = None,
        precompressed: bool = True,
        hidden: bool = False,
        follow_links: bool = False,
        cache_size: int = 512,
    ) -> None:
        if cache_size < 1:
            raise ConfigError(f"cache_size is {cache_size}, it must be at least 1")
        self._path = str(Path(path).resolve())
        try:
            self._root = os.open(self._path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise ConfigError(f"{self._path!r} cannot be served: {error.strerror}") from error
        self._index = index
        self._fields = cache_fields(max_age)
        self._precompressed = precompressed
        self._hidden = hidden
        self._no_follow = 0 if follow_links else os.O_NOFOLLOW
        self._cache_size = cache_size
        self._cache: dict[str, _Entry] = {}
        self._held = 0

    def __repr__(self) -> str:
        return f"<sennit.http.Folder {self._path}>"

    def __del__(self) -> None:
        root = getattr(self, "_root", -1)
        if root >= 0:
            os.close(root)

    def __call__(self, request: Request) -> Response:
        """Answer a request."""
        method = request.method
        if method not in {"GET", "HEAD"}:
            return _other_method(method)
        path = request.path_params.get("path")
        if path is None:
            path = request.path.removeprefix("/")
        entry = self._cache.get(path)
        if entry is not None and entry.valid_until >= get_running_loop().time():
            file = entry.files.get(_choose(request, entry.offered))
            if file is not None:
                return answer_file(request, file)
        return self._look(request, path, entry)

    def _look(self, request: Request, path: str, entry: _Entry | None) -> Response:
        """Answer with what is in the folder now."""
        try:
            found = self._find(request, path)
        except OSError as error:
            self._forget(path)
            if error.errno in _ABSENT:
                return _not_found()
            if error.errno in _EXHAUSTED:
                return Response("503 Service Unavailable\n", 503, headers={"retry-after": "1"})
            raise
        if isinstance(found, Response):
            self._forget(path)
            return found
        coding, offered, file = found
        now = get_running_loop().time()
        if entry is None or entry.valid_until < now or entry.offered != offered:
            self._forget(path)
            entry = _Entry(offered, now + _VALID)
        self._keep(path, entry, coding, file)
        return answer_file(request, file)

    def _keep(self, path: str, entry: _Entry, coding: str, file: StaticFile) -> None:
        self._cache.pop(path, None)
        while self._held >= self._cache_size and self._cache:
            self._forget(next(iter(self._cache)))
        if self._held >= self._cache_size:
            # Its own neighbours fill the cache.
            self._held -= len(entry.files)
            entry.files.clear()
        entry.files[coding] = file
        self._held += 1
        self._cache[path] = entry

    def _forget(self, path: str) -> None:
        entry = self._cache.pop(path, None)
        if entry is not None:
            self._held -= len(entry.files)

    def _find(
        self, request: Request, path: str
    ) -> tuple[str, tuple[str, ...], StaticFile] | Response:
        """What a path leads to: the coding that a client gets, those that there are, the file."""
        names = path.split("/")
        if not names[-1]:
            if self._index is None:
                return _not_found()
            names[-1] = self._index
        if len(names) > _MAX_DEPTH or not all(map(self._may_be, names)):
            return _not_found()
        with _Descent(self._root, self._no_follow) as descent:
            for name in names[:-1]:
                descent.enter(name)
            return self._open(descent, names[-1], request)

    def _may_be(self, name: str) -> bool:
        if name in {"", ".", ".."} or "\0" in name or "\\" in name:
            return False
        return self._hidden or not name.startswith(".") or name == ".well-known"

    def _open(
        self, descent: _Descent, name: str, request: Request
    ) -> tuple[str, tuple[str, ...], StaticFile] | Response:
        descriptor = descent.open(name)
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode) and self._index is not None:
            return _to_folder(request)
        if not stat.S_ISREG(status.st_mode):
            return _not_found()
        neighbours = self._neighbours(descent, name, status.st_mtime) if self._precompressed else {}
        offered = tuple(neighbours)
        coding = _choose(request, offered)
        fields = (*self._fields, ("vary", "accept-encoding")) if offered else self._fields
        descriptor = neighbours.get(coding, descriptor)
        file = StaticFile(descriptor, media_type(name), coding or None, fields)
        return coding, offered, file

    def _neighbours(self, descent: _Descent, name: str, modified: float) -> dict[str, int]:
        """The compressed neighbours of a file that are no older than it."""
        found = {}
        for coding, suffix in _SUFFIXES.items():
            try:
                descriptor = descent.open(name + suffix)
            except OSError as error:
                if error.errno not in _ABSENT:
                    raise
                continue
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode) and status.st_mtime >= modified:
                found[coding] = descriptor
        return found


class _Descent:
    """A way down from a folder, one name at a time; it closes all that was opened on it."""

    def __init__(self, root: int, no_follow: int) -> None:
        self._here = root
        self._opened: list[int] = []
        self._no_follow = no_follow

    def __enter__(self) -> _Descent:
        return self

    def __exit__(self, *_error: object) -> None:
        for descriptor in self._opened:
            os.close(descriptor)

    def enter(self, name: str) -> None:
        self._here = self._open(name, os.O_PATH | os.O_DIRECTORY)

    def open(self, name: str) -> int:
        # A FIFO without a writer would keep us waiting, a terminal would become ours.
        return self._open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)

    def _open(self, name: str, flags: int) -> int:
        descriptor = os.open(name, flags | os.O_CLOEXEC | self._no_follow, dir_fd=self._here)
        self._opened.append(descriptor)
        return descriptor


def _choose(request: Request, offered: tuple[str, ...]) -> str:
    """The coding that a client gets of those that there are."""
    if not offered:
        return _PLAIN
    accepted = request.headers.get("accept-encoding", "")
    return core.negotiate_coding(accepted, offered) or _PLAIN


def _to_folder(request: Request) -> Response:
    """Send a client to the folder's own URL, with its slash, so that relative links work."""
    # Relative to the last slash: a path such as //host would lead to another host.
    last = request.raw_path.rpartition("/")[2]
    query = f"?{request.query}" if request.query else ""
    return Response.redirect(f"./{last}/{query}", 308)


def _other_method(method: str) -> Response:
    headers = {"allow": "GET, HEAD, OPTIONS"}
    if method == "OPTIONS":
        return Response(status=204, headers=headers)
    return Response("405 Method Not Allowed\n", 405, headers=headers)


def _not_found() -> Response:
    return Response("404 Not Found\n", 404)
