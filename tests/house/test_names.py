"""The public face: what `sennit` and `sennit.http` export, no more and no less, and typed."""

import inspect
from pathlib import Path
from types import ModuleType

import pytest

import sennit
from sennit import http

PAVED_ROAD = {
    sennit: {
        "Deferred",
        "EventLoopPolicy",
        "Failure",
        "Reactor",
        "current_reactor",
        "defer_to_process",
        "defer_to_thread",
        "run",
    },
    http: {"Client", "ClientResponse", "Request", "Response", "listen", "serve"},
}
MODULES = pytest.mark.parametrize("module", list(PAVED_ROAD), ids=lambda module: module.__name__)


@MODULES
def test_the_promised_names_are_exported(module: ModuleType) -> None:
    assert set(module.__all__) >= PAVED_ROAD[module]


@MODULES
def test_all_lists_every_public_name(module: ModuleType) -> None:
    assert len(module.__all__) == len(set(module.__all__))
    public = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert public - set(module.__all__) == set()
    assert all(hasattr(module, name) for name in module.__all__)


@MODULES
def test_exported_functions_are_typed(module: ModuleType) -> None:
    for name in module.__all__:
        function = getattr(module, name)
        if inspect.isfunction(function):
            signature = inspect.signature(function)
            assert signature.return_annotation is not inspect.Signature.empty, name
            for parameter in signature.parameters.values():
                assert parameter.annotation is not inspect.Parameter.empty, (name, parameter.name)


def test_the_package_says_that_it_is_typed() -> None:
    folder = Path(sennit.__file__).parent
    assert (folder / "py.typed").is_file()
    assert (folder / "_native" / "core.pyi").is_file()
