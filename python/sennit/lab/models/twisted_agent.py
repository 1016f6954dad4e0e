"""Twisted: Deferreds, `Agent` on the reactor that Twisted chooses by itself (epoll on Linux)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet import reactor as installed_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.client import Agent, HTTPConnectionPool, readBody

from sennit.lab.outcome import BODY, Outcome, tally

if TYPE_CHECKING:
    from twisted.python.failure import Failure
    from twisted.web.iweb import IResponse

__all__ = ["run"]

# Twisted declares its reactor as a module, and its client has no types.
_reactor: Any = installed_reactor
_Agent: Any = Agent
_Pool: Any = HTTPConnectionPool


def _check(response: IResponse) -> Deferred[bool]:
    body: Deferred[bytes] = readBody(response)
    return body.addCallback(lambda text: response.code == 200 and text == BODY)


def _keep(failure: Failure) -> Exception:
    """Make a failure a result: the others go on."""
    error = failure.value
    return error if isinstance(error, Exception) else RuntimeError(str(failure))


def _get_all(url: str, count: int) -> Deferred[list[bool | Exception]]:
    agent = _Agent(_reactor, pool=_Pool(_reactor, persistent=False))

    def get() -> Deferred[bool | Exception]:
        answer: Deferred[Any] = agent.request(b"GET", url.encode())
        return answer.addCallback(_check).addErrback(_keep)

    return gatherResults([get() for _ in range(count)])


def run(url: str, count: int) -> Outcome:
    """Make the requests, each with a Deferred of its own."""
    results: list[bool | Exception] = []

    def start() -> None:
        done = _get_all(url, count)
        done.addCallback(results.extend)
        # A reactor that was stopped cannot run again, one that has crashed can; and it runs twice,
        # for the warm-up and for the requests that are measured.
        done.addBoth(lambda _: _reactor.crash())

    _reactor.callWhenRunning(start)
    _reactor.run()
    return tally(results)
