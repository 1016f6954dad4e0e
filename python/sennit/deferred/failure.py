"""What an errback is called with: an exception, and what one wants to know of it."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, NoReturn, TypeAlias

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any

__all__ = ["Failure"]

# Inside the class, `type` is the property.
Class: TypeAlias = type[BaseException]


class Failure:
    """An exception on its way through a chain.

    An errback that returns the Failure it was given, or raises, lets the chain go on failing; one
    that returns anything else has dealt with it.

    Attributes:
        value: The exception itself.
        traceback: Where it was raised before it came here; `None` if it never was.
    """

    __slots__ = ("__weakref__", "traceback", "value")

    def __init__(self, error: BaseException | None = None) -> None:
        """Hold an exception.

        Args:
            error: The exception; without one, that which the surrounding `except` block has caught.

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
        self.traceback: TracebackType | None = error.__traceback__

    @property
    def type(self) -> Class:
        """The exception's class."""
        return type(self.value)

    def check(self, *classes: Class) -> Class | None:
        """The first of some classes that the exception is an instance of, or `None`."""
        return next((one for one in classes if isinstance(self.value, one)), None)

    def trap(self, *classes: Class) -> Class:
        """As `check`, for an errback that deals with these only: others are raised again."""
        found = self.check(*classes)
        if found is None:
            self.raise_exception()
        return found

    def raise_exception(self) -> NoReturn:
        """Raise the exception, with the traceback it came with."""
        raise self.value.with_traceback(self.traceback)

    def brief(self) -> str:
        """The exception in one line, such as `"ValueError: no number"`."""
        return traceback.format_exception_only(self.value)[0].rstrip("\n")

    def full(self) -> str:
        """The exception with traceback and causes, and in debug mode the story of its chain."""
        return "".join(traceback.format_exception(self.value))

    def __reduce__(self) -> tuple[Any, ...]:
        # A traceback does not travel.
        return self.__class__, (self.value,)

    def __str__(self) -> str:
        return self.brief()

    def __repr__(self) -> str:
        return f"<sennit.Failure {self.brief()}>"
