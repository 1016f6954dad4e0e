"""One model measured from outside: figures, failures, deadlines, and nothing left running."""

import sys
from dataclasses import replace

import pytest

from sennit.lab.measuring import LabError, Plan, measure_model
from sennit.lab.models import MODELS, Model
from sennit.lab.outcome import LeftOutError

ASYNCIO = MODELS["asyncio"]


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def test_a_model_is_measured(origin) -> None:
    plan = Plan(20, 0.0, origin=origin.command)
    result = measure_model(ASYNCIO, plan)
    assert result.error is None
    assert result.answered == 20
    assert result.wall_s is not None
    assert result.processes == 1


def test_threads_are_counted(origin) -> None:
    result = measure_model(MODELS["threads"], Plan(20, 0.0, origin=origin.command))
    assert result.threads is not None
    assert 1 < result.threads <= 21
    assert result.waves is None


def test_it_ticks_while_the_model_runs(origin) -> None:
    ticks: list[float] = []
    measure_model(ASYNCIO, Plan(5, 0.0, origin=origin.command), ticks.append)
    assert ticks
    assert ticks == sorted(ticks)


def test_a_model_without_its_package_is_left_out(origin) -> None:
    ghost = Model("ghost", "ghost", (), "")
    with pytest.MonkeyPatch.context() as patch:
        # The worker looks the name up by itself: there it is a model that needs a package.
        patch.setattr(Plan, "worker_command", lambda *_: python('print(\'{"left_out": "no"}\')'))
        with pytest.raises(LeftOutError, match="no"):
            measure_model(ghost, Plan(1, 0.0, origin=origin.command))


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('out of luck')", "out of luck"),
        ("import sys; sys.exit(3)", "ended with status 3"),
        ("import os; os.kill(os.getpid(), 9)", "ended by SIGKILL"),
        ('print(\'{"error": "it broke"}\')', "it broke"),
        (
            'print(\'{"answered": 3, "reason": "lost"}\')',
            "3 of 5 answered rightly; first of the others: lost",
        ),
    ],
)
def test_a_failure_is_a_row_with_its_reason(
    program: str, reason: str, origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Plan, "worker_command", lambda *_: python(program))
    assert measure_model(ASYNCIO, Plan(5, 0.0, origin=origin.command)).error == reason


def test_a_model_that_hangs_is_ended(origin) -> None:
    origin.answer = b""
    plan = Plan(5, 0.0, deadline_s=0.5, origin=origin.command)
    assert measure_model(ASYNCIO, plan).error == "no result within 0.5 s (--deadline)"


def test_a_model_that_breaks_off_says_how_far_it_was(monkeypatch, origin) -> None:
    program = 'print(\'{"answered": 8, "measured_processes": 9}\')'
    monkeypatch.setattr(Plan, "worker_command", lambda *_: python(program))
    result = measure_model(ASYNCIO, Plan(90, 0.0, origin=origin.command))
    assert result.error == "8 of 9 answered rightly"
    assert result.extrapolated


def counting_origin(count: int) -> tuple[str, ...]:
    """An origin that says how many requests it has answered, whatever was asked."""
    return python(
        "import signal, sys\n"
        f"signal.signal(signal.SIGTERM, lambda *_: (print({count}, flush=True), sys.exit()))\n"
        "print(1, flush=True)\n"
        "signal.pause()\n"
    )


@pytest.mark.parametrize(
    ("count", "error"),
    [(6, None), (4, "5 answered, but the origin says it has answered 4")],
)
def test_the_origins_count_is_held_against_the_models(
    count: int, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = "print('{\"answered\": 5}')"
    monkeypatch.setattr(Plan, "worker_command", lambda *_: python(program))
    result = measure_model(ASYNCIO, Plan(5, 0.0, origin=counting_origin(count)))
    assert (result.origin_answered, result.error) == (count, error)


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import sys; sys.exit('port taken')", "port taken"),
        ("print('hello')", "hello"),
        ("", "ended with status 0"),
    ],
)
def test_an_origin_that_does_not_start_stops_the_lab(program: str, reason: str) -> None:
    with pytest.raises(LabError, match=f"the origin did not start: {reason}"):
        measure_model(ASYNCIO, Plan(5, 0.0, origin=python(program)))


def test_the_labs_own_programs_are_the_default() -> None:
    plan = Plan(7, 0.25)
    assert plan.origin_command()[-3:] == ("sennit.lab.origin", "--wait", "0.25")
    assert plan.worker_command(ASYNCIO, 99)[-3:] == ("asyncio", "http://127.0.0.1:99/", "7")
    assert replace(plan, origin=("x",)).origin_command() == ("x",)
