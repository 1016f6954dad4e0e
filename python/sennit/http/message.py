"""What a handler gets and gives; the types are native and find their helpers here."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from sennit._native import core
from sennit._native.core import FileBody, Request, Response
from sennit.http.charset import decode_text
from sennit.http.cookies import parse_cookies, render_cookie, render_deleted_cookie
from sennit.http.forms import Form, read_form
from sennit.http.json_codec import use_json
from sennit.http.streaming import send_pieces

__all__ = ["FileBody", "Request", "Response", "use_json"]

_T = TypeVar("_T")


async def _later(body: Awaitable[bytes], method: Callable[[], Awaitable[_T]]) -> _T:
    """Wait for a body; what a method of its request makes of it is there at once then."""
    await body
    return await method()


async def _form(request: Request) -> Form:
    return await read_form(request.headers, request.stream())


use_json()
core.set_message_helpers(
    text=decode_text,
    later=_later,
    cookies=parse_cookies,
    set_cookie=render_cookie,
    delete_cookie=render_deleted_cookie,
    form=_form,
    pieces=send_pieces,
)
