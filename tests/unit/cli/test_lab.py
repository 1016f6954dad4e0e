"""`sennit lab`: what it prints and writes, and its exit status."""

import json
import os
import sys
from pathlib import Path

import pytest

import sennit.cli.lab
from sennit.cli import main
from sennit.lab import measuring, scenarios
from sennit.lab.machine import read_machine
from sennit.lab.records import Record, Result


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[Result]:
    """What the scenario finds, without a run."""
    results = [Result("limit", 5, 0.2, 0.1, 1, 2, 1, 1, 1.0)]

    def run(plan, models, steps) -> Record:
        return Record("waiting", plan.requests, plan.wait_s, read_machine(), tuple(results))

    scenario = scenarios.Scenario("made up", run)
    monkeypatch.setitem(scenarios.SCENARIOS, "waiting", scenario)
    return results


def test_the_table_is_printed(found, capsys) -> None:
    assert main(["lab", "--requests", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("5 requests at once")
    assert "limit " in out
    assert err == ""


def test_a_failure_shows_in_the_status(found, capsys) -> None:
    found.append(Result("aiohttp", error="broke"))
    assert main(["lab"]) == 1
    assert "aiohttp: failed: broke" in capsys.readouterr().out


def test_json_goes_to_a_file(found, tmp_path: Path, capsys) -> None:
    file = tmp_path / "record.json"
    assert main(["lab", "--json", str(file), "--wait", "0.5"]) == 0
    said = json.loads(file.read_text())
    assert (said["requests"], said["wait_s"]) == (10_000, 0.5)
    assert "limit" in capsys.readouterr().out


def test_json_on_standard_output_stands_alone(found, capsys) -> None:
    assert main(["lab", "--json", "-"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["results"][0]["model"] == "limit"
    assert "requests at once" in err


def test_the_report_is_written(found, tmp_path: Path, capsys) -> None:
    assert main(["lab", "--report", str(tmp_path / "report")]) == 0
    page = tmp_path / "report" / "index.html"
    assert page.exists()
    assert f"report: {page}" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--json", "--report"])
def test_what_cannot_be_written_is_refused_before_the_run(
    option: str, found, tmp_path: Path, capsys
) -> None:
    (tmp_path / "file").write_text("")
    place = tmp_path if option == "--json" else tmp_path / "file"
    assert main(["lab", option, str(place)]) == 2
    assert str(place) in capsys.readouterr().err


def test_an_origin_that_does_not_start_is_said(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    origin = (sys.executable, "-c", "raise SystemExit('no luck')")
    plan = measuring.Plan
    monkeypatch.setattr(sennit.cli.lab, "Plan", lambda *options: plan(*options, origin=origin))
    assert main(["lab", "--models", "asyncio", "--requests", "2"]) == 1
    assert capsys.readouterr().err == "sennit lab: the origin did not start: no luck\n"


def test_the_real_thing(capsys) -> None:
    native = pytest.importorskip("sennit.http.native")
    assert native.serve_delayed
    names = "limit,native,sennit,asyncio,threads,processes"
    status = main(["lab", "--models", names, "--requests", "20", "--wait", "0.01", "--json", "-"])
    out, err = capsys.readouterr()
    assert status == 0, err
    said = json.loads(out)
    missing = [row["model"] for row in said["left_out"]]
    assert not missing or not os.environ.get("CI")
    assert [row["model"] for row in said["results"]] == [
        name for name in names.split(",") if name not in missing
    ]
    assert {row["answered"] for row in said["results"]} == {20}
    # The origin has counted them too, and the requests that warm up.
    assert all(row["origin_answered"] > 20 for row in said["results"])
    assert all(row["wall_s"] >= 0.01 for row in said["results"])
