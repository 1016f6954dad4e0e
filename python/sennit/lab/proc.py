"""What /proc says about a process: its memory, its threads."""

from __future__ import annotations

import resource
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Peaks", "private_bytes", "reset_peak", "status_numbers", "virtual_bytes"]

_KIB = 1024


def status_numbers(pid: int | str) -> dict[str, int]:
    """The numbers of /proc/PID/status by name; sizes in bytes.

    Raises:
        OSError: There is no such process.
    """
    numbers = {}
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, rest = line.partition(":")
        words = rest.split()
        if words and words[0].isdigit():
            numbers[name] = int(words[0]) * (_KIB if words[-1] == "kB" else 1)
    return numbers


def reset_peak() -> None:
    """Let this process's peak of resident memory (VmHWM) count from now on."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        # Not allowed here: then the peak of the imports counts as well, which only adds to it.
        return


def private_bytes(pid: int) -> int:
    """Memory that would be free again if this process ended (its unique set size)."""
    total = 0
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(("Private_Clean:", "Private_Dirty:", "Private_Hugetlb:")):
            total += int(line.split()[1]) * _KIB
    return total


def virtual_bytes(pid: int) -> int:
    """The size of a process's address space."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    return pages * resource.getpagesize()


@dataclass
class Peaks:
    """The most that was seen of a process from outside."""

    threads: int = 1
    rss_bytes: int = 0
    vm_bytes: int = 0

    def look(self, pid: int) -> None:
        """Look at it once more."""
        try:
            numbers = status_numbers(pid)
        except OSError:
            return
        self.threads = max(self.threads, numbers.get("Threads", 1))
        self.rss_bytes = max(self.rss_bytes, numbers.get("VmRSS", 0))
        self.vm_bytes = max(self.vm_bytes, numbers.get("VmSize", 0))
