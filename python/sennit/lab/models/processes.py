"""Processes: one for each request, forked, with http.client; as many as the machine allows.

A child makes its request, reports it as one byte and stays until all have reported: only then are
there as many processes at once as there are requests, and only then is their memory counted.
Where a quarter of the machine's limits is less than the number of requests, or starting so many
takes too long, fewer are measured and the lab extrapolates.
"""

from __future__ import annotations

import os
import resource
import select
import time
from dataclasses import dataclass

from sennit.lab.allowance import allowed_processes, read_limits
from sennit.lab.models.http_client import get
from sennit.lab.outcome import Outcome
from sennit.lab.proc import private_bytes, virtual_bytes

__all__ = ["run"]

_RIGHT, _WRONG = b"+", b"-"

# No more are started after that: on a machine that forks slowly the whole table would take minutes.
_START_S = 20.0

# How often to look for a child that has ended without a report.
_LOOK_S = 1.0


@dataclass
class _Wave:
    """What so many processes at once have done and used."""

    processes: int
    answered: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    private_bytes: int = 0
    virtual_bytes: int = 0


def _child(url: str, report: int, hold: int) -> None:
    """One request, in a process that was just forked; does not return."""
    try:
        os.write(report, _RIGHT if get(url) is True else _WRONG)
        # Ends when the parent closes its side, or is gone.
        os.read(hold, 1)
    finally:
        os._exit(0)


def _start(url: str, count: int, report: tuple[int, int], hold: tuple[int, int]) -> list[int]:
    children: list[int] = []
    enough = time.perf_counter() + _START_S
    while len(children) < count and time.perf_counter() < enough:
        try:
            pid = os.fork()
        except OSError:
            # No more processes can be started; without a single one there is no way on.
            if not children:
                raise
            break
        if pid == 0:
            os.close(report[0])
            os.close(hold[1])
            _child(url, report[1], hold[0])
        children.append(pid)
    return children


def _wait_reports(report: int, children: list[int]) -> bytes:
    """Wait until each child has reported, or has ended without; those are taken off the list."""
    reports = b""
    expected = len(children)
    while len(reports) < expected:
        if select.select([report], [], [], _LOOK_S)[0]:
            reports += os.read(report, 65536)
            continue
        pid, _ = os.waitpid(-1, os.WNOHANG)
        if pid:
            children.remove(pid)
            expected -= 1
    return reports


def _cpu_s(who: int) -> float:
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def _run_wave(url: str, count: int) -> _Wave:
    report, hold = os.pipe(), os.pipe()
    of_children = _cpu_s(resource.RUSAGE_CHILDREN)
    of_parent = _cpu_s(resource.RUSAGE_SELF)
    before = time.perf_counter()
    children = _start(url, count, report, hold)
    wave = _Wave(len(children))
    wave.answered = _wait_reports(report[0], children).count(_RIGHT)
    wave.wall_s = time.perf_counter() - before
    wave.cpu_s = _cpu_s(resource.RUSAGE_SELF) - of_parent
    # Counting takes longer than the requests; it is not part of what was measured.
    wave.private_bytes = sum(map(private_bytes, children))
    wave.virtual_bytes = sum(map(virtual_bytes, children))
    for descriptor in (*hold, *report):
        os.close(descriptor)
    for pid in children:
        os.waitpid(pid, 0)
    wave.cpu_s += _cpu_s(resource.RUSAGE_CHILDREN) - of_children
    return wave


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a process of its own."""
    # What the first request imports is there before the fork, and not once more in each child.
    get(url)
    one = _run_wave(url, 1)
    wave = _run_wave(url, min(count, allowed_processes(read_limits(), one.private_bytes)))
    failed = wave.processes - wave.answered
    figures = {
        "wall_s": wave.wall_s,
        "cpu_s": wave.cpu_s,
        "rss_growth_bytes": wave.private_bytes,
        "vm_growth_bytes": wave.virtual_bytes,
        "threads": 1,
        "processes": wave.processes,
        "measured_processes": wave.processes,
    }
    return Outcome(wave.answered, f"{failed} not answered rightly" if failed else "", figures)
