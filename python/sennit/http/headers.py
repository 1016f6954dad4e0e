"""Header fields: case-insensitive, repeated ones kept; the type itself is native."""

from collections.abc import Mapping

from sennit._native.core import Headers

__all__ = ["Headers"]

Mapping.register(Headers)
