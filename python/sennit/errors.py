"""Every error of Sennit's own, each named after whose fault it is.

    SennitError
    ├── LocalProtocolError (also ValueError)       you: what you wanted to send is not allowed
    ├── RemoteProtocolError                        the peer: what it has sent is not allowed
    │   └── CertificateError                       the peer: it is not who it should be
    ├── StatusError                                the peer: its answer says that the request failed
    ├── ClosedError                                you: it was closed before
    ├── ConnectionLostError (also ConnectionError) the network: the connection is gone
    │   └── IncompleteReadError (also EOFError)    the peer: it has ended before all was there
    ├── ConnectError (also ConnectionError)        the network: there never was a connection
    ├── DeadlineError (also TimeoutError)          nobody: it took longer than was allowed
    ├── BusyError                                  you: it does something else already
    ├── AlreadyFiredError (also InvalidStateError) you: a Deferred has its result already
    ├── NotActiveError (also InvalidStateError)    you: it is over, or was never begun
    ├── WrongThreadError (also RuntimeError)       you: it belongs to another thread
    ├── FirstError                                 one of several: the first that failed
    ├── OverloadedError                            a limit has refused it
    ├── TransferError (also TypeError)             you: it cannot travel between processes
    ├── ProcessDiedError                           a process: it ended while it ran your call
    ├── ConfigError (also ValueError)              you: a setting makes no sense
    ├── DeadlockError (also RuntimeError)          you: everybody waits and nothing can happen
    └── InternalError                              us: please report it

A builtin that a program would catch anyway is a base too. Cancellation is
`asyncio.CancelledError`, as everywhere.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "AlreadyFiredError",
    "BusyError",
    "CertificateError",
    "ClosedError",
    "ConfigError",
    "ConnectError",
    "ConnectionLostError",
    "DeadlineError",
    "DeadlockError",
    "FirstError",
    "IncompleteReadError",
    "InternalError",
    "LocalProtocolError",
    "NotActiveError",
    "OverloadedError",
    "ProcessDiedError",
    "RemoteProtocolError",
    "SennitError",
    "StatusError",
    "TransferError",
    "WrongThreadError",
]


class SennitError(Exception):
    """The base of all errors that Sennit raises itself.

    Attributes:
        step: What a client was doing when it happened, such as `"connecting"`; empty where nobody
            has said.
        origin: Whom it has to do with, as `http://host:port`; empty where nobody has said.
    """

    step: str = ""
    origin: str = ""


class LocalProtocolError(SennitError, ValueError):
    """What this program wants to send breaks the protocol's rules."""


class RemoteProtocolError(SennitError):
    """What the peer has sent breaks the protocol's rules.

    Attributes:
        rule: The rule that was broken, such as `"RFC 9112 section 5"`; empty if unknown.
        hint: The protocol's own answer to it (an HTTP status); 0 if there is none.
    """

    def __init__(self, message: str, *, rule: str = "", hint: int = 0) -> None:
        super().__init__(message)
        self.rule = rule
        self.hint = hint


class CertificateError(RemoteProtocolError):
    """The peer's certificate is not to be trusted.

    It has expired, is for another name, is signed by nobody that is known, or there is none where
    one is required.
    """


class StatusError(SennitError):
    """The peer's answer says that the request has failed.

    Attributes:
        status: What it says, 400 to 999.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class ClosedError(SennitError):
    """The object was closed by this program before."""


class ConnectionLostError(SennitError, ConnectionError):
    """The connection was there and is gone."""


class IncompleteReadError(ConnectionLostError, EOFError):
    """The peer has ended the stream before everything that was asked for had come.

    Attributes:
        partial: What had come, in bytes.
        expected: How many bytes were asked for; `None` where a separator was.
    """

    def __init__(self, partial: bytes, expected: int | None) -> None:
        wanted = "a separator" if expected is None else f"{expected:,} bytes"
        super().__init__(f"stream ended after {len(partial):,} bytes, before {wanted} had come")
        self.partial = partial
        self.expected = expected

    def __reduce__(self) -> tuple[type[Self], tuple[bytes, int | None]]:
        return type(self), (self.partial, self.expected)


class ConnectError(SennitError, ConnectionError):
    """The connection could not be made."""


class DeadlineError(SennitError, TimeoutError):
    """It took longer than was allowed."""


class BusyError(SennitError):
    """The object does something else at the moment."""


class AlreadyFiredError(SennitError, asyncio.InvalidStateError):
    """A Deferred was to be fired that has been fired before."""


class NotActiveError(SennitError, asyncio.InvalidStateError):
    """The object is over, was cancelled, or was never begun."""


class WrongThreadError(SennitError, RuntimeError):
    """The object belongs to the loop of another thread."""


class FirstError(SennitError):
    """One of several Deferreds has failed, before any other.

    Attributes:
        failure: The `sennit.Failure` of that one; its exception is the `__cause__`, too.
        index: Its place among them, from 0.
    """

    def __init__(self, failure: Any, index: int) -> None:
        super().__init__(f"number {index} has failed: {failure.brief()}")
        self.failure = failure
        self.index = index
        self.__cause__ = failure.value

    def __reduce__(self) -> tuple[type[Self], tuple[Any, int]]:
        return type(self), (self.failure, self.index)


class OverloadedError(SennitError):
    """A limit has refused it; later it may work."""


class TransferError(SennitError, TypeError):
    """A function, an argument, a result or an error cannot travel from one process to another."""


class ProcessDiedError(SennitError):
    """A worker process has ended while it ran a call.

    Attributes:
        pid: The number that the process had; 0 if nobody has said.
        exit_code: Its exit code, or the negative number of the signal that has killed it.
    """

    def __init__(self, message: str, *, pid: int = 0, exit_code: int = 0) -> None:
        super().__init__(message)
        self.pid = pid
        self.exit_code = exit_code


class ConfigError(SennitError, ValueError):
    """A setting makes no sense."""


class DeadlockError(SennitError, RuntimeError):
    """Every task of a simulated program waits, and nothing is left that could happen."""


class InternalError(SennitError):
    """Sennit's own mistake: please report it."""
