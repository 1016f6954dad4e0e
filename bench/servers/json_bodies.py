"""JSON in and out: by the request and the response, and by hand."""

import json
import sys
from typing import Any

from serving import serve

from sennit import http


def work(document: Any) -> dict[str, Any]:
    """What a handler does with it."""
    return {"count": len(document["items"]), **document}


async def by_hand(request: http.Request) -> http.Response:
    """Parses and builds with the same functions, on bytes."""
    answer = work(json.loads(await request.body()))
    text = json.dumps(answer, ensure_ascii=False, separators=(",", ":"))
    return http.Response(text.encode(), content_type="application/json")


async def by_request(request: http.Request) -> dict[str, Any]:
    """The way of the documentation."""
    return work(await request.json())


serve(by_request if sys.argv[1] == "request.json" else by_hand, max_requests=2**31)
