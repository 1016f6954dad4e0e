"""Folders of files: what is there, what is not, and that nobody gets out."""

import asyncio
import gzip
import os
import subprocess
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.descriptors import open_descriptors
from tests.unit.http.talking import Answer, Peer, connected, with_peer, with_server

from sennit import errors, http

LARGE = bytes(range(256)) * 400  # 100 KB: not kept in memory


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "public"
    (root / "sub" / "deep").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".well-known").mkdir()
    (root / "index.html").write_text("<p>index")
    (root / "sub" / "index.html").write_text("<p>sub")
    (root / "sub" / "a b\u00e9.txt").write_text("spaced")
    (root / "style.css").write_text("p {}")
    (root / "large.bin").write_bytes(LARGE)
    (root / ".env").write_text("secret")
    (root / ".well-known" / "x.txt").write_text("known")
    (tmp_path / "outside.txt").write_text("outside")
    (root / "link.txt").symlink_to(tmp_path / "outside.txt")
    (root / "up").symlink_to(tmp_path)
    os.mkfifo(root / "pipe")
    return root


async def get(peer: Peer, path: str, *lines: str, method: str = "GET") -> Answer:
    head = "\r\n".join((f"{method} {path} HTTP/1.1", "Host: h", *lines, "", ""))
    peer.send(head.encode("latin-1"))
    return await peer.answer(to_head=method == "HEAD")


def with_folder(
    folder: Path, scenario: Callable[[Peer], Awaitable[Any]], **settings: Any
) -> list[dict[str, Any]]:
    return with_peer(http.Folder(folder, **settings), lambda peer, _server: scenario(peer))


@pytest.mark.parametrize(
    ("path", "body", "content_type"),
    [
        ("/", b"<p>index", "text/html; charset=utf-8"),
        ("/index.html", b"<p>index", "text/html; charset=utf-8"),
        ("/style.css?v=1", b"p {}", "text/css; charset=utf-8"),
        ("/sub/", b"<p>sub", "text/html; charset=utf-8"),
        ("/sub/a%20b%C3%A9.txt", b"spaced", "text/plain; charset=utf-8"),
        ("/%73tyle.css", b"p {}", "text/css; charset=utf-8"),
        ("/large.bin", LARGE, "application/octet-stream"),
        ("/.well-known/x.txt", b"known", "text/plain; charset=utf-8"),
    ],
)
def test_what_is_there(folder: Path, path: str, body: bytes, content_type: str) -> None:
    async def scenario(peer: Peer) -> None:
        for _ in range(3):
            answer = await get(peer, path)
            assert (answer.status, answer.body) == (200, body)
            assert answer.headers["content-type"] == content_type
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert answer.headers["accept-ranges"] == "bytes"
        head = await get(peer, path, method="HEAD")
        assert head.headers["content-length"] == str(len(body))

    assert with_folder(folder, scenario) == []


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/nothing/at/all",
        "/style.css/",
        "/style.css/x",
        "/empty/",
        "/../outside.txt",
        "/sub/../../outside.txt",
        "/sub/../style.css",
        "/%2e%2e/outside.txt",
        "/%2E%2E%2Foutside.txt",
        "/..%2foutside.txt",
        "/..%5coutside.txt",
        "/%c0%ae%c0%ae/outside.txt",
        "/./style.css",
        "//style.css",
        "/sub//index.html",
        "/style.css%00.html",
        "/%00",
        "/link.txt",
        "/up/outside.txt",
        "/pipe",
        "/.env",
        "/sub/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "//etc/passwd",
        "/" + "sub/../" * 100 + "style.css",
        "/" + "x" * 300,
        "/%ff",
    ],
)
def test_what_is_not(folder: Path, path: str) -> None:
    async def scenario(peer: Peer) -> None:
        answer = await get(peer, path)
        assert (answer.status, answer.body) == (404, b"404 Not Found\n")

    assert with_folder(folder, scenario) == []


def test_choices(folder: Path) -> None:
    async def scenario(peer: Peer) -> None:
        assert (await get(peer, "/.env")).body == b"secret"
        assert (await get(peer, "/link.txt")).body == b"outside"
        assert (await get(peer, "/")).status == 404
        assert (await get(peer, "/sub/")).status == 404
        assert (await get(peer, "/style.css")).headers["cache-control"] == "max-age=60"

    settings = {"hidden": True, "follow_links": True, "index": None, "max_age": 60}
    assert with_folder(folder, scenario, **settings) == []


@pytest.mark.parametrize(
    ("path", "location"),
    [("/sub", "./sub/"), ("/sub/deep?a=b", "./deep/?a=b"), ("/%73ub", "./%73ub/")],
)
def test_a_folder_has_a_slash(folder: Path, path: str, location: str) -> None:
    async def scenario(peer: Peer) -> None:
        answer = await get(peer, path)
        assert (answer.status, answer.headers["location"]) == (308, location)

    assert with_folder(folder, scenario) == []


