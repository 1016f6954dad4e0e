"""What a handler gets and gives; the types are native and find their helpers here."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from sennit._native import core
from sennit._native.core import FileBody, Request, Response
from sennit.errors import RemoteProtocolError
from sennit.http.charset import decode_text
from sennit.http.cookies import parse_cookies, render_cookie, render_deleted_cookie
from sennit.http.forms import Form, read_form
from sennit.http.json_codec import use_json
from sennit.http.streaming import send_pieces
from sennit.http.values import parse_query

__all__ = ["FileBody", "Request", "Response", "counted", "use_json"]

_T = TypeVar("_T")


async def _later(body: Awaitable[bytes], method: Callable[[], Awaitable[_T]]) -> _T:
    """Wait for a body; what a method of its request makes of it is there at once then."""
    await body
    return await method()


@contextmanager
def counted(request: Request) -> Iterator[None]:
    """Count a body that is refused for its size in its server's `bodies_too_large`."""
    try:
        yield
    except RemoteProtocolError as error:
        if error.hint == 413:
            request._count_too_large()  # noqa: SLF001 - one room
        raise


async def _form(request: Request, /, **limits: int) -> Form:
    # What is not asked for is what any body may have.
    limits.setdefault("max_form_size", request._max_body_size)  # noqa: SLF001 - one room
    with counted(request):
        return await read_form(request.headers, request.stream(), **limits)


use_json()
core.set_message_helpers(
    text=decode_text,
    later=_later,
    cookies=parse_cookies,
    query=parse_query,
    set_cookie=render_cookie,
    delete_cookie=render_deleted_cookie,
    form=_form,
    pieces=send_pieces,
)
