"""Many requests, a few at a time: what `sennit fetch` does once its arguments are understood."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sennit.errors import (
    ConnectionLostError,
    DeadlineError,
    LocalProtocolError,
    OverloadedError,
    RemoteProtocolError,
    SennitError,
)
from sennit.http import Client

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

__all__ = ["Folder", "Summary", "fetch_all", "file_name", "step_of"]

# A file system takes 255 bytes; a number that keeps two names apart must fit as well.
_LONGEST_NAME = 180

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")

# The first that fits says at which step a request has failed; the last ones are bases of others.
_STEPS: tuple[tuple[type[BaseException], str], ...] = (
    (DeadlineError, "timeout"),
    (TimeoutError, "timeout"),
    (LocalProtocolError, "request"),
    (RemoteProtocolError, "answer"),
    (ConnectionLostError, "connection lost"),
    (OverloadedError, "limit"),
    (OSError, "connect"),
    (ValueError, "request"),
    (NotImplementedError, "request"),
)


def step_of(error: BaseException) -> str:
    """At which step of a request an error has ended it."""
    for kind, step in _STEPS:
        if isinstance(error, kind):
            return step
    return type(error).__name__


def file_name(url: str) -> str:
    """A name for the body of a URL: no folder in it, not hidden, and short enough."""
    parts = urlsplit(url)
    path = f"{parts.path}?{parts.query}" if parts.query else parts.path
    name = _UNSAFE.sub("_", f"{parts.netloc}{path}").strip("._")
    return name[:_LONGEST_NAME] or "body"


class Folder:
    """A folder of bodies, each in a new file: nothing that is there is ever written over.

    Args:
        path: The folder; it must exist.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._taken: Counter[str] = Counter()

    def save(self, url: str, body: bytes) -> Path:
        """Write a body to a file of its own.

        Raises:
            OSError: It could not be written.
        """
        name = file_name(url)
        while True:
            self._taken[name] += 1
            number = self._taken[name]
            path = self._path / (name if number == 1 else f"{name}-{number}")
            try:
                with path.open("xb") as file:
                    file.write(body)
            except FileExistsError:
                continue
            return path


@dataclass
class Summary:
    """What became of the requests.

    Attributes:
        statuses: How many were answered with each status.
        failures: How many have failed at each step.
        reasons: The first error of each step.
        size: Bytes of all bodies.
        wall_s: Seconds from the first request to the last answer.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    reasons: dict[str, str] = field(default_factory=dict)
    size: int = 0
    wall_s: float = 0.0

    @property
    def done(self) -> int:
        """Requests that have ended, one way or the other."""
        return self.statuses.total() + self.failures.total()

    def failed(self, step: str, url: str, error: BaseException) -> None:
        """Count a failure."""
        self.failures[step] += 1
        self.reasons.setdefault(step, f"{url}: {str(error) or type(error).__name__}")


class _Fetching:
    """Everything that the tasks of one `fetch_all` share."""

    def __init__(
        self, urls: Iterator[str], folder: Folder | None, tick: Callable[[Summary], None]
    ) -> None:
        self.urls = urls
        self.folder = folder
        self.tick = tick
        self.summary = Summary()

    async def work(self, client: Client) -> None:
        """Fetch one URL after the other until none is left."""
        for url in self.urls:
            await self._fetch(client, url)
            self.tick(self.summary)

    async def _fetch(self, client: Client, url: str) -> None:
        try:
            response = await client.get(url)
            body = await response.body()
        except (SennitError, OSError, ValueError, NotImplementedError) as error:
            self.summary.failed(step_of(error), url, error)
            return
        self.summary.statuses[response.status] += 1
        self.summary.size += len(body)
        if self.folder is not None:
            try:
                await asyncio.to_thread(self.folder.save, url, body)
            except OSError as error:
                # It was answered, but what the user asked for is not there.
                self.summary.statuses[response.status] -= 1
                self.summary.failed("save", url, error)


async def fetch_all(
    urls: Sequence[str],
    *,
    repeat: int,
    concurrency: int,
    timeout: float,
    folder: Folder | None,
    tick: Callable[[Summary], None],
) -> Summary:
    """Fetch each URL, a few at a time.

    Args:
        urls: What to fetch.
        repeat: How often each.
        concurrency: How many requests at once.
        timeout: Seconds that a request may take in all.
        folder: Where to write the bodies; None: they are read and dropped.
        tick: Called after each request.
    """
    rounds = (url for _ in range(repeat) for url in urls)
    fetching = _Fetching(rounds, folder, tick)
    begun = time.monotonic()
    async with Client(
        max_connections=concurrency,
        max_connections_per_origin=concurrency,
        total_timeout=timeout,
    ) as client:
        workers = min(concurrency, len(urls) * repeat)
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(fetching.work(client))
    fetching.summary.wall_s = time.monotonic() - begun
    return fetching.summary
