"""What the documents show is real: every block of Python can be read, and every name is there."""

import ast
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sennit
from sennit import http, net, testing

ROOMS = {"sennit": sennit, "http": http, "net": net, "testing": testing}


def blocks(root: Path) -> list[tuple[str, str]]:
    files = [root / "README.md", *sorted((root / "docs" / "guides").glob("*.md"))]
    return [
        (f"{path.name}:{number}", code)
        for path in files
        for number, code in enumerate(re.findall(r"```python\n(.*?)```", path.read_text(), re.S))
    ]


def test_there_is_something_to_read(root: Path) -> None:
    assert len(blocks(root)) > 5


def test_every_block_is_python_and_names_what_there_is(root: Path) -> None:
    wrong = []
    for where, code in blocks(root):
        for node in ast.walk(ast.parse(code)):
            if not (isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)):
                continue
            room = ROOMS.get(node.value.id)
            if room is not None and not hasattr(room, node.attr):
                wrong.append(f"{where}: {node.value.id}.{node.attr}")
    assert wrong == []


def test_the_blocks_of_the_guides_can_be_run(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What they define is well defined; what starts a program stands behind the usual question."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "public").mkdir()
    wrong = []
    for where, code in blocks(root):
        if where.startswith("README"):
            continue
        try:
            exec(compile(code, where, "exec"), {"__name__": "guide"})
        except Exception as error:  # noqa: BLE001 - all of them are shown
            wrong.append(f"{where}: {error!r}")
    assert wrong == []


def test_every_link_leads_somewhere(root: Path) -> None:
    broken = []
    for path in [*root.glob("*.md"), *(root / "docs").rglob("*.md"), root / "bench/README.md"]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", path.read_text()):
            if not (path.parent / target).exists():
                broken.append(f"{path.relative_to(root)}: {target}")
    assert broken == []


@pytest.mark.parametrize("room", ROOMS.values(), ids=ROOMS)
def test_what_a_room_offers_is_there_and_documented(room) -> None:
    silent = [
        name
        for name in room.__all__
        if inspect.isclass(getattr(room, name)) or inspect.isroutine(getattr(room, name))
        if not (getattr(room, name).__doc__ or "").strip()
    ]
    assert silent == []


@pytest.mark.parametrize("tool", ["limits", "options"])
def test_the_tables_of_the_reference_are_those_of_the_code(root: Path, tool: str) -> None:
    done = subprocess.run([sys.executable, root / "tools" / tool, "--check"], check=False)
    assert done.returncode == 0, f"run tools/{tool}"


def test_the_table_of_a_form_s_limits_is_that_of_the_code(root: Path) -> None:
    text = (root / "docs" / "guides" / "http-server.md").read_text()
    rows = re.findall(r"^\| `(max_\w+)` \| (\S+) \|", text, re.MULTILINE)
    wanted = {name: f"{value:,}" for name, value in http.FormLimits._field_defaults.items()}
    # The server's limit stands in its place.
    wanted["max_form_size"] = "`max_body_size`"
    assert dict(rows) == wanted


def test_the_page_of_differences_has_every_case_that_is_explained(root: Path) -> None:
    vectors = json.loads((root / "tests/wire/vectors/http11/probe.json").read_text())
    groups = json.loads((root / "tools" / "compare.json").read_text())
    explained = [name for group in groups.values() for name in group["cases"]]
    assert len(explained) == len(set(explained))
    assert set(explained) <= {case["id"] for case in vectors}
    page = (root / "docs" / "reference" / "http-differences.md").read_text()
    assert re.findall(r"\(`([A-Z0-9.-]+)`\) \|", page) == explained, "run tools/compare"
    assert all(f"## {title}\n" in page for title in groups)
