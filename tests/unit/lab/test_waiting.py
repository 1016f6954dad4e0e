"""The scenario as a whole: every model in turn, compared with the limit."""

import io
import os

import pytest

from sennit.lab import waiting
from sennit.lab.allowance import AllowanceError
from sennit.lab.machine import choose_cores, read_machine
from sennit.lab.measuring import Plan
from sennit.lab.models import MODELS
from sennit.lab.outcome import LeftOutError
from sennit.lab.progress import Steps
from sennit.lab.records import Result
from sennit.lab.waiting import run_waiting

PLAN = Plan(10, 0.1)


def run(monkeypatch: pytest.MonkeyPatch, *answers: Result | Exception):
    """Run the scenario with models whose results are known."""
    pending = list(answers)

    def measure(*_) -> Result:
        answer = pending.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(waiting, "measure_model", measure)
    stream = io.StringIO()
    models = list(MODELS.values())[: len(answers)]
    return run_waiting(PLAN, models, Steps(stream, len(models))), stream.getvalue()


def test_wall_times_are_compared_with_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    record, _ = run(
        monkeypatch,
        Result("limit", 10, wall_s=0.2),
        Result("native", 10, wall_s=0.3),
        Result("sennit", error="x"),
        Result("asyncio", 9, wall_s=0.1, error="x"),
    )
    assert [r.times_limit for r in record.results] == [1.0, pytest.approx(1.5), None, None]


def test_without_the_limit_nothing_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    record, said = run(monkeypatch, LeftOutError("no compiler"), Result("native", 10, wall_s=0.3))
    assert [r.times_limit for r in record.results] == [None]
    assert record.left_out == (("limit", "no compiler"),)
    assert said == "limit: left out: no compiler\nnative: 0.30 s\n"


def test_the_core_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    before = os.sched_getaffinity(0)
    run(monkeypatch, Result("limit", 10, wall_s=0.2))
    assert os.sched_getaffinity(0) == before


def test_too_many_requests_are_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "raise_descriptor_limit", lambda: 50)
    with pytest.raises(AllowanceError, match="10 requests at once need 74 file descriptors"):
        run(monkeypatch, Result("limit", 10, wall_s=0.2))


def test_model_and_origin_have_a_core_each() -> None:
    assert choose_cores({3}) is None
    assert choose_cores({5, 2, 9}) == (2, 9)


def test_the_facts_of_this_machine_can_be_read() -> None:
    machine = read_machine()
    assert machine.cpu
    assert machine.cores == len(os.sched_getaffinity(0))
    assert machine.memory_bytes > 0
    assert machine.date.endswith("+00:00")
