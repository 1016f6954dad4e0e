"""The command line: `sennit COMMAND`, one file a command.

Exit statuses: 0 all went well, 1 something has failed, 2 the command line was wrong, 130 Ctrl-C.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import signal
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from sennit.cli.arguments import FAILED, INTERRUPTED, WRONG, Parser, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

__all__ = ["main"]

_COMMANDS = {
    "lab": "measure the models of concurrency on this machine",
    "fetch": "make many requests at once",
}

_EXAMPLES = """
examples:
  sennit lab                                    the whole table, in about a minute
  sennit fetch http://127.0.0.1:8080/ --repeat 1000

sennit COMMAND --help says more about a command.
"""


def _version() -> str:
    try:
        return metadata.version("sennit")
    except metadata.PackageNotFoundError:
        # Run from a source tree that was never installed.
        return "(not installed)"


def _parser(chosen: str | None) -> Parser:
    """The parser, with the arguments of the chosen command: no other command is imported."""
    parser = Parser(
        prog="sennit", description="Event-driven network engine for Python.", epilog=_EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"sennit {_version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    for name, about in _COMMANDS.items():
        command = commands.add_parser(name, help=about)
        if name == chosen:
            importlib.import_module(f"sennit.cli.{name}").add_arguments(command)
    return parser


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGINT, SIGTERM and a closed terminal end the program after it has cleaned up.

    SIGINT as well: a shell's background job starts with it ignored, and `kill -INT` means it.
    """

    def end(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    before[signal.SIGINT] = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _run(arguments: Sequence[str]) -> int:
    chosen = next((argument for argument in arguments if argument in _COMMANDS), None)
    parser = _parser(chosen)
    options, unknown = parser.parse_known_args(arguments)
    if options.command is None:
        parser.print_help()
        return WRONG
    try:
        if unknown:
            raise UsageError(f"there is no {unknown[0]} (see sennit {options.command} --help)")
        status: int = options.run(options)
    except UsageError as error:
        print(f"sennit {options.command}: {error}", file=sys.stderr)
        return WRONG
    return status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: The command and its arguments; None: those of this process.

    Returns:
        The exit status.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that knows no bars and daggers shows question marks in their place.
            stream.reconfigure(errors="replace")
    try:
        with _ended_by_signals():
            return _run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read the output has gone; the interpreter must not try to flush it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
