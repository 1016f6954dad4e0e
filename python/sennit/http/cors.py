"""Cross-origin requests: which pages of other sites may read what a handler answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sennit.errors import ConfigError
from sennit.http.message import Request, Response
from sennit.http.middleware import Middleware, around, call

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sennit.http.server import Handler

__all__ = ["cors"]

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def cors(
    *origins: str,
    methods: Iterable[str] = _METHODS,
    headers: Iterable[str] = (),
    expose: Iterable[str] = (),
    credentials: bool = False,
    max_age: int = 600,
) -> Middleware:
    """Middleware that lets pages of other origins call a handler.

    A preflight is answered here, with 204, and does not reach the handler; the answer to one that
    is not allowed names nothing, which the browser takes for a no. Requests without an `origin`
    field pass unchanged.

    Args:
        *origins: Such as `https://example.org`, or `*` for all.
        methods: That a page may use.
        headers: Fields that a page may send beside the simple ones; `*` allows whatever it asks
            for.
        expose: Fields of an answer that a page may read beside the simple ones.
        credentials: Whether cookies are sent and answers to them may be read.
        max_age: Seconds that a browser remembers a preflight; 600 is what all of them keep to.

    Raises:
        ConfigError: An origin is none, or credentials go to everybody.

    Source: Fetch Standard, section 3.3.
    """
    for origin in origins:
        if origin != "*" and (origin.count("/") != 2 or "://" not in origin or "*" in origin):
            raise ConfigError(
                f"the origin is {origin!r}; it looks like https://example.org, or is *"
            )
    if not origins:
        raise ConfigError("cors() needs at least one origin, such as https://example.org")
    if credentials and "*" in origins:
        raise ConfigError(
            "credentials for every origin let any page act for its user; name origins"
        )
    policy = _Policy(origins, methods, headers, expose, credentials=credentials, max_age=max_age)
    return policy.around


class _Policy:
    """What is allowed, as the fields that say so."""

    def __init__(
        self,
        origins: Iterable[str],
        methods: Iterable[str],
        headers: Iterable[str],
        expose: Iterable[str],
        *,
        credentials: bool,
        max_age: int,
    ) -> None:
        self._origins = {origin.lower() for origin in origins}
        self._methods = set(methods)
        self._headers = {name.lower() for name in headers}
        self._expose = ", ".join(expose)
        self._credentials = credentials
        self._max_age = str(max_age)

    def around(self, handler: Handler) -> Handler:
        async def shared(request: Request) -> Response:
            origin = request.headers.get("origin")
            wanted = request.headers.get("access-control-request-method")
            if request.method == "OPTIONS" and origin is not None and wanted is not None:
                return Response(status=204, headers=self._preflight(request, origin, wanted))
            response = await call(handler, request)
            if "*" not in self._origins:
                # Caches must not give one origin what was meant for another.
                response.headers.add("vary", "origin")
            if origin is not None and self._allows(origin):
                response.headers.update(self._permission(origin))
                if self._expose:
                    response.headers["access-control-expose-headers"] = self._expose
            return response

        return around(handler, shared)

    def _allows(self, origin: str) -> bool:
        return "*" in self._origins or origin.lower() in self._origins

    def _permission(self, origin: str) -> dict[str, str]:
        fields: dict[str, str] = {
            "access-control-allow-origin": "*" if "*" in self._origins else origin
        }
        if self._credentials:
            fields["access-control-allow-credentials"] = "true"
        return fields

    def _preflight(self, request: Request, origin: str, wanted: str) -> dict[str, Any]:
        fields = {"vary": "origin, access-control-request-method, access-control-request-headers"}
        asked = [
            name.strip().lower()
            for line in request.headers.get_all("access-control-request-headers")
            for name in line.split(",")
            if name.strip()
        ]
        are_allowed = "*" in self._headers or self._headers.issuperset(asked)
        if not (self._allows(origin) and wanted in self._methods and are_allowed):
            return fields
        fields |= self._permission(origin)
        fields["access-control-allow-methods"] = ", ".join(sorted(self._methods))
        fields["access-control-max-age"] = self._max_age
        if asked:
            fields["access-control-allow-headers"] = ", ".join(asked)
        return fields
