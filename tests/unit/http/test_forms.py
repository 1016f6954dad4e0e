"""Forms: fields and files, however they are cut, from browsers, curl and those who mean no good."""

import asyncio
import gc
import io
import subprocess
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.http.talking import Peer, connected, post, with_peer, with_server

from sennit import errors, http

MULTIPART = "multipart/form-data; boundary=XX"
BODY = (
    b'--XX\r\ncontent-disposition: form-data; name="a"\r\n\r\none\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="a"\r\n\r\ntw\xc3\xb6 --XX\r\n--X\r\n\r\n'
    b'--XX\r\nContent-Disposition: form-data; name="f"; filename="x.png"\r\n'
    b"Content-Type: image/png\r\nX-Other: y\r\n\r\n\x00\x01\r\n--XY\r\n"
    b'--XX\r\nContent-Disposition: form-data; name="empty"; filename=""\r\n\r\n\r\n'
    b"--XX--\r\n"
)


async def pieces(body: bytes, size: int) -> AsyncIterator[bytes]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def read(
    body: bytes, content_type: str = MULTIPART, size: int = 1 << 20, **limits: int
) -> http.Form:
    return await http.read_form(
        http.Headers({"content-type": content_type}), pieces(body, size), **limits
    )


def part(content: bytes, disposition: str = 'form-data; name="a"') -> bytes:
    return f"--XX\r\nContent-Disposition: {disposition}\r\n\r\n".encode() + content + b"\r\n"


async def shown(form: http.Form) -> Any:
    files = [
        (name, file.name, file.content_type, file.size, await file.read())
        for name, file in form._files
    ]
    return form.pairs(), files


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 1000])
def test_any_cut_gives_the_same_form(size: int) -> None:
    async def main() -> None:
        async with await read(BODY, size=size) as form:
            assert await shown(form) == (
                [("a", "one"), ("a", "tw\u00f6 --XX\r\n--X\r\n")],
                [
                    ("f", "x.png", "image/png", 8, b"\x00\x01\r\n--XY"),
                    ("empty", "", "", 0, b""),
                ],
            )
            assert form["a"] == "one"
            assert form.get_all("a")[1].startswith("tw")
            assert (list(form), len(form), "b" in form) == (["a"], 1, False)
            assert form.files["f"].headers["x-other"] == "y"
            assert form.get_files("nothing") == []

    asyncio.run(main())


@given(
    st.lists(st.tuples(st.text(max_size=10), st.text(max_size=30)), max_size=5), st.integers(1, 40)
)
def test_urlencoded_is_what_the_standard_library_writes(
    fields: list[tuple[str, str]], size: int
) -> None:
    from urllib.parse import urlencode  # noqa: PLC0415 - the peer of this test

    fields = [(name, value) for name, value in fields if _is_text(name + value)]
    body = urlencode(fields).encode()
    form = asyncio.run(read(body, "application/x-www-form-urlencoded", size))
    assert form.pairs() == fields


def _is_text(text: str) -> bool:
    return not any(0xD800 <= ord(character) < 0xE000 for character in text)


def test_a_value_that_is_no_utf_8_is_replaced() -> None:
    form = asyncio.run(read(b"a=%ff&b=\xff&c", "application/x-www-form-urlencoded"))
    assert form.pairs() == [("a", "\ufffd"), ("b", "\ufffd"), ("c", "")]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "malformed"),
        (BODY[:-4], "malformed"),
        (BODY[:100], "malformed"),
        (b"nothing at all, and long enough to see it", "malformed"),
        (b"--XX\r\n\r\nx\r\n--XX--\r\n", "malformed"),
        (b"--XX\r\nno colon\r\n\r\nx\r\n--XX--\r\n", "malformed"),
        (part(b"x", "form-data"), "malformed"),
    ],
)
def test_what_is_malformed_is_a_400(body: bytes, words: str) -> None:
    with pytest.raises(errors.RemoteProtocolError, match=words) as info:
        asyncio.run(read(body))
    assert info.value.hint == 400


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("text/plain", 415),
        ("", 415),
        ("multipart/form-data", 400),
        ("multipart/mixed; boundary=x", 415),
    ],
)
def test_what_is_no_form(content_type: str, status: int) -> None:
    with pytest.raises(errors.RemoteProtocolError) as info:
        asyncio.run(read(BODY, content_type))
    assert info.value.hint == status


