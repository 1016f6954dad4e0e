"""What an errback is called with: an exception, and what one wants to know of it."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["Failure"]


class Failure:
    """An exception on its way through a chain.

    An errback that returns the Failure it was given, or raises, lets the chain go on failing; one that
    returns anything else has dealt with it.

    Attributes:
        value: The exception itself.
    """

    __slots__ = ("__weakref__", "value")

    def __init__(self, error: BaseException | None = None) -> None:
        """Hold an exception.

        Args:
            error: The exception; without one, the one that the surrounding `except` block has caught.

        Raises:
            TypeError: There is none, or it is no exception.
        """
        if error is None:
            error = sys.exc_info()[1]
            if error is None:
                raise TypeError("Failure() without an exception is for an except block")
        if not isinstance(error, BaseException):
            raise TypeError(f"Failure() takes an exception, not {error!r}")
        self.value = error

    @property
    def type(self) -> type[BaseException]:
        """The exception's class."""
        return type(self.value)

    @property
    def traceback(self) -> TracebackType | None:
        """Where it was raised; `None` if it never was."""
        return self.value.__traceback__

    def check(self, *classes: type[BaseException]) -> type[BaseException] | None:
        """The first of some classes that the exception is an instance of; `None` if there is none."""
        return next((one for one in classes if isinstance(self.value, one)), None)

    def trap(self, *classes: type[BaseException]) -> type[BaseException]:
        """As `check`, for an errback that deals with these only: others are raised again."""
        found = self.check(*classes)
        if found is None:
            self.raise_exception()
        return found

    def raise_exception(self) -> NoReturn:
        """Raise the exception, with the traceback it has."""
        raise self.value

    def brief(self) -> str:
        """The exception in one line, such as `"ValueError: no number"`."""
        return traceback.format_exception_only(self.value)[0].rstrip("\n")

    def full(self) -> str:
        """The exception with its traceback, its causes, and in debug mode the story of its chain."""
        return "".join(traceback.format_exception(self.value))

    def __str__(self) -> str:
        return self.brief()

    def __repr__(self) -> str:
        return f"<sennit.Failure {self.brief()}>"
