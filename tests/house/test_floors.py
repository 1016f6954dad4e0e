"""The floors hold: a room imports from the rooms below it; few pass the native door."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest


def check_contracts(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(folder / "python")}
    return subprocess.run(
        [program, "--no-cache", "--no-logo"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_contract_is_kept(root: Path) -> None:
    result = check_contracts(root)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("errors.py", "from sennit import http"),
        ("errors.py", "import sennit"),
        ("cli/__init__.py", "from sennit import _native"),
        ("stray.py", ""),
    ],
)
def test_a_broken_floor_is_noticed(root: Path, tmp_path: Path, room: str, line: str) -> None:
    shutil.copy(root / "pyproject.toml", tmp_path)
    shutil.copytree(root / "python", tmp_path / "python", ignore=shutil.ignore_patterns("*.so"))
    with (tmp_path / "python" / "sennit" / room).open("a") as file:
        file.write(f"\n{line}\n")
    assert check_contracts(tmp_path).returncode != 0
