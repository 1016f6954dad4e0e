"""The limit: a C program does the same work with nothing in between, compiled at first use."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from urllib.parse import urlsplit

from sennit.lab.outcome import PACE, LeftOutError, Outcome

__all__ = ["compile_fetch", "run"]

_SOURCES = ("fetch.c", "common.h")
_FLAGS = ("-O2",)
_FIGURES = ("wall_s", "cpu_s", "rss_growth_bytes", "vm_growth_bytes")


def compile_fetch(cache: Path | None = None) -> Path:
    """The path of the compiled program; it is compiled where that was not done before.

    Args:
        cache: The folder to keep it in; None: `sennit` in the user's cache folder.

    Raises:
        LeftOutError: There is no compiler, or it failed.
    """
    compiler = shlex.split(os.environ.get("CC") or "cc")
    sources = resources.files("sennit.lab") / "limit"
    texts = {name: (sources / name).read_bytes() for name in _SOURCES}
    # Named after what it is made of: another source or another compiler is another program.
    recipe = b"\0".join([*texts.values(), *map(os.fsencode, (*compiler, *_FLAGS))])
    folder = cache or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sennit"
    program = folder / f"fetch-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if program.exists():
        return program
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as name:
            built = Path(name)
            for source, text in texts.items():
                (built / source).write_bytes(text)
            subprocess.run(
                [*compiler, *_FLAGS, "-o", str(built / "fetch"), str(built / "fetch.c")],
                check=True,
                capture_output=True,
            )
            # In one step: another lab that starts now sees the whole program or none.
            (built / "fetch").replace(program)
    except FileNotFoundError as error:
        raise LeftOutError(f"no C compiler ({compiler[0]}): install one or set CC") from error
    except subprocess.CalledProcessError as error:
        words = error.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise LeftOutError(f"{compiler[0]} could not compile fetch.c: {words[0]}") from error
    except OSError as error:
        raise LeftOutError(f"the compiled program cannot be kept: {error}") from error
    return program


def run(url: str, count: int) -> Outcome:
    """Let the C program make the requests; it measures itself, so its start does not count."""
    program = compile_fetch()
    command = [str(program), str(urlsplit(url).port), str(count), str(PACE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr.strip() or f"ended with status {done.returncode}")
    said = json.loads(done.stdout)
    reason = f"{said['failed']} not answered rightly" if said["failed"] else ""
    figures = {name: said[name] for name in _FIGURES} | {"threads": 1, "processes": 1}
    return Outcome(said["answered"], reason, figures)
