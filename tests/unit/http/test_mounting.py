"""Routers and other handlers in routers: whose routes, middleware, errors and misses they are."""

from pathlib import Path

import pytest
from tests.unit.http.routes import ask, expect, named, router_of, with_router
from tests.unit.http.talking import Peer

from sennit import errors, http


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
