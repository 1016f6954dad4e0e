"""The files of UNIX sockets: removed when their server ends, if they are still its own."""

from __future__ import annotations

import contextlib
from pathlib import Path

__all__ = ["SocketPaths"]


class SocketPaths:
    """The files of the UNIX sockets that a server listens on."""

    def __init__(self) -> None:
        self._inodes: dict[str, int] = {}

    def add(self, path: str) -> None:
        """Remember a socket's file; a name that begins with a zero byte has none."""
        if path[0] != "\0":
            with contextlib.suppress(OSError):
                self._inodes[path] = Path(path).stat().st_ino

    def remove(self) -> None:
        """Remove the files, unless another server has put its own there."""
        for path, inode in self._inodes.items():
            with contextlib.suppress(OSError):
                if Path(path).stat().st_ino == inode:
                    Path(path).unlink()
        self._inodes.clear()
