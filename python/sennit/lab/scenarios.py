"""The scenarios by name: what each measures, and the function that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sennit.lab.waiting import run_waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sennit.lab.measuring import Plan
    from sennit.lab.models import Model
    from sennit.lab.progress import Steps
    from sennit.lab.records import Record

__all__ = ["SCENARIOS", "Scenario"]


@dataclass(frozen=True)
class Scenario:
    """Something that the lab can measure.

    Attributes:
        about: What it is, in one line.
        run: Measures the models and returns the record.
    """

    about: str
    run: Callable[[Plan, Sequence[Model], Steps], Record]


SCENARIOS = {
    "waiting": Scenario("many requests at once, each of which waits at the origin", run_waiting),
}
"""Every scenario by its name on the command line; the first is the default."""
