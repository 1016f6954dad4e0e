"""Credentials: how they are sent, which are refused, and that nothing shows them."""

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sennit.errors import ConfigError
from sennit.http.policy.authentication import Basic, Bearer, from_netrc, take_userinfo


@pytest.mark.parametrize(
    ("user", "password", "value"),
    [
        ("Aladdin", "open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ("test", "123\xa3", "Basic dGVzdDoxMjPCow=="),
        ("", "", "Basic Og=="),
        ("user", "a:b", "Basic dXNlcjphOmI="),
    ],
)
def test_basic(user: str, password: str, value: str) -> None:
    assert Basic(user, password).field() == ("authorization", value)
    assert Basic(user, password).field("proxy-authorization") == ("proxy-authorization", value)


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("a:b", "hidden"),
        ("a", "hid\nden"),
        ("a\x00", "hidden"),
        ("a", "hid\x85"),
        ("a", "hid\ud800"),
    ],
)
def test_basic_refuses_what_it_cannot_send(user: str, password: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Basic(user, password)
    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"])))
def test_basic_can_be_read_again(password: str) -> None:
    value = Basic("user", password).field()[1]
    assert base64.b64decode(value.removeprefix("Basic ")).decode() == f"user:{password}"


@pytest.mark.parametrize("token", ["mF_9.B5f-4.1JqM", "a", "a==", "a+b/c~"])
def test_bearer(token: str) -> None:
    assert Bearer(token).field() == ("authorization", f"Bearer {token}")


@pytest.mark.parametrize(
    "token", ["", "hid den", "hidden\n", "=hidden", "hid=den", "hid\xe4", '"hid"']
)
def test_bearer_refuses_what_is_no_token(token: str) -> None:
    with pytest.raises(ConfigError, match=f"the token of {len(token)} characters") as caught:
        Bearer(token)
    assert "hid" not in str(caught.value)


def test_no_repr_shows_a_secret() -> None:
    assert repr(Basic("user", "hidden")) == "<Basic user='user' password=***>"
    assert repr(Bearer("hidden")) == "<Bearer ***>"


def test_credentials_are_compared_by_what_they_say() -> None:
    assert Basic("a", "b") == Basic("a", "b")
    assert hash(Basic("a", "b")) == hash(Basic("a", "b"))
    assert Basic("a", "b") != Basic("a", "c")
    assert Bearer("a") != Basic("a", "")
    assert Bearer("a") != "Bearer a"


@pytest.mark.parametrize(
    ("url", "bare", "credentials"),
    [
        ("http://a/", "http://a/", None),
        ("http://a/@b?c@d", "http://a/@b?c@d", None),
        ("http://u:p@a:81/x?y#z", "http://a:81/x?y#z", Basic("u", "p")),
        ("http://u@a/", "http://a/", Basic("u", "")),
        ("http://:p@a/", "http://a/", Basic("", "p")),
        ("http://@a/", "http://a/", None),
        ("http://u:p:q@a/", "http://a/", Basic("u", "p:q")),
        ("http://u:p@q@a/", "http://a/", Basic("u", "p@q")),
        ("http://u%40x:%C3%A4@[::1]/", "http://[::1]/", Basic("u@x", "\xe4")),
    ],
)
def test_credentials_of_a_url(url: str, bare: str, credentials: Basic | None) -> None:
    assert take_userinfo(url) == (bare, credentials)


@pytest.mark.parametrize(
    "url", ["http://a%3Ab:hidden@a/", "http://a:hid%E4@a/", "http://a:hid@[b/"]
)
def test_credentials_of_a_url_that_cannot_be_sent(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        take_userinfo(url)
    assert "hid" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_netrc(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine a.example login user password pass\ndefault login any password body\n")
    assert from_netrc("a.example", file) == Basic("user", "pass")
    assert from_netrc("b.example", file) == Basic("any", "body")
    file.write_text("machine a.example login user password pass\n")
    assert from_netrc("b.example", file) is None
    assert from_netrc("a.example", tmp_path / "none") is None


def test_a_netrc_that_cannot_be_read(tmp_path: Path) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine a.example nonsense\n")
    with pytest.raises(ConfigError, match="netrc file cannot be read"):
        from_netrc("a.example", file)


def test_the_netrc_of_the_users_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert from_netrc("a.example") is None
    file = tmp_path / ".netrc"
    file.write_text("machine a.example login user password pass\n")
    file.chmod(0o600)
    assert from_netrc("a.example") == Basic("user", "pass")
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="netrc file cannot be read"):
        from_netrc("a.example")
