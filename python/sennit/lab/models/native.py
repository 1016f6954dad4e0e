"""Sennit's native client without a Python call per request: what Python adds shows against this."""

from __future__ import annotations

from sennit.http.native import fetch_many
from sennit.lab.outcome import Outcome

__all__ = ["run"]


def run(url: str, count: int) -> Outcome:
    """Let the native driver make the requests."""
    # All at once, so that no connection serves a second request; the driver paces its connects.
    answered, failed = fetch_many(url, count, count)
    return Outcome(answered, f"{failed} not answered rightly" if failed else "")
