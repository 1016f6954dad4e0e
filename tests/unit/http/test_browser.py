"""A real browser and a page of ours: files, JSON, a form with a file, events."""

import asyncio
import html
import json
import re
import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from tests.unit.http.talking import with_server

from sennit import http

Peers = Callable[[str], Path]

PAGE = """<!doctype html>
<title>Sennit</title>
<link rel="stylesheet" href="style.css">
<pre id="outcome"></pre>
<script src="script.js"></script>
"""

STYLE = "#outcome { margin-left: 17px }\n"

# All at once, over as many connections as the browser likes. The page has loaded when the last one
# is done: an image that does not come before keeps the load event back.
SCRIPT = """
const outcome = {};
const holding = new Image();
holding.src = "/hold";
async function json() {
    const response = await fetch("/json?n=20");
    outcome.json = await response.json();
    outcome.coding = response.headers.get("x-coding");
}
async function form() {
    const form = new FormData();
    form.append("title", "k\\u00e4se & co");
    const content = ["0123456789".repeat(20000)];
    form.append("file", new File(content, "t\\u00e4st.txt", {type: "text/plain"}));
    const response = await fetch("/form", {method: "POST", body: form});
    outcome.form = await response.json();
}
function events() {
    return new Promise((resolve, reject) => {
        const source = new EventSource("/events");
        outcome.events = [];
        source.addEventListener("count", (event) => {
            outcome.events.push([event.lastEventId, event.data]);
            if (outcome.events.length === 3) { source.close(); resolve(); }
        });
        source.onerror = () => reject(new Error("the events broke off"));
    });
}
async function parts() {
    const response = await fetch("large.bin", {headers: {range: "bytes=10-19"}});
    outcome.part = [response.status, await response.text()];
    outcome.missing = (await fetch("nothing")).status;
}
addEventListener("DOMContentLoaded", async () => {
    outcome.margin = getComputedStyle(document.getElementById("outcome")).marginLeft;
    try {
        await Promise.all([json(), form(), events(), parts()]);
    } catch (error) {
        outcome.error = String(error);
    }
    document.getElementById("outcome").textContent = JSON.stringify(outcome);
    await fetch("/release");
});
"""


def application(folder: Path) -> http.Router:
    app = http.Router(middleware=[http.compress])
    app.mount("/site", http.Folder(folder))
    done = asyncio.Event()

    @app.get("/json")
    def numbers(request: http.Request) -> http.Response:
        accepted = "gzip" in request.headers.get("accept-encoding", "")
        value = {"numbers": list(range(int(request.query_params["n"]))), "pad": "x" * 3000}
        return http.Response.json(value, headers={"x-coding": str(accepted)})

    @app.post("/form")
    async def form(request: http.Request) -> dict[str, Any]:
        async with await request.form() as given:
            file = given.files["file"]
            text = await file.read()
            return {
                "title": given["title"],
                "file": [file.name, file.content_type, file.size, text == b"0123456789" * 20000],
            }

    async def counting(first: int) -> AsyncIterator[http.Event]:
        for number in range(first, 3):
            yield http.Event(f"line {number}\nmore", event="count", id=str(number))
        await done.wait()

    @app.get("/events")
    def events(request: http.Request) -> http.Response:
        last = request.headers.get("last-event-id")
        return http.EventStream(counting(0 if last is None else int(last) + 1))

    @app.get("/hold")
    async def hold(_request: http.Request) -> http.Response:
        await done.wait()
        return http.Response(status=204)

    @app.get("/release")
    def release(_request: http.Request) -> http.Response:
        done.set()
        return http.Response(status=204)

    return app


def test_a_browser_shows_what_it_has_got(peer: Peers, tmp_path: Path) -> None:
    chromium = peer("chromium")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(PAGE)
    (site / "style.css").write_text(STYLE)
    (site / "script.js").write_text(SCRIPT)
    (site / "large.bin").write_text("0123456789" * 10_000)

    async def scenario(server: http.Server) -> None:
        command = [
            str(chromium),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            server.urls[0] + "/site/",
        ]
        run = asyncio.to_thread(
            subprocess.run, command, capture_output=True, text=True, timeout=100, check=True
        )
        dumped = (await run).stdout
        shown = re.search(r'<pre id="outcome">(.*?)</pre>', dumped, re.DOTALL)
        assert shown is not None, dumped
        assert json.loads(html.unescape(shown[1])) == {
            "json": {"numbers": list(range(20)), "pad": "x" * 3000},
            "coding": "True",
            "form": {
                "title": "k\u00e4se & co",
                "file": ["t\u00e4st.txt", "text/plain", 200_000, True],
            },
            "events": [[str(number), f"line {number}\nmore"] for number in range(3)],
            "part": [206, "0123456789"],
            "missing": 404,
            "margin": "17px",
        }

    assert with_server(application(site), scenario, within=120) == []
