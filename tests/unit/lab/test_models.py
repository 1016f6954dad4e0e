"""The registry of models: lazy, complete, and clear about what is missing."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sennit.lab.models import MODELS, Model, UnknownModelError, choose_models, load_model
from sennit.lab.models.limit import compile_fetch
from sennit.lab.outcome import BODY, LeftOutError, Outcome, tally


def test_the_limit_comes_first_and_every_model_has_its_file() -> None:
    assert next(iter(MODELS)) == "limit"
    for model in MODELS.values():
        assert importlib.util.find_spec(f"sennit.lab.models.{model.module}"), model.name


def test_the_registry_imports_no_model() -> None:
    program = (
        "import sys, sennit.lab.models\n"
        "peers = {'aiohttp', 'gevent', 'pyreqwest', 'twisted', 'uvloop'}\n"
        "print(*(peers & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.strip() == b""


def test_models_are_chosen_by_name_in_the_order_of_the_table() -> None:
    assert [m.name for m in choose_models(["threads", " limit", "threads", ""])] == [
        "limit",
        "threads",
    ]
    assert [m.name for m in choose_models()] == list(MODELS)


@pytest.mark.parametrize("names", [["asyncio", "tornado"], [], [" "]])
def test_a_wrong_choice_names_the_right_ones(names: list[str]) -> None:
    with pytest.raises(UnknownModelError, match=f"there are: {', '.join(MODELS)}"):
        choose_models(names)


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    monkeypatch.delitem(sys.modules, "sennit.lab.models.aiohttp_client", raising=False)
    with pytest.raises(LeftOutError, match=r"not installed \(pip install 'sennit\[lab\]'\)"):
        load_model(MODELS["aiohttp"])


def test_a_model_that_is_broken_is_not_called_missing() -> None:
    with pytest.raises(LeftOutError, match="cannot be imported"):
        load_model(Model("ghost", "no_such_module", ("ghost",), ""))


def test_versions_are_those_of_the_packages() -> None:
    assert MODELS["asyncio"].version() is None
    assert Model("x", "x", ("no-such-package",), "").version() is None
    assert re.match(r"\d", Model("x", "x", ("pytest",), "").version() or "")


def test_without_a_compiler_the_limit_is_left_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -m64")
    with pytest.raises(LeftOutError, match=r"no C compiler \(no-such-compiler\)"):
        compile_fetch(tmp_path)


def test_a_compiler_that_fails_is_quoted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "sh -c 'echo that was wrong >&2; exit 1'")
    with pytest.raises(LeftOutError, match="that was wrong"):
        compile_fetch(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_limit_is_compiled_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_compiler: str
) -> None:
    monkeypatch.setenv("CC", fake_compiler)
    first = compile_fetch(tmp_path / "cache")
    written = first.stat().st_mtime_ns
    assert compile_fetch(tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == written
    assert list((tmp_path / "cache").iterdir()) == [first]


@pytest.fixture
def fake_compiler(tmp_path: Path) -> str:
    """A compiler that makes an empty file of whatever follows -o."""
    program = tmp_path / "compiler"
    program.write_text('#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done\n: > "$2"\n')
    program.chmod(0o755)
    return str(program)


def test_the_c_program_expects_the_same_body() -> None:
    source = importlib.util.find_spec("sennit.lab")
    assert source is not None
    assert source.submodule_search_locations is not None
    text = Path(source.submodule_search_locations[0], "limit", "fetch.c").read_text()
    assert f'BODY[] = "{BODY.decode()}"' in text


def test_a_tally_keeps_the_first_reason() -> None:
    assert tally([True, True]) == Outcome(2)
    assert tally([True, False, OSError("x")]) == Outcome(1, "wrong answer")
    assert tally([ConnectionError("reset\nby"), False]) == Outcome(0, "ConnectionError: reset")
    assert tally([TimeoutError()]) == Outcome(0, "TimeoutError")
