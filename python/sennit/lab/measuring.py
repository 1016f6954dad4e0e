"""One model measured: its origin started, its worker run and watched, both ended again."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from sennit.lab.leash import Child
from sennit.lab.outcome import LeftOutError
from sennit.lab.proc import Peaks
from sennit.lab.records import Result, extrapolate

if TYPE_CHECKING:
    from collections.abc import Callable

    from sennit.lab.models import Model

__all__ = ["LabError", "Plan", "measure_model"]

# An interpreter starts in a tenth of that on a busy machine.
_ORIGIN_START_S = 15.0
# Between the line of a worker and its end there is only the interpreter's own end.
_WORKER_END_S = 5.0
# It only has to write one line.
_ORIGIN_END_S = 2.0

_FIGURES = {field.name for field in fields(Result)} - {"model"}


class LabError(Exception):
    """Nothing can be measured; the message says why."""


@dataclass(frozen=True)
class Plan:
    """What each model is to do.

    Attributes:
        requests: How many requests, all at once.
        wait_s: How long the origin waits before each answer.
        deadline_s: Seconds after which a model is ended.
        cores: The cores of the origin and of the model; None: wherever they run.
        origin: The program to start as origin, which prints its port first; None: the lab's own.
    """

    requests: int
    wait_s: float
    deadline_s: float = 60.0
    cores: tuple[int, int] | None = None
    origin: tuple[str, ...] | None = None

    def origin_command(self) -> tuple[str, ...]:
        """The program that is started as origin."""
        own = (sys.executable, "-m", "sennit.lab.origin", "--wait", str(self.wait_s))
        return self.origin or own

    def worker_command(self, model: Model, port: int) -> tuple[str, ...]:
        """The program that is started as model."""
        url = f"http://127.0.0.1:{port}/"
        worker = (sys.executable, "-m", "sennit.lab.worker")
        return (*worker, model.name, url, str(self.requests))


def measure_model(
    model: Model, plan: Plan, tick: Callable[[float], None] = lambda _: None
) -> Result:
    """Measure one model against an origin that serves nobody else.

    Args:
        model: Which.
        plan: What it is to do.
        tick: Called about every 10 ms with the seconds since it was started.

    Raises:
        LeftOutError: The model cannot run here.
        LabError: The origin cannot.
    """
    origin_core, model_core = plan.cores or (None, None)
    with Child(plan.origin_command(), origin_core) as origin:
        port = _wait_port(origin)
        with Child(plan.worker_command(model, port), model_core) as worker:
            peaks = Peaks()
            try:
                said = _wait_result(worker, plan, peaks, tick)
            except TimeoutError:
                reason = f"no result within {plan.deadline_s:g} s (--deadline)"
                return _failure(model, peaks, reason)
            if said is None:
                worker.wait_ended(_WORKER_END_S)
                return _failure(model, peaks, worker.last_words())
            worker.wait_ended(_WORKER_END_S)
        counted = _wait_count(origin)
    return _check_count(_result(model, plan, said, peaks), counted)


def _wait_port(origin: Child) -> int:
    try:
        line = origin.wait_line(_ORIGIN_START_S)
    except TimeoutError:
        raise LabError(f"the origin said no port within {_ORIGIN_START_S:g} s") from None
    if line is None or not line.strip().isdigit():
        origin.wait_ended(_WORKER_END_S)
        raise LabError(f"the origin did not start: {line or origin.last_words()}")
    return int(line)


def _wait_count(origin: Child) -> int | None:
    """How many requests the origin says it has answered; None if it does not say."""
    origin.ask_to_end()
    try:
        line = origin.wait_line(_ORIGIN_END_S)
    except TimeoutError:
        return None
    return int(line) if line is not None and line.strip().isdigit() else None


def _check_count(result: Result, counted: int | None) -> Result:
    """Hold what the model says against what the origin says, which counts warm-ups as well."""
    if counted is not None and counted < result.answered and not result.error:
        reason = f"{result.answered:,} answered, but the origin says it has answered {counted:,}"
        result = replace(result, error=reason)
    return replace(result, origin_answered=counted)


def _wait_result(
    worker: Child, plan: Plan, peaks: Peaks, tick: Callable[[float], None]
) -> dict[str, object] | None:
    """The worker's line; None if it has ended without one."""
    begun = time.monotonic()

    def look() -> None:
        peaks.look(worker.pid)
        tick(time.monotonic() - begun)

    line = worker.wait_line(plan.deadline_s, look)
    if line is None:
        return None
    said: dict[str, object] = json.loads(line)
    return said


def _failure(model: Model, peaks: Peaks, reason: str) -> Result:
    return Result(model.name, threads=peaks.threads, version=model.version(), error=reason)


def _result(model: Model, plan: Plan, said: dict[str, object], peaks: Peaks) -> Result:
    if "left_out" in said:
        raise LeftOutError(str(said["left_out"]))
    if "error" in said:
        return _failure(model, peaks, str(said["error"]))
    figures: dict[str, object] = {name: said[name] for name in said.keys() & _FIGURES}
    measured = Result(model.name, version=model.version(), **figures)  # type: ignore[arg-type]
    # What the model says of itself counts as well: a short run is over between two looks.
    result = replace(measured, threads=max(measured.threads or 1, peaks.threads))
    if result.waves == 1:
        result = replace(result, waves=None)
    asked = min(result.measured_processes or plan.requests, plan.requests)
    if result.answered != asked:
        reason = f"{result.answered:,} of {asked:,} answered rightly"
        said_why = f"; first of the others: {said['reason']}" if said.get("reason") else ""
        result = replace(result, error=reason + said_why)
    return extrapolate(result, plan.requests, plan.wait_s)
