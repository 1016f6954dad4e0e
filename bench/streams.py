"""The figures of streams and frames: CPU and instructions for one message of each."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import measure
from measure import Server

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    Rows = dict[str, list[dict[str, Any]]]

SERVERS = measure.HERE / "servers"
# Each kind of load: the C program that does the same work, and the servers beside it.
KINDS: dict[str, tuple[str, dict[str, list[Any]]]] = {
    "echo": (
        "echo",
        {
            "protocol": [SERVERS / "echo.py", "sennit"],
            "streams": [SERVERS / "streams.py"],
        },
    ),
    "lines": (
        "line_echo",
        {
            "frame protocol": [SERVERS / "lines.py", "protocol"],
            "frames of a stream": [SERVERS / "lines.py", "frames"],
        },
    ),
}


def _limit(program: str, name: str = "limit") -> Server:
    server = measure.limit(program)
    server.name = name
    return server


def _against_the_limit(kind: str, options: argparse.Namespace) -> Rows:
    program, servers = KINDS[kind]
    makers: list[Callable[[], Server]] = [
        lambda: _limit(program),
        lambda: _limit(program, "limit again"),
        *(
            lambda name=name, command=command: Server(name, [sys.executable, *command])
            for name, command in servers.items()
        ),
    ]
    results: Rows = {}
    with ExitStack() as stack:
        running = [stack.enter_context(make()) for make in makers]
        for size in ("16", "1024"):
            rate = measure.load(running[0], 1.0, 0, kind, size).load["rate"] / 2
            samples = measure.in_turn(running, options.pairs, options.seconds, rate, kind, size)
            results[f"{kind}, {size} bytes, {rate:,.0f} in a second"] = measure.summary(samples)
    return results


def streams(options: argparse.Namespace) -> Rows:
    """CPU for one message there and back by streams with await, beside a protocol."""
    return _against_the_limit("echo", options)


def lines(options: argparse.Namespace) -> Rows:
    """CPU for one line there and back: a frame protocol, and frames with await."""
    return _against_the_limit("lines", options)


def stream_instructions(_options: argparse.Namespace) -> Rows:
    """User instructions for one message of 1 KB by callgrind: protocol, streams, frames."""
    valgrind = measure.need("valgrind", "valgrind")
    results: Rows = {}
    for kind, (program, servers) in KINDS.items():
        commands: dict[str, list[Any]] = {"limit": [measure.PROGRAMS / program, "0"]}
        commands |= {name: [sys.executable, *command] for name, command in servers.items()}
        rows = []
        for name, command in commands.items():
            (few, first), (many, second) = (
                _counted(valgrind, name, command, kind, seconds) for seconds in (1.0, 4.0)
            )
            rows.append({"server": name, "instructions": (second - first) / (many - few)})
        results[f"instructions for one message of 1 KB, {kind}, user mode"] = rows
    return results


def _counted(
    valgrind: str, name: str, command: list[Any], kind: str, seconds: float
) -> tuple[int, int]:
    out = Path(tempfile.mkdtemp()) / "callgrind"
    tool = [valgrind, "--tool=callgrind", f"--callgrind-out-file={out}", *command]
    with Server(name, tool) as server:
        answered = measure.load(server, seconds, 500, kind, "1024").load["answered"]
    total = next(
        int(line.split()[1]) for line in out.read_text().splitlines() if line.startswith("totals:")
    )
    shutil.rmtree(out.parent)
    return answered, total


FIGURES = {
    figure.__name__.replace("_", "-"): figure for figure in (streams, lines, stream_instructions)
}
