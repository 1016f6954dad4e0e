"""The figures: what `bench/run` can measure, each a function with its options."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import figures_client
import figures_deferred
import figures_files
import figures_handlers
import figures_soak
import figures_tls
import figures_transfer
import figures_udp
import measure
import streams
from measure import MeasuringError, Server, held, running, twin

Options = argparse.Namespace
Rows = dict[str, list[dict[str, Any]]]

LOOPS = ("sennit", "uvloop", "rloop", "asyncio")


def half_capacity(server: Server, *kind: str) -> float:
    """Half of what a server can do: below saturation, where batches do not flatter."""
    return measure.load(server, 1.0, 0, *kind).load["rate"] / 2


def http(options: Options) -> Rows:
    """CPU for one request over keep-alive: handlers, nginx, aiohttp, against the limit."""
    handlers = ("async", "def", "timeout", "features")
    results: Rows = {}
    with running(
        lambda: measure.limit("http"),
        lambda: twin("http"),
        *(lambda h=h: measure.python(f"sennit {h}", "http_handler.py", h) for h in handlers),
        measure.Nginx,
        lambda: measure.python("aiohttp", "aiohttp_handler.py"),
    ) as servers:
        for request in ("minimal", "browser"):
            rate = half_capacity(servers[0], "http", request)
            samples = measure.in_turn(
                servers, options.pairs, options.seconds, rate, "http", request
            )
            results[f"http, {request} request, {rate:,.0f} in a second"] = measure.summary(samples)
    return results


def echo(options: Options) -> Rows:
    """CPU for one message there and back on 64 connections: a protocol on each loop."""
    results: Rows = {}
    with running(
        lambda: measure.limit("echo"),
        lambda: twin("echo"),
        *(lambda name=name: measure.python(name, "echo.py", name) for name in LOOPS),
    ) as servers:
        for size in ("16", "1024", "65536"):
            rate = half_capacity(servers[0], "echo", size)
            samples = measure.in_turn(servers, options.pairs, options.seconds, rate, "echo", size)
            results[f"echo, {size} bytes, {rate:,.0f} in a second"] = measure.summary(samples)
    return results


def idle(options: Options) -> Rows:
    """Private memory for one idle connection: an echo protocol on each loop, an HTTP handler."""
    rows = []
    makers = [lambda name=name: measure.python(name, "echo.py", name) for name in LOOPS]
    makers.append(lambda: measure.python("sennit http", "http_handler.py", "async"))
    for make in makers:
        with running(make) as servers:
            for server in servers:
                rows.append({"server": server.name, "bytes": held(server, options.count)})
    return {f"idle connection, {options.count:,} held": rows}


def switch(options: Options) -> Rows:
    """Nanoseconds of CPU for callbacks, task turns, hand-overs, tasks, timers, threads."""
    script = measure.HERE / "servers" / "switching.py"
    found: dict[str, list[dict[str, float]]] = {}
    for number in range(options.pairs):
        for name in LOOPS if number % 2 == 0 else reversed(LOOPS):
            command = ["taskset", "-c", measure.SERVER_CORE, sys.executable, str(script), name]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=measure.DEADLINE
            )
            if done.returncode == 0:
                found.setdefault(name, []).append(json.loads(done.stdout))
            elif number == 0:
                print(f"left out: {name}: {done.stderr.splitlines()[-1]}", file=sys.stderr)
        print(f"  round {number + 1} of {options.pairs}", end="\r", file=sys.stderr, flush=True)
    rows = []
    for name, rounds in found.items():
        kinds = {kind: measure.median_interval([r[kind] for r in rounds])[0] for kind in rounds[0]}
        rows.append({"loop": name, **kinds})
    return {"switch, ns of CPU": rows}


def waiting_server(options: Options) -> Rows:
    """Requests at once whose handler sleeps 100 ms: all answered, growth of the server."""
    from sennit.http import native  # noqa: PLC0415 - this figure only

    with running(lambda: measure.python("sennit", "http_handler.py", "sleep")) as servers:
        server = servers[0]
        before = server.resident("VmRSS")
        begin = time.perf_counter()
        answered, _ = native.fetch_many(
            f"http://127.0.0.1:{server.port}/", options.count, options.count
        )
        wall = time.perf_counter() - begin
        row = {
            "requests": options.count,
            "answered": answered,
            "wall_s": wall,
            "cpu_s": server.usage().cpu,
            "growth_MB": (server.resident("VmHWM") - before) / 1e6,
        }
    return {"requests at once to a handler that sleeps 100 ms": [row]}


def open_connections(options: Options) -> Rows:
    """Requests at once by the client over connections that are open already."""
    wait, script = 0.6, measure.HERE / "clients" / "open_connections.py"
    with running(lambda: measure.python("origin", "origin.py", str(wait))) as servers:
        url = f"http://127.0.0.1:{servers[0].port}/"
        command = ["taskset", "-c", measure.LOAD_CORE, sys.executable, script, url]
        done = subprocess.run(
            [*map(str, command), str(options.count), str(wait)],
            capture_output=True,
            text=True,
            check=False,
            timeout=measure.DEADLINE,
        )
    if done.returncode:
        raise MeasuringError(f"the client failed: {done.stderr}")
    return {"requests at once on connections already open": [json.loads(done.stdout)]}


def syscalls(_options: Options) -> Rows:
    """System calls for one request, counted by strace."""
    strace = measure.need("strace", "strace")
    rows = []
    makers = {
        "limit": [measure.PROGRAMS / "http", "0"],
        "sennit async": [sys.executable, measure.HERE / "servers" / "http_handler.py", "async"],
    }
    for name, command in makers.items():
        log = Path(tempfile.mkdtemp()) / "strace"
        with Server(name, [strace, "-f", "-c", "-o", log, *command]) as server:
            seen = measure.load(server, 2.0, 2000, "http", "minimal")
        for line in log.read_text().splitlines()[2:]:
            words = line.split()
            if len(words) > 4 and words[3].isdigit() and int(words[3]) > seen.load["answered"] / 10:
                per_request = int(words[3]) / seen.load["answered"]
                rows.append({"server": name, "call": words[-1], "per_request": per_request})
        shutil.rmtree(log.parent)
    return {"system calls": rows}


def instructions(_options: Options) -> Rows:
    """User instructions for one request, counted by callgrind: the difference of two loads."""
    valgrind = measure.need("valgrind", "valgrind")
    rows = []
    handler = measure.HERE / "servers" / "http_handler.py"
    makers: dict[str, list[Any]] = {"limit": [measure.PROGRAMS / "http", "0"]}
    for kind in ("async", "def", "timeout"):
        makers[f"sennit {kind}"] = [sys.executable, handler, kind]
    for name, command in makers.items():
        counts = [_counted(valgrind, name, command, seconds) for seconds in (2.0, 6.0)]
        (few, first), (many, second) = counts
        rows.append({"server": name, "instructions": (second - first) / (many - few)})
    return {"instructions for one request, user mode": rows}


def _counted(valgrind: str, name: str, command: list[Any], seconds: float) -> tuple[int, int]:
    out = Path(tempfile.mkdtemp()) / "callgrind"
    tool = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", *command]
    with Server(name, tool) as server:
        answered = measure.load(server, seconds, 500, "http", "minimal").load["answered"]
    total = next(
        int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith("totals:")
    )
    shutil.rmtree(out.parent)
    return answered, total


FIGURES = {
    figure.__name__.replace("_", "-"): figure
    for figure in (
        http,
        echo,
        idle,
        switch,
        waiting_server,
        open_connections,
        syscalls,
        instructions,
        *figures_tls.FIGURES,
        *figures_udp.FIGURES,
    )
}
for room in (
    streams,
    figures_transfer,
    figures_files,
    figures_handlers,
    figures_client,
    figures_deferred,
    figures_soak,
):
    FIGURES |= room.FIGURES


def parser() -> argparse.ArgumentParser:
    """The command line."""
    lines = "\n".join(f"  {name:15} {figure.__doc__}" for name, figure in FIGURES.items())
    result = argparse.ArgumentParser(
        prog="bench/run",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Measure figures of Sennit beside its peers and the physical limit.",
        epilog=f"figures:\n{lines}\n\nexamples:\n  bench/run http\n"
        "  bench/run echo --pairs 5 --seconds 1\n  bench/run idle switch --json figures.json",
    )
    result.add_argument("figures", nargs="*", metavar="FIGURE", help="all of them by default")
    result.add_argument("--pairs", type=int, default=15, help="rounds in turn (15)")
    result.add_argument("--seconds", type=float, default=2.0, help="of each load (2)")
    result.add_argument(
        "--count", type=int, default=10_000, help="connections or requests (10,000)"
    )
    result.add_argument("--json", metavar="FILE", help="write the rows to a file, too")
    return result


def main() -> int:
    """Measure what was asked for."""
    options = parser().parse_args()
    unknown = set(options.figures) - set(FIGURES)
    if unknown:
        known = ", ".join(FIGURES)
        print(
            f"bench/run: no figure {', '.join(sorted(unknown))}; there are: {known}",
            file=sys.stderr,
        )
        return 2
    results: Rows = {}
    try:
        measure.build_limit()
        for name in options.figures or FIGURES:
            for title, rows in FIGURES[name](options).items():
                measure.show(title, rows)
                results[title] = rows
    except MeasuringError as error:
        print(f"bench/run: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    if options.json:
        machine = {
            "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "python": platform.python_version(),
            "kernel": platform.release(),
            "load_average": os.getloadavg()[0],
        }
        Path(options.json).write_text(
            json.dumps({"machine": machine, "results": results}, indent=1) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
