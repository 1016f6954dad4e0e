"""What a run has found: one `Result` a model, all of them and the machine in a `Record`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sennit.lab.machine import Machine

__all__ = ["Record", "Result", "extrapolate"]

# Always there, null where a model did not get that far; other keys only where they say something.
_ALWAYS = (
    "model",
    "answered",
    "wall_s",
    "cpu_s",
    "rss_growth_bytes",
    "vm_growth_bytes",
    "threads",
    "processes",
)


@dataclass(frozen=True)
class Result:
    """What one model has done and used.

    Attributes:
        model: Its name.
        answered: Requests answered rightly.
        wall_s: Seconds from the first request to the last answer.
        cpu_s: Seconds on a core, user and system, with those of its children.
        rss_growth_bytes: How far resident memory rose at most above what it was before.
        vm_growth_bytes: The same of the address space.
        threads: The most at once.
        processes: The most at once.
        times_limit: `wall_s` as a multiple of the limit's.
        version: Of the package that the model is named after.
        extrapolated: The figures were measured with fewer requests and scaled.
        measured_processes: How many processes were run.
        waves: In how many goes the requests were made, where not all could be made at once.
        origin_answered: Requests that the origin has answered, those that warm up included.
        error: Why the requests were not all answered rightly.
    """

    model: str
    answered: int = 0
    wall_s: float | None = None
    cpu_s: float | None = None
    rss_growth_bytes: int | None = None
    vm_growth_bytes: int | None = None
    threads: int | None = None
    processes: int | None = None
    times_limit: float | None = None
    version: str | None = None
    extrapolated: bool = False
    measured_processes: int | None = None
    waves: int | None = None
    origin_answered: int | None = None
    error: str | None = None

    def to_json(self) -> dict[str, object]:
        """As the record holds it."""
        return {
            # More digits than a microsecond would only look exact.
            name: round(value, 6) if isinstance(value, float) else value
            for name, value in asdict(self).items()
            if value or name in _ALWAYS
        }


def extrapolate(result: Result, requests: int, wait_s: float) -> Result:
    """Scale what fewer processes than requests have used.

    CPU and memory grow with the number of processes. So does the wall time beyond the wait, which
    is the same however many wait at once.

    Args:
        result: As measured, one request in each of `measured_processes`.
        requests: How many there should have been.
        wait_s: How long the origin waits before each answer.
    """
    measured = result.measured_processes
    if not measured or measured >= requests:
        return result
    factor = requests / measured

    def scaled(value: int | None) -> int | None:
        return None if value is None else round(value * factor)

    wall_s, cpu_s = result.wall_s, result.cpu_s
    return replace(
        result,
        wall_s=None if wall_s is None else wait_s + max(wall_s - wait_s, 0.0) * factor,
        cpu_s=None if cpu_s is None else cpu_s * factor,
        rss_growth_bytes=scaled(result.rss_growth_bytes),
        vm_growth_bytes=scaled(result.vm_growth_bytes),
        processes=requests,
        extrapolated=True,
    )


@dataclass(frozen=True)
class Record:
    """One run of a scenario.

    Attributes:
        scenario: Its name.
        requests: How many requests were to be made at once.
        wait_s: How long the origin waits before each answer.
        machine: Where.
        results: In the order of the table.
        left_out: Models that could not run here, and why.
    """

    scenario: str
    requests: int
    wait_s: float
    machine: Machine
    results: tuple[Result, ...]
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def failed(self) -> bool:
        """Was any request not answered rightly, or nothing measured at all."""
        return not self.results or any(result.error for result in self.results)

    def to_json(self) -> dict[str, object]:
        """As it is written; `docs/reference/lab-json.md` describes it."""
        return {
            "scenario": self.scenario,
            "requests": self.requests,
            "wait_s": self.wait_s,
            "machine": self.machine.to_json(),
            "results": [result.to_json() for result in self.results],
            "left_out": [{"model": name, "reason": reason} for name, reason in self.left_out],
        }

    def dump(self) -> str:
        """As JSON text."""
        return json.dumps(self.to_json(), indent=2) + "\n"
