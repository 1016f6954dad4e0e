"""Proxies: their URLs, and which one the settings or the environment choose."""

import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.errors import ConfigError
from sennit.http.policy.authentication import Basic
from sennit.http.policy.proxies import NoProxy, Proxies, Proxy


@pytest.mark.parametrize(
    ("url", "scheme", "host", "port"),
    [
        ("http://proxy.example:3128", "http", "proxy.example", 3128),
        ("http://Proxy.Example/", "http", "proxy.example", 80),
        ("https://proxy.example", "https", "proxy.example", 443),
        ("socks5://127.0.0.1", "socks5", "127.0.0.1", 1080),
        ("SOCKS5H://[::1]:9050", "socks5h", "::1", 9050),
        ("http://b\xfccher.example:1", "http", "xn--bcher-kva.example", 1),
    ],
)
def test_the_url_of_a_proxy(url: str, scheme: str, host: str, port: int) -> None:
    proxy = Proxy(url)
    assert (proxy.scheme, proxy.host, proxy.port) == (scheme, host, port)
    assert (proxy.user, proxy.password, proxy.authentication) == (None, None, None)
    assert proxy.is_socks == scheme.startswith("socks")
    assert proxy.looks_up_hosts == (scheme != "socks5")


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [
        ("u:p", "u", "p"),
        ("u", "u", ""),
        (":p", "", "p"),
        ("u%40x:%3A%C3%A4", "u@x", ":\xe4"),
        ("u:p@q", "u", "p@q"),
    ],
)
def test_who_logs_in(userinfo: str, user: str, password: str) -> None:
    for scheme in ("http", "https", "socks5", "socks5h"):
        if scheme.startswith("socks") and not (user and password):
            with pytest.raises(ConfigError, match="takes 1 to 255"):
                Proxy(f"{scheme}://{userinfo}@proxy.example:1")
            continue
        proxy = Proxy(f"{scheme}://{userinfo}@proxy.example:1")
        assert (proxy.user, proxy.password) == (user, password)
        assert proxy.authentication == Basic(user, password)
        assert proxy.host == "proxy.example"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("", "none of the schemes http://, https://, socks5://, socks5h://"),
        ("proxy.example:3128", "none of the schemes"),
        ("proxy.example", "none of the schemes"),
        ("http:proxy.example", "none of the schemes"),
        ("socks4://proxy.example", "none of the schemes"),
        ("ftp://proxy.example", "none of the schemes"),
        ("http://", "names no host"),
        ("http://:3128", "names no host"),
        ("http://proxy.example:0", "port 0"),
        ("http://proxy.example:65536", "out of range"),
        ("http://proxy.example:port", "port"),
        ("http://proxy.example/path", "more than host and port"),
        ("http://proxy.example?x", "more than host and port"),
        ("http://[::1", "IPv6"),
        (
            "socks5://u:" + "hidden" * 43 + "@proxy.example",
            "password of 258 bytes, and a SOCKS proxy takes 1 to 255",
        ),
        ("http://u:hid#den@proxy.example:1", "cannot be read"),
        ("http://u:hidden@proxy.example:x", "cannot be read"),
        ("http://u:hidden@proxy.example/path", "more than host"),
        ("u:hidden@proxy.example", "none of the schemes"),
        ("http://u:hidden\n@proxy.example", "blank or control"),
        ("http://u:hidden%0A@proxy.example", "control"),
        ("http://u:hidden@\u2100.example", "cannot be read"),
    ],
)
def test_what_is_no_proxy(url: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Proxy(url)
    assert problem in str(caught.value)
    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_repr_shows_no_credentials() -> None:
    assert repr(Proxy("http://user:hidden@[::1]:1")) == "<sennit.http.Proxy http://***@[::1]:1>"
    assert repr(Proxy("socks5://a")) == "<sennit.http.Proxy socks5://a:1080>"


def test_proxies_are_compared_by_what_they_are() -> None:
    assert Proxy("http://a") == Proxy("http://A:80/")
    assert hash(Proxy("http://a")) == hash(Proxy("http://A:80/"))
    assert Proxy("http://a") != Proxy("http://u:p@a")
    assert Proxy("http://a") != "http://a"


def chosen(url: str, **environment: str) -> str | None:
    proxy = Proxies.from_environment(environment).proxy_for(urlsplit(url))
    return None if proxy is None else proxy.host


@pytest.mark.parametrize(
    ("environment", "plain", "tls"),
    [
        ({}, None, None),
        ({"http_proxy": "http://p:1"}, "p", None),
        ({"HTTP_PROXY": "http://evil:1"}, None, None),
        ({"http_proxy": "http://p:1", "HTTP_PROXY": "http://evil:1"}, "p", None),
        ({"https_proxy": "http://p:1"}, None, "p"),
        ({"HTTPS_PROXY": "http://p:1"}, None, "p"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:1"}, None, "low"),
        ({"https_proxy": "", "HTTPS_PROXY": "http://up:1"}, None, "up"),
        ({"all_proxy": "socks5h://p"}, "p", "p"),
        ({"ALL_PROXY": "socks5h://p"}, "p", "p"),
        ({"all_proxy": "http://low", "ALL_PROXY": "http://up"}, "low", "low"),
        ({"all_proxy": "http://p", "https_proxy": "http://tls"}, "p", "tls"),
        ({"http_proxy": "p:3128"}, "p", None),
        ({"http_proxy": "u:p@p:3128"}, "p", None),
        ({"all_proxy": "http://p", "no_proxy": "*"}, None, None),
        ({"all_proxy": "http://p", "NO_PROXY": "host.example"}, None, None),
        ({"all_proxy": "http://p", "no_proxy": "x", "NO_PROXY": "host.example"}, "p", "p"),
        ({"all_proxy": "http://p", "no_proxy": "", "NO_PROXY": "host.example"}, None, None),
        ({"all_proxy": "http://p", "no_proxy": "host.example:443"}, "p", None),
    ],
)
def test_the_environment(environment: dict[str, str], plain: str | None, tls: str | None) -> None:
    assert chosen("http://host.example/", **environment) == plain
    assert chosen("ws://host.example/", **environment) == plain
    assert chosen("https://host.example/", **environment) == tls
    assert chosen("wss://host.example/", **environment) == tls


def test_the_processs_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://mine:1")
    proxy = Proxies.from_environment().proxy_for(urlsplit("http://host.example/"))
    assert proxy == Proxy("http://mine:1")


def test_an_error_names_the_variable() -> None:
    with pytest.raises(ConfigError, match="environment variable HTTPS_PROXY: proxy 'quic://p'"):
        Proxies.from_environment({"HTTPS_PROXY": "quic://p"})


def test_settings_of_the_programs_own() -> None:
    proxies = Proxies(http="http://p", https=Proxy("http://tls"), no_proxy="local.example")
    assert proxies.proxy_for(urlsplit("http://a/")) == Proxy("http://p")
    assert proxies.proxy_for(urlsplit("https://a/")) == Proxy("http://tls")
    assert proxies.proxy_for(urlsplit("https://local.example/")) is None
    assert Proxies().proxy_for(urlsplit("https://a/")) is None


NO_PROXY = [
    # (no_proxy, host, whether it is reached without one, whether curl agrees on what that means)
    ("", "example.com", False, True),
    ("*", "example.com", True, True),
    ("*", "10.1.2.3", True, True),
    ("example.com", "example.com", True, True),
    ("example.com", "EXAMPLE.com", True, True),
    ("Example.COM", "example.com", True, True),
    ("example.com", "www.example.com", True, True),
    ("example.com", "badexample.com", False, True),
    ("example.com", "example.com.evil", False, True),
    (".example.com", "www.example.com", True, True),
    (".example.com", "example.com", True, True),
    ("example.com.", "example.com", True, True),
    ("example.com", "example.com.", True, True),
    ("www.example.com", "example.com", False, True),
    ("a.example,b.example", "b.example", True, True),
    ("a.example, b.example", "b.example", True, True),
    ("a.example b.example", "b.example", True, False),  # this curl wants a comma
    (",,a.example,", "a.example", True, True),
    ("com", "example.com", True, True),
    ("10.1.2.3", "10.1.2.3", True, True),
    ("10.1.2.3", "10.1.2.30", False, True),
    ("1.2.3", "10.1.2.3", False, True),
    ("10.0.0.0/8", "10.1.2.3", True, True),
    ("10.0.0.0/8", "11.1.2.3", False, True),
    ("10.1.2.99/24", "10.1.2.3", True, True),
    ("10.0.0.0/33", "10.1.2.3", False, True),
    ("10.0.0.0/x", "10.1.2.3", False, False),  # curl takes it for /0
    ("10.0.0.0/8", "name.example", False, True),
    ("::1", "[::1]", True, True),
    ("[::1]", "[::1]", True, False),  # curl 7.88 knows no brackets here
    ("0:0::1", "[::1]", True, False),  # curl compares the text
    ("fd00::/8", "[fd12::1]", True, False),  # curl 7.88 has no such networks
    ("fd00::/8", "[fe12::1]", False, True),
    ("*.example.com", "www.example.com", True, False),  # curl knows no such star
    ("example.com:80", "example.com", True, False),  # curl knows no ports
    ("example.com:81", "example.com", False, True),
    ("example.com:http", "example.com", False, True),
    ("10.0.0.0/8:80", "10.1.2.3", True, False),
    ("[::1]:80", "[::1]", True, False),
    ("[::1]:81", "[::1]", False, False),
    ("b\xfccher.example", "xn--bcher-kva.example", True, False),
]


@pytest.mark.parametrize(("no_proxy", "host", "is_direct"), [case[:3] for case in NO_PROXY])
def test_no_proxy(no_proxy: str, host: str, is_direct: bool) -> None:
    proxies = Proxies(http="http://p", no_proxy=no_proxy)
    proxy = proxies.proxy_for(urlsplit(f"http://{host}/"))
    assert (proxy is None) == is_direct


@pytest.mark.parametrize(
    ("no_proxy", "host", "is_direct"), [case[:3] for case in NO_PROXY if case[3]]
)
def test_no_proxy_is_read_as_curl_does(
    peer: Callable[[str], Path], no_proxy: str, host: str, is_direct: bool
) -> None:
    # Bound and not listening: to connect is refused at once, and nobody else gets the port.
    with socket.socket() as proxy, socket.socket() as direct:
        for one in (proxy, direct):
            one.bind(("127.0.0.1", 0))
        proxy_port, direct_port = proxy.getsockname()[1], direct.getsockname()[1]
        run = subprocess.run(
            [peer("curl"), "-sv", "--connect-to", f"::127.0.0.1:{direct_port}", f"http://{host}/"],
            env={"http_proxy": f"http://127.0.0.1:{proxy_port}", "no_proxy": no_proxy},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert f"127.0.0.1:{direct_port if is_direct else proxy_port}..." in run.stderr


@settings(deadline=None)
@given(st.text(), st.integers(0, 65535))
def test_no_no_proxy_is_too_strange(text: str, port: int) -> None:
    rules = NoProxy(text)
    for host in ("example.com", "127.0.0.1", "::1", "fe80::1%eth0", ""):
        rules.matches(host, port)
