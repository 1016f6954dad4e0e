"""What a handler's conveniences cost: routes, JSON in and out."""

from __future__ import annotations

import json
import statistics
import tempfile
from typing import TYPE_CHECKING, Any

import measure
from measure import running

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

ROUTES = 500
"""Registered; the one that is asked for has two parameters."""


def _request(method: str, path: str, body: bytes = b"") -> bytes:
    fields = ["Host: 127.0.0.1"]
    if body:
        fields += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([f"{method} {path} HTTP/1.1", *fields, "", ""]).encode() + body


def document() -> dict[str, Any]:
    """About 1 KB of JSON as an API has it."""
    items = [
        {"id": number, "name": f"item {number}", "price": number * 1.25, "tags": ["a", "b"]}
        for number in range(14)
    ]
    return {"user": "ann", "active": True, "items": items}


def _beyond(
    options: argparse.Namespace, script: str, kinds: Sequence[str], request: bytes
) -> list[dict[str, Any]]:
    """Servers that get the same request in turn; what each costs beyond the first."""
    with (
        tempfile.NamedTemporaryFile() as file,
        running(
            *(lambda kind=kind: measure.python(kind, script, kind) for kind in kinds)
        ) as servers,
    ):
        file.write(request)
        file.flush()
        rate = measure.load(servers[0], 1.0, 0, "http", file.name).load["rate"] / 2
        samples = measure.in_turn(servers, options.pairs, options.seconds, rate, "http", file.name)
    rows = measure.summary(samples, base=kinds[0])
    for row in rows:
        pairs = zip(samples[row["server"]], samples[kinds[0]], strict=True)
        more = [one.cpu_us - other.cpu_us for one, other in pairs]
        middle, low, high = measure.median_interval(more)
        row["more_us"] = round(middle, 3)
        row["more_interval"] = [round(low, 3), round(high, 3)]
        user = zip(samples[row["server"]], samples[kinds[0]], strict=True)
        row["more_user_us"] = round(statistics.median(a.user_us - b.user_us for a, b in user), 3)
    return rows


def routing(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """A handler among 500 routes with parameters, beyond the same handler by itself."""
    request = _request("GET", "/area/250/users/ann/posts/12")
    kinds = ("fixed", "fixed again", "routed", "routed, read")
    return {f"routing, {ROUTES} routes": _beyond(options, "routed.py", kinds, request)}


def json_bodies(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """JSON of 1 KB parsed and built by a handler, beyond json.loads and json.dumps by hand."""
    request = _request("POST", "/", json.dumps(document()).encode())
    kinds = ("by hand", "by hand again", "request.json")
    return {"json in and out, 1 KB": _beyond(options, "json_bodies.py", kinds, request)}


FIGURES = {"routing": routing, "json": json_bodies}
