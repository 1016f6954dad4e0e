"""What a program may say of a request arrives as it should: bodies, credentials, fields."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest
from tests.unit.http.misbehaving import OK, answering, origin

import sennit
from sennit import errors, http


async def mirror(request: http.Request) -> http.Response:
    body = await request.body()
    told = {
        "method": request.method,
        "target": request.target,
        "headers": request.headers.items(),
        "body": body.decode("latin-1"),
    }
    return http.Response.json(told)


def ask(method: str = "POST", path: str = "/", client: Any = None, **options: Any) -> Any:
    """What a server has been told by one request."""

    async def main() -> Any:
        server = await http.listen(mirror, "http://127.0.0.1:0")
        async with server, http.Client(**(client or {})) as made:
            url = options.pop("url", "http://{}").format(f"127.0.0.1:{server.port}") + path
            response = await made.request(method, url, **options)
            told = await response.json()
            told["headers"] = http.Headers(told["headers"])
            return told

    return sennit.run(main())


def test_each_verb_has_a_method() -> None:
    async def main() -> list[str]:
        server = await http.listen(mirror, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            verbs = [client.get, client.post, client.put, client.patch, client.delete]
            answers = [await verb(server.urls[0]) for verb in [*verbs, client.options]]
            assert (await client.head(server.urls[0])).headers["content-length"] != "0"
            return [(await answer.json())["method"] for answer in answers]

    assert sennit.run(main()) == ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


def test_json_is_sent_with_its_type() -> None:
    told = ask(json={"ä": [1, None]})
    assert told["body"].encode("latin-1").decode() == '{"ä":[1,null]}'
    assert told["headers"]["content-type"] == "application/json"
    assert ask(json=None)["body"] == "null"


def test_a_form_is_urlencoded() -> None:
    told = ask(data={"a": "1 2", "b": [3, 4]})
    assert told["body"] == "a=1+2&b=3&b=4"
    assert told["headers"]["content-type"] == "application/x-www-form-urlencoded"


def test_files_make_a_multipart_form(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"from disk")
    files = {"one": path, "two": ("b.bin", b"\x00\x01"), "three": io.BytesIO(b"open"), "four": b"4"}
    told = ask(data={"x": "y"}, files=files)
    assert told["headers"]["content-type"].startswith("multipart/form-data; boundary=")
    for part in ('name="x"', 'filename="notes.txt"', "from disk", 'filename="b.bin"', "open"):
        assert part in told["body"]
    assert int(told["headers"]["content-length"]) == len(told["body"])


def test_params_stand_behind_the_query() -> None:
    told = ask("GET", "/a?b=c#part", params={"d": "e f", "g": [1, 2]})
    assert told["target"] == "/a?b=c&d=e+f&g=1&g=2"


def test_a_field_of_a_request_stands_instead_of_the_clients() -> None:
    client = {"headers": {"X-One": "client", "X-Two": "client"}}
    headers = ask("GET", client=client, headers={"x-one": "request", "User-Agent": "me"})["headers"]
    assert headers.get_all("x-one") == ["request"]
    assert headers.get_all("x-two") == ["client"]
    assert headers.get_all("user-agent") == ["me"]


def test_a_content_type_that_was_given_stays() -> None:
    told = ask(json=1, headers={"Content-Type": "application/vnd.x+json"})
    assert told["headers"].get_all("content-type") == ["application/vnd.x+json"]


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"auth": ("user", "pass")}, "Basic dXNlcjpwYXNz"),
        ({"auth": http.Bearer("token")}, "Bearer token"),
        ({"client": {"auth": http.Basic("user", "pass")}}, "Basic dXNlcjpwYXNz"),
        ({"url": "http://user:p%61ss@{}"}, "Basic dXNlcjpwYXNz"),
        ({"client": {"auth": ("a", "b")}, "auth": http.Bearer("mine")}, "Bearer mine"),
    ],
)
def test_credentials_are_sent(options: dict[str, Any], value: str) -> None:
    assert ask("GET", **options)["headers"].get_all("authorization") == [value]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"json": 1, "data": {}}, errors.ConfigError),
        ({"body": 1}, TypeError),
        ({"body": {"a": "b"}}, TypeError),
        ({"auth": "token"}, errors.ConfigError),
        ({"timeout": 0}, errors.ConfigError),
        ({"redirects": -1}, errors.ConfigError),
        ({"json": object()}, TypeError),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(error):
                client.request("POST", "http://127.0.0.1:1/", **options)

    sennit.run(main())


def test_cookies_come_back_to_who_has_set_them() -> None:
    seen: list[str | None] = []

    def handler(request: http.Request) -> http.Response:
        seen.append(request.headers.get("cookie"))
        answer = http.Response("ok")
        if request.path == "/in":
            answer.set_cookie("session", "s1")
            answer.set_cookie("path", "p", path="/deep")
        return answer

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            for path in ("/in", "/", "/deep/er"):
                await client.get(server.urls[0] + path)
            await client.get(server.urls[0], headers={"cookie": "own=1"})
            assert len(client.cookies) == 2

    sennit.run(main())
    assert seen == [None, "session=s1", "path=p; session=s1", "own=1"]


def test_without_a_jar_no_cookie_is_kept() -> None:
    seen: list[str | None] = []

    def handler(request: http.Request) -> http.Response:
        seen.append(request.headers.get("cookie"))
        answer = http.Response("ok")
        answer.set_cookie("a", "b")
        return answer

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client(cookies=False) as client:
            await client.get(server.urls[0])
            await client.get(server.urls[0])

    sennit.run(main())
    assert seen == [None, None]


def test_a_status_that_says_failure_can_be_raised() -> None:
    async def main() -> None:
        server = await http.listen(lambda _: http.Response("no", 404), "http://127.0.0.1:0")
        async with server, http.Client() as client:
            response = await client.get(server.urls[0] + "/missing")
            assert not response.is_success
            assert response.url.endswith("/missing")
            with pytest.raises(errors.StatusError, match="404 Not Found") as caught:
                response.raise_for_status()
            assert caught.value.status == 404
            assert (await client.get(server.urls[0])).method == "GET"

    sennit.run(main())


def test_an_error_names_its_step_and_origin() -> None:
    async def main() -> errors.SennitError:
        async with http.Client() as client:
            with pytest.raises(errors.ConnectError) as caught:
                await client.get("http://127.0.0.1:1/path")
            return caught.value

    error = sennit.run(main())
    assert (error.step, error.origin) == ("connecting", "http://127.0.0.1:1")


def test_hooks_are_told_of_every_request_and_outcome() -> None:
    told: list[Any] = []

    async def main() -> None:
        server = await http.listen(
            lambda request: http.Response.redirect("/b") if request.path == "/a" else "ok",
            "http://127.0.0.1:0",
        )
        async with (
            server,
            http.Client(
                on_request=lambda hop: told.append(hop.url[-2:]),
                on_response=lambda hop, outcome: told.append((hop.url[-2:], outcome.status)),
            ) as client,
        ):
            await client.get(server.urls[0] + "/a")

    sennit.run(main())
    assert told == ["/a", ("/a", 302), "/b", ("/b", 200)]


def test_cancelling_while_a_retry_waits_ends_it() -> None:
    async def main() -> None:
        async with http.Client(retry=http.Retry(backoff=30, jitter=False)) as client:
            call = client.get("http://127.0.0.1:1/")
            while client.statistics()["failures"] == 0:
                await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    sennit.run(main())


@pytest.mark.parametrize("method", ["get", "Head", "post"])
def test_a_method_that_servers_would_not_know_is_refused(method: str) -> None:
    with pytest.raises(errors.LocalProtocolError, match=f"write '{method.upper()}'"):
        ask(method)
    assert ask("propfind")["method"] == "propfind"


def test_cookies_of_one_request_go_beside_the_jar_s() -> None:
    seen: list[tuple[str, str | None]] = []

    def handler(request: http.Request) -> http.Response:
        seen.append((request.path, request.headers.get("cookie")))
        if request.path == "/in":
            answer = http.Response.redirect("/b")
            answer.set_cookie("a", "jar", path="/")
            answer.set_cookie("b", "jar", path="/")
            return answer
        return http.Response.redirect("/c") if request.path == "/b" else http.Response("ok")

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            await client.get(server.urls[0] + "/in", cookies={"a": "own", "c": "own"})
            await client.get(server.urls[0] + "/d")
            assert len(client.cookies or ()) == 2

    sennit.run(main())
    assert seen == [
        ("/in", "a=own; c=own"),
        ("/b", "b=jar; a=own; c=own"),
        ("/c", "b=jar; a=own; c=own"),
        ("/d", "a=jar; b=jar"),
    ]


def test_cookies_of_one_request_stay_with_its_origin() -> None:
    seen: list[str | None] = []

    def there(request: http.Request) -> str:
        seen.append(request.headers.get("cookie"))
        return "ok"

    async def main() -> None:
        other = await http.listen(there, "http://127.0.0.1:0")
        moved = http.Response.redirect(other.urls[0])
        server = await http.listen(lambda _: moved, "http://127.0.0.1:0")
        async with other, server, http.Client() as client:
            assert (await client.get(server.urls[0], cookies={"secret": "1"})).status == 200

    sennit.run(main())
    assert seen == [None]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"cookies": {"a": "b\r\nX: y"}}, errors.LocalProtocolError),
        ({"cookies": {"a;": "b"}}, errors.LocalProtocolError),
        ({"cookies": {"a": 1}}, TypeError),
        ({"cookies": [("a", "b")]}, errors.ConfigError),
        ({"cookies": {"a": "b"}, "headers": {"Cookie": "c=d"}}, errors.ConfigError),
        ({"client": {"cookies": {"a": "b"}}}, errors.ConfigError),
    ],
)
def test_cookies_that_cannot_be_sent_are_refused(
    options: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        ask("GET", **options)


def test_an_iterator_may_have_a_length() -> None:
    headers = {"Content-Length": "3"}
    told = ask(body=iter(["ab", "c"]), headers=headers)
    assert (told["body"], told["headers"].get_all("content-length")) == ("abc", ["3"])
    assert "transfer-encoding" not in told["headers"]
    assert ask(body="abc", headers=headers)["body"] == "abc"


@pytest.mark.parametrize(
    ("length", "body"),
    [
        ("3", iter(["ab"])),
        ("3", iter(["abcd"])),
        ("3", "ab"),
        ("-3", iter("a")),
        ("3,3", iter("a")),
    ],
)
def test_a_length_that_is_wrong_is_refused(length: str, body: Any) -> None:
    async def main() -> int:
        server = await http.listen(mirror, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            with pytest.raises(errors.LocalProtocolError):
                await client.post(server.urls[0], body=body, headers={"content-length": length})
            return client.statistics()["open"]

    assert sennit.run(main()) == 0


@pytest.mark.parametrize(
    "url", ["http://{}\r\nX: y", "http://{}/a\tb", "http://u:p@{}/\n", "\0http://{}"]
)
def test_a_url_with_a_control_character_is_refused(url: str) -> None:
    with pytest.raises(errors.ConfigError, match="control character"):
        ask("GET", path="", url=url)


def test_options_may_be_about_the_whole_server() -> None:
    assert ask("OPTIONS", "/*")["target"] == "*"
    assert ask("OPTIONS", "/")["target"] == "/"
    assert ask("GET", "/*")["target"] == "/*"


def test_two_locations_that_differ_are_none() -> None:
    head = "HTTP/1.1 302 Found\r\nLocation: /a\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n"

    async def main() -> None:
        async with http.Client() as client:
            async with origin(answering(head.format("/b").encode())) as url:
                with pytest.raises(errors.RemoteProtocolError, match="that differ"):
                    await client.get(url)
            async with origin(answering(head.format("/a").encode(), OK)) as url:
                assert (await client.get(url)).status == 200

    sennit.run(main())
