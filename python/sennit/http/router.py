"""Routes: which handler answers a request, by its method and path."""

# ruff: noqa: SLF001 - a router knows the inside of the routers that are mounted in it

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, NamedTuple, TypeAlias, TypeVar
from urllib.parse import unquote

from sennit._native import core
from sennit.errors import ConfigError
from sennit.http.lifespan import Hook, Hooks, check_hook, layers_of
from sennit.http.message import Request, Response
from sennit.http.middleware import Middleware, around, call, compose
from sennit.http.server import Handler

__all__ = ["ErrorHandler", "Router"]

ErrorHandler: TypeAlias = Callable[[Request, Any], Any]
"""A `def` or `async def` function from a request and an exception to an answer."""

_H = TypeVar("_H", bound=Handler)
_E = TypeVar("_E", bound=ErrorHandler)
_F = TypeVar("_F", bound=Hook)

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Z-]+")
"""A token (RFC 9110 section 5.6.2) without small letters, which are always a mistake here."""


class _Route(NamedTuple):
    pattern: str
    methods: tuple[str, ...]
    """None at all stands for any."""
    make: Callable[[], Handler]
    """The handler, without what its router puts around it."""


class _Mount(NamedTuple):
    parent: Router
    prefix: str
    """Without a slash at its end: empty for the root."""
    child: Router
    middleware: tuple[Middleware, ...]

    def route(self, route: _Route) -> _Route:
        """The child's route as one of its parent."""
        pattern = route.pattern if route.pattern == "*" else self.prefix + route.pattern
        return _Route(pattern, route.methods, lambda: self.around(self.child._around(route.make())))

    def around(self, handler: Handler) -> Handler:
        return compose(handler, *self.middleware)


