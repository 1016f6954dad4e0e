"""Routes: which handler gets a request, what the router answers by itself, errors."""

import asyncio
import functools
import gc
import weakref
from typing import Any

import pytest
from tests.unit.http.routes import ask, expect, named, router_of, with_router
from tests.unit.http.talking import Peer

from sennit import errors, http


def test_literals_and_parameters() -> None:
    router = router_of("/", "/users", "/users/{name}", "/users/{name}/posts/{id:int}")
    expect(
        router,
        ("/", {"route": "/"}),
        ("/users", {"route": "/users"}),
        ("/users?x=1", {"route": "/users"}),
        ("/users/ann", {"route": "/users/{name}", "name": "ann"}),
        ("/users/a%2Fb%20%C3%A9", {"route": "/users/{name}", "name": "a/b \u00e9"}),
        (
            "/users/ann/posts/12",
            {"route": "/users/{name}/posts/{id:int}", "name": "ann", "id": "12"},
        ),
        ("/users/ann/posts/twelve", 404),
        ("/users/ann/posts/", 404),
        ("/users/", 404),
        ("/users//", 404),
        ("/Users", 404),
        ("/%75sers", {"route": "/users"}),
        ("http://other.example/users/bob", {"route": "/users/{name}", "name": "bob"}),
    )


def test_a_literal_beats_digits_beat_a_segment_beats_the_rest() -> None:
    router = router_of("/{rest:path}", "/{name}", "/{id:int}", "/new", "/new/{name}/x", "/{a}/b/y")
    expect(
        router,
        ("/new", {"route": "/new"}),
        ("/12", {"route": "/{id:int}", "id": "12"}),
        ("/12a", {"route": "/{name}", "name": "12a"}),
        ("/12/3", {"route": "/{rest:path}", "rest": "12/3"}),
        ("/", {"route": "/{rest:path}", "rest": ""}),
        # The literal leads nowhere here, so the search comes back.
        ("/new/b/y", {"route": "/{a}/b/y", "a": "new"}),
        ("/new/b/z", {"route": "/{rest:path}", "rest": "new/b/z"}),
    )


def test_what_the_router_answers_by_itself() -> None:
    router = http.Router()
    router.add("/both", named("both"), ["GET", "POST"])
    router.add("/put", named("put"), ["PUT"])
    router.add("/{name}", named("name"), ["DELETE"])

    async def scenario(peer: Peer) -> None:
        refused = await ask(peer, "/both", "PATCH")
        assert (refused.status, refused.body) == (405, b"405 Method Not Allowed\n")
        assert refused.headers["allow"] == "GET, HEAD, POST, DELETE, OPTIONS"
        assert (await ask(peer, "/both", "DELETE")).body == b'{"route":"name","name":"both"}'
        options = await ask(peer, "/put", "OPTIONS")
        assert (options.status, options.headers["allow"]) == (204, "PUT, DELETE, OPTIONS")
        head = await ask(peer, "/both", "HEAD")
        assert (head.status, head.headers["content-length"]) == (200, "16")
        assert (await ask(peer, "/put", "HEAD")).status == 405
        everything = await ask(peer, "*", "OPTIONS")
        assert everything.status == 204
        assert set(everything.headers["allow"].split(", ")) == {
            "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS",
        }  # fmt: skip
        missing = await ask(peer, "/a/b", "OPTIONS")
        assert (missing.status, missing.body) == (404, b"404 Not Found\n")

    assert with_router(router, scenario) == []


def test_decorators_and_own_answers_to_head_and_options() -> None:
    router = http.Router()

    @router.get("/x")
    async def get(request: http.Request) -> str:
        return f"{request.method} x"

    @router.head("/x")
    def head(_: http.Request) -> http.Response:
        return http.Response(headers={"x-own": "head"})

    @router.options("/x")
    def options(_: http.Request) -> http.Response:
        return http.Response(headers={"x-own": "options"})

    for decorate in (router.post, router.put, router.patch, router.delete):
        decorate("/x")(get)
    router.route("/y", "GET", "PURGE")(get)
    assert asyncio.iscoroutinefunction(get), "a decorator gives the function back"

    async def scenario(peer: Peer) -> None:
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            assert (await ask(peer, "/x", method)).body == f"{method} x".encode()
        for method in ("HEAD", "OPTIONS"):
            assert (await ask(peer, "/x", method)).headers["x-own"] == method.lower()
        assert (await ask(peer, "/y", "PURGE")).body == b"PURGE x"

    assert with_router(router, scenario) == []


