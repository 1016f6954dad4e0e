"""No file grows beyond what one can hold in the head; each opens with what it is for."""

import ast
from pathlib import Path

LIMITS = {".py": 400, ".rs": 600}

# A longer file stands here with its reason.
LONGER: dict[str, str] = {
    "crates/sennit-engine/src/reactor.rs": "one turn, and everything that a turn moves",
}


def test_no_file_is_too_long(root: Path, files: list[Path]) -> None:
    found = {
        str(path): len((root / path).read_text().splitlines())
        for path in files
        if path.suffix in LIMITS and str(path) not in LONGER
    }
    too_long = {name: n for name, n in found.items() if n > LIMITS[Path(name).suffix]}
    assert not too_long


def test_a_reason_stands_only_where_it_is_needed(root: Path) -> None:
    for name, reason in LONGER.items():
        lines = len((root / name).read_text().splitlines())
        assert lines > LIMITS[Path(name).suffix], f"{name} is short enough again"
        assert reason


def test_every_python_module_opens_with_a_docstring(root: Path, files: list[Path]) -> None:
    silent = [
        str(path)
        for path in files
        if path.suffix == ".py"
        if not (ast.get_docstring(ast.parse((root / path).read_text())) or "")
        .split("\n")[0]
        .strip()
    ]
    assert not silent


def test_every_rust_module_opens_with_its_doc_comment(root: Path, files: list[Path]) -> None:
    silent = [
        str(path)
        for path in files
        if path.suffix == ".rs" and not (root / path).read_text().startswith("//! ")
    ]
    assert not silent
