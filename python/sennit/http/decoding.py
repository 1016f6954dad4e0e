"""What content codings hide, in pieces of a bounded size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sennit._native import core

__all__ = ["PIECE", "pieces_of"]

PIECE = 256 * 1024
"""Bytes that are decoded at a time; between them, others have their turn."""


def pieces_of(decompressor: core.Decompressor, data: bytes) -> Iterator[bytes]:
    """What some bytes become, in pieces of at most 256 KiB.

    Raises:
        RemoteProtocolError: It cannot be decoded, or becomes too much for what it is (hint 413).
    """
    while True:
        plain = decompressor.decompress(data, PIECE)
        if plain:
            yield plain
        if not decompressor.is_pending:
            return
        data = b""