def test_other_methods_are_refused(folder: Path) -> None:
    async def scenario(peer: Peer) -> None:
        answer = await get(peer, "/", method="DELETE")
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS")
        answer = await get(peer, "/", method="OPTIONS")
        assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, OPTIONS")

    assert with_folder(folder, scenario) == []


@pytest.mark.parametrize("path", ["/style.css", "/large.bin"])
def test_conditions_and_ranges(folder: Path, path: str) -> None:
    content = (folder / path[1:]).read_bytes()

    async def scenario(peer: Peer) -> None:
        whole = await get(peer, path)
        etag, modified = whole.headers["etag"], whole.headers["last-modified"]
        for line in (f"If-None-Match: {etag}", f"If-Modified-Since: {modified}"):
            answer = await get(peer, path, line)
            assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", etag)
        assert (await get(peer, path, 'If-Match: "other"')).status == 412
        part = await get(peer, path, "Range: bytes=1-2")
        assert (part.status, part.body) == (206, content[1:3])
        assert part.headers["content-range"] == f"bytes 1-2/{len(content)}"
        tail = await get(peer, path, "Range: bytes=-2", f"If-Range: {etag}")
        assert (tail.status, tail.body) == (206, content[-2:])
        old = await get(peer, path, "Range: bytes=-2", 'If-Range: "old"')
        assert (old.status, old.body) == (200, content)
        outside = await get(peer, path, "Range: bytes=1000000-")
        assert outside.status == 416
        assert outside.headers["content-range"] == f"bytes */{len(content)}"
        ignored = await get(peer, path, "Range: bytes=0-0", method="HEAD")
        assert (ignored.status, ignored.headers["content-length"]) == (200, str(len(content)))
        peer.send(f"GET {path} HTTP/1.1\r\nHost: h\r\nRange: bytes=0-0,2-3\r\n\r\n".encode())
        headers, body, _ = await peer.in_chunks()
        boundary = headers["content-type"].partition("boundary=")[2].encode()
        parts = body.split(b"--" + boundary)
        assert [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]] == [
            content[:1] + b"\r\n",
            content[2:4] + b"\r\n",
        ]
        assert b"content-range: bytes 2-3/" in parts[2]
        assert parts[-1] == b"--\r\n"

    assert with_folder(folder, scenario) == []


def test_compressed_neighbours(folder: Path) -> None:
    css = folder / "style.css"
    packed = gzip.compress(b"p {}")
    (folder / "style.css.gz").write_bytes(packed)
    (folder / "style.css.br").write_bytes(b"brotli")

    async def scenario(peer: Peer) -> None:
        plain = await get(peer, "/style.css")
        assert (plain.body, plain.headers["vary"]) == (b"p {}", "accept-encoding")
        zipped = await get(peer, "/style.css", "Accept-Encoding: gzip, deflate")
        assert zipped.body == packed
        assert zipped.headers["content-encoding"] == "gzip"
        assert zipped.headers["content-type"] == "text/css; charset=utf-8"
        assert zipped.headers["vary"] == "accept-encoding"
        assert zipped.headers["etag"] != plain.headers["etag"]
        best = await get(peer, "/style.css", "Accept-Encoding: gzip, br")
        assert best.headers["content-encoding"] == "br"
        none = await get(peer, "/style.css", "Accept-Encoding: gzip;q=0, br; q=0.0")
        assert "content-encoding" not in none.headers
        same = await get(
            peer, "/style.css", "Accept-Encoding: gzip", f"If-None-Match: {zipped.headers['etag']}"
        )
        assert same.status == 304
        assert "vary" not in (await get(peer, "/index.html")).headers

    assert with_folder(folder, scenario) == []
    # One that is older than the file is not sent.
    later = css.stat().st_mtime + 10
    os.utime(css, (later, later))

    async def stale(peer: Peer) -> None:
        assert (await get(peer, "/style.css", "Accept-Encoding: gzip, br")).body == b"p {}"

    assert with_folder(folder, stale) == []


def test_a_file_that_changes_is_seen_after_a_second(folder: Path) -> None:
    async def scenario(peer: Peer) -> None:
        loop = asyncio.get_running_loop()
        before = await get(peer, "/style.css")
        (folder / "style.css").write_text("changed")
        os.utime(folder / "style.css", ns=(1, time.time_ns() + 5_000_000_000))
        assert (await get(peer, "/style.css")).body == b"p {}"
        handler._cache["style.css"].valid_until = loop.time() - 1
        after = await get(peer, "/style.css")
        assert (after.body, after.headers["etag"] != before.headers["etag"]) == (b"changed", True)
        (folder / "style.css").unlink()
        handler._cache["style.css"].valid_until = loop.time() - 1
        assert (await get(peer, "/style.css")).status == 404
        assert (handler._cache, handler._held) == ({}, 0)

    handler = http.Folder(folder)
    assert with_peer(handler, lambda peer, _server: scenario(peer)) == []


