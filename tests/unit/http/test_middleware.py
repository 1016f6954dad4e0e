"""Functions around handlers: what they add, and that they leave alone what is not theirs."""

import asyncio
import logging
from typing import Any

import pytest
from tests.unit.http.talking import GET, Answer, Peer, connected, with_peer, with_server

from sennit import errors, http, testing


def plain(_: http.Request) -> str:
    return "plain"


async def ask(peer: Peer, *fields: str, target: str = "/", host: str = "h") -> Answer:
    head = "\r\n".join((f"GET {target} HTTP/1.1", f"Host: {host}", *fields, "", ""))
    return await peer.ask(head.encode())


@pytest.mark.parametrize(
    ("answer", "body", "content_type"),
    [
        ("text", b"text", "text/plain; charset=utf-8"),
        (b"bytes", b"bytes", "application/octet-stream"),
        ({"a": 1}, b'{"a":1}', "application/json"),
        ([1], b"[1]", "application/json"),
        (http.Response("own", 201), b"own", "text/plain; charset=utf-8"),
    ],
)
def test_call_gives_a_response_for_whatever_a_handler_returns(
    answer: Any, body: bytes, content_type: str
) -> None:
    def returns(_: http.Request) -> Any:
        return answer

    async def awaits(_: http.Request) -> Any:
        await asyncio.sleep(0)
        return answer

    async def main(request: http.Request) -> str:
        for handler in (returns, awaits):
            response = await http.call(handler, request)
            assert isinstance(response, http.Response)
            assert (response.body, response.content_type) == (body, content_type)
        return "seen"

    async def scenario(peer: Peer, _: http.Server) -> None:
        assert (await peer.ask()).body == b"seen"

    assert with_peer(main, scenario) == []


def test_call_refuses_what_is_no_answer() -> None:
    async def main(request: http.Request) -> str:
        wrong: Any = lambda _: 42  # noqa: E731 - shorter
        with pytest.raises(TypeError, match="returned int"):
            await http.call(wrong, request)
        return "refused"

    async def scenario(peer: Peer, _: http.Server) -> None:
        assert (await peer.ask()).body == b"refused"

    assert with_peer(main, scenario) == []


def test_compose_puts_the_first_outermost_and_refuses_what_is_no_handler() -> None:
    def around(mark: str) -> http.Middleware:
        def layer(handler: http.Handler) -> http.Handler:
            async def marked(request: http.Request) -> str:
                response = await http.call(handler, request)
                assert isinstance(response.body, bytes)
                return f"{mark}({response.body.decode()})"

            return marked

        return layer

    async def scenario(peer: Peer, _: http.Server) -> None:
        assert (await peer.ask()).body == b"a(b(plain))"

    assert with_peer(http.compose(plain, around("a"), around("b")), scenario) == []
    assert http.compose(plain) is plain
    broken: Any = lambda _: None  # noqa: E731 - shorter
    with pytest.raises(errors.ConfigError, match="no handler"):
        http.compose(plain, broken)


def test_requests_are_logged_with_what_became_of_them(caplog: pytest.LogCaptureFixture) -> None:
    async def handler(request: http.Request) -> http.Response:
        if request.path == "/fails":
            raise ValueError("no")
        if request.path == "/json":
            await request.json()
        return http.Response(status=204)

    async def scenario(peer: Peer, _: http.Server) -> None:
        assert (await ask(peer, target="/x?y=1")).status == 204
        assert (await ask(peer, target="/fails")).status == 500
        assert (await ask(peer, target="/json")).status == 400

    with caplog.at_level(logging.INFO, logger="sennit.http"):
        reports = with_peer(http.log_requests(handler), scenario)
    assert len(reports) == 1
    first, second, third = (record for record in caplog.records if "GET" in record.message)
    assert (first.levelname, second.levelname) == ("INFO", "ERROR")
    assert first.message.startswith("127.0.0.1 GET /x?y=1 204 ")
    assert first.message.endswith(" ms")
    assert second.message.startswith("127.0.0.1 GET /fails ValueError ")
    # The client's fault is no error of the server's.
    assert third.levelname == "INFO"
    assert third.message.startswith("127.0.0.1 GET /json 400 ")


def test_only_so_many_are_let_in_at_once() -> None:
    gate = asyncio.Event()
    inside = 0

    async def handler(_: http.Request) -> str:
        nonlocal inside
        inside += 1
        await gate.wait()
        inside -= 1
        return "in"

    async def scenario(server: http.Server) -> None:
        async with connected(server) as first, connected(server) as second, connected(server) as x:
            first.send(GET)
            second.send(GET)
            while inside < 2:
                await asyncio.sleep(0)
            refused = await x.ask()
            assert (refused.status, refused.headers["retry-after"]) == (503, "7")
            gate.set()
            assert (await first.answer()).body == b"in"
            assert (await second.answer()).body == b"in"
            assert (await x.ask()).body == b"in"

    assert with_server(http.limit_concurrency(2, retry_after=7)(handler), scenario) == []


def test_a_handler_that_fails_gives_its_place_back() -> None:
    def handler(_: http.Request) -> str:
        raise ValueError("no")

    async def scenario(peer: Peer, _: http.Server) -> None:
        for _attempt in range(3):
            assert (await peer.ask()).status == 500

    assert len(with_peer(http.limit_concurrency(1)(handler), scenario)) == 3


