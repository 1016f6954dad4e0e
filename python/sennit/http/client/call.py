"""One request of a program: the future that it waits for, and what is known to go on with it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from sennit.http.policy.hosts import origin_of

if TYPE_CHECKING:
    from sennit._native import core
    from sennit.http.client.bodies import Sendable
    from sennit.http.client.response import Head
    from sennit.http.policy.cookies import CookieJar
    from sennit.http.policy.hosts import Origin
    from sennit.http.policy.redirects import Hop, Redirects
    from sennit.http.policy.retrying import Retry
    from sennit.reactor import Reactor

__all__ = ["Call", "Owner", "Plan"]


class Owner(Protocol):
    """What a call asks of its client."""

    reactor: Reactor
    native: core.HttpClient
    max_response_size: int
    cookies: CookieJar | None
    redirects: Redirects | None
    default_headers: tuple[tuple[str, str], ...]

    def resend(self, call: Call) -> None:
        """Send the request that a call's plan has come to."""

    def tell_response(self, call: Call, outcome: Head | Exception) -> None:
        """Let who has asked for it know of an outcome."""

    def forget(self, call: Call) -> None:
        """A call was given up."""

    def wait_to_retry(self, call: Call, wait: float) -> None:
        """Send a call's request once more after some seconds."""

    def stop_waiting(self, call: Call) -> None:
        """A call waits no longer until it is tried again."""

    def failed(self, call: Call, step: str, error: Exception) -> Exception:
        """Note a failure, and say in its error where it has happened."""


class Plan:
    """What a request may lead to: redirects, further tries. Most requests never have one."""

    __slots__ = (
        "adds_cookies", "body", "chain", "history", "redirects", "retry", "tries", "waits"
    )  # fmt: skip

    def __init__(
        self,
        hop: Hop,
        body: Sendable | None,
        redirects: Redirects | None,
        retry: Retry | None,
        *,
        adds_cookies: bool = False,
    ) -> None:
        self.chain = [hop]
        self.history: list[Any] = []
        self.body = body
        self.redirects = redirects
        self.retry = retry
        self.adds_cookies = adds_cookies
        """Whether the jar's cookies go beside those of the request's own field."""
        self.tries = 1
        """Of the last hop."""
        self.waits: asyncio.TimerHandle | None = None
        """For the time of the next try."""

    @property
    def hop(self) -> Hop:
        """The request that is under way."""
        return self.chain[-1]


class Call(asyncio.Future[Any]):
    """A request under way. Cancelling it frees its connection."""

    # Slots: ten thousand calls at once should not have ten thousand dicts.
    __slots__ = (
        "broken_by",
        "client",
        "deadline",
        "is_streamed",
        "method",
        "number",
        "plan",
        "upload",
        "url",
        "waiters",
    )

    client: Owner
    method: str
    url: str
    deadline: float
    """By the reactor's clock."""
    number: int | None
    """The native core's, while it has the request."""
    plan: Plan | None
    broken_by: Exception | None
    """What has broken the request off after the head of its response had come."""
    is_streamed: bool
    """Whether the response's body is read in pieces."""
    upload: asyncio.Task[None] | None
    """Sends a body in pieces."""
    waiters: list[asyncio.Future[None]] | None
    """Who waits for more of the response's body, or for room for more of the request's."""

    @property
    def is_watched(self) -> bool:
        """Whether its outcome has to be looked at, whatever it is."""
        plan = self.plan
        return plan is not None and (plan.retry is not None or len(plan.chain) > 1)

    @property
    def origin(self) -> Origin:
        """Whom it has to do with."""
        return origin_of(urlsplit(self.url))

    @property
    def max_response_size(self) -> int:
        """Bytes that a decoded body may have."""
        return self.client.max_response_size

    def cancel(self, msg: Any | None = None) -> bool:
        """Give the request up."""
        if not super().cancel(msg):
            return False
        self.end_upload()
        self.client.forget(self)
        return True

    def moved(self) -> None:
        """There is more of a body, or room for more; called by the native core."""
        waiters, self.waiters = self.waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        """Wait until something has moved."""
        waiter: asyncio.Future[None] = self.client.reactor.create_future()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append(waiter)
        await waiter

    def end_upload(self) -> None:
        """Nobody takes the request's body any more."""
        upload, self.upload = self.upload, None
        if upload is not None:
            upload.cancel()

    def break_off(self, error: Exception) -> None:
        """The request's body cannot be sent to its end, so the peer must not take it for whole."""
        self.upload = None
        self.broken_by = error
        self.fail(error)
        self.client.forget(self)
        self.moved()

    def fail(self, error: BaseException) -> None:
        """Tell who waits, if somebody still does."""
        if not self.done():
            self.set_exception(error)
