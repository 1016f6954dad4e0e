"""Pairs of text in the form of a URL's query, `a=1&b=2`, as browsers write it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import quote_plus

__all__ = ["Pairs", "Scalar", "as_text", "encode_pairs", "flatten", "utf8", "with_params"]

Scalar = str | int | float
"""What stands for a text: itself, or a number as Python writes it; True and False in lower case."""

Pairs = Mapping[str, Scalar | Iterable[Scalar]] | Iterable[tuple[str, Scalar]]
"""Names with values. A mapping's value may be several; pairs may repeat a name."""


def encode_pairs(pairs: Pairs) -> str:
    """Pairs as `application/x-www-form-urlencoded`, in UTF-8; a blank becomes `+`.

    Raises:
        TypeError: A value is neither text nor number.

    Source: WHATWG URL section 5.2.
    """
    encoded = ((_encode(as_text(name)), _encode(as_text(value))) for name, value in flatten(pairs))
    return "&".join(f"{name}={value}" for name, value in encoded)


def with_params(url: str, params: Pairs | None) -> str:
    """A URL with pairs behind the query that it has already; its fragment stays at the end.

    Raises:
        TypeError: A value is neither text nor number.
    """
    added = encode_pairs(params) if params is not None else ""
    if not added:
        return url
    url, hash_sign, fragment = url.partition("#")
    if "?" not in url:
        joint = "?"
    else:
        joint = "" if url.endswith(("?", "&")) else "&"
    return f"{url}{joint}{added}{hash_sign}{fragment}"


def flatten(pairs: Pairs) -> list[tuple[str, Scalar]]:
    """The pairs one by one, in their order.

    Raises:
        TypeError: A value is neither text nor number.
    """
    given: object = pairs
    if isinstance(given, str | bytes):
        raise TypeError("pairs are given as a mapping or as (name, value), not as one text")
    if not isinstance(pairs, Mapping):
        return list(pairs)
    flat: list[tuple[str, Scalar]] = []
    for name, value in pairs.items():
        if isinstance(value, str | int | float):
            flat.append((name, value))
        elif isinstance(value, Iterable) and not isinstance(value, bytes | bytearray | memoryview):
            flat.extend((name, one) for one in value)
        else:
            raise _not_text(value)
    return flat


def as_text(value: Scalar) -> str:
    """A value as text.

    Raises:
        TypeError: It is neither text nor number.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise _not_text(value)


def _not_text(value: object) -> TypeError:
    # What None or bytes should become is a guess that differs from server to server.
    return TypeError(f"a value is {type(value).__name__}; write it as str, int, float or bool")


def _encode(text: str) -> str:
    # Python leaves the tilde as it is; the WHATWG's set of safe characters does not have it.
    return quote_plus(utf8(text), safe="*").replace("~", "%7E")


def utf8(text: str) -> bytes:
    """A text in UTF-8, lone surrogates replaced by U+FFFD, as browsers send it."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        joined = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return joined.encode()