def test_a_handler_that_takes_too_long_is_cancelled() -> None:
    outcomes: list[str] = []

    async def handler(request: http.Request) -> str:
        if request.path == "/fast":
            return "fast"
        if request.path == "/own":
            raise TimeoutError
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            outcomes.append("cancelled")
            raise
        return "slow"

    async def main() -> None:
        reactor = asyncio.get_running_loop()
        reactor.set_exception_handler(lambda _, told: outcomes.append(repr(told["exception"])))
        server = await http.listen(http.timeout(20)(handler), "http://127.0.0.1:80")
        async with http.Client(total_timeout=100) as client:
            assert (await client.get("http://127.0.0.1/fast")).status == 200
            assert (await client.get("http://127.0.0.1/slow")).status == 504
            # A timeout of the handler's own is a fault of its own.
            assert (await client.get("http://127.0.0.1/own")).status == 500
        await server.close()

    testing.run(main())
    assert outcomes == ["cancelled", "TimeoutError()"]


@pytest.mark.parametrize(
    ("host", "target", "status"),
    [
        ("example.org", "/", 200),
        ("EXAMPLE.org.", "/", 200),
        ("example.org:8080", "/", 200),
        ("www.example.net", "/", 200),
        ("a.b.example.net", "/", 200),
        ("[::1]:80", "/", 200),
        ("example.net", "/", 421),
        ("notexample.org", "/", 421),
        ("example.org.evil", "/", 421),
        ("evil.example", "http://evil.example/", 421),
        ("example.org", "http://example.org/", 200),
    ],
)
def test_only_some_hosts_are_served(host: str, target: str, status: int) -> None:
    hosts = ("example.org", "*.example.net", "[::1]")

    async def scenario(peer: Peer, _: http.Server) -> None:
        assert (await ask(peer, host=host, target=target)).status == status

    assert with_peer(http.allow_hosts(*hosts)(plain), scenario) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda: http.limit_concurrency(0),
        lambda: http.limit_concurrency(True),
        lambda: http.limit_concurrency(1, retry_after=-1),
        lambda: http.timeout(0),
        lambda: http.timeout(float("nan")),
        http.allow_hosts,
        lambda: http.allow_hosts("example.org:80"),
        lambda: http.allow_hosts("a.*.org"),
        http.cors,
        lambda: http.cors("example.org"),
        lambda: http.cors("https://example.org/"),
        lambda: http.cors("*", credentials=True),
    ],
)
def test_settings_that_make_no_sense(make: Any) -> None:
    with pytest.raises(errors.ConfigError):
        make()


def vary(answer: Answer) -> set[str]:
    return {name.strip() for name in answer.headers.get("vary", "").split(",")}


def test_pages_of_other_origins_may_read_answers_that_are_meant_for_them() -> None:
    shared = http.cors("https://a.example", expose=["x-total"], credentials=True)(plain)

    async def scenario(peer: Peer, _: http.Server) -> None:
        allowed = await ask(peer, "Origin: https://a.example")
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        assert allowed.headers["access-control-allow-credentials"] == "true"
        assert allowed.headers["access-control-expose-headers"] == "x-total"
        other = await ask(peer, "Origin: https://b.example")
        same = await ask(peer)
        for answer in (other, same):
            assert (answer.status, answer.body) == (200, b"plain")
            assert not [name for name in answer.headers if name.startswith("access-control")]
        # A cache must keep them apart.
        assert all("origin" in vary(answer) for answer in (allowed, other, same))

    assert with_peer(shared, scenario) == []


def test_everybody_may_read_what_is_public() -> None:
    async def scenario(peer: Peer, _: http.Server) -> None:
        answer = await ask(peer, "Origin: https://any.example")
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "vary" not in answer.headers
        assert "access-control-allow-credentials" not in answer.headers

    assert with_peer(http.cors("*")(plain), scenario) == []


def test_preflights_are_answered_without_the_handler() -> None:
    def never(_: http.Request) -> str:
        raise AssertionError

    async def preflight(peer: Peer, origin: str, method: str, headers: str = "") -> Answer:
        lines = [f"Origin: {origin}", f"Access-Control-Request-Method: {method}"]
        if headers:
            lines.append(f"Access-Control-Request-Headers: {headers}")
        head = "\r\n".join(("OPTIONS /x HTTP/1.1", "Host: h", *lines, "", ""))
        return await peer.ask(head.encode())

    async def scenario(peer: Peer, _: http.Server) -> None:
        allowed = await preflight(peer, "https://a.example", "PUT", "X-Token, Content-Type")
        assert allowed.status == 204
        assert allowed.headers["access-control-allow-origin"] == "https://a.example"
        assert allowed.headers["access-control-allow-methods"] == "GET, PUT"
        assert allowed.headers["access-control-allow-headers"] == "x-token, content-type"
        assert allowed.headers["access-control-max-age"] == "600"
        for origin, method, headers in (
            ("https://b.example", "PUT", ""),
            ("https://a.example", "DELETE", ""),
            ("https://a.example", "PUT", "x-other"),
        ):
            refused = await preflight(peer, origin, method, headers)
            assert refused.status == 204
            assert "access-control-allow-origin" not in refused.headers

    policy = http.cors(
        "https://a.example", methods=["PUT", "GET"], headers=["X-Token", "content-type"]
    )
    assert with_peer(policy(never), scenario) == []


def test_middleware_leaves_answers_in_pieces_alone() -> None:
    def handler(_: http.Request) -> http.Response:
        return http.Response(iter(["a", "b"]))

    layers = (http.log_requests, http.timeout(10), http.limit_concurrency(9), http.cors("*"))

    async def scenario(peer: Peer, _: http.Server) -> None:
        peer.send(GET)
        _, body, _ = await peer.in_chunks()
        assert body == b"ab"

    assert with_peer(http.compose(handler, *layers), scenario) == []
