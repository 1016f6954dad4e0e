"""`sennit fetch`: many requests, concurrently."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sennit.cli.arguments import FAILED, UsageError, positive_integer, positive_seconds
from sennit.cli.downloads import Folder, Summary, fetch_all
from sennit.lab.allowance import SPARE_DESCRIPTORS, raise_descriptor_limit
from sennit.lab.progress import Bar
from sennit.lab.table import format_bytes
from sennit.reactor import run as run_on_reactor

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Callable

__all__ = ["add_arguments", "run"]

_EPILOG = """
An answer of any status is an answer; a request has failed if there was none in time, if it broke
the rules of HTTP, or if its body could not be saved. The exit status is 1 if any has failed.

examples:
  sennit fetch http://127.0.0.1:8080/
  sennit fetch http://127.0.0.1:8080/ --repeat 10000 --concurrency 500
  sennit fetch --input urls.txt --output pages --timeout 10
  grep -o 'http://[^"]*' page.html | sennit fetch --input -
"""


def add_arguments(parser: ArgumentParser) -> None:
    """Say what the command takes."""
    parser.description = "Make many requests at once and say what became of them."
    parser.epilog = _EPILOG
    parser.set_defaults(run=run)
    add = parser.add_argument
    add("urls", nargs="*", metavar="URL", help="what to get")
    add("--input", metavar="FILE", help="more URLs, one a line; - for standard input")
    add("--repeat", type=positive_integer, default=1, metavar="N",
        help="get each URL so often (default: 1)")  # fmt: skip
    add("--concurrency", type=positive_integer, default=64, metavar="N",
        help="so many requests at once (default: 64)")  # fmt: skip
    add("--timeout", type=positive_seconds, default=30.0, metavar="SECONDS",
        help="that a request may take in all (default: 30)")  # fmt: skip
    add("--output", type=Path, metavar="FOLDER",
        help="write each body into a file of its own; none is written over")  # fmt: skip


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _read_urls(options: Namespace) -> list[str]:
    urls = list(options.urls)
    if options.input is not None:
        try:
            text = sys.stdin.read() if options.input == "-" else Path(options.input).read_text()
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {options.input}: {error}") from error
        lines = map(str.strip, text.splitlines())
        urls += [line for line in lines if line and not line.startswith("#")]
    if not urls:
        raise UsageError("no URL is given (see sennit fetch --help)")
    for url in urls:
        if not _is_http(url):
            raise UsageError(f"{url} is no HTTP URL, as in http://127.0.0.1:8080/")
    return urls


def _check_concurrency(concurrency: int, descriptors: int) -> None:
    most = descriptors - SPARE_DESCRIPTORS
    if concurrency > most:
        raise UsageError(
            f"{concurrency:,} requests at once need {concurrency + SPARE_DESCRIPTORS:,} file "
            f"descriptors, this process may open {descriptors:,}: ask for at most {most:,} "
            f"(--concurrency {most}) or raise the hard limit (ulimit -Hn)"
        )


def _open_folder(path: Path | None) -> Folder | None:
    if path is None:
        return None
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {path}: {error.strerror}") from error
    return Folder(path)


def render_summary(summary: Summary) -> str:
    """The summary as lines of text."""
    answered = summary.statuses.total()
    rate = answered / summary.wall_s if summary.wall_s else 0.0
    size = format_bytes(summary.size)
    lines = [f"{answered:,} answered, {size} in {summary.wall_s:.2f} s, {rate:,.0f} requests/s"]
    lines += [f"  {status}: {n:,}" for status, n in sorted((+summary.statuses).items())]
    if summary.failures:
        lines.append(f"{summary.failures.total():,} failed")
        for step, count in summary.failures.most_common():
            lines.append(f"  {step}: {count:,}; the first: {summary.reasons[step]}")
    return "\n".join(lines) + "\n"


def _ticker(bar: Bar) -> Callable[[Summary], None]:
    def tick(summary: Summary) -> None:
        failed = summary.failures.total()
        bar.draw(summary.done, f"{failed:,} failed" if failed else "")

    return tick


def run(options: Namespace) -> int:
    """Fetch, and say what became of it."""
    urls = _read_urls(options)
    _check_concurrency(options.concurrency, raise_descriptor_limit())
    bar = Bar(sys.stderr, len(urls) * options.repeat)
    fetching = fetch_all(
        urls,
        repeat=options.repeat,
        concurrency=options.concurrency,
        timeout=options.timeout,
        folder=_open_folder(options.output),
        tick=_ticker(bar),
    )
    try:
        summary = run_on_reactor(fetching)
    finally:
        bar.clear()
    print(render_summary(summary), end="")
    return FAILED if summary.failures else 0
