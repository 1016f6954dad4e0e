"""What a handler gets and gives."""

from sennit._native.core import Request, Response

__all__ = ["Request", "Response"]
