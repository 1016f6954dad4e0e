"""Routes: which handler gets a request, what the router answers by itself, mounts, errors."""

import asyncio
import functools
import gc
import json
import weakref
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.talking import Answer, Peer, with_peer

from sennit import errors, http


async def ask(peer: Peer, path: str, method: str = "GET", *lines: str) -> Answer:
    host = path if method == "CONNECT" else "h"
    if path.startswith("http://"):
        host = path.split("/")[2]
    head = "\r\n".join((f"{method} {path} HTTP/1.1", f"Host: {host}", *lines, "", ""))
    peer.send(head.encode("latin-1"))
    return await peer.answer(to_head=method == "HEAD")


def with_router(
    router: http.Handler, scenario: Callable[[Peer], Awaitable[Any]]
) -> list[dict[str, Any]]:
    return with_peer(router, lambda peer, _server: scenario(peer))


def named(name: str) -> http.Handler:
    return lambda request: {"route": name, **request.path_params}


def router_of(*patterns: str, **settings: Any) -> http.Router:
    router = http.Router(**settings)
    for pattern in patterns:
        router.add(pattern, named(pattern))
    return router


def expect(router: http.Handler, *cases: tuple[str, Any]) -> None:
    """Each path is answered by the route of this name with these parameters, or with a status."""

    async def scenario(peer: Peer) -> None:
        for path, wanted in cases:
            answer = await ask(peer, path)
            if isinstance(wanted, int):
                assert answer.status == wanted, path
            else:
                assert answer.status == 200, path
                assert http_json(answer) == wanted, path

    assert with_router(router, scenario) == []


def http_json(answer: Answer) -> Any:
    return json.loads(answer.body)


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


def test_mounted_routers_keep_what_is_theirs() -> None:
    users = router_of("/", "/{name}")
    api = router_of("/status")
    api.mount("/{version}/users", users)
    root = router_of("/status")
    root.mount("/api", api)
    # A route that comes later is seen as well.
    users.add("/{name}/posts", named("late"))
    expect(
        root,
        ("/status", {"route": "/status"}),
        ("/api/status", {"route": "/status"}),
        ("/api/v1/users/", {"route": "/", "version": "v1"}),
        ("/api/v1/users/ann", {"route": "/{name}", "version": "v1", "name": "ann"}),
        ("/api/v1/users/ann/posts", {"route": "late", "version": "v1", "name": "ann"}),
        ("/api", 404),
        ("/api/v1/users", 404),
    )
    expect(users, ("/bob", {"route": "/{name}", "name": "bob"}))


def test_the_empty_pattern_is_the_place_of_the_mount() -> None:
    child = router_of("", "/")
    root = http.Router()
    root.mount("/api", child)
    expect(root, ("/api", {"route": ""}), ("/api/", {"route": "/"}), ("/", 404))
    expect(child, ("/", {"route": "/"}))
    with pytest.raises(errors.ConfigError, match="same paths"):
        child.add("", named("again"))


def test_a_name_twice_through_mounts_is_refused_before_anything_is_added() -> None:
    child = router_of("/ok", "/{name}")
    root = http.Router()
    with pytest.raises(errors.ConfigError, match="twice"):
        root.mount("/{name}", child)


def test_other_handlers_are_mounted_with_the_rest_of_the_path(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("file")
    router = router_of("/static/own")
    router.mount("/static", http.Folder(tmp_path))
    router.mount("/any", lambda request: f"{request.method} {request.path_params['path']}")

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/static/a.txt")).body == b"file"
        assert (await ask(peer, "/static/%2e%2e/a.txt")).status in {400, 404}
        assert (await ask(peer, "/static/own")).body == b'{"route":"/static/own"}'
        assert (await ask(peer, "/any/x/y", "PURGE")).body == b"PURGE x/y"
        assert (await ask(peer, "/any/")).body == b"GET "
        assert (await ask(peer, "/any")).status == 404

    assert with_router(router, scenario) == []


def test_routers_cannot_go_round() -> None:
    first, second = http.Router(), http.Router()
    first.mount("/second", second)
    with pytest.raises(errors.ConfigError, match="below itself"):
        second.mount("/first", first)
    with pytest.raises(errors.ConfigError, match="below itself"):
        first.mount("/", first)
    with pytest.raises(errors.ConfigError, match="mount the router itself"):
        first.mount("/logged", http.log_requests(second))
    for prefix in ("api", "/api/", ""):
        with pytest.raises(errors.ConfigError, match="prefix"):
            first.mount(prefix, second)


def test_not_found_is_the_nearest_router_s() -> None:
    root, child, grandchild = router_of("/x"), router_of("/x"), router_of("/x")
    root.mount("/child", child)
    child.mount("/grandchild", grandchild)
    root.not_found = lambda _: http.Response("root", 404)
    grandchild.not_found = lambda request: http.Response(f"none {request.path}", 410)

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/no")).body == b"root"
        assert (await ask(peer, "/child/no")).body == b"root"
        gone = await ask(peer, "/child/grandchild/no")
        assert (gone.status, gone.body) == (410, b"none /child/grandchild/no")
        # A method that is missing is something else.
        assert (await ask(peer, "/child/grandchild/x", "POST")).status == 405
        child.not_found = lambda _: "child"
        assert (await ask(peer, "/child/no")).body == b"child"
        child.not_found = None
        assert (await ask(peer, "/child/no")).body == b"root"

    assert with_router(root, scenario) == []


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


def test_an_error_handler_that_comes_late_sees_earlier_routes_and_mounts() -> None:
    def fails(_: http.Request) -> str:
        raise OSError("disk")

    child = http.Router()
    child.add("/fails", fails)
    root = http.Router()
    root.mount("/child", child)
    root.on_error(OSError)(lambda _request, error: http.Response(f"root: {error}", 503))

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/child/fails")).body == b"root: disk"
        child.on_error(OSError)(lambda _request, error: http.Response(f"child: {error}", 503))
        assert (await ask(peer, "/child/fails")).body == b"child: disk"

    assert with_router(root, scenario) == []


def test_middleware_of_routers_mounts_and_routes_are_nested() -> None:
    def marks(mark: str) -> http.Middleware:
        def around(handler: http.Handler) -> http.Handler:
            async def marked(request: http.Request) -> http.Response:
                response = await http.call(handler, request)
                response.headers.add("x-mark", mark)
                return response

            return marked

        return around

    child = http.Router(middleware=[marks("child")])
    child.add("/x", named("x"), middleware=[marks("route 1"), marks("route 2")])
    root = http.Router(middleware=[marks("root 1"), marks("root 2")])
    root.mount("/child", child, middleware=[marks("mount")])
    seen: list[list[str]] = []

    def outermost(handler: http.Handler) -> http.Handler:
        async def collect(request: http.Request) -> http.Response:
            response = await http.call(handler, request)
            seen.append(response.headers.get_all("x-mark"))
            return http.Response(str(response.status))

        return collect

    async def scenario(peer: Peer) -> None:
        assert (await ask(peer, "/child/x")).body == b"200"
        assert (await ask(peer, "/child/none")).body == b"404"
        assert (await ask(peer, "/none")).body == b"404"

    assert with_router(outermost(root), scenario) == []
    outside = ["mount", "root 2", "root 1"]
    assert seen == [
        ["route 2", "route 1", "child", *outside],
        ["child", *outside],
        ["root 2", "root 1"],
    ]


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
