"""What a model hands back to the worker: how many requests were answered rightly, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["BODY", "PACE", "LeftOutError", "Outcome", "describe", "tally"]

BODY = b"Hello, World!"
"""The body that the origin answers with: 13 bytes, and an answer with any other is not right."""

PACE = 1024
"""How many connections are being made at any moment, in the models that can say so.

A listener keeps 4,096 at most that were not accepted yet (`net.core.somaxconn`); what comes on top
is dropped and tried again after a second, which would measure nothing but that second.
"""


class LeftOutError(Exception):
    """A model cannot run here; the message says why and what to do."""


@dataclass(frozen=True)
class Outcome:
    """The end of a model's run.

    Attributes:
        answered: Requests answered with status 200 and `BODY`.
        reason: Why the first of the others was not; empty if there is none.
        figures: What the model knows better than the worker, which looks from outside; by the
            names of `sennit.lab.records.Result`.
    """

    answered: int
    reason: str = ""
    figures: Mapping[str, float] = field(default_factory=dict)


def describe(error: BaseException) -> str:
    """An error as one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__


def tally(answers: Iterable[bool | BaseException]) -> Outcome:
    """Count what became of each request.

    Args:
        answers: For each request: was it answered rightly, or the error it ended with.
    """
    answered, reason = 0, ""
    for answer in answers:
        if answer is True:
            answered += 1
        elif not reason:
            reason = "wrong answer" if answer is False else describe(answer)
    return Outcome(answered, reason)
