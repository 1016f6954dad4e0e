"""Bodies of requests: bytes, JSON, forms, files, and whatever gives pieces."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.json_codec import encode_json
from sennit.http.policy.forms import URLENCODED, Multipart, urlencoded
from sennit.http.policy.parts import content_of
from sennit.http.policy.query import flatten

if TYPE_CHECKING:
    from sennit.http.client.options import Options, Piece

__all__ = ["Sendable", "make_body"]

_READ_AT_ONCE = 64 * 1024
"""Bytes; a form that is smaller leaves in one piece with its head."""


class Sendable:
    """A body, ready to be sent.

    Args:
        data: All of it; None: it comes in pieces.
        pieces: Begins it, from its start.
        length: Bytes; None: nobody knows before the end, so it goes in chunks.
        content_type: What it is; None where nobody has said.
        is_repeatable: Whether it can be sent more than once.
    """

    __slots__ = ("_pieces", "_was_begun", "content_type", "data", "is_repeatable", "length")

    def __init__(
        self,
        data: bytes | None,
        pieces: Callable[[], Iterator[Piece] | AsyncIterator[Piece]] | None = None,
        *,
        length: int | None = None,
        content_type: str | None = None,
        is_repeatable: bool = True,
    ) -> None:
        self.data = data
        self.length = length if data is None else len(data)
        self.content_type = content_type
        self.is_repeatable = is_repeatable
        self._pieces = pieces
        self._was_begun = False

    def pieces(self) -> Iterator[Piece] | AsyncIterator[Piece]:
        """The pieces from the start.

        Raises:
            LocalProtocolError: They were given before, and cannot be given again.
        """
        if self._pieces is None:
            return iter(())
        if self._was_begun and not self.is_repeatable:
            raise LocalProtocolError(
                "the body has to be sent again, and it can be read only once; send bytes, or a "
                "file that can seek"
            )
        self._was_begun = True
        return self._pieces()


def make_body(options: Options) -> Sendable | None:
    """The body that a request's options name.

    Raises:
        ConfigError: They name two.
        TypeError: One is nothing that can be sent.
        OSError: A file is not there.
    """
    given = [name for name in ("body", "json", "data", "files") if options.get(name) is not None]
    if "json" in options and "json" not in given:
        given.append("json")
    if len(given) > 1 and set(given) != {"data", "files"}:
        raise ConfigError(f"{' and '.join(given)} are given, and a request has one body")
    if "files" in given:
        return _multipart(options)
    if "json" in given:
        return Sendable(encode_json(options["json"]), content_type="application/json")
    if "data" in given:
        return Sendable(urlencoded(options.get("data") or ()), content_type=URLENCODED)
    return _of_source(options["body"]) if given else None


def _multipart(options: Options) -> Sendable:
    data = options.get("data")
    fields: list[tuple[str, Any]] = [] if data is None else list(flatten(data))
    files = options.get("files") or ()
    if isinstance(files, Mapping):
        for name, value in files.items():
            values = value if isinstance(value, list) else [value]
            fields += [(name, _named(one)) for one in values]
    else:
        fields += [(name, _named(one)) for name, one in files]
    form = Multipart(fields)
    length = form.length
    if length is not None and length <= _READ_AT_ONCE and form.is_repeatable:
        return Sendable(form.read(), content_type=form.content_type)
    return Sendable(
        None,
        form.pieces,
        length=length,
        content_type=form.content_type,
        is_repeatable=form.is_repeatable,
    )


def _named(value: Any) -> Any:
    # Bytes or text alone would be a field: as one of `files` it is a file, so it has a name.
    return ("file", value) if isinstance(value, str | bytes | bytearray | memoryview) else value


def _of_source(source: Any) -> Sendable:
    if isinstance(source, str):
        return Sendable(source.encode())
    if isinstance(source, bytes | bytearray | memoryview):
        return Sendable(bytes(source))
    if isinstance(source, Path) or hasattr(source, "read"):
        content = content_of(source)
        return Sendable(
            None, content.pieces, length=content.length, is_repeatable=content.is_repeatable
        )
    if hasattr(source, "__aiter__"):
        return Sendable(None, lambda: aiter(source), is_repeatable=False)
    if isinstance(source, Iterable) and not isinstance(source, Mapping):
        is_repeatable = not isinstance(source, Iterator)
        return Sendable(None, lambda: iter(source), is_repeatable=is_repeatable)
    raise TypeError(
        f"body is {type(source).__name__}; give str, bytes, a Path, an open file, or something "
        "that gives pieces of bytes; for a dict use json= or data="
    )
