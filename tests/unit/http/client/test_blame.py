"""Every failure of a request says whose fault it is, at which step, and with which origin."""

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.unit.http.client.test_streamed_responses import until
from tests.unit.http.misbehaving import OK, answering, origin, read_head

import sennit
from sennit import errors, http

Ask = Callable[[http.Client, str], Awaitable[Any]]


def answer(*fields: str, status: int = 200, body: bytes = b"") -> bytes:
    lines = [f"HTTP/1.1 {status} X", *fields, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


async def body(client: http.Client, url: str) -> Any:
    return await (await client.get(url)).body()


async def json(client: http.Client, url: str) -> Any:
    return await (await client.get(url)).json()


async def checked(client: http.Client, url: str) -> Any:
    return (await client.get(url)).raise_for_status()


async def streamed(client: http.Client, url: str) -> Any:
    async with client.stream("GET", url) as response:
        return await response.body()


async def streamed_json(client: http.Client, url: str) -> Any:
    async with client.stream("GET", url) as response:
        return await response.json()


async def streamed_and_checked(client: http.Client, url: str) -> Any:
    async with client.stream("GET", url) as response:
        response.raise_for_status()


async def streamed_and_left(client: http.Client, url: str) -> Any:
    async with client.stream("GET", url) as response:
        pass
    await response.body()


async def short_upload(client: http.Client, url: str) -> Any:
    await client.post(url, body=iter(["x"]), headers={"content-length": "2"})


async def long_upload(client: http.Client, url: str) -> Any:
    await client.post(url, body=iter(["xyz"]), headers={"content-length": "2"})


async def crowd(client: http.Client, url: str) -> Any:
    calls = [client.get(url) for _ in range(2)]
    try:
        await client.get(url)
    finally:
        await asyncio.gather(*calls, return_exceptions=True)


async def closed(client: http.Client, url: str) -> Any:
    await client.close()
    await client.get(url)


async def closed_during(client: http.Client, url: str) -> Any:
    call = client.get(url + "/silent")
    await until(lambda: client.statistics()["connected"])
    await client.close()
    await call


async def lower_case(client: http.Client, url: str) -> Any:
    await client.request("GET X", url)


async def silent(client: http.Client, url: str) -> Any:
    await client.get(url + "/silent", timeout=0.05)


GZIP = "Content-Encoding: gzip"
BOMB = gzip.compress(bytes(2**22))
LIMITS = {"max_response_size": 2**20, "max_waiting": 2}

CASES: dict[str, tuple[bytes, Ask, type[Exception], str]] = {
    "too many redirects": (answer("Location: /", status=302), body, errors.RemoteProtocolError,
                           "following a redirect"),
    "location": (answer("Location: ftp://x", status=302), body, errors.RemoteProtocolError,
                 "following a redirect"),
    "not HTTP": (b"hello\r\n\r\n", body, errors.RemoteProtocolError, "waiting for the response"),
    "nothing": (b"", body, errors.ConnectionLostError, "waiting for the response"),
    "half": (OK[:-1], body, errors.ConnectionLostError, "receiving the response's body"),
    "half, streamed": (OK[:-1], streamed, errors.ConnectionLostError,
                       "receiving the response's body"),
    "too large": (answer(body=bytes(2**21)), body, errors.OverloadedError,
                  "receiving the response's body"),
    "too large, streamed": (answer(body=bytes(2**21)), streamed, errors.OverloadedError,
                            "receiving the response's body"),
    "gzip": (answer(GZIP, body=b"no gzip"), body, errors.RemoteProtocolError,
             "decoding the response's body"),
    "gzip, streamed": (answer(GZIP, body=b"no gzip"), streamed, errors.RemoteProtocolError,
                       "decoding the response's body"),
    "bomb": (answer(GZIP, body=BOMB), body, errors.RemoteProtocolError,
             "decoding the response's body"),
    "json": (OK, json, errors.RemoteProtocolError, "decoding the response's body"),
    "json, streamed": (OK, streamed_json, errors.RemoteProtocolError,
                       "decoding the response's body"),
    "status": (answer(status=404), checked, errors.StatusError, "looking at the response's status"),
    "status, streamed": (answer(status=404), streamed_and_checked, errors.StatusError,
                         "looking at the response's status"),
    "left": (OK, streamed_and_left, errors.ClosedError, "receiving the response's body"),
    "short upload": (OK, short_upload, errors.LocalProtocolError, "sending the request"),
    "long upload": (OK, long_upload, errors.LocalProtocolError, "sending the request"),
    "full": (OK, crowd, errors.OverloadedError, "waiting for a connection"),
    "closed before": (OK, closed, errors.ClosedError, "beginning"),
    "closed during": (OK, closed_during, errors.ClosedError, "waiting for a connection"),
    "method": (OK, lower_case, errors.LocalProtocolError, "beginning"),
    "deadline": (OK, silent, errors.DeadlineError, "waiting for the response"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_an_error_says_whose_fault_at_which_step_and_with_whom(name: str) -> None:
    answered, ask, kind, step = CASES[name]

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while b"/silent" not in (head := await read_head(reader)):
            if b"POST" in head:
                await reader.read()
            writer.write(answered)
            await writer.drain()
            if answered in {b"", OK[:-1]}:
                return
        await reader.read()

    async def main() -> None:
        async with origin(script) as url, http.Client(**LIMITS) as client:
            with pytest.raises(errors.SennitError) as caught:
                await ask(client, url)
            error = caught.value
            assert type(error) is kind, repr(error)
            assert (error.step, error.origin) == (step, url)

    sennit.run(main())


@pytest.mark.parametrize(
    ("url", "step"),
    [("http://127.0.0.1:1", "connecting"), ("http://no.such.invalid:1", "looking up the host")],
)
def test_no_connection_is_nobody_s_but_the_network_s(url: str, step: str) -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(errors.ConnectError) as caught:
                await client.get(url)
            assert (caught.value.step, caught.value.origin) == (step, url)

    sennit.run(main())


@pytest.mark.parametrize("part", ["location", "json"])
def test_an_error_that_a_peer_has_made_says_no_secret(part: str) -> None:
    given = answer("Location: ftp://user:hidden@x", status=302) if part == "location" else OK

    async def main() -> None:
        async with origin(answering(given)) as url, http.Client() as client:
            with pytest.raises(errors.RemoteProtocolError) as caught:
                await json(client, url.replace("//", "//user:hidden@"))
            assert "hidden" not in str(caught.value) + caught.value.origin

    sennit.run(main())
