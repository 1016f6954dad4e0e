"""What may be said of one request, and the checks of settings."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeAlias, TypedDict

from sennit.errors import ConfigError
from sennit.http.policy.authentication import Authentication, Basic
from sennit.http.policy.cookies import CookieJar
from sennit.http.policy.proxies import Proxies, Proxy
from sennit.http.policy.redirects import Redirects

if TYPE_CHECKING:
    from sennit.http.policy.forms import Value
    from sennit.http.policy.query import Pairs
    from sennit.http.policy.retrying import Retry

__all__ = [
    "BodySource",
    "Fields",
    "Options",
    "authentication_of",
    "jar_of",
    "proxies_of",
    "redirects_of",
]

Fields: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

Piece: TypeAlias = str | bytes
BodySource: TypeAlias = (
    str | bytes | bytearray | memoryview | Path | BinaryIO | Iterable[Piece] | AsyncIterable[Piece]
)
"""What a body is made of. A path names a file; an open file is sent from where it stands."""


class Options(TypedDict, total=False):
    """What may be said of one request."""

    params: Pairs | None
    """Put behind the URL's query."""
    headers: Fields | None
    """Sent with this request, each instead of the client's own of the same name."""
    body: BodySource | None
    """Text as UTF-8, bytes, a Path, an open file, or something that gives pieces of bytes."""
    data: Pairs | None
    """Fields of a form; with `files` they stand beside those."""
    json: Any
    """A value, sent as JSON."""
    files: Mapping[str, Value | Sequence[Value]] | Iterable[tuple[str, Value]] | None
    """Files of a form: open files, paths, (name, content) or (name, content, type)."""
    cookies: Mapping[str, str] | None
    """Sent beside the jar's, and instead of those of the same name. They are not kept, and a
    redirect to another origin leaves them behind."""
    auth: Authentication | tuple[str, str] | None
    """Credentials; a pair is user name and password."""
    timeout: float | None
    """Seconds for this request instead of the client's `total_timeout`."""
    redirects: Redirects | int | None
    """How many are followed instead of the client's own rule; None or 0: a redirect is the answer.
    """
    retry: Retry | None
    """When to try again instead of the client's own rule."""


def jar_of(given: CookieJar | bool) -> CookieJar | None:
    """Where cookies are kept; None: nowhere.

    Raises:
        ConfigError: It is no jar.
    """
    if isinstance(given, CookieJar):
        return given
    if not isinstance(given, bool):
        raise ConfigError(
            f"cookies is {type(given).__name__}; give http.CookieJar, True or False, and cookies "
            "of your own to the request, where they cannot go to a wrong host"
        )
    return CookieJar() if given else None


def proxies_of(given: Proxies | Proxy | str | None) -> Proxies | None:
    """Which proxies there are; a single one is for everything.

    Raises:
        ConfigError: It is no URL of a proxy.
    """
    if given is None or isinstance(given, Proxies):
        return given
    return Proxies(other=given)


def authentication_of(given: Authentication | tuple[str, str] | None) -> Authentication | None:
    """Credentials, a pair of user name and password among them.

    Raises:
        ConfigError: They cannot be sent, or are none.
    """
    if given is None or isinstance(given, Authentication):
        return given
    if isinstance(given, tuple) and len(given) == 2:
        return Basic(*given)
    raise ConfigError(
        f"auth is {type(given).__name__}; give http.Basic, http.Bearer or (user, password)"
    )


def redirects_of(given: Redirects | int | None) -> Redirects | None:
    """The rule for redirects; None: none is followed.

    Raises:
        ConfigError: It makes no sense.
    """
    if isinstance(given, Redirects):
        return given if given.max_redirects else None
    return Redirects(given) if given else None
