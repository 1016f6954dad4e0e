"""What a program may say of a request arrives as it should: bodies, credentials, fields."""

import asyncio
import io
from pathlib import Path
from typing import Any

import pytest

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
