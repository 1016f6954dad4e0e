"""Files: CPU for a request for a small and for a large one, beside nginx."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from measure import running

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIZES = {"1 KB": 1024, "1 MB": 1024 * 1024}


@contextmanager
def served_folder(size: int) -> Iterator[Path]:
    """A folder whose index file is this large."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "index.html").write_bytes(b"x" * size)
        yield Path(folder)


def files(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """CPU for one file of 1 KB and of 1 MB over keep-alive: a Folder, nginx."""
    results = {}
    for name, size in SIZES.items():
        with (
            served_folder(size) as folder,
            running(
                lambda folder=folder: measure.Nginx("nginx_transfer.conf", ROOT=folder),
                lambda folder=folder: measure.python("sennit Folder", "folder.py", str(folder)),
            ) as servers,
        ):
            rate = measure.load(servers[0], 1.0, 0, "http", "minimal").load["rate"] / 2
            samples = measure.in_turn(
                servers, options.pairs, options.seconds, rate, "http", "minimal"
            )
            title = f"a file of {name}, {rate:,.0f} in a second"
            results[title] = measure.summary(samples, base="nginx")
    return results


FIGURES = {"files": files}
