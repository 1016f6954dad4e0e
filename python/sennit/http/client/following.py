"""What becomes of an outcome: it is the caller's, or another request follows from it."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sennit.errors import SennitError
from sennit.http.client.call import Plan
from sennit.http.client.failures import mark
from sennit.http.client.response import Head
from sennit.http.policy.redirects import Hop, the_location

if TYPE_CHECKING:
    from sennit.http.client.call import Call

__all__ = ["interfere", "try_again"]


def interfere(call: Call, outcome: Head | Exception) -> None:
    """Decides about a response that may not be the last, or about a failure.

    The native core calls it for redirects, for responses that set cookies, and for every outcome of
    a request that is watched.
    """
    if not (call.is_streamed and isinstance(outcome, Head)):
        call.number = None
    if call.done():
        return
    try:
        _decide(call, outcome)
    except Exception as error:  # noqa: BLE001 - whatever it is, who waits must hear of it
        if isinstance(outcome, Head):
            # Nobody will ever have it, so nobody else can free its connection.
            outcome.discard()
        call.fail(error)


def _decide(call: Call, outcome: Head | Exception) -> None:
    client = call.client
    plan = call.plan
    if plan is None:
        hop = Hop(call.method, call.url, client.default_headers)
        call.plan = plan = Plan(hop, None, client.redirects, None)
    if isinstance(outcome, Head) and client.cookies is not None:
        lines = outcome.headers.get_all("set-cookie")
        if lines:
            client.cookies.store(urlsplit(plan.hop.url), lines, time.time())
    client.tell_response(call, outcome)
    if _tries_again(call, plan, outcome):
        return
    if isinstance(outcome, Exception):
        call.fail(outcome)
        return
    if not _follows(call, plan, outcome):
        outcome._history = tuple(plan.history)  # noqa: SLF001 - it is being made here
        call.set_result(outcome)


def _tries_again(call: Call, plan: Plan, outcome: Head | Exception) -> bool:
    retry = plan.retry
    if retry is None or (plan.body is not None and not plan.body.is_repeatable):
        return False
    answer = outcome if isinstance(outcome, Head) else None
    wait = retry.wait_before(
        plan.tries,
        plan.hop.method,
        outcome.status if isinstance(outcome, Head) else outcome,
        None if answer is None else answer.headers.get("retry-after"),
        time.time(),
        random.random(),  # noqa: S311 - it keeps clients apart, and nothing secret
    )
    reactor = call.client.reactor
    if wait is None or reactor.time() + wait >= call.deadline:
        return False
    if answer is not None:
        answer.discard()
    call.end_upload()
    plan.tries += 1
    call.client.wait_to_retry(call, wait)
    return True


def try_again(call: Call) -> None:
    """The time has come to send a call's request once more."""
    call.client.stop_waiting(call)
    if call.done():
        return
    try:
        call.client.resend(call)
    except Exception as error:  # noqa: BLE001 - as above
        call.fail(error)


def _follows(call: Call, plan: Plan, answer: Head) -> bool:
    if plan.redirects is None:
        return False
    try:
        hop = plan.redirects.next_hop(
            plan.chain,
            answer.status,
            the_location(answer.status, answer.headers.get_all("location")),
            is_repeatable=plan.body is None or plan.body.is_repeatable,
        )
    except SennitError as error:
        mark(error, "following a redirect", call.origin)
        raise
    if hop is None:
        return False
    answer.discard()
    # Its iterator must not be heard of any more: the request that follows has its own.
    call.end_upload()
    plan.chain.append(hop)
    plan.history.append(answer)
    plan.tries = 1
    if not hop.has_body:
        plan.body = None
    call.method, call.url = hop.method, hop.url
    call.client.resend(call)
    return True
