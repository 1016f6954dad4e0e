"""The limits of the cookie jar: they hold, and what is used least goes first."""

from urllib.parse import urlsplit

import pytest

from sennit.http.policy.cookies import Cookie, CookieJar

NOW = 1_800_000_000.0
HERE = urlsplit("http://example.com/")


def names(jar: CookieJar) -> list[str]:
    return sorted(cookie.name for cookie in jar)


@pytest.mark.parametrize(("size", "is_kept"), [(4096, True), (4097, False)])
def test_a_cookie_has_4096_bytes(size: int, is_kept: bool) -> None:
    jar = CookieJar()
    jar.store(HERE, ["name=" + "v" * (size - 4)], NOW)
    assert len(jar) == is_kept


def test_a_domain_has_no_more_than_its_share() -> None:
    jar = CookieJar()
    jar.store(HERE, [f"n{number}=v" for number in range(500)], NOW)
    jar.store(urlsplit("http://example.org/"), ["other=v"], NOW)
    assert len(jar) == 181
    assert len([cookie for cookie in jar if cookie.domain == "example.com"]) == 180


def test_all_domains_together_have_3000() -> None:
    jar = CookieJar()
    for number in range(3100):
        jar.store(urlsplit(f"http://h{number}.example/"), ["a=b"], NOW + number)
    assert len(jar) == len(list(jar)) == 3000
    assert jar.header_for(urlsplit("http://h99.example/"), NOW) is None
    assert jar.header_for(urlsplit("http://h100.example/"), NOW) == "a=b"


def test_in_a_domain_the_expired_go_first() -> None:
    jar = CookieJar(max_domain_cookies=2)
    jar.store(HERE, ["old=v"], NOW)
    jar.store(HERE, ["short=v; Max-Age=5"], NOW + 1)
    jar.store(HERE, ["new=v"], NOW + 10)
    assert names(jar) == ["new", "old"]


def test_in_a_domain_those_without_tls_go_before_secure_ones() -> None:
    jar = CookieJar(max_domain_cookies=2)
    secure = urlsplit("https://example.com/")
    jar.store(secure, ["first=v; Secure"], NOW)
    jar.store(secure, ["plain=v"], NOW + 1)
    jar.store(secure, ["second=v; Secure"], NOW + 2)
    assert names(jar) == ["first", "second"]
    jar.store(secure, ["third=v; Secure"], NOW + 3)
    assert names(jar) == ["second", "third"]


def test_a_cookie_that_is_sent_is_in_use() -> None:
    jar = CookieJar(max_domain_cookies=2)
    jar.store(HERE, ["a=v; Path=/a"], NOW)
    jar.store(HERE, ["b=v; Path=/b"], NOW + 1)
    assert jar.header_for(urlsplit("http://example.com/a"), NOW + 2) == "a=v"
    jar.store(HERE, ["c=v"], NOW + 3)
    assert names(jar) == ["a", "c"]


def test_in_all_the_expired_go_first() -> None:
    jar = CookieJar(max_cookies=2)
    for number, line in enumerate(["a=v", "b=v; Max-Age=5", "c=v"]):
        jar.store(urlsplit(f"http://h{number}.example/"), [line], NOW + 10 * number)
    assert names(jar) == ["a", "c"]


def test_the_programs_own_cookies_are_counted_too() -> None:
    jar = CookieJar(max_cookies=2)
    for number in range(3):
        jar.add(Cookie(f"n{number}", "v", "example.com"), NOW + number)
    assert names(jar) == ["n1", "n2"]
