"""The figure of Deferreds: a chain, an await, memory, beside Twisted's."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    import argparse

KINDS = ("sennit", "Twisted")


def once(kind: str) -> dict[str, float]:
    """One run in a process of its own."""
    script = measure.HERE / "servers" / "chains.py"
    command = ["taskset", "-c", measure.SERVER_CORE, sys.executable, str(script), kind]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=measure.DEADLINE
    )
    if done.returncode:
        raise measure.MeasuringError(f"Deferreds of {kind}: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def deferred(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """A Deferred made, given 3 callbacks and fired; a fired one awaited; one that waits."""
    rounds: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    for number in range(options.pairs):
        for kind in KINDS if number % 2 == 0 else reversed(KINDS):
            rounds[kind].append(once(kind))
        print(f"  round {number + 1} of {options.pairs}", end="\r", file=sys.stderr, flush=True)
    rows = []
    for name in rounds["sennit"][0]:
        ours, theirs = ([found[name] for found in rounds[kind]] for kind in KINDS)
        ratios = [one / other for one, other in zip(ours, theirs, strict=True)]
        ratio, low, high = measure.median_interval(ratios)
        rows.append(
            {
                "what": name,
                "sennit": round(measure.median_interval(ours)[0], 1),
                "Twisted": round(measure.median_interval(theirs)[0], 1),
                "ratio": round(ratio, 3),
                "interval": [round(low, 3), round(high, 3)],
            }
        )
    return {f"Deferreds, {options.pairs} rounds in turn": rows}


FIGURES = {"deferred": deferred}
