"""Retries: whether a request is worth another try, and when."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sennit.errors import ConfigError, ConnectError, ConnectionLostError
from sennit.http.policy.dates import parse_date

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["IDEMPOTENT_METHODS", "Retry", "parse_retry_after"]

IDEMPOTENT_METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PUT", "TRACE"})
"""Methods that do no more when they arrive twice. Source: RFC 9110 section 9.2.2."""

_HIGHEST_POWER = 60
"""Beyond it a doubled wait says nothing more, and the float would overflow."""

_DELAY = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True, slots=True)
class Retry:
    """When to try again: after twice the time of the try before, and as the server asks.

    A request that never reached a server (ConnectError) is tried again whatever its method. One
    whose connection was lost, or whose answer has one of `statuses`, is only if `methods` has its
    method: it may have done its work already. Deadlines and broken answers are final.

    Args:
        attempts: Tries in all, the first one included.
        backoff: Seconds before the second try; each further one waits twice as long.
        max_wait: Seconds that a wait has at most. A server that asks for a longer one
            (`retry-after`) is not asked again: to come early would only be refused.
        jitter: A wait is anything between nothing and its full time, so that clients that failed
            together do not come back together. What a server asked for is never cut.
        statuses: Answers that are worth another try.
        methods: Methods that may arrive twice.

    Raises:
        ConfigError: A setting makes no sense.
    """

    attempts: int = 3
    backoff: float = 0.1
    max_wait: float = 30.0
    jitter: bool = True
    statuses: Collection[int] = (429, 502, 503, 504)
    methods: Collection[str] = IDEMPOTENT_METHODS

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise ConfigError(f"attempts is {self.attempts}, which must be at least 1")
        for name, seconds in (("backoff", self.backoff), ("max_wait", self.max_wait)):
            if not (0 <= seconds < math.inf):
                raise ConfigError(f"{name} is {seconds} seconds, which must be 0 or more")
        for status in self.statuses:
            if not 400 <= status <= 999:
                raise ConfigError(f"status {status} is no failure that a retry could mend")

    def wait_before(
        self,
        attempt: int,
        method: str,
        outcome: int | BaseException,
        retry_after: str | None,
        now: float,
        random: float,
    ) -> float | None:
        """Seconds to wait before the next try; None if there should be none.

        Args:
            attempt: How many tries there were, 1 after the first.
            method: Of the request, as it is sent.
            outcome: The status of the answer, or the error that came instead.
            retry_after: The answer's field of that name.
            now: Seconds since 1970, for a `retry-after` that is a date.
            random: A number from 0 to 1, fresh for each call.
        """
        if attempt >= self.attempts or not self._is_worth_it(method, outcome):
            return None
        wait: float = self.backoff * 2 ** min(attempt - 1, _HIGHEST_POWER)
        wait = min(wait, self.max_wait) * (random if self.jitter else 1.0)
        asked = None if retry_after is None else parse_retry_after(retry_after, now)
        if asked is None:
            return wait
        return max(wait, asked) if asked <= self.max_wait else None

    def _is_worth_it(self, method: str, outcome: int | BaseException) -> bool:
        if isinstance(outcome, ConnectError):
            return True
        if method not in self.methods:
            return False
        if isinstance(outcome, int):
            return outcome in self.statuses
        return isinstance(outcome, ConnectionLostError)


def parse_retry_after(value: str, now: float) -> float | None:
    """Seconds from now, 0 for what is past; None if the value is neither number nor date.

    Source: RFC 9110 section 10.2.3.
    """
    value = value.strip(" \t")
    if _DELAY.fullmatch(value):
        return float(value)
    if value.isascii() and value.isdigit():
        return math.inf
    date = parse_date(value)
    return None if date is None else max(0.0, date - now)
