"""Threads: one for each request, with http.client; in waves where the machine allows no more."""

from __future__ import annotations

import threading

from sennit.lab.allowance import allowed_threads, read_limits
from sennit.lab.models.http_client import get
from sennit.lab.outcome import PACE, Outcome, tally

__all__ = ["run"]


def _run_wave(url: str, count: int, answers: list[bool | Exception]) -> tuple[int, int]:
    """Make as many requests at once as threads can be started, `count` at most.

    Returns:
        How many were made, and how many threads there were at once: the first ones may be done
        before the last ones are started.
    """
    most = 0
    connecting = threading.BoundedSemaphore(PACE)
    started: list[threading.Thread] = []
    for _ in range(count):
        thread = threading.Thread(target=lambda: answers.append(get(url, connecting)))
        try:
            thread.start()
        except RuntimeError:
            # No more threads can be started; without a single one there is no way on.
            if not started:
                raise
            break
        started.append(thread)
        most = max(most, threading.active_count())
    for thread in started:
        thread.join()
    return len(started), most


def run(url: str, count: int) -> Outcome:
    """Make the requests, each in a thread of its own."""
    allowed = allowed_threads(read_limits())
    answers: list[bool | Exception] = []
    made = threads = waves = 0
    while made < count:
        in_wave, at_once = _run_wave(url, min(count - made, allowed), answers)
        made += in_wave
        threads = max(threads, at_once)
        waves += 1
    outcome = tally(answers)
    return Outcome(outcome.answered, outcome.reason, {"threads": threads, "waves": waves})
