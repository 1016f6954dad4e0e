"""Measuring: servers on one core, load on the other, pairs in turn, medians with their interval.

CPU time is the first field of schedstat (nanoseconds on a core) of every task of the server; user
time is its share by `utime`, whose ticks of 10 ms say little of a run of two seconds: take the
user instructions of `bench/run instructions` for claims.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def built(program: str) -> Path:
    """The path of one of the C programs."""
    path = PROGRAMS / program
    if not path.exists():
        raise MeasuringError(f"{program} is not built: it needs libssl-dev (make peers)")
    return path


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

    def __init__(self, name: str, command: list[Any]) -> None:
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


def limit(program: str, *arguments: object) -> Server:
    """One of the C programs."""
    return Server("limit", [built(program), "0", *arguments])


def twin(program: str, *arguments: object) -> Server:
    """The limit once more: what two of the same differ by is noise."""
    server = limit(program, *arguments)
    server.name = "limit again"
    return server


def python(name: str, script: str, *arguments: object) -> Server:
    """One of the Python servers, on this interpreter."""
    return Server(name, [sys.executable, HERE / "servers" / script, *arguments])


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


class Configured(Server):
    """A program that reads a file of servers/, whose words in capitals are filled in."""

    def __init__(self, name: str, command: list[str], template: str, **words: object) -> None:
        self._folder = tempfile.TemporaryDirectory()
        port = free_port()
        text = (HERE / "servers" / template).read_text()
        for word, value in {"FOLDER": self._folder.name, "PORT": port, **words}.items():
            text = text.replace(word, str(value))
        file = Path(self._folder.name) / template
        file.write_text(text)
        script = f"echo PORT {port}; exec {shlex.join([*command, str(file)])}"
        super().__init__(name, ["sh", "-c", script])
        self._wait_until_it_listens()

    def _wait_until_it_listens(self) -> None:
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return
        self.stop()
        raise MeasuringError(f"{self.name} did not start: {self._last_words()}")

    def stop(self) -> None:
        """End it, and remove its folder."""
        super().stop()
        self._folder.cleanup()


class Nginx(Configured):
    """nginx, with one worker in one process."""

    def __init__(self, template: str = "nginx.conf", **words: object) -> None:
        super().__init__("nginx", [need("nginx", "nginx-light"), "-c"], template, **words)


@contextmanager
def running(*makers: Callable[[], Server]) -> Iterator[list[Server]]:
    """Servers that run; one that cannot be started is named and left out."""
    with ExitStack() as stack:
        servers = []
        for make in makers:
            try:
                servers.append(stack.enter_context(make()))
            except MeasuringError as error:
                print(f"left out: {error}", file=sys.stderr)
        yield servers


@contextmanager
def hold(server: Server, count: int, program: str = "hold", *arguments: str) -> Iterator[None]:
    """Connections that are open inside the block."""
    command = [built(program), server.port, count, *arguments]
    holder = subprocess.Popen(
        list(map(str, command)), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    if not holder.stdout.readline().startswith("held"):
        raise MeasuringError(f"{count} connections to {server.name} could not be opened")
    try:
        yield
    finally:
        holder.communicate(timeout=DEADLINE)


def held(server: Server, count: int, *kind: str) -> float:
    """Growth by one of `count` connections, after some that make the server grow once."""
    with hold(server, 500, *kind):
        before = server.memory()
        with hold(server, count, *kind):
            _settle(server)
            return (server.memory() - before) / count


def _settle(server: Server) -> None:
    """Wait until the server has accepted everything: its CPU time stands still."""
    deadline = time.monotonic() + DEADLINE
    last = -1.0
    while (now := server.usage().cpu) != last and time.monotonic() < deadline:
        last = now
        time.sleep(0.3)


@dataclass
class Sample:
    """One run of load: microseconds of CPU and of user time per unit, and what the load saw."""

    cpu_us: float
    user_us: float
    load: dict[str, Any]


def load(server: Server, seconds: float, rate: float, *kind: str) -> Sample:
    """Put messages on a server's connections."""
    return sample(server, seconds, "load", CONNECTIONS, seconds, f"{rate:.0f}", *kind)


def sample(server: Server, seconds: float, program: str, *arguments: object) -> Sample:
    """Run a load of some seconds on a server, and look at what the server has used meanwhile.

    A load that says `ready` has opened its connections: what came before does not count.
    """
    command = ["taskset", "-c", LOAD_CORE, built(program), server.port, *arguments]
    pipe = subprocess.PIPE
    before = server.usage()
    with subprocess.Popen(
        list(map(str, command)), stdin=pipe, stdout=pipe, stderr=pipe, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        watch = threading.Timer(seconds + DEADLINE, process.kill)
        watch.start()
        line = process.stdout.readline()
        if line == "ready\n":
            before = server.usage()
            process.stdin.write("\n")
            process.stdin.flush()
            line = process.stdout.readline()
        after = server.usage()
        _, errors = process.communicate()
        watch.cancel()
    if process.returncode:
        raise MeasuringError(f"load on {server.name} failed: {errors}")
    seen = json.loads(line)
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
    return take_turns(servers, pairs, lambda server: load(server, seconds, rate, *kind))


def take_turns(
    servers: list[Server], pairs: int, measure: Callable[[Server], Sample]
) -> dict[str, list[Sample]]:
    """Measure each server in turn, again and again; the order is turned round each time."""
    samples: dict[str, list[Sample]] = {server.name: [] for server in servers}
    for number in range(pairs):
        for server in servers if number % 2 == 0 else reversed(servers):
            samples[server.name].append(measure(server))
        print(f"  pair {number + 1} of {pairs}", end="\r", file=sys.stderr, flush=True)
    print(" " * 40, end="\r", file=sys.stderr)
    return samples


def summary(samples: dict[str, list[Sample]], base: str = "limit") -> list[dict[str, Any]]:
    """One row for each server: medians, and the ratio to the base, pair by pair."""
    rows = []
    for name, own in samples.items():
        pairs = list(zip(own, samples[base], strict=True))
        middle, low, high = median_interval([one.cpu_us / other.cpu_us for one, other in pairs])
        late = [one.load["p99_us"] / other.load["p99_us"] for one, other in pairs]
        rows.append(
            {
                "server": name,
                "cpu_us": round(statistics.median(sample.cpu_us for sample in own), 3),
                "user_us": round(statistics.median(sample.user_us for sample in own), 3),
                "ratio": round(middle, 3),
                "interval": [round(low, 3), round(high, 3)],
                "p50_us": statistics.median(sample.load["p50_us"] for sample in own),
                "p99_us": statistics.median(sample.load["p99_us"] for sample in own),
                "p99_ratio": round(statistics.median(late), 3),
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