@pytest.mark.parametrize(
    ("pattern", "methods", "message"),
    [
        ("users", ["GET"], "begin"),
        ("/{}", ["GET"], "name"),
        ("/{a}/{a}", ["GET"], "twice"),
        ("/{a:float}", ["GET"], "float"),
        ("/{a:path}/b", ["GET"], "goes on behind"),
        ("/a{b}", ["GET"], "whole|segment"),
        ("/x", [], "no methods"),
        ("/x", "GET", "sequence"),
        ("/x", ["get"], "'get'"),
        ("/x", ["CONNECT"], "CONNECT"),
        ("*", ["GET"], "no path"),
        ("/taken", ["POST", "GET"], "GET"),
        ("/{other}/taken", ["GET"], "GET"),
    ],
)
def test_routes_that_make_no_sense(pattern: str, methods: Any, message: str) -> None:
    router = router_of("/taken", "/{name}/taken")
    with pytest.raises(errors.ConfigError, match=message):
        router.add(pattern, named("x"), methods)
    # Nothing of it was added.
    expect(router, ("/x", 404), ("/taken", {"route": "/taken"}))


def test_what_cannot_be_called_is_no_handler() -> None:
    router = http.Router()
    value: Any = "text"
    for add in (
        lambda: router.add("/", value),
        lambda: router.mount("/", value),
        lambda: setattr(router, "not_found", value),
        lambda: router.on_startup(value),
        lambda: router.on_error(value),
        lambda: http.Router(middleware=[lambda _: value]).add("/", named("x")),
    ):
        with pytest.raises(errors.ConfigError):
            add()


def test_slashes_are_put_right_when_asked_for() -> None:
    router = router_of("/users/{name}", "/folder/", redirect_slashes=True)

    async def scenario(peer: Peer) -> None:
        more = await ask(peer, "/users/a%20b/?x=1&y=2")
        assert (more.status, more.headers["location"]) == (308, "/users/a%20b?x=1&y=2")
        less = await ask(peer, "/folder")
        assert (less.status, less.headers["location"]) == (308, "/folder/")
        assert (await ask(peer, "/other/")).status == 404
        assert (await ask(peer, "/folder/", "POST")).status == 405
        assert (await ask(peer, "/folder", "POST")).status == 404
        # Where it would lead to another host nobody is led.
        assert (await ask(peer, "//users/x/")).status == 404

    assert with_router(router, scenario) == []


def test_errors_have_handlers_by_their_class() -> None:
    router = http.Router()

    @router.on_error(LookupError)
    def lookup(request: http.Request, error: LookupError) -> http.Response:
        return http.Response(f"{request.path}: {type(error).__name__}", 404)

    @router.on_error(KeyError)
    async def key(_: http.Request, error: KeyError) -> dict[str, str]:
        return {"missing": error.args[0]}

    @router.get("/key")
    def raise_key(_: http.Request) -> str:
        raise KeyError("k")

    @router.get("/index")
    async def raise_index(_: http.Request) -> str:
        raise IndexError

    @router.get("/other")
    async def raise_other(_: http.Request) -> str:
        raise ValueError("other")

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/key")).body == b'{"missing":"k"}'
        index = await ask(peer, "/index")
        assert (index.status, index.body) == (404, b"/index: IndexError")
        assert (await ask(peer, "/other")).status == 500

    reports = with_router(router, scenario)
    assert [str(report["exception"]) for report in reports] == ["other"]
    with pytest.raises(errors.ConfigError, match="KeyError already"):
        router.on_error(KeyError)


def test_connect_has_a_route_of_its_own() -> None:
    router = router_of("/x")
    assert not router.handles_connect
    router.add("*", lambda request: http.Response(f"to {request.target}", 403), ["CONNECT"])
    assert router.handles_connect

    async def scenario(peer: Peer) -> None:
        refused = await ask(peer, "example.org:443", "CONNECT")
        assert (refused.status, refused.body) == (403, b"to example.org:443")

    # Middleware around it does not hide it.
    assert with_router(http.log_requests(router), scenario) == []


def test_routes_may_be_added_while_a_request_is_answered() -> None:
    router = http.Router()

    @router.get("/add")
    def add(_: http.Request) -> str:
        router.add("/added", named("added"))
        return "added"

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/added")).status == 404
        assert (await ask(peer, "/add")).status == 200
        assert (await ask(peer, "/added")).status == 200

    assert with_router(router, scenario) == []


def test_a_router_in_a_cycle_is_collected() -> None:
    router = http.Router()

    router.add("/", functools.partial(lambda held, _: repr(held), router))
    known = weakref.ref(router)
    del router
    gc.collect()
    assert known() is None


def test_it_is_called_with_requests_only() -> None:
    router: Any = router_of("/")
    with pytest.raises(TypeError, match=r"http\.Request"):
        router("text")
    with pytest.raises(TypeError, match="nothing else"):
        router(None, other=1)


def test_path_params_are_empty_without_a_route() -> None:
    expect(lambda request: request.path_params, ("/a", {}))
