"""Bodies of forms: what is written, that others can read it, and that files stay on the disk."""

import email.parser
import email.policy
import io
import os
import tempfile
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.policy.forms import Multipart, guess_type, urlencoded
from sennit.http.policy.parts import CHUNK_SIZE


class Part(NamedTuple):
    """One part, as it arrives."""

    headers: dict[str, str]
    content: bytes


def parsed(body: bytes, boundary: str) -> list[Part]:
    """The parts of a body, read by nothing but the grammar of RFC 2046."""
    delimiter = b"\r\n--" + boundary.encode()
    # The first delimiter has no line end of its own before it.
    first, *sections, last = (b"\r\n" + body).split(delimiter)
    assert first == b""
    assert last == b"--\r\n"
    parts = []
    for section in sections:
        assert section.startswith(b"\r\n")
        head, _, content = section[2:].partition(b"\r\n\r\n")
        lines = [line.split(": ", 1) for line in head.decode().split("\r\n")]
        parts.append(Part(dict(lines), content))
    return parts


def parts_of(form: Multipart) -> list[Part]:
    return parsed(form.read(), form.content_type.partition("boundary=")[2])


class Pipe(io.RawIOBase):
    """A file that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._rest.readinto(buffer)


def test_a_plain_form() -> None:
    assert urlencoded({"a": ["1", "2"], "b": "x y"}) == b"a=1&a=2&b=x+y"


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.text())))
def test_a_plain_form_can_be_read(pairs: list[tuple[str, str]]) -> None:
    assert parse_qsl(urlencoded(pairs).decode("ascii"), keep_blank_values=True) == pairs


def test_a_body_to_the_byte() -> None:
    form = Multipart(
        {"text": "h\xe9", "number": 5, "file": ("a.txt", b"x\r\ny"), "raw": b"\x00"}, boundary="B"
    )
    assert form.content_type == "multipart/form-data; boundary=B"
    assert form.read() == (
        b'--B\r\nContent-Disposition: form-data; name="text"\r\n\r\nh\xc3\xa9\r\n'
        b'--B\r\nContent-Disposition: form-data; name="number"\r\n\r\n5\r\n'
        b'--B\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n'
        b"Content-Type: text/plain\r\n\r\nx\r\ny\r\n"
        b'--B\r\nContent-Disposition: form-data; name="raw"\r\n\r\n\x00\r\n'
        b"--B--\r\n"
    )
    assert form.length == len(form.read())


def test_a_form_without_fields() -> None:
    assert Multipart({}, boundary="B").read() == b"--B--\r\n"


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("plain", "plain"),
        ('a"b', "a%22b"),
        ("a\r\nb: c", "a%0D%0Ab: c"),
        ("a%22b", "a%22b"),
        ("a\\b", "a\\b"),
        ("\u20ac; x=\U0001f600", "\u20ac; x=\U0001f600"),
        ("\ud800", "\ufffd"),
        ("", ""),
    ],
)
def test_names_are_escaped_as_browsers_do(name: str, written: str) -> None:
    (part,) = parts_of(Multipart([(name, (name, b""))]))
    assert part.headers["Content-Disposition"] == (
        f'form-data; name="{written}"; filename="{written}"'
    )


def test_fields_may_repeat_and_keep_their_order() -> None:
    form = Multipart([("a", "1"), ("b", "2"), ("a", "3")])
    assert [part.content for part in parts_of(form)] == [b"1", b"2", b"3"]
    form = Multipart({"a": ["1", ("f", b"2")], "b": []})
    assert [part.content for part in parts_of(form)] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text\n", b"text\n"),
        ("", b""),
        ("\ud800", b"\xef\xbf\xbd"),
        (True, b"true"),
        (2.5, b"2.5"),
        (bytearray(b"x"), b"x"),
        (memoryview(b"abc")[1:], b"bc"),
        ((None, b"x"), b"x"),
    ],
)
def test_a_field(value: Any, content: bytes) -> None:
    (part,) = parts_of(Multipart({"a": value}))
    assert part == Part({"Content-Disposition": 'form-data; name="a"'}, content)


def test_a_field_with_a_type() -> None:
    (part,) = parts_of(Multipart({"a": (None, "{}", "application/json")}))
    assert part.headers["Content-Type"] == "application/json"
    assert "filename" not in part.headers["Content-Disposition"]


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("a.html", "text/html"),
        ("a.PNG", "image/png"),
        ("a.json", "application/json"),
        ("a.tar.gz", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("a.nobody-knows", "application/octet-stream"),
    ],
)
def test_a_type_is_guessed_by_the_name(name: str, content_type: str) -> None:
    assert guess_type(name) == content_type


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_bytes(b"<p>")
    with path.open("rb") as file:
        form = Multipart(
            {"path": path, "file": file, "named": ("x.png", path), "typed": ("y", file, "a/b")}
        )
        parts = parts_of(form)
    assert [part.content for part in parts] == [b"<p>"] * 4
    assert [part.headers["Content-Disposition"].partition("filename=")[2] for part in parts] == [
        '"page.html"',
        '"page.html"',
        '"x.png"',
        '"y"',
    ]
    types = [part.headers["Content-Type"] for part in parts]
    assert types == ["text/html", "text/html", "image/png", "a/b"]


@pytest.mark.parametrize("make", [io.BytesIO, Pipe, tempfile.SpooledTemporaryFile])
def test_a_file_without_a_name_has_one_all_the_same(make: Any) -> None:
    file = make() if make is tempfile.SpooledTemporaryFile else make(b"")
    with file:
        (part,) = parts_of(Multipart({"a": file}))
    assert part.headers["Content-Disposition"] == 'form-data; name="a"; filename="file"'


def test_an_open_file_goes_from_where_it_stands() -> None:
    file = io.BytesIO(b"0123456789")
    file.seek(4)
    form = Multipart({"a": file}, boundary="B")
    assert form.is_repeatable
    first = form.read()
    assert first == form.read()
    assert parsed(first, "B")[0].content == b"456789"
    assert form.length == len(first)
    assert not file.closed


def test_a_file_that_cannot_seek_has_no_length_and_goes_once() -> None:
    form = Multipart({"a": Pipe(b"x" * 100_000)}, boundary="B")
    assert (form.length, form.is_repeatable) == (None, False)
    assert parsed(form.read(), "B")[0].content == b"x" * 100_000
    with pytest.raises(LocalProtocolError, match="can be sent only once"):
        form.read()


def test_no_file_is_in_memory_whole(tmp_path: Path) -> None:
    path = tmp_path / "large"
    size = 1_000_000_000
    path.touch()
    os.truncate(path, size)
    form = Multipart({"a": path})
    assert form.length is not None
    assert form.length > size
    pieces = form.pieces()
    next(pieces)
    assert [len(next(pieces)) for _ in range(3)] == [CHUNK_SIZE] * 3
    pieces.close()  # type: ignore[attr-defined]


def test_a_file_that_grows_is_cut_where_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before")
    form = Multipart({"a": path})
    path.write_bytes(b"before and after")
    assert parts_of(form)[0].content == b"before"


def test_a_file_that_shrinks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"before")
    form = Multipart({"a": path})
    path.write_bytes(b"now")
    with pytest.raises(LocalProtocolError, match=r"log' has ended after 3 bytes, and had 6"):
        form.read()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Multipart({"a": tmp_path / "none"})
    with pytest.raises(ConfigError, match="no regular file"):
        Multipart({"a": tmp_path})


@pytest.mark.parametrize(
    "value", [None, object(), {"a": "b"}, ("a",), ("a", None), ("a", b"", "b", 4)]
)
def test_what_is_no_part_is_refused(value: Any) -> None:
    with pytest.raises(TypeError):
        Multipart({"a": value})


def test_a_file_open_as_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()
    with path.open() as file, pytest.raises(ConfigError, match="open it with mode 'rb'"):
        Multipart({"a": file})  # type: ignore[dict-item]


@pytest.mark.parametrize("content_type", ["", "a/b\r\nx: y", "a/\u20ac", " a/b"])
def test_a_type_that_cannot_be_sent_is_refused(content_type: str) -> None:
    with pytest.raises(ConfigError, match="content type"):
        Multipart({"a": (None, b"", content_type)})


@pytest.mark.parametrize("boundary", ["", "a b", "x" * 71, "a\r\nb", '"', "\xe4"])
def test_a_boundary_that_cannot_be_sent_is_refused(boundary: str) -> None:
    with pytest.raises(ConfigError, match="boundary"):
        Multipart({}, boundary=boundary)


def test_no_two_boundaries_are_alike() -> None:
    assert Multipart({}).content_type != Multipart({}).content_type


# What mail reads in another way stays out: escapes and blanks in names, line ends in contents.
NAMES = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_.", min_size=1)
LINES = st.binary().map(lambda content: content.translate(None, b"\r\n"))


@settings(deadline=None)
@given(st.lists(st.tuples(NAMES, NAMES, LINES), min_size=1))
def test_the_email_parser_reads_it(files: list[tuple[str, str, bytes]]) -> None:
    form = Multipart([(name, (file, content, "a/b")) for name, file, content in files])
    parser = email.parser.BytesParser(policy=email.policy.HTTP)
    message = parser.parsebytes(f"Content-Type: {form.content_type}\r\n\r\n".encode() + form.read())
    found = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in message.iter_parts()
    ]
    assert found == files


@settings(deadline=None)
@given(st.lists(st.tuples(st.text(), st.none() | st.text(), st.binary())))
def test_any_content_comes_back(files: list[tuple[str, str | None, bytes]]) -> None:
    form = Multipart([(name, (file, content)) for name, file, content in files])
    assert [part.content for part in parts_of(form)] == [content for _, _, content in files]
    assert form.length == len(form.read())


def binary(content: bytes) -> BinaryIO:
    return io.BytesIO(content)


@settings(deadline=None)
@given(st.binary(max_size=300_000), st.integers(0, 1000))
def test_pieces_are_small_and_make_the_whole(content: bytes, start: int) -> None:
    file = binary(content)
    file.seek(start)
    form = Multipart({"a": file}, boundary="B")
    pieces = list(form.pieces())
    assert max(map(len, pieces)) <= CHUNK_SIZE
    assert b"".join(pieces)[len(pieces[0]) : -len(b"\r\n--B--\r\n")] == content[start:]
