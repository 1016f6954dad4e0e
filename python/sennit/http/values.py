"""Values by name, repeated ones kept: what a query or a form says."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from urllib.parse import parse_qsl

from sennit.errors import RemoteProtocolError

__all__ = ["Values", "parse_query"]

_MAX_PARAMS = 1000
"""As for the fields of a form. A request line of 8 KiB has room for four times as many."""


class Values(Mapping[str, str]):
    """Names and values in the order in which they came.

    `values["name"]` is the first value of a name, `get_all` has all of them.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = list(pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"

    def __getitem__(self, name: str) -> str:
        for known, value in self._pairs:
            if known == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._pairs))

    def __len__(self) -> int:
        return len(dict(self._pairs))

    def get_all(self, name: str) -> list[str]:
        """Every value of a name."""
        return [value for known, value in self._pairs if known == name]

    def pairs(self) -> list[tuple[str, str]]:
        """All names with their values, repeated ones too."""
        return list(self._pairs)


def parse_query(query: str) -> Values:
    """The parameters of a query, percent-decoded; bytes that are no UTF-8 are replaced.

    Raises:
        RemoteProtocolError: There are more than 1,000 (hint 400).

    Source: the URL standard, section 5.1.
    """
    if not query:
        return Values()
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="replace", max_num_fields=_MAX_PARAMS
        )
    except ValueError as error:
        count = query.count("&") + 1
        message = f"the query has {count:,} parameters, limit {_MAX_PARAMS:,}"
        raise RemoteProtocolError(message, rule="RFC 3986 section 3.4", hint=400) from error
    return Values(pairs)
