"""Records: the shape of the JSON, and what is scaled where not all could be measured."""

import json
from dataclasses import replace

import pytest

from sennit.lab.records import Record, Result, extrapolate

ALWAYS = {
    "model",
    "answered",
    "wall_s",
    "cpu_s",
    "rss_growth_bytes",
    "vm_growth_bytes",
    "threads",
    "processes",
}
MACHINE = {
    "cpu",
    "cores",
    "memory_bytes",
    "kernel",
    "python",
    "date",
    "load_average",
    "pinned",
}


def test_a_record_has_the_documented_shape(record: Record) -> None:
    said = json.loads(record.dump())
    assert list(said) == ["scenario", "requests", "wait_s", "machine", "results", "left_out"]
    assert (said["scenario"], said["requests"], said["wait_s"]) == ("waiting", 100, 0.1)
    assert set(said["machine"]) == MACHINE
    assert all(set(result) >= ALWAYS for result in said["results"])
    assert said["left_out"] == [
        {"model": "uvloop", "reason": "not installed (pip install 'sennit[lab]')"}
    ]


def test_further_keys_stand_where_they_say_something(record: Record) -> None:
    limit, aiohttp, processes, gevent, twisted = json.loads(record.dump())["results"]
    assert set(limit) - ALWAYS == {"times_limit"}
    assert set(aiohttp) - ALWAYS == {"times_limit", "version"}
    assert processes["extrapolated"] is True
    assert processes["measured_processes"] == 50
    assert gevent["error"] == "99 of 100 answered rightly"
    assert twisted["wall_s"] is None


def test_one_failure_fails_the_record(record: Record) -> None:
    assert record.failed
    assert not replace(record, results=record.results[:3]).failed
    assert replace(record, results=()).failed


MEASURED = Result(
    "processes", 250, 1.1, 2.0, 500_000_000, 8_000_000_000, 1, 250, measured_processes=250
)


def test_extrapolation_scales_all_but_the_wait() -> None:
    scaled = extrapolate(MEASURED, 1000, 0.1)
    assert scaled.wall_s == pytest.approx(0.1 + 4 * 1.0)
    assert scaled.cpu_s == pytest.approx(8.0)
    assert scaled.rss_growth_bytes == 2_000_000_000
    assert scaled.vm_growth_bytes == 32_000_000_000
    assert scaled.processes == 1000
    assert (scaled.extrapolated, scaled.measured_processes) == (True, 250)
    # What was answered was answered, and nothing else is claimed.
    assert scaled.answered == 250


@pytest.mark.parametrize("requests", [100, 250])
def test_what_was_measured_whole_is_not_scaled(requests: int) -> None:
    assert extrapolate(MEASURED, requests, 0.1) is MEASURED


def test_a_model_without_processes_is_not_scaled() -> None:
    result = Result("aiohttp", 10, 0.2)
    assert extrapolate(result, 1000, 0.1) is result


def test_a_wall_time_below_the_wait_does_not_become_less() -> None:
    assert extrapolate(replace(MEASURED, wall_s=0.05), 1000, 0.1).wall_s == 0.1


def test_figures_that_are_not_there_stay_away() -> None:
    failed = Result("processes", measured_processes=10, error="x")
    assert extrapolate(failed, 100, 0.1).wall_s is None
