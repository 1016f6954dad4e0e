"""How much of its limits a machine allows: descriptors, ports, threads, processes.

Each function computes from numbers that it is given, and has a twin that reads them here.
"""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = [
    "SPARE_DESCRIPTORS",
    "AllowanceError",
    "Limits",
    "allowed_processes",
    "allowed_threads",
    "check_requests",
    "raise_descriptor_limit",
    "read_limits",
    "read_ports",
]

SPARE_DESCRIPTORS = 64
"""Descriptors that a process needs besides its connections: modules, pipes, pollers."""

_SHARE = 4
"""One part in this many of what the machine allows is used: other programs run here too."""

_KERNEL_BYTES = 256 * 1024
"""What the kernel itself keeps for a small process (task, kernel stack, page tables), about."""

_MAPS_PER_THREAD = 2
"""A thread's stack and its guard page are a mapping each."""


class AllowanceError(Exception):
    """More was asked for than the machine allows; the message says what to do."""


def raise_descriptor_limit() -> int:
    """Raise the soft limit of file descriptors to the hard one, and return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def check_requests(requests: int, descriptors: int, ports: int) -> None:
    """Check that so many requests can be under way at once.

    Args:
        requests: How many, each on a connection of its own.
        descriptors: File descriptors that a process may open.
        ports: Local ports that connections may come from.

    Raises:
        AllowanceError: They cannot.
    """
    needed = requests + SPARE_DESCRIPTORS
    if needed > descriptors:
        most = max(descriptors - SPARE_DESCRIPTORS, 0)
        raise AllowanceError(
            f"{requests:,} requests at once need {needed:,} file descriptors, this process may "
            f"open {descriptors:,}: ask for at most {most:,} (--requests {most}) or raise the "
            "hard limit (ulimit -Hn)"
        )
    if requests > ports:
        raise AllowanceError(
            f"{requests:,} requests at once need as many local ports, this machine gives "
            f"{ports:,}: ask for at most that (--requests {ports}) or widen "
            "net.ipv4.ip_local_port_range"
        )


@dataclass(frozen=True)
class Limits:
    """What bounds the number of threads and processes; None where there is no bound.

    Attributes:
        user_tasks: RLIMIT_NPROC, which counts threads as well.
        pid_max: Process numbers; each thread takes one.
        threads_max: Threads of the whole machine.
        group_tasks: Tasks that the control group may have.
        maps: Memory mappings of one process.
        memory_bytes: Memory that is available, or that the control group may have.
    """

    user_tasks: int | None
    pid_max: int | None
    threads_max: int | None
    group_tasks: int | None
    maps: int | None
    memory_bytes: int | None


def allowed_processes(limits: Limits, bytes_each: int) -> int:
    """How many processes may be started, a quarter of each limit at most.

    Args:
        limits: Those of the machine.
        bytes_each: Private memory of one of them.
    """
    bounds = [limits.user_tasks, limits.pid_max, limits.threads_max, limits.group_tasks]
    if limits.memory_bytes is not None:
        bounds.append(limits.memory_bytes // (bytes_each + _KERNEL_BYTES))
    return max(min(bound for bound in bounds if bound is not None) // _SHARE, 1)


def allowed_threads(limits: Limits) -> int:
    """How many threads one process may start, three quarters of each limit at most.

    Threads share their memory, so it does not bound them the way it bounds processes.
    """
    bounds = [limits.user_tasks, limits.pid_max, limits.threads_max, limits.group_tasks]
    if limits.maps is not None:
        bounds.append(limits.maps // _MAPS_PER_THREAD)
    return max(min(bound for bound in bounds if bound is not None) * (_SHARE - 1) // _SHARE, 1)


def read_ports() -> int:
    """How many local ports connections may come from."""
    low, high = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    return high - low + 1


def read_limits() -> Limits:
    """The limits of this process on this machine."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    kernel = Path("/proc/sys/kernel")
    return Limits(
        user_tasks=None if soft == resource.RLIM_INFINITY else soft,
        pid_max=_number(kernel / "pid_max"),
        threads_max=_number(kernel / "threads-max"),
        group_tasks=_least_of_groups("pids", "pids.max"),
        maps=_number(Path("/proc/sys/vm/max_map_count")),
        memory_bytes=_available_memory(),
    )


def _number(path: Path) -> int | None:
    """The number in a file of the kernel; None if there is none, as in "max"."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _group_folders(controller: str) -> list[Path]:
    """The control groups that bound this process, from its own one upwards."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = Path("/sys/fs/cgroup") / (controller if controllers else "")
        own = base / path.lstrip("/")
        folders += [own, *(folder for folder in own.parents if folder.is_relative_to(base))]
    return folders


def _least_of_groups(controller: str, name: str) -> int | None:
    bounds = [_number(folder / name) for folder in _group_folders(controller)]
    return min((bound for bound in bounds if bound is not None), default=None)


def _available_memory() -> int | None:
    bounds = [
        _least_of_groups("memory", "memory.max"),
        _least_of_groups("memory", "memory.limit_in_bytes"),
    ]
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            bounds.append(int(line.split()[1]) * 1024)
    return min((bound for bound in bounds if bound is not None), default=None)
