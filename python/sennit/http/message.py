"""What a handler gets and gives."""

from sennit._native.core import FileBody, Request, Response

__all__ = ["FileBody", "Request", "Response"]
