"""Bodies in pieces: of a request as it is sent, of a response as it is read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sennit.errors import ClosedError, OverloadedError, SennitError
from sennit.http.charset import decode_text
from sennit.http.client.failures import DECODING, RECEIVING, mark
from sennit.http.client.response import Head
from sennit.http.json_codec import decode_json

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from types import TracebackType

    from sennit.http.client.bodies import Sendable
    from sennit.http.client.call import Call
    from sennit.http.client.options import Piece

__all__ = ["ResponseStream", "StreamHead", "StreamedResponse", "send_body"]

_TURN = 64
"""Pieces of a plain iterator after which the other tasks have their turn."""

_FOR_EVER = 2**62
"""Bytes: a body that is read in pieces has no limit, whoever reads it counts."""


async def send_body(call: Call, body: Sendable, number: int) -> None:
    """Send the pieces of a body, as fast as they are taken; a failure is that of the call.

    Args:
        call: Whose body it is.
        body: Read from its start.
        number: Of the request that it belongs to; the call may have another one by and by.
    """
    try:
        pieces = body.pieces()
        try:
            if await _send_all(call, pieces, number):
                call.client.native.end_body(number)
        finally:
            close: Any = getattr(pieces, "aclose", None) or getattr(pieces, "close", None)
            closing: Awaitable[object] | None = None if close is None else close()
            if closing is not None:
                await closing
    except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
        if call.number == number:
            mark(error, "sending the request", call.origin)
            call.break_off(error)


async def _send_all(
    call: Call, pieces: Iterator[Piece] | AsyncIterator[Piece], number: int
) -> bool:
    if isinstance(pieces, AsyncIterator):
        async for piece in pieces:
            if not await _send(call, piece, number):
                return False
        return True
    for count, piece in enumerate(pieces, start=1):
        if not await _send(call, piece, number):
            return False
        if count % _TURN == 0:
            await asyncio.sleep(0)
    return True


async def _send(call: Call, piece: str | bytes, number: int) -> bool:
    """Whether anybody takes more."""
    data = piece.encode() if isinstance(piece, str) else piece
    is_welcome = call.client.native.send_piece(number, data)
    if is_welcome is False:
        await call.wait()
    return is_welcome is not None


class StreamHead(Head):
    """The head of a response whose body is read in pieces, until somebody takes it."""

    __slots__ = ("_call", "_number")

    def __init__(self, call: Call, status: int, head: bytes, is_coded: bool) -> None:
        super().__init__(call, status, head, is_coded)
        self._call = call
        self._number = call.number

    def discard(self) -> None:
        """Nobody will read the body: its connection is closed, if there is more to come."""
        number, self._number = self._number, None
        if number is not None:
            self._call.end_upload()
            self._call.client.native.cancel(number)


class StreamedResponse(StreamHead):
    """A response whose head has come; its body is read in pieces, as fast as they are asked for.

    While nobody reads, no more than 256 KiB of it wait here, and the peer waits with the rest.
    """

    # The call has the head for its result, and not this: what nobody holds any more is given up.
    __slots__ = ("_was_begun",)

    def __init__(self, head: StreamHead) -> None:
        super().__init__(head._call, head.status, head._head, head._is_coded)  # noqa: SLF001 - it becomes this
        self._history = head._history  # noqa: SLF001
        self._was_begun = False

    def __repr__(self) -> str:
        return f"<sennit.http.StreamedResponse {self.status}>"

    def __del__(self) -> None:
        self.discard()

    def raise_for_status(self) -> StreamedResponse:
        """The response itself, if it says that the request has succeeded (200 to 399).

        Raises:
            StatusError: It says that it has failed (400 and above).
        """
        if self.status >= 400:
            raise self._status_error()
        return self

    async def stream(self, *, decode: bool = True) -> AsyncIterator[bytes]:
        """The body in pieces of at least one byte, once.

        Args:
            decode: Without its content codings; False: as it was sent.

        Raises:
            ClosedError: The response, or the client, is closed.
            ConnectionLostError: The connection was lost before the end of the body.
            DeadlineError: Nothing came for longer than `read_timeout`.
            RemoteProtocolError: The body breaks the protocol, or cannot be decoded.
            RuntimeError: It was read already.
        """
        if self._was_begun:
            raise RuntimeError("the body of this response was read, or is being read, already")
        self._was_begun = True
        decompressor = self._decompressor(_FOR_EVER) if decode else None
        while piece := await self._read():
            if decompressor is not None:
                with self._decoding():
                    piece = decompressor.decompress(piece)
            if piece:
                yield piece
        if decompressor is not None:
            with self._decoding():
                rest = decompressor.finish()
            if rest:
                yield rest

    @contextmanager
    def _decoding(self) -> Iterator[None]:
        try:
            yield
        except SennitError as error:
            self._marked(error, DECODING)
            raise

    async def _read(self) -> bytes:
        call = self._call
        while True:
            if call.broken_by is not None:
                raise call.broken_by
            number = self._number
            # A number that nobody knows any more says that the response is closed.
            try:
                piece = call.client.native.read_body(call, -1 if number is None else number)
            except ClosedError as error:
                mark(error, RECEIVING, call.origin)
                raise
            if piece is not None:
                if not piece:
                    self._number = None
                    call.end_upload()
                return piece
            await call.wait()

    async def body(self, *, max_size: int | None = None) -> bytes:
        """All that is left of the body.

        Args:
            max_size: Bytes that it may have; the client's `max_response_size` by default.

        Raises:
            OverloadedError: It is larger.
            SennitError: As for `stream`.
        """
        limit = self._call.client.max_response_size if max_size is None else max_size
        pieces, size = [], 0
        async for piece in self.stream():
            size += len(piece)
            if size > limit:
                self.discard()
                name = "max_response_size" if max_size is None else "max_size"
                error = OverloadedError(f"the body is larger than {limit:,} bytes ({name})")
                raise mark(error, RECEIVING, self._call.origin)
            pieces.append(piece)
        return b"".join(pieces)

    async def text(self) -> str:
        """All of the body as text, in the charset of its content type, UTF-8 by default."""
        return decode_text(await self.body(), self.headers.get("content-type", ""))

    async def json(self) -> Any:
        """All of the body as JSON.

        Raises:
            RemoteProtocolError: It is not JSON.
        """
        body = await self.body()
        with self._decoding():
            return decode_json(body, "response body")


class ResponseStream:
    """A request whose response is read in pieces: `async with client.stream(...) as response`."""

    def __init__(self, begin: Callable[[], asyncio.Future[StreamHead]]) -> None:
        self._begin: Callable[[], asyncio.Future[StreamHead]] | None = begin
        self._response: StreamedResponse | None = None

    async def __aenter__(self) -> StreamedResponse:
        begin, self._begin = self._begin, None
        if begin is None:
            raise RuntimeError("this block was entered before; call client.stream once more")
        call = begin()
        try:
            head = await call
        except asyncio.CancelledError:
            # The head may have come in the very turn in which its task was cancelled.
            if not call.cancelled() and call.exception() is None:
                call.result().discard()
            raise
        self._response = StreamedResponse(head)
        return self._response

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._response is not None:
            self._response.discard()
