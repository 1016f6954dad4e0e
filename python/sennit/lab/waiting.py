"""The scenario `waiting`: many requests at once to an origin that lets each wait."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from sennit.lab.allowance import check_requests, raise_descriptor_limit, read_ports
from sennit.lab.machine import choose_cores, read_machine
from sennit.lab.measuring import Plan, measure_model
from sennit.lab.outcome import LeftOutError
from sennit.lab.records import Record, Result

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sennit.lab.models import Model
    from sennit.lab.progress import Steps

__all__ = ["run_waiting"]


@contextlib.contextmanager
def _out_of_the_way(cores: tuple[int, int] | None) -> Iterator[None]:
    """Leave the model's core to the model: what watches it runs elsewhere."""
    before = os.sched_getaffinity(0)
    if cores is not None:
        os.sched_setaffinity(0, before - {cores[1]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def run_waiting(plan: Plan, models: Sequence[Model], steps: Steps) -> Record:
    """Measure each model, one after the other.

    Args:
        plan: What each is to do; its cores are chosen here.
        models: Which.
        steps: Shows how far it is.

    Raises:
        AllowanceError: The machine does not allow so many requests at once.
        LabError: The origin cannot run.
    """
    check_requests(plan.requests, raise_descriptor_limit(), read_ports())
    machine = read_machine()
    cores = choose_cores(os.sched_getaffinity(0))
    plan = replace(plan, cores=cores)
    results: list[Result] = []
    left_out: list[tuple[str, str]] = []
    with _out_of_the_way(cores):
        for model in models:
            with steps.step(model.name) as step:
                try:
                    result = measure_model(model, plan, step.tick)
                except LeftOutError as error:
                    left_out.append((model.name, str(error)))
                    step.done(f"left out: {error}")
                    continue
                results.append(result)
                step.done(result.error or f"{result.wall_s:.2f} s")
    return Record(
        "waiting",
        plan.requests,
        plan.wait_s,
        machine,
        tuple(_compare(results)),
        tuple(left_out),
    )


def _compare(results: list[Result]) -> Iterator[Result]:
    """Say of each wall time how many times the limit's it is."""
    limit = next((r.wall_s for r in results if r.model == "limit" and not r.error), None)
    for result in results:
        if limit and result.wall_s is not None and not result.error:
            yield replace(result, times_limit=result.wall_s / limit)
        else:
            yield result
