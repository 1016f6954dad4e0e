"""What the commands share: a parser that says what is wrong in one line, checked numbers."""

from __future__ import annotations

import argparse
from typing import NoReturn

__all__ = [
    "FAILED",
    "INTERRUPTED",
    "WRONG",
    "Parser",
    "UsageError",
    "positive_integer",
    "positive_seconds",
]

FAILED = 1
WRONG = 2
INTERRUPTED = 130


class UsageError(Exception):
    """What was asked for cannot be done; the message says what to ask for."""


class Parser(argparse.ArgumentParser):
    """argparse's parser, with examples as they were written and errors of one line."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        settings: dict[str, object] = {
            "formatter_class": argparse.RawDescriptionHelpFormatter,
            # An option that is cut short today could mean two tomorrow.
            "allow_abbrev": False,
        }
        super().__init__(*args, **(settings | kwargs))  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and end with status 2."""
        self.exit(WRONG, f"{self.prog}: {message} (see {self.prog} --help)\n")


def positive_integer(text: str) -> int:
    """A whole number above 0, as in 10000 or 10,000."""
    try:
        number = int(text.replace(",", ""))
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is no whole number above 0")
    return number


def positive_seconds(text: str) -> float:
    """A number of seconds above 0, of a year at most."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    # Not a number, and infinity, are refused by the same comparison.
    if not 0 < seconds <= 366 * 24 * 3600:
        raise argparse.ArgumentTypeError(f"{text} is no number of seconds above 0")
    return seconds
