"""Redirects, retries: what follows from an answer, and what does not."""

import asyncio
from typing import Any

import pytest
from tests.unit.http.misbehaving import OK, answering, origin, read_head

import sennit
from sennit import errors, http


def site(pages: dict[str, Any]) -> tuple[Any, list[tuple[str, str, bytes]]]:
    """A handler that knows some pages, and what it was asked."""
    asked: list[tuple[str, str, bytes]] = []

    async def handler(request: http.Request) -> Any:
        asked.append((request.method, request.path, await request.body()))
        return pages[request.path]

    return handler, asked


@pytest.mark.parametrize(
    ("status", "method", "after"),
    [
        (301, "GET", ("GET", b"")),
        (302, "POST", ("GET", b"")),
        (303, "PUT", ("GET", b"")),
        (307, "POST", ("POST", b"body")),
        (308, "PUT", ("PUT", b"body")),
    ],
)
def test_a_redirect_is_followed_with_the_right_method(
    status: int, method: str, after: tuple[str, bytes]
) -> None:
    handler, asked = site({"/a": http.Response.redirect("/b", status), "/b": "here"})

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            body = None if method == "GET" else "body"
            response = await client.request(method, server.urls[0] + "/a", body=body)
            assert await response.text() == "here"
            assert response.url == server.urls[0] + "/b"
            assert [one.status for one in response.history] == [status]

    sennit.run(main())
    assert asked[1] == (after[0], "/b", after[1])


def test_redirects_have_a_limit() -> None:
    handler, asked = site({"/a": http.Response.redirect("/a")})

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client(redirects=3) as client:
            with pytest.raises(errors.RemoteProtocolError, match="limit 3"):
                await client.get(server.urls[0] + "/a")
            response = await client.get(server.urls[0] + "/a", redirects=None)
            assert response.status == 302

    sennit.run(main())
    assert len(asked) == 5


def test_credentials_stay_with_their_origin() -> None:
    heads: list[bytes] = []

    async def other(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)

    async def main() -> None:
        async with origin(other) as there:
            moved = f"HTTP/1.1 302 Found\r\nLocation: {there}/x\r\nContent-Length: 0\r\n\r\n"
            async with origin(answering(moved.encode())) as here, http.Client() as client:
                await client.get(here, auth=("user", "pass"), headers={"x-kept": "1"})

    sennit.run(main())
    assert b"authorization" not in heads[0].lower()
    assert b"x-kept: 1" in heads[0].lower()


def test_a_failing_answer_is_tried_again_when_asked() -> None:
    answers = [503, 503, 200]

    async def main() -> dict[str, int]:
        server = await http.listen(
            lambda _: http.Response("x", answers.pop(0)), "http://127.0.0.1:0"
        )
        retry = http.Retry(backoff=0.001)
        async with server, http.Client(retry=retry) as client:
            assert (await client.get(server.urls[0])).status == 200
            return client.statistics()

    assert sennit.run(main())["requests"] == 3


def test_a_post_that_failed_is_not_tried_again() -> None:
    async def main() -> int:
        server = await http.listen(lambda _: http.Response("x", 503), "http://127.0.0.1:0")
        async with server, http.Client(retry=http.Retry(backoff=0.001)) as client:
            await client.post(server.urls[0], json=1)
            return client.statistics()["requests"]

    assert sennit.run(main()) == 1


def test_a_connect_that_failed_is_tried_again_until_attempts_are_used_up() -> None:
    async def main() -> int:
        async with http.Client(retry=http.Retry(attempts=3, backoff=0.001)) as client:
            with pytest.raises(errors.ConnectError):
                await client.post("http://127.0.0.1:1/", body="x")
            return client.statistics()["requests"]

    assert sennit.run(main()) == 3


def test_the_total_timeout_holds_over_all_redirects() -> None:
    async def handler(_request: http.Request) -> http.Response:
        await asyncio.sleep(0.01)
        return http.Response.redirect("/again")

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client(redirects=1_000_000) as client:
            with pytest.raises(errors.DeadlineError):
                await client.get(server.urls[0], timeout=0.1)

    sennit.run(main())
