"""A folder of files behind a URL, which cannot be left.

Laws:
- A path is taken apart into names, and each name is opened beneath the folder before it, never
  through a symbolic link. There is no path that could lead elsewhere.
- What is opened is a regular file or a folder, or it is not there: nothing else is ever read.
- A file is looked at again after a second. A hit in between costs no system call.
"""

from __future__ import annotations

import os
import stat
from asyncio import get_running_loop
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sennit.errors import ConfigError
from sennit.http.files import StaticFile, answer_file, cache_fields
from sennit.http.media_types import media_type
from sennit.http.message import Request, Response

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Folder"]

_VALID = 1.0
"""Seconds for which a file is believed to be as it was seen; nginx's open_file_cache has 60."""

_CODINGS = (("br", ".br"), ("zstd", ".zst"), ("gzip", ".gz"))
"""Codings of neighbours, the one that is liked best first."""

_MAX_DEPTH = 64
"""Names in a path; more are never there."""


class _Entry(NamedTuple):
    file: StaticFile
    valid_until: float


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
        cache_size: Files that are held open, two for each name at most.

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
        self._cache: dict[tuple[str, str | None], _Entry] = {}

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
            return Response("405 Method Not Allowed\n", 405, headers={"allow": "GET, HEAD"})
        # The path as it was sent names the file, whatever is mounted where.
        key = (request.raw_path, request.headers.get("accept-encoding"))
        now = get_running_loop().time()
        entry = self._cache.get(key)
        if entry is None or entry.valid_until < now:
            found = self._find(request, key[1])
            if isinstance(found, Response):
                self._cache.pop(key, None)
                return found
            entry = self._keep(key, found, now)
        return answer_file(request, entry.file)

    def _keep(self, key: tuple[str, str | None], file: StaticFile, now: float) -> _Entry:
        before = self._cache.pop(key, None)
        if before is not None and before.file.stamp == file.stamp:
            file = before.file
        while len(self._cache) >= self._cache_size:
            del self._cache[next(iter(self._cache))]
        entry = self._cache[key] = _Entry(file, now + _VALID)
        return entry

    def _find(self, request: Request, accept_encoding: str | None) -> StaticFile | Response:
        params = getattr(request, "path_params", None)
        path = params["path"] if params and "path" in params else request.path.removeprefix("/")
        names = path.split("/")
        is_folder = not names[-1]
        if is_folder:
            if self._index is None:
                return _not_found()
            names[-1] = self._index
        if len(names) > _MAX_DEPTH or not all(map(self._may_be, names)):
            return _not_found()
        try:
            with _Descent(self._root, self._no_follow) as descent:
                for name in names[:-1]:
                    descent.enter(name)
                return self._open(descent, names[-1], accept_encoding, request)
        except OSError:
            # Not there, no folder, a link, not ours to read: it is all the same to who asks.
            return _not_found()

    def _may_be(self, name: str) -> bool:
        if name in {"", ".", ".."} or "\0" in name or "\\" in name:
            return False
        return self._hidden or not name.startswith(".") or name == ".well-known"

    def _open(
        self, descent: _Descent, name: str, accept_encoding: str | None, request: Request
    ) -> StaticFile | Response:
        descriptor = descent.open(name)
        try:
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode) and self._index is not None:
                os.close(descriptor)
                return _to_folder(request)
            content_type, fields = media_type(name), self._fields
            if self._precompressed:
                packed = self._packed(descent, name, accept_encoding or "", status.st_mtime)
                if packed is not None:
                    other, coding, varies = packed
                    fields = (*fields, ("vary", "accept-encoding")) if varies else fields
                    if other is not None:
                        os.close(descriptor)
                        descriptor = other
                        return StaticFile(descriptor, content_type, coding, fields)
            return StaticFile(descriptor, content_type, None, fields)
        except ValueError:
            os.close(descriptor)
            return _not_found()

    def _packed(
        self, descent: _Descent, name: str, accept_encoding: str, modified: float
    ) -> tuple[int | None, str, bool] | None:
        """A compressed neighbour that the client takes; whether there is any decides about vary."""
        varies = False
        for coding, suffix in _CODINGS:
            try:
                descriptor = descent.open(name + suffix)
            except OSError:
                continue
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_mtime < modified:
                os.close(descriptor)
                continue
            varies = True
            if coding in _accepted(accept_encoding):
                return descriptor, coding, True
            os.close(descriptor)
        return (None, "", True) if varies else None


class _Descent:
    """A way down from a folder, one name at a time."""

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
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC | self._no_follow
        self._here = os.open(name, flags, dir_fd=self._here)
        self._opened.append(self._here)

    def open(self, name: str) -> int:
        # A FIFO without a writer would keep us waiting, a terminal would become ours.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | self._no_follow
        return os.open(name, flags, dir_fd=self._here)


def _accepted(accept_encoding: str) -> set[str]:
    """The codings that a client takes (RFC 9110 section 12.5.3)."""
    return set(_accepted_in(accept_encoding))


def _accepted_in(accept_encoding: str) -> Iterator[str]:
    for part in accept_encoding.lower().split(","):
        coding, _, parameters = part.partition(";")
        name, _, weight = parameters.strip().partition("=")
        if name.strip() == "q" and not weight.strip().strip("0."):
            continue
        yield coding.strip()


def _to_folder(request: Request) -> Response:
    """Send a client to the folder's own URL, with its slash, so that relative links work."""
    # Relative to the last slash: a path such as //host would lead to another host.
    last = request.raw_path.rpartition("/")[2]
    query = f"?{request.query}" if request.query else ""
    return Response.redirect(f"./{last}/{query}", 308)


def _not_found() -> Response:
    return Response("404 Not Found\n", 404)
