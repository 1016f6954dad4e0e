"""The errors of requests: whose fault, at which step, with which origin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sennit.errors import (
    CertificateError,
    ClosedError,
    ConfigError,
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    OverloadedError,
    RemoteProtocolError,
    SennitError,
)
from sennit.http.policy.hosts import DEFAULT_PORTS

if TYPE_CHECKING:
    from sennit.http.policy.hosts import Origin

__all__ = ["DECODING", "RECEIVING", "make_failure", "mark", "shown_origin"]

DECODING = "decoding the response's body"
RECEIVING = "receiving the response's body"
"""Steps; the second one's name is the native core's."""

_LIMITS = {
    "connect_timeout": "it took longer than connect_timeout allows",
    "pool_timeout": "it took longer than pool_timeout allows",
    "read_timeout": "nothing came for longer than read_timeout allows",
    "write_timeout": "nothing was taken for longer than write_timeout allows",
    "timeout": "the request took longer than its timeout allows",
}
_MAKING = {"connecting", "agreeing upon TLS", "asking the proxy for a tunnel"}


def shown_origin(origin: Origin) -> str:
    """An origin as a URL."""
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    usual = DEFAULT_PORTS.get(origin.scheme) == origin.port
    return f"{origin.scheme}://{host}" if usual else f"{origin.scheme}://{host}:{origin.port}"


def mark(error: Exception, step: str, origin: Origin | None) -> Exception:
    """Says at which step an error has happened, and with whom."""
    if isinstance(error, SennitError):
        error.step = step
        if origin is not None:
            error.origin = shown_origin(origin)
    return error


def make_failure(step: str, kind: str, detail: Any) -> Exception:
    """The error of a request that failed in the native core."""
    where = f"while {step}"
    if kind in _LIMITS:
        return DeadlineError(f"{where}: {_LIMITS[kind]}")
    match kind:
        case "protocol":
            message, rule = detail
            return RemoteProtocolError(f"{where}: {message}", rule=rule, hint=502)
        case "too_large":
            return OverloadedError(
                f"{where}: the body is larger than {detail:,} bytes (max_response_size)"
            )
        case "client_closed":
            return ClosedError("the client was closed before the response came")
        case "refused" | "closed":
            said = "the peer has closed the connection" if kind == "closed" else detail
            return (ConnectError if step in _MAKING else ConnectionLostError)(f"{where}: {said}")
        case _:
            return _of_system(step, where, detail)


def _of_system(step: str, where: str, detail: Any) -> Exception:
    """The system, or TLS beneath HTTP, has said what is wrong."""
    error: Exception
    if isinstance(detail, RemoteProtocolError | ConfigError):
        is_certificate = isinstance(detail, CertificateError)
        error = (CertificateError if is_certificate else type(detail))(f"{where}: {detail}")
    elif isinstance(detail, OSError) and detail.errno is not None:
        error_type = ConnectError if step in _MAKING else ConnectionLostError
        error = error_type(detail.errno, f"{where}: {detail.strerror}")
    else:
        error = (ConnectError if step in _MAKING else ConnectionLostError)(f"{where}: {detail}")
    error.__cause__ = detail
    return error
