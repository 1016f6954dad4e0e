"""Credentials: what a client says of itself, and never shows in a repr or an error."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sennit.errors import ConfigError
from sennit.http.policy.hosts import has_control

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Authentication", "Basic", "Bearer", "from_netrc", "take_userinfo"]

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")


class Authentication:
    """A scheme's way to fill the `authorization` field."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Authentication):
            return NotImplemented
        return type(self) is type(other) and self.field() == other.field()

    def __hash__(self) -> int:
        return hash((type(self), self._value))

    def __repr__(self) -> str:
        return f"<{type(self).__name__} ***>"

    def field(self, name: str = "authorization") -> tuple[str, str]:
        """The field, name and value; for a proxy its name is `proxy-authorization`."""
        return name, self._value


class Basic(Authentication):
    """User name and password, sent as good as readable: over TLS only, please.

    Args:
        user: Without a colon, which ends it; may be empty.
        password: May be empty.

    Raises:
        ConfigError: One of them has a character that cannot be sent.

    Source: RFC 7617, in UTF-8.
    """

    __slots__ = ("password", "user")

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self.password = password
        if ":" in user:
            raise ConfigError("the user name has a colon, which ends a user name (RFC 7617)")
        if _CONTROL.search(user) or _CONTROL.search(password):
            raise ConfigError("user name or password has a control character (RFC 7617 section 2)")
        try:
            pair = f"{user}:{password}".encode()
        except UnicodeEncodeError:
            # The error itself would show the text.
            raise ConfigError("user name or password cannot be written in UTF-8") from None
        super().__init__("Basic " + base64.b64encode(pair).decode())

    def __repr__(self) -> str:
        return f"<Basic user={self.user!r} password=***>"


class Bearer(Authentication):
    """A token of OAuth 2.0 or anything like it.

    Args:
        token: Letters, digits and `-._~+/`, with `=` at the end.

    Raises:
        ConfigError: It has another character, such as a line end that a file brought along.

    Source: RFC 6750 section 2.1.
    """

    __slots__ = ()

    def __init__(self, token: str) -> None:
        if not _TOKEN.fullmatch(token):
            raise ConfigError(
                f"the token of {len(token):,} characters is empty or has one that is not of "
                "A-Z a-z 0-9 - . _ ~ + / with = at the end (RFC 6750); blanks and line ends around?"
            )
        super().__init__("Bearer " + token)


def take_userinfo(url: str) -> tuple[str, Basic | None]:
    """A URL without `user:password@`, and what that stands for.

    Raises:
        ConfigError: User name or password cannot be sent, or the URL cannot be read.
    """
    if "@" not in url:
        return url, None
    if has_control(url):
        raise ConfigError("the URL with a user name in it has a control character")
    try:
        parts = urlsplit(url)
    except ValueError:
        # The error itself may show the password.
        raise ConfigError("the URL with a user name in it cannot be read") from None
    userinfo, at, place = parts.netloc.rpartition("@")
    if not at:
        return url, None
    bare = parts._replace(netloc=place).geturl()
    if not userinfo:
        return bare, None
    return bare, basic_of(userinfo)


def basic_of(userinfo: str) -> Basic:
    """The credentials of `user:password` as it stands in a URL.

    Raises:
        ConfigError: One of them cannot be sent, or is not UTF-8.
    """
    user, _, password = userinfo.partition(":")
    try:
        return Basic(unquote(user, errors="strict"), unquote(password, errors="strict"))
    except UnicodeDecodeError:
        raise ConfigError("user name or password in the URL is not UTF-8") from None


def from_netrc(host: str, path: Path | str | None = None) -> Basic | None:
    """The credentials for a host in a netrc file, its `default` entry included.

    Reads a file: call it before the reactor is busy.

    Args:
        host: As it stands in the URL.
        path: None: `.netrc` in the user's folder, which nobody else may be able to read.

    Returns:
        None if there is no file, or nothing in it for this host.

    Raises:
        ConfigError: The file cannot be read.
    """
    import netrc  # noqa: PLC0415 - few programs want it

    try:
        entry = netrc.netrc(None if path is None else str(path)).authenticators(host)
    except FileNotFoundError:
        return None
    except (netrc.NetrcParseError, OSError, UnicodeError) as error:
        raise ConfigError(f"the netrc file cannot be read: {error}") from error
    if entry is None:
        return None
    login, _, password = entry
    return Basic(login or "", password or "")