MANY = part(b"x") * 11 + b"--XX--\r\n"
FILES = part(b"x", 'form-data; name="a"; filename="b"') * 11 + b"--XX--\r\n"


@pytest.mark.parametrize(
    ("body", "content_type", "limits", "name"),
    [
        (MANY, MULTIPART, {"max_fields": 10}, "max_fields"),
        (FILES, MULTIPART, {"max_files": 10}, "max_files"),
        (part(b"x" * 101), MULTIPART, {"max_memory": 100}, "max_memory"),
        (MANY, MULTIPART, {"max_memory": 400}, "max_memory"),
        (FILES, MULTIPART, {"max_memory": 500}, "max_memory"),
        (MANY, MULTIPART, {"max_form_size": 200}, "max_form_size"),
        (b"a=1&" * 11, "application/x-www-form-urlencoded", {"max_fields": 10}, "max_fields"),
        (
            b"a=" + b"x" * 11,
            "application/x-www-form-urlencoded",
            {"max_memory": 10},
            "max_memory",
        ),
        (
            b"a=b",
            "application/x-www-form-urlencoded",
            {"max_form_size": 2},
            "max_form_size",
        ),
        (b"--XX\r\n" + b"A: b\r\n" * 100, MULTIPART, {}, "limit"),
        (b"--XX\r\nA: " + b"b" * 100_000, MULTIPART, {}, "limit"),
    ],
)
def test_each_limit_holds_and_is_named(
    body: bytes, content_type: str, limits: dict[str, int], name: str
) -> None:
    with pytest.raises(errors.RemoteProtocolError, match=name) as info:
        asyncio.run(read(body, content_type, size=20, **limits))
    assert info.value.hint == 413


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_what_stands_behind_the_last_boundary_is_nobody_s(size: int) -> None:
    assert len(asyncio.run(read(BODY + b"more\r\n--XX\r\n", size=size)).get_all("a")) == 2


def test_a_limit_that_makes_no_sense() -> None:
    with pytest.raises(errors.ConfigError, match="max_field is 1; limits are ints"):
        asyncio.run(read(BODY, max_field=1))
    with pytest.raises(errors.ConfigError, match="max_files is -1"):
        asyncio.run(read(BODY, max_files=-1))


def test_names_of_files_are_kept_and_not_believed(tmp_path: Path) -> None:
    async def main() -> None:
        name = 'form-data; name="f"; filename="../../etc/pass%22wd \u00e4.txt"'
        async with await read(part(b"hello", name) + b"--XX--\r\n") as form:
            file = form.files["f"]
            assert file.name.endswith("\u00e4.txt")
            await file.save(tmp_path / "saved")
            assert (tmp_path / "saved").read_bytes() == b"hello"
            with pytest.raises(FileExistsError):
                await file.save(tmp_path / "saved")
        with pytest.raises(ValueError, match="closed"):
            file.file.read()

    asyncio.run(main())


