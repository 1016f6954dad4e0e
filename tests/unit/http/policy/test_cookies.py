"""The cookie jar: who may set a cookie, where it goes, when it ends."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.errors import ConfigError, LocalProtocolError
from sennit.http.policy.cookies import Cookie, CookieJar
from sennit.http.policy.set_cookie import LONGEST_LIFE, SameSite, parse_set_cookie

NOW = 1_800_000_000.0


def jar_after(url: str, *lines: str) -> CookieJar:
    jar = CookieJar()
    jar.store(urlsplit(url), lines, NOW)
    return jar


def sent(jar: CookieJar, url: str, now: float = NOW) -> str | None:
    return jar.header_for(urlsplit(url), now)


@pytest.mark.parametrize(
    ("line", "pair"),
    [
        ("a=b", "a=b"),
        ("  a \t=\t b ; Path=/", "a=b"),
        ("a=", "a="),
        ("a=b=c", "a=b=c"),
        ('a="b c"', 'a="b c"'),
        ("a=b, c=d", "a=b, c=d"),
        ("a=\xe4", "a=\xe4"),
        ("a=b\tc", "a=b\tc"),
        ("a=b;;;", "a=b"),
        ("a=b; unknown; other=thing", "a=b"),
        ("=b", None),
        ("a", None),
        ("", None),
        (";a=b", None),
        ("; Secure", None),
        ("a=b\x00", None),
        ("a=b\r\nx: y", None),
        ("a=b; Path=/\x7f", None),
    ],
)
def test_a_pair_is_read_by_section_5_2(line: str, pair: str | None) -> None:
    assert sent(jar_after("http://example.com/", line), "http://example.com/") == pair


@pytest.mark.parametrize(
    ("host", "domain", "goes_to", "not_to"),
    [
        ("example.com", None, ["example.com", "EXAMPLE.com"], ["www.example.com", "com"]),
        ("example.com", "example.com", ["example.com", "a.b.example.com"], ["badexample.com"]),
        ("example.com", ".Example.COM", ["www.example.com"], ["example.org"]),
        ("www.example.com", "example.com", ["example.com", "mail.example.com"], ["com"]),
        ("example.com", "", ["example.com"], ["www.example.com"]),
        ("localhost", "localhost", ["localhost"], ["a.localhost"]),
        ("127.0.0.1", "127.0.0.1", ["127.0.0.1"], ["0.0.1"]),
        ("[::1]", None, ["[::1]"], ["[::2]"]),
        ("b\xfccher.example", None, ["xn--bcher-kva.example"], ["bucher.example"]),
    ],
)
def test_the_domain_says_which_hosts_get_it(
    host: str, domain: str | None, goes_to: list[str], not_to: list[str]
) -> None:
    line = "a=b" if domain is None else f"a=b; Domain={domain}"
    jar = jar_after(f"http://{host}/", line)
    assert [sent(jar, f"http://{name}/") for name in goes_to] == ["a=b"] * len(goes_to)
    assert [sent(jar, f"http://{name}/") for name in not_to] == [None] * len(not_to)


@pytest.mark.parametrize(
    ("host", "domain"),
    [
        ("example.com", "www.example.com"),
        ("example.com", "ample.com"),
        ("example.com", "example.org"),
        ("example.com", "com"),
        ("example.com", ".com"),
        ("example.com", "com."),
        ("example.com", "."),
        ("example.com", "..example.com"),
        ("127.0.0.1", "0.0.1"),
        ("127.0.0.1", "1"),
        ("1.127.0.0.1", "127.0.0.1"),
        ("example.com", "127.0.0.1"),
        ("[::1]", "1"),
    ],
)
def test_a_domain_that_is_not_the_hosts_own_is_refused(host: str, domain: str) -> None:
    jar = jar_after(f"http://{host}/", f"a=b; Domain={domain}")
    if domain == ".":
        # Nothing is left of it, which is as if it were not there.
        assert [cookie.is_host_only for cookie in jar] == [True]
    else:
        assert list(jar) == []


@pytest.mark.parametrize(
    ("url_path", "attribute", "path"),
    [
        ("/docs/page", None, "/docs"),
        ("/docs/", None, "/docs"),
        ("/page", None, "/"),
        ("", None, "/"),
        ("/docs/page", "/other", "/other"),
        ("/docs/page", "relative", "/docs"),
        ("/docs/page", "", "/docs"),
        ("/docs/page", "/docs/", "/docs/"),
    ],
)
def test_the_path_is_said_or_that_of_the_url(
    url_path: str, attribute: str | None, path: str
) -> None:
    line = "a=b" if attribute is None else f"a=b; Path={attribute}"
    (cookie,) = jar_after(f"http://example.com{url_path}", line)
    assert cookie.path == path


@pytest.mark.parametrize(
    ("path", "goes_to", "not_to"),
    [
        ("/", ["", "/", "/docs"], []),
        ("/docs", ["/docs", "/docs/", "/docs/page", "/docs?x"], ["/", "/docsx", "/doc", "/Docs"]),
        ("/docs/", ["/docs/", "/docs/page"], ["/docs", "/docsx"]),
    ],
)
def test_the_path_says_which_urls_get_it(path: str, goes_to: list[str], not_to: list[str]) -> None:
    jar = jar_after("http://example.com/", f"a=b; Path={path}")
    assert [sent(jar, f"http://example.com{one}") for one in goes_to] == ["a=b"] * len(goes_to)
    assert [sent(jar, f"http://example.com{one}") for one in not_to] == [None] * len(not_to)


def test_longer_paths_go_first_then_older_cookies() -> None:
    jar = CookieJar()
    for seconds, line in enumerate(["new=1", "deep=1; Path=/a/b", "mid=1; Path=/a", "old=1"]):
        jar.store(urlsplit("http://www.example.com/"), [line], NOW - seconds)
    jar.store(urlsplit("http://www.example.com/"), ["above=1; Domain=example.com"], NOW - 1)
    expected = "deep=1; mid=1; old=1; above=1; new=1"
    assert sent(jar, "http://www.example.com/a/b/c") == expected


def test_a_cookie_that_is_set_again_keeps_its_age() -> None:
    jar = jar_after("http://example.com/", "a=1")
    jar.store(urlsplit("http://example.com/"), ["b=1"], NOW + 1)
    jar.store(urlsplit("http://example.com/"), ["a=2"], NOW + 2)
    assert sent(jar, "http://example.com/") == "a=2; b=1"
    assert len(jar) == 2


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", None),
        ("Max-Age=60", 60),
        ("max-age = 60", 60),
        ("Max-Age=60; Max-Age=90", 90),
        ("Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=60", 60),
        ("Expires=Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Expires=never", None),
        ("Max-Age=soon; Expires=Fri, 15 Jan 2027 08:01:00 GMT", 60),
        ("Max-Age=+60", None),
        ("Max-Age=6\xb2", None),
        ("Max-Age=" + "9" * 1000, LONGEST_LIFE),
        ("Max-Age=" + "9" * 5000, None),
        ("Expires=Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_LIFE),
    ],
)
def test_the_time_of_a_cookie(attributes: str, seconds: float | None) -> None:
    jar = jar_after("http://example.com/", f"a=b; {attributes}")
    (cookie,) = jar
    if seconds is None:
        assert cookie.expires is None
        assert sent(jar, "http://example.com/", NOW * 2) == "a=b"
    else:
        assert cookie.expires == NOW + seconds
        assert sent(jar, "http://example.com/", NOW + seconds - 1) == "a=b"
        assert sent(jar, "http://example.com/", NOW + seconds) is None
        assert len(jar) == 0


@pytest.mark.parametrize(
    "attributes", ["Max-Age=0", "Max-Age=-1", "Expires=Thu, 01 Jan 1970 00:00:00 GMT"]
)
def test_a_cookie_of_the_past_takes_the_old_one_away(attributes: str) -> None:
    jar = jar_after("http://example.com/", "a=b", "c=d", f"a=; {attributes}")
    assert sent(jar, "http://example.com/") == "c=d"
    assert len(jar) == 1


def test_a_secure_cookie_goes_over_tls_only() -> None:
    jar = jar_after("https://example.com/", "a=b; Secure", "c=d")
    assert sent(jar, "https://example.com/") == "a=b; c=d"
    assert sent(jar, "wss://example.com/") == "a=b; c=d"
    assert sent(jar, "http://example.com/") == "c=d"


@pytest.mark.parametrize(
    ("url", "line", "is_kept"),
    [
        ("http://example.com/", "a=b; Secure", False),
        ("https://example.com/", "__Secure-a=b; Secure", True),
        ("https://example.com/", "__Secure-a=b", False),
        ("https://example.com/", "__SECURE-a=b", False),
        ("http://example.com/", "__Secure-a=b; Secure", False),
        ("https://example.com/", "__Host-a=b; Secure; Path=/", True),
        ("https://example.com/", "__Host-a=b; Secure", False),
        ("https://example.com/", "__Host-a=b; Path=/", False),
        ("https://example.com/", "__host-a=b; Secure; Path=/a", False),
        ("https://example.com/", "__Host-a=b; Secure; Path=/; Domain=example.com", False),
        ("https://localhost/", "__Host-a=b; Secure; Path=/; Domain=localhost", False),
        ("https://example.com/", "__Host-a=b; Secure; Path=/; Domain=", True),
    ],
)
def test_what_a_name_promises_must_hold(url: str, line: str, is_kept: bool) -> None:
    assert len(jar_after(url, line)) == is_kept


@pytest.mark.parametrize(
    ("url", "line", "is_kept"),
    [
        ("http://example.com/", "a=evil; Path=/login", False),
        ("http://example.com/", "a=evil; Path=/login/deep", False),
        ("http://www.example.com/", "a=evil; Domain=example.com; Path=/login", False),
        ("http://a.example.com/", "a=evil; Path=/login", False),
        ("http://example.com/", "a=fine; Path=/", True),
        ("http://example.com/", "a=fine; Path=/other", True),
        ("http://example.com/", "b=fine; Path=/login", True),
        ("http://example.org/", "a=fine; Path=/login", True),
        ("https://example.com/", "a=fine; Path=/login", True),
    ],
)
def test_plain_http_cannot_hide_a_secure_cookie(url: str, line: str, is_kept: bool) -> None:
    jar = jar_after("https://example.com/", "a=b; Secure; Path=/login; Domain=example.com")
    jar.store(urlsplit(url), [line], NOW)
    assert any(cookie.value in {"fine", "evil"} for cookie in jar) == is_kept


@pytest.mark.parametrize(
    ("attributes", "same_site", "is_http_only"),
    [
        ("", SameSite.DEFAULT, False),
        ("SameSite=Strict; HttpOnly", SameSite.STRICT, True),
        ("samesite = lax ; HTTPONLY=yes", SameSite.LAX, True),
        ("SameSite=None", SameSite.NONE, False),
        ("SameSite=Strict; SameSite=odd", SameSite.DEFAULT, False),
    ],
)
def test_what_only_browsers_heed_is_kept(
    attributes: str, same_site: SameSite, is_http_only: bool
) -> None:
    (cookie,) = jar_after("http://example.com/", f"a=b; {attributes}")
    assert (cookie.same_site, cookie.is_http_only) == (same_site, is_http_only)


def test_an_attribute_beyond_its_size_does_not_count() -> None:
    (cookie,) = jar_after("http://example.com/", f"a=b; Path=/x; Path=/{'y' * 1024}")
    assert cookie.path == "/x"


def test_clearing() -> None:
    jar = CookieJar()
    for host in ("example.com", "www.example.com", "badexample.com"):
        jar.store(urlsplit(f"http://{host}/"), ["a=b"], NOW)
    jar.clear(".Example.com")
    assert [cookie.domain for cookie in jar] == ["badexample.com"]
    jar.clear()
    assert (len(jar), list(jar)) == (0, [])


def test_a_cookie_of_the_programs_own() -> None:
    jar = CookieJar()
    jar.add(Cookie("a", "b", "Example.com", is_host_only=False))
    jar.add(Cookie("a", "c", "example.com", is_host_only=False))
    assert sent(jar, "http://www.example.com/") == "a=c"
    assert len(jar) == 1


@pytest.mark.parametrize(
    ("name", "value", "domain", "path"),
    [
        ("", "b", "example.com", "/"),
        ("a=", "b", "example.com", "/"),
        ("a;", "b", "example.com", "/"),
        ("a", "b;c", "example.com", "/"),
        ("a", "b\r\n", "example.com", "/"),
        ("a", " b", "example.com", "/"),
        ("a", "\u20ac", "example.com", "/"),
        ("a", "b", "", "/"),
        ("a", "b", "example.com", "docs"),
    ],
)
def test_a_cookie_that_cannot_be_sent_is_refused(
    name: str, value: str, domain: str, path: str
) -> None:
    with pytest.raises(LocalProtocolError):
        CookieJar().add(Cookie(name, value, domain, path))


def test_no_repr_or_error_shows_a_value() -> None:
    cookie = Cookie("a", "hid\nden", "example.com")
    assert "hid" not in repr(cookie)
    with pytest.raises(LocalProtocolError) as caught:
        CookieJar().add(cookie)
    assert "hid" not in str(caught.value)
    assert repr(jar_after("http://example.com/", "a=hidden")) == (
        "<sennit.http.CookieJar 1 cookies of 1 domains>"
    )


@pytest.mark.parametrize("name", ["max_cookies", "max_domain_cookies", "max_cookie_size"])
def test_a_limit_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name} is 0"):
        CookieJar(**{name: 0})


@settings(deadline=None)
@given(st.text(st.characters(max_codepoint=0xFF), max_size=60))
def test_no_line_is_too_strange(line: str) -> None:
    jar = jar_after("https://www.example.com/a/b", line)
    header = sent(jar, "https://www.example.com/a/b")
    said = parse_set_cookie(line, NOW)
    if header is None:
        assert len(jar) == 0
    else:
        assert said is not None
        assert header == f"{said.name}={said.value}"
        assert not set(header) & set("\r\n\0;")
