"""The progress bar: one line of a terminal; a line for each step where there is none."""

import io

import pytest

from sennit.lab.progress import Bar, Steps


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_the_bar_is_silent() -> None:
    stream = io.StringIO()
    bar = Bar(stream, 4)
    bar.draw(2, "half", now=True)
    bar.clear()
    assert stream.getvalue() == ""


def test_in_a_terminal_the_bar_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    stream = Terminal()
    bar = Bar(stream, 4)
    bar.draw(2, "half and some more than fits", now=True)
    drawn = stream.getvalue().removeprefix("\r\x1b[K")
    assert drawn.startswith("█" * 12 + "░" * 12 + " 2/4 half")
    assert len(drawn) == 39
    bar.clear()
    assert stream.getvalue().endswith("\r\x1b[K")


def test_the_bar_is_not_drawn_too_often() -> None:
    stream = Terminal()
    bar = Bar(stream, 1_000_000)
    for n in range(100):
        bar.draw(n, "")
    assert stream.getvalue().count("\r") < 100


def test_steps_say_what_came_of_them() -> None:
    stream = io.StringIO()
    steps = Steps(stream, 2)
    for name in ("a", "b"):
        with steps.step(name) as step:
            step.tick(0.5)
            step.done("good")
    assert stream.getvalue() == "a: good\nb: good\n"


def test_a_step_that_is_broken_off_says_nothing() -> None:
    stream = Terminal()
    with pytest.raises(KeyboardInterrupt), Steps(stream, 1).step("a"):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\r\x1b[K")