class Router(core.Router):
    """A handler that gives each request to the handler of its route.

    Patterns: `/users` is itself; `{name}` one whole segment that is not empty; `{id:int}` one of
    digits; `{rest:path}` at the end everything that is left, which may be nothing. What stands in
    their place is `request.path_params`: decoded, always `str`. A literal beats digits, which beat
    any segment, which beats the rest; `/a` and `/a/` are two paths. The path is split as it was
    sent, so an encoded slash does not separate; dot segments mean nothing. The empty pattern is the
    very path at which a router is mounted. `*` is the target of `OPTIONS *` and of every CONNECT.

    By itself a router answers HEAD where there is GET, OPTIONS with the methods of the path, 405
    where the method has no route, and 404.

    Args:
        middleware: Put around every route, and around what the router answers by itself; the first
            one outermost.
        redirect_slashes: Answer 308 where only the slash at the end is missing, or one too many.
    """

    def __init__(
        self, *, middleware: Iterable[Middleware] = (), redirect_slashes: bool = False
    ) -> None:
        self._middleware = tuple(middleware)
        self._redirects = redirect_slashes
        self._not_found: Handler | None = None
        self._routes: list[_Route] = []
        self._mounts: list[_Mount] = []
        self._mounted_at: list[_Mount] = []
        self._error_handlers: dict[type[Exception], ErrorHandler] = {}
        self._startup: list[Hook] = []
        self._shutdown: list[Hook] = []
        self._misses: list[tuple[list[str], Handler]] | None = None

    def __repr__(self) -> str:
        return f"<sennit.http.Router with {len(self._routes)} routes>"

    # -- routes ------------------------------------------------------------------------------------

    def add(
        self,
        pattern: str,
        handler: Handler,
        methods: Iterable[str] = ("GET",),
        *,
        middleware: Iterable[Middleware] = (),
    ) -> None:
        """Add a route.

        Args:
            pattern: Which paths; see the class.
            handler: Answers their requests.
            methods: Of these methods.
            middleware: Put around this route, inside of the router's.

        Raises:
            ConfigError: It makes no sense, or another route has the same paths and method.
        """
        if not callable(handler):
            raise ConfigError(f"the handler of {pattern!r} is {handler!r}, which cannot be called")
        wrapped = compose(handler, *middleware)
        self._insert(_Route(pattern, _check_methods(pattern, methods), lambda: wrapped))

    def route(
        self, pattern: str, *methods: str, middleware: Iterable[Middleware] = ()
    ) -> Callable[[_H], _H]:
        """A decorator that adds a route for some methods, GET by default."""

        def decorate(handler: _H) -> _H:
            self.add(pattern, handler, methods or ("GET",), middleware=middleware)
            return handler

        return decorate

    def get(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for GET, which serves HEAD as well."""
        return self.route(pattern, "GET", middleware=middleware)

    def post(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for POST."""
        return self.route(pattern, "POST", middleware=middleware)

    def put(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for PUT."""
        return self.route(pattern, "PUT", middleware=middleware)

    def patch(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for PATCH."""
        return self.route(pattern, "PATCH", middleware=middleware)

    def delete(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for DELETE."""
        return self.route(pattern, "DELETE", middleware=middleware)

    def head(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for HEAD, in place of what GET would do."""
        return self.route(pattern, "HEAD", middleware=middleware)

    def options(self, pattern: str, *, middleware: Iterable[Middleware] = ()) -> Callable[[_H], _H]:
        """A decorator that adds a route for OPTIONS, in place of the router's own answer."""
        return self.route(pattern, "OPTIONS", middleware=middleware)

    def mount(
        self, prefix: str, handler: Handler, *, middleware: Iterable[Middleware] = ()
    ) -> None:
        """Put a router, or any handler, below a prefix.

        A router's routes become routes of this one, also those that it gets later, with its
        middleware, its error handlers, its hooks and its `not_found`. Any other handler gets the
        requests of all methods and paths below the prefix that no other route has, with what is
        left of the path as `request.path_params["path"]`.

        Args:
            prefix: Such as `/api`, without a slash at its end; `/` is everything. It may have
                parameters.
            handler: An `http.Router` or another handler, such as `http.Folder`.
            middleware: Put around all of it.

        Raises:
            ConfigError: It makes no sense, or a route is there already.
        """
        layers = tuple(middleware)
        if not callable(handler):
            raise ConfigError(f"the handler of {prefix!r} is {handler!r}, which cannot be called")
        if prefix != "/" and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ConfigError(f"the prefix is {prefix!r}; it looks like /api, or is /")
        prefix = prefix.rstrip("/")
        if isinstance(handler, Router):
            self._mount_router(_Mount(self, prefix, handler, layers))
            return
        if _router_inside(handler):
            raise ConfigError(
                f"what is mounted at {prefix or '/'!r} is a router inside of middleware; mount the "
                "router itself and give mount() the middleware"
            )
        wrapped = compose(handler, *layers)
        self._insert(_Route(prefix + "/{path:path}", (), lambda: wrapped))

    # -- errors and hooks --------------------------------------------------------------------------

    @property
    def not_found(self) -> Handler | None:
        """Answers requests that have no route, with a status of its choice; None: a plain 404.

        A mounted router without one has that of the router above it.
        """
        return self._not_found

    @not_found.setter
    def not_found(self, handler: Handler | None) -> None:
        if handler is not None and not callable(handler):
            raise ConfigError(f"not_found is {handler!r}, which cannot be called")
        self._not_found = handler
        self._forget_misses()

    def on_error(self, *errors: type[Exception]) -> Callable[[_E], _E]:
        """A decorator: `function(request, error)` answers where a route raises such an error.

        The class nearest to the error's own is taken. Errors of middleware are seen as well.

        Raises:
            ConfigError: It is no class of exceptions, or has a function already.
        """
        for error in errors:
            if not (isinstance(error, type) and issubclass(error, Exception)):
                raise ConfigError(f"on_error() needs classes of Exception, not {error!r}")
            if error in self._error_handlers:
                raise ConfigError(f"there is a function for {error.__name__} already")

        def decorate(function: _E) -> _E:
            was_empty = not self._error_handlers
            self._error_handlers.update(dict.fromkeys(errors, function))
            if was_empty:
                self._wrap_again()
            return function

        return decorate

    def on_startup(self, hook: _F) -> _F:
        """A decorator: run before the server listens; `def` or `async def`, no arguments.

        If it raises, what was started is shut down and `listen` raises that error.
        """
        self._startup.append(check_hook(hook))
        return hook

    def on_shutdown(self, hook: _F) -> _F:
        """A decorator: run after the server has drained, the last one first."""
        self._shutdown.append(check_hook(hook))
        return hook

    # -- inside ------------------------------------------------------------------------------------

    def _insert(self, route: _Route) -> None:
        self._add_route(route.pattern, route.methods, self._around(route.make()))
        self._routes.append(route)
        for mount in self._mounted_at:
            mount.parent._insert(mount.route(route))

    def _mount_router(self, mount: _Mount) -> None:
        if self in _routers_below(mount.child):
            raise ConfigError("a router cannot be mounted below itself")
        for route in mount.child._routes:
            self._insert(mount.route(route))
        self._mounts.append(mount)
        mount.child._mounted_at.append(mount)
        self._forget_misses()

    def _around(self, handler: Handler) -> Handler:
        """A handler with everything around it that this router puts there: nothing, often."""
        wrapped = compose(self._guarded(handler), *self._middleware)
        # What middleware raises is seen as well, what it answers is seen by middleware.
        return self._guarded(wrapped) if self._middleware else wrapped

    def _guarded(self, handler: Handler) -> Handler:
        if not self._error_handlers:
            return handler

        async def guarded(request: Request) -> Response:
            try:
                return await call(handler, request)
            except Exception as error:
                handlers = self._error_handlers
                function = next((handlers[c] for c in type(error).__mro__ if c in handlers), None)
                if function is None:
                    raise
                return await call(functools.partial(_swapped, function, error), request)

        return around(handler, guarded)

    def _wrap_again(self) -> None:
        for number, route in enumerate(self._routes):
            self._set_handler(number, self._around(route.make()))
        self._misses = None
        for mount in self._mounted_at:
            mount.parent._wrap_again()

    def _forget_misses(self) -> None:
        self._misses = None
        for mount in self._mounted_at:
            mount.parent._forget_misses()

    def _missed(self, request: Request) -> Any:
        """Answer a request that has no route; called by the native half."""
        if self._misses is None:
            self._misses = sorted(
                ((prefix.split("/")[1:], handler) for prefix, handler in self._misses_for(self)),
                key=lambda miss: -len(miss[0]),
            )
        path = request.raw_path.split("/")[1:]
        return next(handler for prefix, handler in self._misses if _covers(prefix, path))(request)

    def _misses_for(
        self, root: Router, not_found: Handler | None = None, *, redirects: bool = False
    ) -> list[tuple[str, Handler]]:
        """Prefixes, and who answers below them what has no route in `root`."""
        not_found, redirects = self._not_found or not_found, self._redirects or redirects
        misses: list[tuple[str, Handler]] = [
            ("", lambda request: root._answer_miss(request, not_found, redirects=redirects))
        ]
        for mount in self._mounts:
            below = mount.child._misses_for(root, not_found, redirects=redirects)
            misses += [(mount.prefix + prefix, mount.around(handler)) for prefix, handler in below]
        return [(prefix, self._around(handler)) for prefix, handler in misses]

    def _answer_miss(self, request: Request, not_found: Handler | None, *, redirects: bool) -> Any:
        path = request.raw_path
        if request.method == "OPTIONS" and path == "*":
            return _allow(204, self._methods())
        if allowed := self._allowed(path):
            # RFC 9110 section 15.5.6: a 405 MUST name the methods that the resource has.
            return _allow(204 if request.method == "OPTIONS" else 405, allowed)
        if redirects:
            other = path[:-1] if path.endswith("/") else f"{path}/"
            # With two slashes a browser would take what follows for a host.
            is_local = not path.startswith(("//", "/\\")) and request.target.isascii()
            if is_local and self._find(request.method, other) is not None:
                query = f"?{request.query}" if request.query else ""
                return Response.redirect(other + query, 308)
        return _plain(404) if not_found is None else not_found(request)

    def _hooks_below(self) -> list[Hooks]:
        """This router's hooks, and those of the routers below it."""
        return [Hooks(router._startup, router._shutdown) for router in _routers_below(self)]


def _routers_below(router: Router) -> list[Router]:
    """A router, and those that are mounted, each once, in the order of their mounting."""
    found = {router: None}
    for mount in router._mounts:
        found |= dict.fromkeys(_routers_below(mount.child))
    return list(found)


def _router_inside(handler: Any) -> bool:
    return any(isinstance(layer, Router) for layer in layers_of(handler))


def _swapped(function: ErrorHandler, error: Exception, request: Request) -> Any:
    return function(request, error)


def _check_methods(pattern: str, methods: Iterable[str]) -> tuple[str, ...]:
    if isinstance(methods, str):
        raise ConfigError(f"methods is {methods!r}; give a sequence, such as [{methods!r}]")
    checked = tuple(dict.fromkeys(methods))
    if not checked:
        raise ConfigError(f"the route {pattern!r} has no methods")
    for method in checked:
        if not (isinstance(method, str) and _METHOD.fullmatch(method)):
            raise ConfigError(f"the method {method!r} of {pattern!r} is none; GET is one")
        if (method == "CONNECT" or pattern == "*") and (
            pattern != "*" or method not in {"CONNECT", "OPTIONS"}
        ):
            raise ConfigError(
                f"{method} {pattern}: CONNECT and OPTIONS alone have no path, and the pattern *"
            )
    return checked


def _covers(prefix: list[str], path: list[str]) -> bool:
    """Whether a path is a prefix or below it, both as segments."""
    return len(prefix) <= len(path) and all(
        want == sent or want[:1] == "{" or want == unquote(sent)
        for want, sent in zip(prefix, path, strict=False)
    )


def _plain(status: int, **headers: str) -> Response:
    return Response(f"{status} {HTTPStatus(status).phrase}\n", status, headers=headers)


def _allow(status: int, methods: Iterable[str]) -> Response:
    """An answer that names methods, with those that a router has by itself."""
    names = dict.fromkeys(methods)
    if "GET" in names:
        names = dict.fromkeys(["GET", "HEAD", *names])
    allow = ", ".join(dict.fromkeys([*names, "OPTIONS"]))
    if status == 204:
        return Response(status=204, headers={"allow": allow})
    return _plain(status, allow=allow)
