"""Each model that is installed, in a process of its own, against an origin that answers at once."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from sennit.lab.models import MODELS
from sennit.lab.outcome import Outcome
from sennit.lab.worker import measure

REQUESTS = 20
FIGURES = {"wall_s", "cpu_s", "rss_growth_bytes", "vm_growth_bytes", "threads", "processes"}


def work(name: str, url: str, count: int) -> dict:
    done = subprocess.run(
        [sys.executable, "-m", "sennit.lab.worker", name, url, str(count)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("\n") == 1
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", MODELS)
def test_every_model_gets_the_right_answers(name: str, origin, leave_out) -> None:
    said = work(name, origin.url, REQUESTS)
    if "left_out" in said:
        leave_out(name, said["left_out"])
    assert "error" not in said
    assert said["answered"] == said.get("measured_processes", REQUESTS)
    assert said["wall_s"] > 0
    assert all(said[figure] >= 0 for figure in FIGURES)
    # No model has it easier because it uses a connection twice.
    assert origin.connections == origin.requests > REQUESTS


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nHello, Worms!",
        b"HTTP/1.1 500 Oops\r\nContent-Length: 13\r\n\r\nHello, World!",
    ],
    ids=["body", "status"],
)
def test_every_model_notices_a_wrong_answer(name: str, answer: bytes, origin, leave_out) -> None:
    origin.answer = answer
    said = work(name, origin.url, 3)
    if "left_out" in said:
        leave_out(name, said["left_out"])
    assert said["error"].startswith("RuntimeError: the first request failed")


def model(first: Outcome, then: Outcome) -> Callable[[str, int], Outcome]:
    return lambda _, count: first if count == 1 else then


def test_what_a_model_knows_better_counts() -> None:
    run = model(Outcome(1), Outcome(7, "lost", {"wall_s": 12.5, "waves": 2}))
    said = measure(run, "", 9)
    assert (said["answered"], said["wall_s"], said["waves"]) == (7, 12.5, 2)
    assert said["reason"] == "lost"


def test_without_one_right_answer_nothing_is_measured() -> None:
    with pytest.raises(RuntimeError, match="the first request failed: refused"):
        measure(model(Outcome(0, "refused"), Outcome(9)), "", 9)
