"""What the models that block have in common: one request with the standard library's client."""

from __future__ import annotations

import contextlib
import http.client
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sennit.lab.outcome import BODY

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

__all__ = ["get"]


def get(
    url: str,
    connecting: AbstractContextManager[object] | None = None,
) -> bool | Exception:
    """Make one request on a new connection.

    Args:
        url: What to get.
        connecting: Held while the connection is being made: a semaphore that paces.

    Returns:
        Was it answered rightly, or the error it ended with.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    try:
        with connecting or contextlib.nullcontext():
            connection.connect()
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        return response.status == 200 and response.read() == BODY
    except (OSError, http.client.HTTPException) as error:
        return error
    finally:
        connection.close()
