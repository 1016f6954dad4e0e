"""JSON of requests and responses: the standard library's, or another that does it faster."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from sennit._native import core
from sennit.errors import ConfigError, RemoteProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["use_json"]


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
    core.set_message_helpers(
        loads=_first_loads if loads is None else _checked(loads),
        dumps=_first_dumps if dumps is None else dumps,
    )


def _checked(loads: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
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
                f"request body is not JSON: {reason}", rule="RFC 8259 section 2", hint=400
            ) from error

    return checked


# The standard library's module is imported when JSON is first met: many programs never meet it.


def _first_loads(body: bytes) -> Any:
    import json  # noqa: PLC0415

    decode = json.JSONDecoder(parse_constant=_refuse_constant).decode
    loads = _checked(lambda body: decode(str(body, "utf-8")))
    core.set_message_helpers(loads=loads)
    return loads(body)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _first_dumps(value: Any) -> str:
    import json  # noqa: PLC0415

    encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    core.set_message_helpers(dumps=encoder.encode)
    return encoder.encode(value)
