"""What has come back: a whole response, or the head of one whose body follows."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from sennit._native import core
from sennit.errors import OverloadedError, RemoteProtocolError, SennitError, StatusError
from sennit.http.charset import decode_text
from sennit.http.client.failures import DECODING, mark
from sennit.http.decoding import PIECE, pieces_of
from sennit.http.headers import Headers
from sennit.http.json_codec import decode_json
from sennit.http.policy.hosts import origin_of, without_secrets

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Asked", "ClientResponse", "Head", "decoded"]

_FOR_EVER = 2**62
"""Bytes: what is decoded is counted by whoever reads it."""

_TOO_LARGE = 413


class Asked(Protocol):
    """The request that a response answers."""

    method: str
    url: str

    @property
    def max_response_size(self) -> int:
        """Bytes that its decoded body may have."""

    @property
    def max_ratio(self) -> int:
        """How many times as large its body may become when it is decoded."""


def decoded(decompressor: core.Decompressor, data: bytes) -> Iterator[bytes]:
    """What some bytes become, in pieces of at most 256 KiB.

    Raises:
        OverloadedError: It becomes too much for what it is.
        RemoteProtocolError: It cannot be decoded.
    """
    try:
        yield from pieces_of(decompressor, data)
    except RemoteProtocolError as error:
        if error.hint == _TOO_LARGE:
            raise OverloadedError(str(error)) from None
        raise


class Head:
    """The head of a response."""

    __slots__ = ("_head", "_headers", "_history", "_is_coded", "_method", "_url", "status")

    def __init__(self, call: Asked, status: int, head: bytes, is_coded: bool) -> None:
        self.status = status
        """The status code, 200 to 999."""
        self._is_coded = is_coded
        self._head = head
        self._headers: Headers | None = None
        self._method = call.method
        self._url = call.url
        self._history: tuple[Head, ...] = ()

    @property
    def headers(self) -> Headers:
        """The header fields."""
        if self._headers is None:
            self._headers = Headers.parse(self._head.partition(b"\r\n")[2])
        return self._headers

    @property
    def reason(self) -> str:
        """The words behind the status code; may be empty."""
        line = self._head.partition(b"\r\n")[0].decode("latin-1")
        return line.partition(" ")[2].partition(" ")[2]

    @property
    def method(self) -> str:
        """The method of the request that this answers; a redirect may have changed it."""
        return self._method

    @property
    def url(self) -> str:
        """The URL of the request that this answers: the last one of a chain of redirects."""
        return self._url

    @property
    def history(self) -> tuple[Head, ...]:
        """The redirects that have led here, the first one first."""
        return self._history

    @property
    def is_success(self) -> bool:
        """Whether the status is one of 200 to 299."""
        return 200 <= self.status <= 299

    def discard(self) -> None:
        """Nobody will read the body: another request follows."""

    def _decompressor(self, max_ratio: int) -> core.Decompressor | None:
        """What undoes the content codings; None: there are none, or they are not known."""
        if not self._is_coded:
            return None
        try:
            return core.Decompressor(self.headers["content-encoding"], _FOR_EVER, max_ratio)
        except RemoteProtocolError:
            # RFC 9110 section 8.4: whoever knows the coding can still do something with it.
            return None

    def _status_error(self) -> StatusError:
        shown = without_secrets(urlsplit(self._url))
        said = f"{self.status} {self.reason}".rstrip()
        error = StatusError(f"{self._method} {shown} was answered with {said}", status=self.status)
        self._marked(error, "looking at the response's status")
        return error

    def _marked(self, error: Exception, step: str) -> None:
        """Say in an error where it has happened."""
        mark(error, step, origin_of(urlsplit(self._url)))


class ClientResponse(Head):
    """A response that has come whole."""

    __slots__ = ("_body", "_max_ratio", "_max_size")

    def __init__(self, call: Asked, status: int, head: bytes, is_coded: bool, body: bytes) -> None:
        super().__init__(call, status, head, is_coded)
        self._body = body
        if is_coded:
            self._max_size, self._max_ratio = call.max_response_size, call.max_ratio

    def __repr__(self) -> str:
        return f"<sennit.http.ClientResponse {self.status} {len(self._body)} bytes>"

    async def body(self) -> bytes:
        """The body, without its content codings (gzip, deflate, br, zstd).

        Raises:
            OverloadedError: It would become larger than `max_response_size`, or `max_ratio` times
                as large as it is.
            RemoteProtocolError: It cannot be decoded.
        """
        if self._is_coded:
            decompressor = self._decompressor(self._max_ratio)
            if decompressor is not None:
                try:
                    self._body = await self._decode(decompressor, self._body)
                except SennitError as error:
                    self._marked(error, DECODING)
                    raise
            self._is_coded = False
        return self._body

    async def _decode(self, decompressor: core.Decompressor, coded: bytes) -> bytes:
        pieces: list[bytes] = []
        size = 0
        for start in range(0, len(coded), PIECE):
            for plain in decoded(decompressor, coded[start : start + PIECE]):
                size += len(plain)
                if size > self._max_size:
                    raise OverloadedError(
                        f"the body is larger than {self._max_size:,} bytes when it is decoded "
                        "(max_response_size)"
                    )
                if pieces:
                    await asyncio.sleep(0)
                pieces.append(plain)
        decompressor.finish()
        return b"".join(pieces)

    async def text(self) -> str:
        """The body as text, in the charset of its content type, UTF-8 by default.

        Bytes that do not fit are replaced.
        """
        return decode_text(await self.body(), self.headers.get("content-type", ""))

    async def json(self) -> Any:
        """The body as JSON.

        Raises:
            RemoteProtocolError: It is not JSON.
        """
        body = await self.body()
        try:
            return decode_json(body, "response body")
        except SennitError as error:
            self._marked(error, DECODING)
            raise

    def raise_for_status(self) -> ClientResponse:
        """The response itself, if it says that the request has succeeded (200 to 399).

        Raises:
            StatusError: It says that it has failed (400 and above).
        """
        if self.status >= 400:
            raise self._status_error()
        return self
