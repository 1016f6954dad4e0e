"""The figure of datagrams: CPU for one there and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import measure
from figures_tls import at_half

if TYPE_CHECKING:
    import argparse

LOOPS = ("sennit", "uvloop", "asyncio")


def udp(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """CPU for one datagram there and back on 64 sockets: a protocol on each loop, and await."""
    results = {}
    with measure.running(
        lambda: measure.limit("udp_echo"),
        lambda: measure.twin("udp_echo"),
        *(lambda name=name: measure.python(name, "udp_echo.py", name) for name in LOOPS),
        lambda: measure.python("sennit await", "udp_echo.py", "socket"),
    ) as servers:
        for size in (16, 1_024):

            def load(server: measure.Server, seconds: float, rate: float, size: int = size) -> Any:
                kind = (measure.CONNECTIONS, seconds, f"{rate:.0f}", "echo", size)
                return measure.sample(server, seconds, "udp_load", *kind)

            rate, rows = at_half(servers, options, load)
            results[f"UDP echo, {size:,} bytes, {rate:,.0f} in a second"] = rows
    return results


FIGURES = (udp,)
