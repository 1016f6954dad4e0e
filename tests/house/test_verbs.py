"""One definition of each command: the Makefile. Hooks, CI and the README name its verbs."""

import re
import subprocess
from pathlib import Path

import pytest

PLUMBING = re.compile(r"(#|set |cd |export |exec |$)")


@pytest.fixture(scope="module")
def verbs(root: Path) -> set[str]:
    makefile = (root / "Makefile").read_text()
    declared = re.search(r"^\.PHONY:(.*)$", makefile, re.MULTILINE)
    assert declared is not None
    return {name for name in declared[1].split() if not name.startswith(".")}


def test_help_lists_every_verb(root: Path, verbs: set[str]) -> None:
    lines = subprocess.run(
        ["make", "--silent"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    listed = {fields[0]: fields[1:] for line in lines[1:] if (fields := line.split())}
    assert set(listed) == verbs
    assert all(listed.values())


def test_every_target_is_a_verb(root: Path, verbs: set[str]) -> None:
    targets = set(re.findall(r"^([a-z]+):", (root / "Makefile").read_text(), re.MULTILINE))
    assert targets == verbs


def test_ci_calls_verbs_only(root: Path, verbs: set[str]) -> None:
    lines = (root / ".ci" / "run").read_text().splitlines()
    called = [line for line in lines if not PLUMBING.match(line)]
    assert called
    assert set(called) <= {f"make {verb}" for verb in verbs}


def test_hooks_call_verbs_only(root: Path, verbs: set[str]) -> None:
    text = (root / ".pre-commit-config.yaml").read_text()
    entries = re.findall(r"entry: (make [a-z]+),", text)
    assert len(entries) == text.count("id:") > 0
    assert set(entries) <= {f"make {verb}" for verb in verbs}


def test_the_readme_names_the_two_commands(root: Path) -> None:
    readme = (root / "README.md").read_text()
    assert "make lab" in readme
    assert "make test" in readme
