"""The measured process: one model, warmed up, makes its requests and says what that took.

`python -m sennit.lab.worker MODEL URL COUNT` prints one line of JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sennit.lab.leash import die_with_parent
from sennit.lab.models import MODELS, load_model
from sennit.lab.outcome import LeftOutError, describe
from sennit.lab.proc import reset_peak, status_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    from sennit.lab.outcome import Outcome

__all__ = ["main", "measure"]


@dataclass(frozen=True)
class _Usage:
    """What this process has used up to a moment."""

    wall_s: float
    cpu_s: float
    rss_bytes: int
    rss_peak_bytes: int
    vm_bytes: int
    vm_peak_bytes: int

    @classmethod
    def now(cls) -> _Usage:
        numbers = status_numbers("self")
        own = resource.getrusage(resource.RUSAGE_SELF)
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return cls(
            time.perf_counter(),
            own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime,
            numbers["VmRSS"],
            numbers["VmHWM"],
            numbers["VmSize"],
            numbers["VmPeak"],
        )


def measure(run: Callable[[str, int], Outcome], url: str, count: int) -> dict[str, object]:
    """Warm a model up, let it make its requests, and say what that took.

    Raises:
        RuntimeError: Not even one request was answered rightly.
    """
    warm_up = run(url, 1)
    if warm_up.answered != 1:
        raise RuntimeError(f"the first request failed: {warm_up.reason}")
    reset_peak()
    before = _Usage.now()
    outcome = run(url, count)
    after = _Usage.now()
    # The peak of the address space cannot be set back, so it only counts if it has risen.
    risen = after.vm_peak_bytes > before.vm_peak_bytes
    vm_peak = after.vm_peak_bytes if risen else after.vm_bytes
    seen: dict[str, object] = {
        "answered": outcome.answered,
        "wall_s": after.wall_s - before.wall_s,
        "cpu_s": after.cpu_s - before.cpu_s,
        "rss_growth_bytes": max(after.rss_peak_bytes - before.rss_bytes, 0),
        "vm_growth_bytes": max(vm_peak - before.vm_bytes, 0),
        "threads": 1,
        "processes": 1,
        "reason": outcome.reason,
    }
    return seen | dict(outcome.figures)


def main(arguments: list[str]) -> int:
    """Run a model by name."""
    name, url, count = arguments
    die_with_parent()
    # What a library prints must not get between the lines of JSON.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        said = measure(load_model(MODELS[name]), url, int(count))
    except LeftOutError as error:
        said = {"left_out": str(error)}
    except Exception as error:  # noqa: BLE001 - whatever it is, this row has failed
        said = {"error": describe(error)}
    with answers:
        print(json.dumps(said), file=answers)
    return 0


if __name__ == "__main__":
    status = main(sys.argv[1:])
    # All is said; threads that a library has left running would keep the process from its end.
    os._exit(status)
