"""JSON of requests and responses: the standard library's, or another that does it faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from sennit._native import core
from sennit.errors import ConfigError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["decode_json", "encode_json", "use_json"]


def use_json(
    *,
    loads: Callable[[bytes], Any] | None = None,
    dumps: Callable[[Any], str | bytes] | None = None,
) -> None:
    """Have other functions read and write JSON, for every server of this process.

    Args:
        loads: Makes a value of the bytes of a body. What it raises says that they are no JSON,
            TypeError and MemoryError apart. None for the standard library's, which is strict:
            UTF-8, and no NaN or Infinity.
        dumps: Makes text, or bytes of UTF-8, of a value. None for the standard library's: compact,
            everything beyond ASCII as it is, ValueError for NaN and Infinity.

    Raises:
        ConfigError: One of them cannot be called.
    """
    for name, function in (("loads", loads), ("dumps", dumps)):
        if function is not None and not callable(function):
            raise ConfigError(f"{name} is {function!r}, which cannot be called")
    _Codec.loads = _strict_loads if loads is None else loads
    _Codec.dumps = _compact_dumps if dumps is None else dumps
    core.set_message_helpers(
        loads=_first_loads if loads is None else _checked(loads),
        dumps=_first_dumps if dumps is None else dumps,
    )


def decode_json(body: bytes, what: str) -> Any:
    """The value of a peer's bytes.

    Args:
        body: UTF-8.
        what: Named in the error, such as `response body`.

    Raises:
        RemoteProtocolError: It is not JSON.
    """
    return _checked(_Codec.loads, what)(body)


def encode_json(value: Any) -> bytes:
    """A value as JSON in UTF-8.

    Raises:
        TypeError: It cannot be written as JSON.
        ValueError: As TypeError.
    """
    encoded = _Codec.dumps(value)
    return encoded.encode() if isinstance(encoded, str) else encoded


def _checked(loads: Callable[[bytes], Any], what: str = "request body") -> Callable[[bytes], Any]:
    """Says in the house's words that a body is no JSON."""

    def checked(body: bytes) -> Any:
        try:
            return loads(body)
        except (TypeError, MemoryError):
            raise
        except Exception as error:
            # RecursionError is one of them: a body that is nested too deeply is the peer's fault.
            reason = str(error) or type(error).__name__
            raise RemoteProtocolError(
                f"{what} is not JSON: {reason}", rule="RFC 8259 section 2", hint=400
            ) from error

    return checked


# The standard library's module is imported when JSON is first met: many programs never meet it.


def _first_loads(body: bytes) -> Any:
    import json  # noqa: PLC0415

    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    loads = _checked(lambda body: decode(str(body, "utf-8")))
    core.set_message_helpers(loads=loads)
    return loads(body)


def _strict_loads(body: bytes) -> Any:
    import json  # noqa: PLC0415

    return json.loads(str(body, "utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _first_dumps(value: Any) -> str:
    import json  # noqa: PLC0415

    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    core.set_message_helpers(dumps=encoder.encode)
    return encoder.encode(value)


def _compact_dumps(value: Any) -> str:
    import json  # noqa: PLC0415

    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class _Codec:
    """What reads and writes JSON outside of the native core."""

    loads: Callable[[bytes], Any] = staticmethod(_strict_loads)
    dumps: Callable[[Any], str | bytes] = staticmethod(_compact_dumps)
