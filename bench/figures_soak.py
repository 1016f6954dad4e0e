"""The long load: millions of requests, with memory and descriptors looked at all the time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from measure import MeasuringError, Server, running

if TYPE_CHECKING:
    import argparse

REQUESTS_EACH = 20
"""Of a connection, on average."""

STEPS = 20


def _look(server: Server) -> tuple[int, int]:
    """Private memory in bytes, and open descriptors."""
    return server.memory(), len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def soak(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """Requests on --count connections that break off anywhere, 20 on each: growth, answers."""
    total: dict[str, float] = {}
    looks = []
    with running(lambda: measure.python("sennit", "soak.py")) as servers:
        server = servers[0]
        share = max(1, options.count // STEPS)
        for step in range(STEPS):
            words = [measure.built("soak"), server.port, share * REQUESTS_EACH, share, step + 1]
            command = ["taskset", "-c", measure.LOAD_CORE, *map(str, words)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise MeasuringError(f"the load failed: {done.stderr or done.stdout}")
            for name, value in json.loads(done.stdout).items():
                total[name] = total.get(name, 0) + value
            time.sleep(0.5)  # what lingers is gone, and counts no more
            looks.append(_look(server))
            print(f"  step {step + 1} of {STEPS}", end="\r", file=sys.stderr, flush=True)
        cpu = server.usage().cpu
    # The first quarter is for what grows once: caches, freelists, the allocator's arenas.
    settled, end = looks[STEPS // 4], looks[-1]
    row = {
        **{name: round(value, 1) for name, value in total.items()},
        "cpu_us_per_request": round(cpu / total["answers"] * 1e6, 2),
        "memory_MB": round(end[0] / 1e6, 2),
        "grew_MB": round((end[0] - settled[0]) / 1e6, 3),
        "descriptors": end[1],
        "descriptors_grew": end[1] - settled[1],
    }
    return {"soak, memory and descriptors since the first quarter": [row]}


FIGURES = {"soak": soak}
