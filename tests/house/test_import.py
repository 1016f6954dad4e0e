"""`import sennit` stays light: it brings in nothing that a program does not need to start."""

import subprocess
import sys

# Each of these costs milliseconds, and none is needed before a first request.
HEAVY = {
    "argparse",
    "email",
    "http.client",
    "importlib.metadata",
    "json",
    "multiprocessing",
    "sennit.cli",
    "sennit.lab",
    "tempfile",
    "unittest",
    "urllib.request",
    "xml",
}

PROGRAM = """
import asyncio, sys
before = set(sys.modules)
import sennit, sennit.http
print(*sorted(set(sys.modules) - before))
"""


def modules_that_sennit_adds() -> set[str]:
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_no_heavy_module_is_imported() -> None:
    assert modules_that_sennit_adds() & HEAVY == set()


def test_nothing_outside_the_standard_library_is_imported() -> None:
    roots = {name.partition(".")[0] for name in modules_that_sennit_adds()}
    assert roots - {"sennit"} <= sys.stdlib_module_names