def test_so_many_files_are_held_open_and_no_more(folder: Path) -> None:
    for number in range(50):
        (folder / f"{number}.bin").write_bytes(LARGE)

    async def scenario(peer: Peer) -> None:
        before = open_descriptors()
        for number in range(50):
            assert (await get(peer, f"/{number}.bin")).body == LARGE
        assert open_descriptors() <= before + 5
        assert (await get(peer, "/0.bin")).body == LARGE

    assert with_folder(folder, scenario, cache_size=5) == []


def test_no_spelling_of_a_request_makes_another_copy(folder: Path) -> None:
    (folder / "large.bin.gz").write_bytes(LARGE)

    async def scenario(peer: Peer) -> None:
        before = open_descriptors()
        for number in range(300):
            for accept in (f"x{number}", f"gzip, x{number}"):
                assert (await get(peer, "/large.bin", f"Accept-Encoding: {accept}")).body == LARGE
        for path in ("/%6carge.bin", "/l%61rge.bin", "/%6C%61rge.bin"):
            assert (await get(peer, path)).body == LARGE
        # One as it is, one compressed.
        assert open_descriptors() <= before + 2

    assert with_folder(folder, scenario) == []


def test_neighbours_count_as_files(folder: Path) -> None:
    for suffix in (".gz", ".br", ".zst"):
        (folder / f"large.bin{suffix}").write_bytes(LARGE)

    async def scenario(peer: Peer) -> None:
        before = open_descriptors()
        for accept in ("identity", "gzip", "br", "zstd", "gzip", "identity"):
            answer = await get(peer, "/large.bin", f"Accept-Encoding: {accept}")
            assert answer.headers.get("content-encoding", "identity") == accept
            assert open_descriptors() <= before + 2

    assert with_folder(folder, scenario, cache_size=2) == []


def test_a_hundred_clients_get_one_file(folder: Path) -> None:
    async def scenario(server: http.Server) -> None:
        async def one() -> bytes:
            async with connected(server) as peer:
                return (await get(peer, "/large.bin")).body

        assert await asyncio.gather(*(one() for _ in range(100))) == [LARGE] * 100

    assert with_server(http.Folder(folder), scenario) == []


def test_curl_continues_a_download(folder: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy"
    target.write_bytes(LARGE[:12_345])

    async def scenario(server: http.Server) -> None:
        command = ["curl", "-sSf", "-C", "-", "-o", str(target), server.urls[0] + "/large.bin"]
        await asyncio.to_thread(subprocess.run, command, check=True, timeout=30)

    assert with_server(http.Folder(folder), scenario) == []
    assert target.read_bytes() == LARGE


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError, match="cannot be served: No such file"):
        http.Folder(tmp_path / "nothing")
    with pytest.raises(errors.ConfigError, match="cache_size is 0"):
        http.Folder(tmp_path, cache_size=0)
    with pytest.raises(errors.ConfigError, match="max_age is -1"):
        http.Folder(tmp_path, max_age=-1)


def test_one_file(folder: Path) -> None:
    def handler(request: http.Request) -> http.Response:
        return http.file_response(
            request, folder / "large.bin", download_as="k\u00e4se.bin", max_age=5
        )

    async def scenario(peer: Peer) -> None:
        answer = await get(peer, "/any", "Range: bytes=0-9")
        assert (answer.status, answer.body) == (206, LARGE[:10])
        assert answer.headers["content-disposition"] == "attachment; filename*=UTF-8''k%C3%A4se.bin"
        assert answer.headers["cache-control"] == "max-age=5"

    assert with_peer(handler, lambda peer, _server: scenario(peer)) == []


def test_what_is_no_file_cannot_be_sent(folder: Path) -> None:
    seen: list[str] = []

    def handler(request: http.Request) -> str:
        for name, kind in (("pipe", ValueError), ("sub", ValueError), ("none", FileNotFoundError)):
            with pytest.raises(kind) as info:
                http.file_response(request, folder / name)
            seen.append(str(info.value))
        return "ok"

    async def scenario(peer: Peer) -> None:
        assert (await get(peer, "/")).body == b"ok"

    assert with_peer(handler, lambda peer, _server: scenario(peer)) == []
    assert "is no regular file" in seen[0]
    assert "is no regular file" in seen[1]
