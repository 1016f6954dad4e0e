"""Large bodies: a gigabyte up and down, beside nginx, with the memory that the server grew by."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from measure import MeasuringError, Server, running

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

SIZE = 1 << 30


@contextmanager
def large_file() -> Iterator[Path]:
    """A gigabyte in a folder of its own, in the page cache."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big"
        block = os.urandom(1 << 20)
        with path.open("wb") as file:
            for _ in range(SIZE >> 20):
                file.write(block)
        yield path


def _once(server: Server, command: list[str], path: str) -> tuple[float, float]:
    before = server.usage().cpu
    begin = time.perf_counter()
    url = f"http://127.0.0.1:{server.port}{path}"
    pinned = ["taskset", "-c", measure.LOAD_CORE, *command, url]
    done = subprocess.run(
        pinned, capture_output=True, text=True, check=False, timeout=measure.DEADLINE
    )
    wall = time.perf_counter() - begin
    if done.returncode:
        raise MeasuringError(f"curl failed against {server.name}: {done.stderr}")
    return wall, server.usage().cpu - before


def transfer(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """A gigabyte up and down by one curl: MB in a second, CPU, growth; nginx beside it."""
    curl = measure.need("curl", "curl")
    results = {}
    with (
        large_file() as file,
        running(
            lambda: measure.Nginx("nginx_transfer.conf", ROOT=file.parent),
            lambda: measure.python("sennit", "transfer.py", str(file)),
        ) as servers,
    ):
        kinds = {
            "up": ([curl, "-sSf", "-T", str(file), "-H", "Expect:", "-o", "/dev/null"], "/up"),
            "down, a file": ([curl, "-sSf", "-o", "/dev/null"], "/big"),
            "down, 64 KB pieces of a generator": ([curl, "-sSf", "-o", "/dev/null"], "/made"),
        }
        for kind, (command, path) in kinds.items():
            seen: dict[str, list[tuple[float, float]]] = {server.name: [] for server in servers}
            before = {server.name: server.resident("VmRSS") for server in servers}
            for number in range(options.pairs):
                for server in servers if number % 2 == 0 else reversed(servers):
                    wanted = "/big" if path == "/made" and server.name == "nginx" else path
                    seen[server.name].append(_once(server, command, wanted))
                print(f"  {kind}: round {number + 1}", end="\r", file=sys.stderr, flush=True)
            results[f"a gigabyte {kind}"] = [
                _row(server, seen, before[server.name]) for server in servers
            ]
    return results


def _row(server: Server, seen: dict[str, list[tuple[float, float]]], before: int) -> dict[str, Any]:
    own, base = seen[server.name], seen["nginx"]
    ratios = [mine[1] / other[1] for mine, other in zip(own, base, strict=True)]
    walls = [other[0] / mine[0] for mine, other in zip(own, base, strict=True)]
    middle, low, high = measure.median_interval(ratios)
    return {
        "server": server.name,
        "MB_per_s": round(SIZE / 1e6 / statistics.median(wall for wall, _ in own)),
        "throughput_ratio": round(statistics.median(walls), 3),
        "cpu_s": round(statistics.median(cpu for _, cpu in own), 3),
        "cpu_ratio": round(middle, 3),
        "interval": [round(low, 3), round(high, 3)],
        "growth_MB": round((server.resident("VmHWM") - before) / 1e6, 1),
    }


FIGURES = {"transfer": transfer}
