"""The client beside its peers: CPU for one request over connections that stay open."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import measure
from measure import MeasuringError, running

if TYPE_CHECKING:
    import argparse

CLIENTS = ("sennit", "pyreqwest", "aiohttp", "aiohttp-uvloop")
REQUESTS = 20_000
"""In a round: a second or two of the slowest."""


class Client:
    """A client in a process of its own, on the core of the loads."""

    def __init__(self, name: str, url: str) -> None:
        script = measure.HERE / "clients" / "keep_alive.py"
        command = ["taskset", "-c", measure.LOAD_CORE, sys.executable, script, name, url]
        pipe = subprocess.PIPE
        self.name = name
        self._process = subprocess.Popen(
            [*map(str, command), str(REQUESTS)], stdin=pipe, stdout=pipe, stderr=pipe, text=True
        )

    def round(self) -> dict[str, float]:
        """One round's figures."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise MeasuringError(f"{self.name} failed: {self._process.communicate()[1]}")
        figures: dict[str, float] = json.loads(line)
        return figures

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_error: object) -> None:
        self._process.kill()
        self._process.communicate()


def client(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """CPU for one GET, 64 at once over keep-alive: http.Client, pyreqwest, aiohttp."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in CLIENTS}
    with running(lambda: measure.limit("http")) as servers, ExitStack() as stack:
        url = f"http://127.0.0.1:{servers[0].port}/"
        clients = [stack.enter_context(Client(name, url)) for name in CLIENTS]
        for one in clients:
            one.round()  # connections, caches
        for number in range(options.pairs):
            for one in clients if number % 2 == 0 else reversed(clients):
                rounds[one.name].append(one.round())
            print(f"  round {number + 1} of {options.pairs}", end="\r", file=sys.stderr, flush=True)
    rows = []
    for name, own in rounds.items():
        ratios = [
            mine["cpu_us"] / other["cpu_us"]
            for mine, other in zip(rounds["sennit"], own, strict=True)
        ]
        middle, low, high = measure.median_interval(ratios)
        medians = {
            kind: round(statistics.median(figures[kind] for figures in own), 2) for kind in own[0]
        }
        row = {"client": name, **medians, "sennit_to_it": round(middle, 3)}
        rows.append({**row, "interval": [round(low, 3), round(high, 3)]})
    return {"client, 64 at once over keep-alive": rows}


FIGURES = {"client": client}
