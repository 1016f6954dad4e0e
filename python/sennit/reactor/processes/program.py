"""What a worker must know of the program: where modules are found, and which one is `__main__`.

Functions travel by reference, so a worker imports what it is to call. The program's main module is
imported as `__mp_main__`, the name that `multiprocessing` has made known: what stands behind
`if __name__ == "__main__":` does not run again. That happens when a call first mentions it, so
functions of other modules need no importable main module.
"""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from sennit.errors import ConfigError

__all__ = ["Setup", "check_start", "describe", "import_main", "mentions_main", "set_up"]

_ALIAS = "__mp_main__"

_is_importing_main = False
_has_main = False


class Setup(NamedTuple):
    """What a worker is told first."""

    sys_path: list[str]
    argv: list[str]
    main_name: str
    """The module that was started with `python -m`; empty if none was."""
    main_path: str
    """The file that was started; empty if there is none, as in an interactive session."""
    max_message_size: int


def describe(max_message_size: int) -> Setup:
    """This program, for a worker."""
    main = sys.modules["__main__"]
    # What a worker makes of classes of the main module is found here under the same name.
    sys.modules.setdefault(_ALIAS, main)
    spec = getattr(main, "__spec__", None)
    name = spec.name if spec is not None else ""
    path = getattr(main, "__file__", None) or ""
    if name.endswith("__main__"):
        # `python -m package`: such a file is all start and no definitions, so it is never imported.
        name = path = ""
    return Setup(
        list(sys.path),
        list(sys.argv),
        name,
        str(Path(path).absolute()) if path else "",
        max_message_size,
    )


def set_up(setup: Setup) -> None:
    """In a worker: find modules where the program finds them."""
    sys.path[:] = setup.sys_path
    sys.argv[:] = setup.argv


def mentions_main(part: bytes | memoryview) -> bool:
    """Whether a piece of a pickle may name the main module."""
    return b"_main__" in bytes(part)


def import_main(setup: Setup) -> None:
    """In a worker: import the program's main module, unless it is there already.

    Raises:
        ConfigError: There is none that could be imported.
        Exception: Whatever the module raises.
    """
    global _is_importing_main, _has_main  # noqa: PLW0603 - the interpreter has one main module
    if _has_main:
        return
    if not setup.main_name and not setup.main_path:
        raise ConfigError(
            "__main__ of this program is no file that a process worker could import: "
            "put the function into a module"
        )
    import runpy  # noqa: PLC0415 - only where it is needed

    _is_importing_main = True
    try:
        if setup.main_name:
            found = runpy.run_module(setup.main_name, run_name=_ALIAS, alter_sys=True)
        else:
            found = runpy.run_path(setup.main_path, run_name=_ALIAS)
    finally:
        _is_importing_main = False
    main = ModuleType(_ALIAS)
    vars(main).update(found)
    sys.modules["__main__"] = sys.modules[_ALIAS] = main
    _has_main = True


def check_start() -> None:
    """Refuse processes to a main module that starts its work while a worker imports it.

    Raises:
        ConfigError: That is what happens.
    """
    if _is_importing_main:
        raise ConfigError(
            "a process worker imports this program and would start it again: put what starts it "
            'behind if __name__ == "__main__":'
        )
