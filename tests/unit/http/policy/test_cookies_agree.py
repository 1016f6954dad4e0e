"""The cookie jar and the one of the standard library, which should send the same."""

import email.message
import time
from http.cookiejar import CookieJar as StandardJar
from http.cookiejar import DefaultCookiePolicy
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import Request

from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.http.policy.cookies import CookieJar

HOSTS = ["example.com", "www.example.com", "a.www.example.com", "mail.example.com", "example.org"]
PATHS = ["/", "/docs", "/docs/", "/docs/page", "/docsx", "/other/page"]


class Line(NamedTuple):
    """One answer that sets a cookie."""

    url: str
    value: str


urls = st.builds("http{}://{}{}".format, st.sampled_from(["", "s"]), st.sampled_from(HOSTS),
                 st.sampled_from(PATHS))  # fmt: skip
attributes = st.lists(
    st.one_of(
        st.sampled_from(["HttpOnly", "SameSite=Lax", "Max-Age=0", "Max-Age=1000"]),
        st.sampled_from(PATHS).map("Path={}".format),
        st.sampled_from(HOSTS).map("Domain={}".format),
        st.sampled_from(HOSTS).map("Domain=.{}".format),
    ),
    # Of an attribute that comes twice, the last counts here and the first there.
    unique_by=lambda text: text.partition("=")[0],
    max_size=4,
)
lines = st.builds(
    lambda url, name, value, said: Line(url, "; ".join([f"{name}={value}", *said])),
    urls,
    st.sampled_from("abc"),
    st.sampled_from(["1", "2", "x=y"]),
    attributes,
)


class Answer:
    """As much of a response as the standard jar looks at."""

    def __init__(self, line: str) -> None:
        self._message = email.message.Message()
        self._message["Set-Cookie"] = line

    def info(self) -> email.message.Message:
        return self._message


@settings(deadline=None)
@given(st.lists(lines, max_size=12), urls)
def test_both_jars_send_the_same(lines: list[Line], url: str) -> None:
    now = time.time()
    # Strict: it would send a cookie without Domain to the hosts below, too.
    policy = DefaultCookiePolicy(strict_ns_domain=DefaultCookiePolicy.DomainStrictNonDomain)
    ours, standard = CookieJar(), StandardJar(policy)
    for line in lines:
        ours.store(urlsplit(line.url), [line.value], now)
        standard.extract_cookies(Answer(line.value), Request(line.url))  # type: ignore[arg-type]
    request = Request(url)
    standard.add_cookie_header(request)
    theirs = request.get_header("Cookie")
    header = ours.header_for(urlsplit(url), now)
    assert sorted((header or "").split("; ")) == sorted((theirs or "").split("; "))
