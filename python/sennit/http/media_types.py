"""Media types by file name: the system's table, and what it does not know yet or has wrong."""

from __future__ import annotations

import mimetypes
from functools import lru_cache

__all__ = ["BINARY", "media_type"]

BINARY = "application/octet-stream"

_KNOWN = {
    ".avif": "image/avif",
    ".cjs": "text/javascript",
    ".css": "text/css",
    ".csv": "text/csv",
    ".gz": "application/gzip",
    ".htm": "text/html",
    ".html": "text/html",
    ".ico": "image/x-icon",
    ".jpg": "image/jpeg",
    ".js": "text/javascript",  # RFC 9239
    ".json": "application/json",
    ".map": "application/json",
    ".md": "text/markdown",
    ".mjs": "text/javascript",
    ".mp4": "video/mp4",
    ".otf": "font/otf",
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".ttf": "font/ttf",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".webm": "video/webm",
    ".webmanifest": "application/manifest+json",
    ".webp": "image/webp",
    ".woff": "font/woff",
    ".woff2": "font/woff2",
    ".xml": "application/xml",
    ".zip": "application/zip",
}

_TEXT = {"application/manifest+json", "image/svg+xml", "application/xml"}
"""Types of text beside `text/`; JSON is UTF-8 without saying so (RFC 8259 section 8.1)."""


@lru_cache(256)
def media_type(name: str) -> str:
    """The media type of a file, with its charset where it is text; by its name alone."""
    dot = name.rfind(".")
    extension = name[dot:].lower() if dot >= 0 else ""
    known = _KNOWN.get(extension) or mimetypes.guess_type("x" + extension, strict=False)[0]
    if known is None:
        return BINARY
    return f"{known}; charset=utf-8" if known.startswith("text/") or known in _TEXT else known
