"""Header fields: case-insensitive, repeated ones kept."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeVar, overload

from sennit._native import core

__all__ = ["Headers"]

_T = TypeVar("_T")


class Headers(Mapping[str, str]):
    """The header fields of a message, in the order of arrival.

    `headers["name"]` gives the value of a field, several of one name joined by a comma and a space
    as RFC 9110 section 5.2 says; `get_all` gives them apart. Names are compared without regard to
    case and shown in lower case. Values are text of the characters up to U+00FF, one for each byte.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items = [(name.lower(), value) for name, value in items]

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    @overload
    def get(self, name: str, /) -> str | None: ...

    @overload
    def get(self, name: str, /, default: str | _T) -> str | _T: ...

    def get(self, name: str, /, default: str | _T | None = None) -> str | _T | None:
        """The value of a field, several of one name joined; the default if there is none."""
        name = name.lower()
        found = None
        for own, value in self._items:
            if own == name:
                found = value if found is None else f"{found}, {value}"
        return default if found is None else found

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._items))

    def __len__(self) -> int:
        return len({name for name, _ in self._items})

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"

    def get_all(self, name: str) -> list[str]:
        """Every value of one name, in the order of arrival; empty if there is none."""
        name = name.lower()
        return [value for own, value in self._items if own == name]

    def pairs(self) -> list[tuple[str, str]]:
        """Every field as it came: (name in lower case, value)."""
        return list(self._items)


def _from_pairs(pairs: list[tuple[str, str]]) -> Headers:
    """For the native core, whose names are in lower case already."""
    headers = Headers.__new__(Headers)
    headers._items = pairs  # noqa: SLF001 - what the constructor would do
    return headers


core.set_headers_factory(_from_pairs)
