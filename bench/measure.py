"""Measuring: servers on one core, load on the other, pairs in turn, medians with their interval.

CPU time is the first field of schedstat (nanoseconds on a core) of every task of the server; user
time is its share by `utime`, whose ticks of 10 ms say little of a run of two seconds: take the
user instructions of `bench/run instructions` for claims.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PROGRAMS = HERE / "limit" / "build"
SERVER_CORE, LOAD_CORE = "0", "1"
CONNECTIONS = 64
DEADLINE = 60.0
_TICK = os.sysconf("SC_CLK_TCK")


class MeasuringError(Exception):
    """A program that is needed is missing, or one that was started has failed."""


def build_limit() -> None:
    """Compile the C programs."""
    done = subprocess.run(
        ["make", "-s", "-C", HERE / "limit"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise MeasuringError(f"the C programs cannot be built:\n{done.stderr}")


def need(program: str, package: str) -> str:
    """The path of a program, or words on how to get it."""
    found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
    if found is None:
        raise MeasuringError(f"{program} is not installed: apt-get install {package}")
    return found


@dataclass
class Usage:
    """What a server has used: seconds on a core, and seconds of them in user mode."""

    cpu: float
    user: float


class Server:
    """A server in a process of its own, which says `PORT n` when it listens."""

    def __init__(self, name: str, command: list[str | Path]) -> None:
        self.name = name
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the server
        pinned = ["taskset", "-c", SERVER_CORE, *map(str, command)]
        self.process = subprocess.Popen(
            pinned,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            start_new_session=True,
        )
        assert self.process.stdout is not None
        words = self.process.stdout.readline().split()
        if words[:1] != ["PORT"]:
            self.stop()
            raise MeasuringError(f"{name} did not start: {self._last_words()}")
        self.port = int(words[1])

    def _last_words(self) -> str:
        self.errors.seek(0)
        lines = self.errors.read().decode(errors="replace").splitlines()
        return lines[-1] if lines else "it said nothing"

    def usage(self) -> Usage:
        """What the whole process has used so far."""
        folder = Path(f"/proc/{self.process.pid}")
        tasks = (folder / "task").glob("*/schedstat")
        cpu = sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        return Usage(cpu, int(fields[11]) / _TICK)

    def memory(self) -> int:
        """Private memory in bytes."""
        text = Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        lines = (line.split() for line in text.splitlines())
        return sum(int(words[1]) * 1024 for words in lines if words[0].startswith("Private"))

    def resident(self, name: str) -> int:
        """VmRSS or its peak, VmHWM, in bytes."""
        text = Path(f"/proc/{self.process.pid}/status").read_text()
        lines = (line.split() for line in text.splitlines())
        return next(int(words[1]) * 1024 for words in lines if words[0] == f"{name}:")

    def stop(self) -> None:
        """End it, by its process group."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait(5)

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()
        self.errors.close()


def limit(program: str) -> Server:
    """One of the C programs."""
    return Server("limit", [PROGRAMS / program, "0"])


def python(name: str, script: str, *arguments: str) -> Server:
    """One of the Python servers, on this interpreter."""
    return Server(name, [sys.executable, HERE / "servers" / script, *arguments])


class Nginx(Server):
    """nginx in a folder of its own."""

    def __init__(self) -> None:
        program = need("nginx", "nginx-light")
        self._folder = tempfile.TemporaryDirectory()
        with __import__("socket").create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        template = (HERE / "servers" / "nginx.conf").read_text()
        text = template.replace("FOLDER", self._folder.name).replace("PORT", str(port))
        configuration = Path(self._folder.name) / "nginx.conf"
        configuration.write_text(text)
        script = f"echo PORT {port}; exec {program} -c {configuration}"
        super().__init__("nginx", ["sh", "-c", script])

    def stop(self) -> None:
        """End it, and remove its folder."""
        super().stop()
        self._folder.cleanup()


@dataclass
class Sample:
    """One run of load: microseconds of CPU and of user time per unit, and what the load saw."""

    cpu_us: float
    user_us: float
    load: dict[str, Any]


def load(server: Server, seconds: float, rate: float, *kind: str) -> Sample:
    """Put load on a server and look at what it has used."""
    command = [PROGRAMS / "load", server.port, CONNECTIONS, seconds, f"{rate:.0f}", *kind]
    before = server.usage()
    done = subprocess.run(
        ["taskset", "-c", LOAD_CORE, *map(str, command)],
        capture_output=True,
        text=True,
        timeout=seconds + DEADLINE,
        check=False,
    )
    if done.returncode:
        raise MeasuringError(f"load on {server.name} failed: {done.stderr}")
    after = server.usage()
    seen = json.loads(done.stdout)
    units = max(1, seen["answered"])
    cpu, user = after.cpu - before.cpu, after.user - before.user
    return Sample(cpu / units * 1e6, user / units * 1e6, seen)


def median_interval(values: list[float]) -> tuple[float, float, float]:
    """The median, and the 95 % interval of it by order statistics (binomial)."""
    ordered = sorted(values)
    count = len(ordered)
    tail, chance = 0, 0.0
    while tail < count // 2:
        chance += math.comb(count, tail) / 2**count
        if chance > 0.025:
            break
        tail += 1
    low = max(tail - 1, 0)
    return statistics.median(ordered), ordered[low], ordered[count - 1 - low]


def in_turn(
    servers: list[Server], pairs: int, seconds: float, rate: float, *kind: str
) -> dict[str, list[Sample]]:
    """Load each server in turn, again and again; the order is turned round each time."""
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for number in range(pairs):
        for server in servers if number % 2 == 0 else reversed(servers):
            samples[server.name].append(load(server, seconds, rate, *kind))
        print(f"  pair {number + 1} of {pairs}", end="\r", file=sys.stderr, flush=True)
    print(" " * 40, end="\r", file=sys.stderr)
    return samples


def summary(samples: dict[str, list[Sample]], base: str = "limit") -> list[dict[str, Any]]:
    """One row for each server: medians, and the ratio to the base, pair by pair."""
    rows = []
    for name, own in samples.items():
        pairs = zip(own, samples[base], strict=True)
        ratios = [sample.cpu_us / other.cpu_us for sample, other in pairs]
        middle, low, high = median_interval(ratios)
        rows.append(
            {
                "server": name,
                "cpu_us": round(statistics.median(sample.cpu_us for sample in own), 3),
                "user_us": round(statistics.median(sample.user_us for sample in own), 3),
                "ratio": round(middle, 3),
                "interval": [round(low, 3), round(high, 3)],
                "p99_us": statistics.median(sample.load["p99_us"] for sample in own),
                "rate": statistics.median(sample.load["rate"] for sample in own),
            }
        )
    return rows


def show(title: str, rows: list[dict[str, Any]]) -> None:
    """Print rows as a table."""
    print(f"\n{title}")
    names = list(rows[0])
    text = [[_text(row.get(name)) for name in names] for row in rows]
    widths = [max(len(name), *(len(line[i]) for line in text)) for i, name in enumerate(names)]
    for line in [names, *text]:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(_text(part) for part in value)
    if isinstance(value, float):
        return f"{value:,.3f}" if value < 100 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
