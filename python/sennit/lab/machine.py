"""The machine that was measured on: what a record says about it, and which cores to use."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

__all__ = ["Machine", "choose_cores", "read_machine"]


@dataclass(frozen=True)
class Machine:
    """Facts without which a figure says nothing.

    Attributes:
        cpu: The model's name.
        cores: Cores that this process may use.
        memory_bytes: Memory in all.
        kernel: The kernel's release.
        python: The interpreter and its version.
        date: When the run began, in UTC, ISO 8601.
        load_average: Of the last minute when the run began: who else was busy here.
        pinned: The model and its origin each had a core of their own.
    """

    cpu: str
    cores: int
    memory_bytes: int
    kernel: str
    python: str
    date: str
    load_average: float
    pinned: bool

    def to_json(self) -> dict[str, object]:
        """As the record holds it."""
        return asdict(self)


def choose_cores(available: set[int]) -> tuple[int, int] | None:
    """The cores of the origin and of the model; None if there is just one."""
    ordered = sorted(available)
    # The last one: the first core is the one that handles most of a machine's interrupts.
    return (ordered[0], ordered[-1]) if len(ordered) > 1 else None


def read_machine() -> Machine:
    """The facts about this machine, now."""
    cores = os.sched_getaffinity(0)
    return Machine(
        cpu=_cpu_model(),
        cores=len(cores),
        memory_bytes=os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"),
        kernel=platform.release(),
        python=f"{sys.implementation.name} {platform.python_version()}",
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        load_average=round(os.getloadavg()[0], 2),
        pinned=choose_cores(cores) is not None,
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
