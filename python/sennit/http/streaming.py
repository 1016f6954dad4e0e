"""Answers in pieces, which go out as they come and wait for a peer that reads slowly."""

# ruff: noqa: SLF001 - what a request offers for writing is this room's own

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from sennit._native import core

__all__ = ["Pieces", "Trailers", "send_pieces"]

Piece: TypeAlias = str | bytes | core.FileBody
Pieces: TypeAlias = Iterable[Piece]
"""What an answer in pieces is made of; an asynchronous iterable serves as well."""

Trailers: TypeAlias = Mapping[str, str] | Callable[[], Mapping[str, str]]
"""Fields behind a body (RFC 9110 section 6.5), or what gives them when the body has ended."""

_TURN = 64
"""Pieces of a plain iterator after which the other connections have their turn."""


async def send_pieces(request: core.Request, response: core.Response) -> None:
    """Send a response whose body comes in pieces.

    The head goes out with the first piece, so that an iterator that fails at once is still answered
    with a 500; one that wants the head to leave early gives an empty piece first.
    """
    body: Any = response.body
    if hasattr(body, "__aiter__"):
        await _send_async(request, response, aiter(body))
    else:
        await _send_plain(request, response, iter(body))


async def _send_async(
    request: core.Request, response: core.Response, pieces: AsyncIterator[Piece]
) -> None:
    try:
        has_begun = False
        async for piece in pieces:
            if not has_begun:
                has_begun = True
                if not _begin(request, response, piece):
                    return
            if not request._send_piece(piece):
                await request._wait_for_room()
        _end(request, response, has_begun=has_begun)
    finally:
        await _close(getattr(pieces, "aclose", None))


async def _send_plain(
    request: core.Request, response: core.Response, pieces: Iterator[Piece]
) -> None:
    try:
        count = 0
        for count, piece in enumerate(pieces, start=1):
            if count == 1 and not _begin(request, response, piece):
                return
            if not request._send_piece(piece):
                await request._wait_for_room()
            elif count % _TURN == 0:
                await asyncio.sleep(0)
        _end(request, response, has_begun=count > 0)
    finally:
        await _close(getattr(pieces, "close", None))


def _begin(request: core.Request, response: core.Response, first: Piece) -> bool:
    """Write the head; what was not said of the content type, the first piece says."""
    return request._begin_answer(response, response.content_length, isinstance(first, str))


def _end(request: core.Request, response: core.Response, *, has_begun: bool) -> None:
    if has_begun or _begin(request, response, b""):
        trailers = response.trailers
        if callable(trailers):
            trailers = trailers()
        request._end_answer(b"" if trailers is None else core.render_fields(trailers))


async def _close(close: Callable[[], Awaitable[object] | None] | None) -> None:
    """Let a generator run its `finally` now, and not when the collector finds it."""
    if close is not None:
        result = close()
        if result is not None:
            await result
