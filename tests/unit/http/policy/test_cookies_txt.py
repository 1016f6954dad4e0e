"""The file cookies.txt: others can read ours, and we can read theirs."""

from http.cookiejar import MozillaCookieJar
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sennit.errors import ConfigError
from sennit.http.policy.cookies import Cookie, CookieJar
from sennit.http.policy.cookies_txt import dump_cookies_txt, parse_cookies_txt

NOW = 1_800_000_000.0


def some_cookies() -> CookieJar:
    jar = CookieJar()
    lines = [
        "session=1",
        "dated=2; Max-Age=1000; Path=/docs",
        "secure=3; Secure; HttpOnly",
        "wide=4; Domain=example.com",
        "short=5; Max-Age=5",
        "tab=6\t7",
    ]
    jar.store(urlsplit("https://www.example.com/"), lines, NOW)
    return jar


def test_what_is_written_can_be_read() -> None:
    read = list(parse_cookies_txt(dump_cookies_txt(some_cookies(), NOW + 10), NOW))
    kept = [cookie for cookie in some_cookies() if cookie.name not in {"short", "tab"}]
    assert read == kept


def test_the_lines_of_the_file() -> None:
    cookies = [
        Cookie("a", "b", "example.com"),
        Cookie("c", "", "example.com", "/d", NOW + 1, is_host_only=False, is_http_only=True),
    ]
    assert dump_cookies_txt(cookies, NOW) == (
        "# Netscape HTTP Cookie File\n"
        "example.com\tFALSE\t/\tFALSE\t0\ta\tb\n"
        "#HttpOnly_.example.com\tTRUE\t/d\tFALSE\t1800000001\tc\t\n"
    )


def test_the_standard_library_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text(dump_cookies_txt(some_cookies(), NOW), "latin-1")
    jar = MozillaCookieJar(path)
    jar.load(ignore_discard=True, ignore_expires=True)
    assert {(cookie.domain, cookie.path, cookie.name, cookie.value) for cookie in jar} == {
        ("www.example.com", "/", "session", "1"),
        ("www.example.com", "/docs", "dated", "2"),
        ("www.example.com", "/", "secure", "3"),
        ("www.example.com", "/", "short", "5"),
        (".example.com", "/", "wide", "4"),
    }


def test_comments_and_the_expired_are_left_out() -> None:
    text = (
        "# x\r\n\r\na.example\tFALSE\t/\tFALSE\t1\ta\tb\r\na.example\tFALSE\t/\tFALSE\t0\tc\td\r\n"
    )
    assert [(cookie.name, cookie.value) for cookie in parse_cookies_txt(text, NOW)] == [("c", "d")]


@pytest.mark.parametrize(
    "line",
    [
        "hidden",
        "a.example\tFALSE\t/\tFALSE\t0\thidden",
        "a.example\tFALSE\t/\tFALSE\tsoon\ta\thidden",
        "a.example\tFALSE\t/\tFALSE\t-1\ta\thidden",
        "a.example\tFALSE\t/\tFALSE\t" + "9" * 5000 + "\ta\thidden",
        "a.example\tFALSE\t/\tFALSE\t0\ta\thidden\tmore",
    ],
)
def test_a_line_that_is_no_cookie(line: str) -> None:
    with pytest.raises(ConfigError, match="line 2 of the cookies") as caught:
        list(parse_cookies_txt(f"# x\n{line}\n", NOW))
    assert "hidden" not in str(caught.value)
