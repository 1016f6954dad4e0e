"""Hosts and origins: when two names mean the same place."""

from urllib.parse import urlsplit

import pytest

from sennit.errors import ConfigError
from sennit.http.policy.hosts import Origin, canonical_host, is_address, origin_of, without_secrets


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "fe80::1%eth0", "::ffff:1.2.3.4"])
def test_an_address(host: str) -> None:
    assert is_address(host)


@pytest.mark.parametrize("host", ["", "a", "a.example", "127.0.0.1.example", "127.1", "1.2.3.256"])
def test_no_address(host: str) -> None:
    assert not is_address(host)


@pytest.mark.parametrize(
    ("host", "canonical"),
    [("A.Example", "a.example"), ("B\xdcCHER.example", "xn--bcher-kva.example"), ("::1", "::1")],
)
def test_one_name_for_one_host(host: str, canonical: str) -> None:
    assert canonical_host(host) == canonical


def test_a_name_that_cannot_be_looked_up() -> None:
    with pytest.raises(ConfigError, match="is no name of a host"):
        canonical_host("\xe4" * 64 + ".example")
    with pytest.raises(ConfigError, match="it has 9,000 characters, limit 253"):
        canonical_host("\xe4" * 9000)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://A/x", Origin("http", "a", 80)),
        ("https://a", Origin("https", "a", 443)),
        ("wss://u:p@a:80/", Origin("wss", "a", 80)),
        ("http://[::1]:81/", Origin("http", "::1", 81)),
        ("gopher://a:70/", Origin("gopher", "a", 70)),
    ],
)
def test_an_origin(url: str, origin: Origin) -> None:
    assert origin_of(urlsplit(url)) == origin


@pytest.mark.parametrize("url", ["http:///x", "http://a:0/", "http://a:x/", "gopher://a/", "/x"])
def test_no_origin(url: str) -> None:
    with pytest.raises(ConfigError):
        origin_of(urlsplit(url))


def test_an_error_shows_no_user() -> None:
    assert without_secrets(urlsplit("http://u:hidden@a:1/x?y#z")) == "http://a:1/x?y#z"
    assert len(without_secrets(urlsplit("http://a/" + "x" * 9000))) == 2048
