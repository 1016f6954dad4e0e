"""The models that are measured, one file each; none is imported before it is asked for.

A model's module has one function, `run(url: str, count: int) -> Outcome`: `count` GET requests of
`url` at once, each on a new connection, each answer checked. It is called twice in a process of
its own, first with a count of 1 to warm up.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from importlib import metadata
from typing import TYPE_CHECKING

from sennit.lab.outcome import LeftOutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sennit.lab.outcome import Outcome

__all__ = ["MODELS", "Model", "UnknownModelError", "choose_models", "load_model"]


@dataclass(frozen=True)
class Model:
    """One row of the table.

    Attributes:
        name: As on the command line.
        module: The file in this folder.
        requires: Packages without which it cannot run, the one it is named after first.
        about: What it is, in a few words.
    """

    name: str
    module: str
    requires: tuple[str, ...]
    about: str

    def version(self) -> str | None:
        """The version of the package it is named after; None if it needs none."""
        if not self.requires:
            return None
        try:
            return metadata.version(self.requires[0])
        except metadata.PackageNotFoundError:
            return None


MODELS = {
    model.name: model
    for model in (
        Model("limit", "limit", (), "C, one epoll set: what the kernel alone costs"),
        Model("native", "native", ("sennit",), "Sennit's own driver, without a Python call"),
        Model("sennit", "sennit_client", ("sennit",), "coroutines on a Reactor, http.Client"),
        Model("asyncio", "asyncio_streams", (), "coroutines, streams of the standard library"),
        Model("aiohttp", "aiohttp_client", ("aiohttp",), "coroutines on asyncio"),
        Model("aiohttp-uvloop", "aiohttp_uvloop", ("aiohttp", "uvloop"), "coroutines on uvloop"),
        Model("twisted", "twisted_agent", ("twisted",), "Deferreds, Agent on the epoll reactor"),
        Model("pyreqwest", "pyreqwest_client", ("pyreqwest",), "a Rust runtime under asyncio"),
        Model("gevent", "gevent_client", ("gevent",), "greenlets, patched http.client"),
        Model("threads", "threads", (), "a thread for each request, http.client"),
        Model("processes", "processes", (), "a process for each request, http.client"),
    )
}


class UnknownModelError(Exception):
    """There is no model of that name; the message names those there are."""


def choose_models(names: Iterable[str] | None = None) -> list[Model]:
    """The models of these names, each once, in the order of the table; None: all.

    Raises:
        UnknownModelError: One is not known, or there is no name.
    """
    if names is None:
        return list(MODELS.values())
    wanted = {name.strip() for name in names} - {""}
    unknown = sorted(wanted - MODELS.keys())
    if unknown or not wanted:
        fault = f"there is no model {', '.join(unknown)}" if unknown else "no model is named"
        raise UnknownModelError(f"{fault}; there are: {', '.join(MODELS)}")
    return [model for name, model in MODELS.items() if name in wanted]


def load_model(model: Model) -> Callable[[str, int], Outcome]:
    """Import a model and return its `run`.

    Raises:
        LeftOutError: It cannot run here.
    """
    try:
        module = importlib.import_module(f"{__name__}.{model.module}")
    except ImportError as error:
        missing = (error.name or "").partition(".")[0]
        if missing == "sennit" or missing not in model.requires:
            raise LeftOutError(f"cannot be imported: {error}") from error
        raise LeftOutError("not installed (pip install 'sennit[lab]')") from error
    run: Callable[[str, int], Outcome] = module.run
    return run