def test_a_large_file_is_on_disk_and_goes_with_the_form() -> None:
    size = 64 << 20

    async def stream() -> AsyncIterator[bytes]:
        head, block = part(b"", 'form-data; name="f"; filename="big"')[:-2], b"x" * (1 << 16)
        yield head
        for _ in range(size >> 16):
            yield block
        yield b"\r\n--XX--\r\n"

    def deleted_files() -> int:
        links = (path for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
        return sum("(deleted)" in str(path.readlink()) for path in links)

    async def main() -> None:
        before = deleted_files()
        tracemalloc.start()
        headers = http.Headers({"content-type": MULTIPART})
        form = await http.read_form(headers, stream(), max_form_size=2 * size)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 << 20
        assert form.files["f"].size == size
        assert deleted_files() == before + 1
        assert await form.files["f"].read(3) == b"xxx"
        form.close()
        gc.collect()
        assert deleted_files() == before

    asyncio.run(main())


def test_fields_by_the_hundred_cost_no_more_memory_than_is_allowed() -> None:
    field = part(b"x" * 100_000)

    async def stream() -> AsyncIterator[bytes]:
        for _ in range(900):
            yield field
        yield b"--XX--\r\n"

    async def main() -> None:
        headers = http.Headers({"content-type": MULTIPART})
        tracemalloc.start()
        with pytest.raises(errors.RemoteProtocolError, match=r"fields .* 1,048,576 \(max_memory"):
            await http.read_form(headers, stream(), max_form_size=100 << 20)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 4 << 20

    asyncio.run(main())


def test_small_files_go_to_disk_when_the_memory_is_used_up() -> None:
    files = part(b"x" * 1000, 'form-data; name="f"; filename="small"') * 10

    async def main() -> None:
        async with await read(files + b"--XX--\r\n", size=100, max_memory=5000) as form:
            found = form.get_files("f")
            assert [await file.read() for file in found] == [b"x" * 1000] * 10
            in_memory = [isinstance(file.file, io.BytesIO) for file in found]
            assert in_memory.count(True) == 4
        async with await read(files + b"--XX--\r\n", max_file_memory=999) as form:
            assert not any(isinstance(file.file, io.BytesIO) for file in form.get_files("f"))

    asyncio.run(main())


def test_a_form_is_a_body_and_has_its_limit_unless_it_says_otherwise() -> None:
    async def handler(request: http.Request) -> str:
        limits = {} if request.path == "/" else {"max_form_size": 5000, "max_files": 1}
        async with await request.form(**limits) as form:
            return str(form.files["f"].size)

    async def scenario(server: http.Server) -> None:
        async def ask(size: int, path: str = "/", count: int = 1) -> Any:
            body = part(b"x" * size, 'form-data; name="f"; filename="x"') * count + b"--XX--\r\n"
            async with connected(server) as peer:
                return await peer.ask(post(body, f"Content-Type: {MULTIPART}", path=path))

        assert (await ask(500)).body == b"500"
        assert (await ask(2000)).status == 413
        assert (await ask(2000, "/more")).body == b"2000"
        assert (await ask(6000, "/more")).status == 413
        assert (await ask(10, "/more", 2)).status == 413
        assert server.statistics()["bodies_too_large"] == 3

    assert with_server(handler, scenario, max_body_size=1000) == []


def test_limits_of_a_form_have_names() -> None:
    async def handler(request: http.Request) -> str:
        with pytest.raises(errors.ConfigError, match="max_size is 1; limits are ints"):
            await request.form(max_size=1)
        with pytest.raises(TypeError, match="positional"):
            request.form(1)  # type: ignore[call-arg]
        return "told"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b""))).body == b"told"

    assert with_peer(handler, scenario) == []


def test_ten_thousand_tiny_parts() -> None:
    form = asyncio.run(read(part(b"x") * 10_000 + b"--XX--\r\n", max_fields=20_000))
    assert len(form.get_all("a")) == 10_000


def test_curl_sends_a_form(tmp_path: Path) -> None:
    upload = tmp_path / "up load.bin"
    upload.write_bytes(bytes(range(256)) * 2000)

    async def handler(request: http.Request) -> dict[str, Any]:
        async with await request.form() as form:
            files = {name: [file.name, file.size] for name, file in form.files.items()}
            return {"fields": form.pairs(), "files": files}

    async def scenario(server: http.Server) -> None:
        async def curl(*arguments: str) -> str:
            command = ["curl", "-sS", *arguments, server.urls[0] + "/"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, check=True, timeout=30
            )
            return done.stdout.decode()

        text = await curl("-F", "a=b", "-F", "c=d\u00e4", "-F", f"f=@{upload}")
        assert text == '{"fields":[["a","b"],["c","d\u00e4"]],"files":{"f":["up load.bin",512000]}}'
        text = await curl("--data-urlencode", "a=b c&d", "-d", "e=f")
        assert text == '{"fields":[["a","b c&d"],["e","f"]],"files":{}}'

    assert with_server(handler, scenario) == []


def test_a_bad_form_is_answered_without_the_handler_s_help() -> None:
    async def handler(request: http.Request) -> str:
        await request.form()
        return "never"

    async def scenario(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(b"x", "Content-Type: text/plain"))).status == 415

    async def malformed(peer: Peer, _server: http.Server) -> None:
        assert (await peer.ask(post(BODY[:-4], f"Content-Type: {MULTIPART}"))).status == 400

    assert with_peer(handler, scenario) == []
    assert with_peer(handler, malformed) == []
