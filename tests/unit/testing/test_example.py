"""The example of the simulated world does what it says, the same each time."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[3] / "examples" / "simulated_network.py"


def output(seed):
    return subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLE), seed],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )


def test_it_prints_the_same_for_the_same_seed():
    first, again, other = output("7"), output("7"), output("8")
    assert first.stdout == again.stdout
    assert first.stdout != other.stdout
    assert first.stderr == ""


def test_every_question_is_answered_in_the_end():
    lines = output("7").stdout.splitlines()
    for question in ("WHERE", "HOW FAST", "HOW HIGH", "STILL THERE"):
        assert any(line.endswith(f"{question}!") for line in lines)
    assert any("TimeoutError, again in 16 s" in line for line in lines)
    times = [float(line.split()[0]) for line in lines]
    assert times == sorted(times)
    assert times[-1] > 60


def test_it_is_short():
    assert len(EXAMPLE.read_text().splitlines()) <= 80
