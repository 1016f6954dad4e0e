"""aiohttp on uvloop: the same program as aiohttp on asyncio, on a loop written in C."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import uvloop

from sennit.lab.models.aiohttp_client import get_all

if TYPE_CHECKING:
    from sennit.lab.outcome import Outcome

__all__ = ["run"]


def run(url: str, count: int) -> Outcome:
    """Make the requests on uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(get_all(url, count))
