"""Content codings around a handler: answers that are compressed for who takes it, bodies that were.

Compression tells its length: where a page holds a secret beside something that an attacker
chooses, the length of the compressed page gives the secret away bit by bit (BREACH,
CVE-2013-3587). Do not compress answers that reflect input and carry secrets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.message import FileBody, Request, Response, counted
from sennit.http.middleware import around, call

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from sennit.http.headers import Headers
    from sennit.http.server import Handler

__all__ = ["CODINGS", "choose_coding", "compress", "decompressed"]

CODINGS = ("zstd", "br", "gzip")
"""By preference: zstd packs as well as gzip's best at a third of the time, br a little better."""

LEVELS = {"zstd": 3, "br": 4, "gzip": 5}
"""Beyond these each further per cent of size costs more CPU than bytes usually do."""

_MIN_SIZE = 1024
"""Bytes. Below, head and packet cost more than what would be saved."""

_PACKED = ("image/", "video/", "audio/", "font/woff", "application/zip", "application/gzip")
"""Types that are compressed already; text of theirs is an exception."""

_AS_THEY_ARE = {204, 205, 206, 304}
"""Statuses without a body of their own, and that of a part of the bytes as they are."""


def _does_compress(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "image/svg+xml" or not kind.startswith((*_PACKED, "application/octet-stream"))


def choose_coding(
    accept_encoding: str, response: Response, min_size: int, codings: tuple[str, ...]
) -> str | None:
    """The coding for a response; None if it is to be sent as it is."""
    headers = response.headers
    body = response.body
    if (
        response.status in _AS_THEY_ARE
        or response._leaves_http()  # noqa: SLF001 - one room
        or isinstance(body, FileBody)
        or (isinstance(body, bytes) and len(body) < min_size)
        or "content-encoding" in headers
        or "no-transform" in headers.get("cache-control", "")
        or not _does_compress(response.content_type or "")
    ):
        return None
    return core.negotiate_coding(accept_encoding, codings)


def compress(
    handler: Handler,
    *,
    min_size: int = _MIN_SIZE,
    codings: tuple[str, ...] = CODINGS,
    levels: dict[str, int] | None = None,
) -> Handler:
    """A handler whose answers are compressed for clients that take it.

    Answers in pieces are compressed as they go, each piece at once. Files, images and what is small
    stay as they are, and so does what leads out of HTTP: upgrades, and every answer to CONNECT.

    Args:
        handler: A `def` or `async def` handler.
        min_size: Bytes of a whole body below which it is not worth it.
        codings: Of `zstd`, `br`, `gzip` and `deflate`, the one that is liked best first.
        levels: Of the codings; higher is smaller and slower.

    Raises:
        ConfigError: A coding is not known.
    """
    chosen = LEVELS | {"deflate": LEVELS["gzip"]} | (levels or {})
    for coding in codings:
        if coding not in chosen:
            known = ", ".join(sorted(LEVELS))
            raise ConfigError(f"codings has {coding!r}; there are {known} and deflate")

    async def compressing(request: Request) -> Response:
        response = await call(handler, request)
        if request.method == "CONNECT":
            return response
        headers = response.headers
        accepted = request.headers.get("accept-encoding", "")
        coding = choose_coding(accepted, response, min_size, codings)
        if coding is None:
            if choose_coding("*", response, min_size, codings) is not None:
                _vary(headers)
            return response
        return _compressed(response, core.Compressor(coding, chosen[coding]), coding)

    return around(handler, compressing)


def _vary(headers: Headers) -> None:
    known = headers.get("vary", "")
    if "accept-encoding" not in known.lower() and known != "*":
        headers["vary"] = f"{known}, accept-encoding" if known else "accept-encoding"


def _compressed(response: Response, compressor: core.Compressor, coding: str) -> Response:
    body: Any = response.body
    packed: Any
    if isinstance(body, bytes):
        packed = compressor.compress(body) + compressor.finish()
    elif hasattr(body, "__aiter__"):
        packed = _compress_async(aiter(body), compressor)
    else:
        packed = _compress_plain(body, compressor)
    made = Response(packed, response.status, content_type=response.content_type or "")
    made.trailers = response.trailers
    fields = made.headers
    for name, value in response.headers.items():
        if name != "content-type":
            fields.add(name, value)
    fields["content-encoding"] = coding
    _vary(fields)
    etag = fields.get("etag")
    # RFC 9110 section 8.8.1: other bytes need another strong tag, or a weak one.
    if etag is not None and not etag.startswith("W/"):
        fields["etag"] = f"W/{etag}"
    return made


async def _compress_async(
    pieces: AsyncIterator[str | bytes], compressor: core.Compressor
) -> AsyncIterator[bytes]:
    try:
        async for piece in pieces:
            # Whoever waits for this piece must be able to read it.
            yield _coded(piece, compressor)
        yield compressor.finish()
    finally:
        close = getattr(pieces, "aclose", None)
        if close is not None:
            await close()


def _compress_plain(pieces: Iterable[str | bytes], compressor: core.Compressor) -> Iterator[bytes]:
    try:
        for piece in pieces:
            yield _coded(piece, compressor)
        yield compressor.finish()
    finally:
        close = getattr(pieces, "close", None)
        if close is not None:
            close()


def _coded(piece: str | bytes, compressor: core.Compressor) -> bytes:
    if not piece:
        return b""
    data = piece.encode() if isinstance(piece, str) else piece
    return compressor.compress(data) + compressor.flush()


async def decompressed(
    request: Request, *, max_size: int | None = None, max_ratio: int = 100
) -> AsyncIterator[bytes]:
    """The body of a request without its content codings, piece by piece.

    Args:
        request: One whose body was not read yet.
        max_size: Bytes that it may become; the server's `max_body_size` by default.
        max_ratio: How many times as large it may become, beyond its first 64 KiB.

    Raises:
        RemoteProtocolError: The coding is not known (hint 415), the body is broken (400), or it
            becomes too large (413, counted as `bodies_too_large`).
    """
    coding = request.headers.get("content-encoding", "")
    limit = request._max_body_size if max_size is None else max_size  # noqa: SLF001 - one room
    with counted(request):
        decompressor = core.Decompressor(coding, limit, max_ratio)
        async for piece in request.stream():
            plain = decompressor.decompress(piece)
            if plain:
                yield plain
        rest = decompressor.finish()
        if rest:
            yield rest
