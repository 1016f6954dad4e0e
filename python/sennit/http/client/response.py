"""What has come back: a whole response, or the head of one whose body follows."""

from __future__ import annotations

from typing import Any, Protocol
from urllib.parse import urlsplit

from sennit._native import core
from sennit.errors import RemoteProtocolError, SennitError, StatusError
from sennit.http.charset import decode_text
from sennit.http.client.failures import DECODING, mark
from sennit.http.headers import Headers
from sennit.http.json_codec import decode_json
from sennit.http.policy.hosts import origin_of, without_secrets

__all__ = ["Asked", "ClientResponse", "Head"]


class Asked(Protocol):
    """The request that a response answers."""

    method: str
    url: str

    @property
    def max_response_size(self) -> int:
        """Bytes that its decoded body may have."""


_MAX_RATIO = 1000
"""How many times as large a decoded body may be, beyond its first 64 KiB: gzip cannot do more."""


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

    def _decompressor(self, max_size: int) -> core.Decompressor | None:
        """What undoes the content codings; None: there are none, or they are not known."""
        if not self._is_coded:
            return None
        try:
            return core.Decompressor(self.headers["content-encoding"], max_size, _MAX_RATIO)
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

    __slots__ = ("_body", "_max_size")

    def __init__(self, call: Asked, status: int, head: bytes, is_coded: bool, body: bytes) -> None:
        super().__init__(call, status, head, is_coded)
        self._body = body
        self._max_size = call.max_response_size if is_coded else 0

    def __repr__(self) -> str:
        return f"<sennit.http.ClientResponse {self.status} {len(self._body)} bytes>"

    async def body(self) -> bytes:
        """The body, without its content codings (gzip, deflate, br, zstd).

        Raises:
            RemoteProtocolError: It cannot be decoded, or would become larger than
                `max_response_size`.
        """
        if self._is_coded:
            decompressor = self._decompressor(self._max_size)
            if decompressor is not None:
                try:
                    self._body = decompressor.decompress(self._body) + decompressor.finish()
                except SennitError as error:
                    self._marked(error, DECODING)
                    raise
            self._is_coded = False
        return self._body

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
