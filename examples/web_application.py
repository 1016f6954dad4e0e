"""A web application: notes over JSON, a page, uploads, and what happens as it happens.

python examples/web_application.py http://127.0.0.1:8080
curl -s 127.0.0.1:8080/notes -H 'content-type: application/json' -d '{"text": "buy milk"}'
"""

import asyncio
import itertools
import logging
import sys
from collections.abc import AsyncIterator

from sennit import http

PAGE = """<!doctype html><title>Notes</title><h1>Notes</h1><script>
new EventSource("/events").onmessage = (event) => document.body.append(event.data, " - ");
</script>"""

notes: dict[int, str] = {}
changed = asyncio.Condition()
api = http.Router()
app = http.Router(middleware=[http.log_requests, http.compress])
app.mount("/notes", api)


@app.get("/")
def page(_: http.Request) -> http.Response:
    """What a browser sees."""
    return http.Response(PAGE, content_type="text/html; charset=utf-8")


@api.get("/{id:int}")
def show(request: http.Request) -> dict[str, str]:
    """One note."""
    return {"text": notes[int(request.path_params["id"])]}


@api.post("")
async def create(request: http.Request) -> http.Response:
    """A new note; whoever watches hears of it."""
    note = await request.json()
    if not isinstance(note, dict) or not isinstance(note.get("text"), str):
        return http.Response.json({"error": 'send {"text": "..."}'}, 422)
    async with changed:
        number = len(notes) + 1
        notes[number] = note["text"]
        changed.notify_all()
    return http.Response.json({"id": number}, 201, headers={"location": f"/notes/{number}"})


@api.on_error(KeyError)
def missing(_: http.Request, error: KeyError) -> http.Response:
    """The answer where a handler has not found a note."""
    return http.Response.json({"error": f"there is no note {error}"}, 404)


@app.post("/upload")
async def upload(request: http.Request) -> dict[str, list[object]]:
    """A form with files, which lie on disk if they are large."""
    async with await request.form() as form:
        return {name: [file.name, file.size] for name, file in form.files.items()}


@app.get("/events")
def events(_: http.Request) -> http.Response:
    """Each note as it comes, those that are there first."""
    return http.EventStream(watch())


async def watch() -> AsyncIterator[str]:
    """The notes, and then those that come."""
    for number in itertools.count(1):
        async with changed:
            await changed.wait_for(lambda number=number: number in notes)
        yield notes[number]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    http.serve(app, *(sys.argv[1:] or ["http://127.0.0.1:8080"]), grace=1)
