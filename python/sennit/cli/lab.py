"""`sennit lab`: measure the models of concurrency on this machine."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from sennit.cli.arguments import FAILED, UsageError, positive_integer, positive_seconds
from sennit.lab.allowance import AllowanceError
from sennit.lab.measuring import LabError, Plan
from sennit.lab.models import MODELS, UnknownModelError, choose_models
from sennit.lab.progress import Steps
from sennit.lab.report import write_report
from sennit.lab.scenarios import SCENARIOS
from sennit.lab.table import render_table

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from sennit.lab.records import Record

__all__ = ["add_arguments", "run"]

_DEFAULT_SCENARIO = next(iter(SCENARIOS))


def _epilog() -> str:
    scenarios = "\n".join(f"  {name:<15} {scenario.about}" for name, scenario in SCENARIOS.items())
    models = "\n".join(f"  {model.name:<15} {model.about}" for model in MODELS.values())
    return f"""
scenarios:
{scenarios}

models:
{models}

A model that is not installed is named and left out: pip install 'sennit[lab]' brings them all.

examples:
  sennit lab
  sennit lab waiting --requests 2000 --wait 0.5
  sennit lab --models sennit,asyncio,threads --json result.json
  sennit lab --json - | jq '.results[] | [.model, .wall_s]'
  sennit lab --report report
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Measure the models of concurrency on this machine, each at the same work."
    parser.epilog = _epilog()
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("scenario", nargs="?", default=_DEFAULT_SCENARIO, metavar="SCENARIO",
        help=f"what to measure (default: {_DEFAULT_SCENARIO})")  # fmt: skip
    add("--requests", type=positive_integer, default=10_000, metavar="N",
        help="how many requests at once (default: 10000)")  # fmt: skip
    add("--wait", type=positive_seconds, default=0.1, metavar="SECONDS",
        help="how long the origin waits before each answer (default: 0.1)")  # fmt: skip
    add("--models", metavar="A,B", help="only these models (default: all)")
    add("--deadline", type=positive_seconds, default=60.0, metavar="SECONDS",
        help="end a model that takes longer (default: 60)")  # fmt: skip
    add("--json", metavar="FILE", help="write the record as JSON; - for standard output")
    add("--report", type=Path, metavar="FOLDER", help="write a page with charts into this folder")


def _check_outputs(options: Namespace) -> None:
    """Find out before the run, not after it, that its record could not be written."""
    if options.json not in (None, "-"):
        path = Path(options.json)
        if path.is_dir() or not path.absolute().parent.is_dir():
            raise UsageError(f"cannot write {path}: no such folder, or it is one")
        if not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
            raise UsageError(f"cannot write {path}: not allowed")
    if options.report is not None:
        try:
            options.report.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"cannot make {options.report}: {error.strerror}") from error


def _write(record: Record, options: Namespace) -> None:
    # JSON alone on standard output, so that another program can read it.
    print(render_table(record), end="", file=sys.stderr if options.json == "-" else sys.stdout)
    if options.json == "-":
        print(record.dump(), end="")
    elif options.json is not None:
        Path(options.json).write_text(record.dump())
    if options.report is not None:
        print(f"report: {write_report(record, options.report)}", file=sys.stderr)


def run(options: Namespace) -> int:
    """Measure, show and write what was found."""
    scenario = SCENARIOS.get(options.scenario)
    if scenario is None:
        known = ", ".join(SCENARIOS)
        raise UsageError(f"there is no scenario {options.scenario}; there are: {known}")
    try:
        models = choose_models(None if options.models is None else options.models.split(","))
        _check_outputs(options)
        plan = Plan(options.requests, options.wait, options.deadline)
        record = scenario.run(plan, models, Steps(sys.stderr, len(models)))
    except (UnknownModelError, AllowanceError) as error:
        raise UsageError(str(error)) from error
    except LabError as error:
        print(f"sennit lab: {error}", file=sys.stderr)
        return FAILED
    _write(record, options)
    return FAILED if record.failed else 0
