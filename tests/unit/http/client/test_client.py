"""The client: requests as they are sent, responses as they come, errors that name the step."""

import asyncio
import socket

import pytest
from tests.unit.http.misbehaving import OK, answering, origin, read_head

import sennit
from sennit import errors, http

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


async def echo(request: http.Request) -> http.Response:
    body = await request.body()
    fields = {"x-method": request.method, "x-target": request.target}
    fields |= {f"x-got-{name}": value for name, value in request.headers.items()}
    return http.Response(body, headers=fields)


def test_a_response_has_status_headers_and_body() -> None:
    async def main() -> None:
        server = await http.listen(lambda _: http.Response("héllo", 201), "http://127.0.0.1:0")
        async with server, http.Client() as client:
            response = await client.get(server.urls[0])
            assert response.status == 201
            assert response.reason == "Created"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert await response.body() == "héllo".encode()
            assert await response.text() == "héllo"

    sennit.run(main())


def test_json_is_decoded() -> None:
    async def main() -> None:
        answer = http.Response('{"a": [1, 2]}', content_type="application/json")
        server = await http.listen(lambda _: answer, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            assert await (await client.get(server.urls[0])).json() == {"a": [1, 2]}

    sennit.run(main())


@pytest.mark.parametrize("charset", ["latin-1", '"iso-8859-1"'])
def test_text_is_decoded_by_its_charset(charset: str) -> None:
    async def main() -> str:
        answer = http.Response(b"\xe4", content_type=f"text/plain; charset={charset}")
        server = await http.listen(lambda _: answer, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            return await (await client.get(server.urls[0])).text()

    assert sennit.run(main()) == "ä"


def test_method_headers_and_body_arrive() -> None:
    async def main() -> None:
        server = await http.listen(echo, "http://127.0.0.1:0")
        async with server, http.Client(headers={"x-all": "1"}) as client:
            url = f"{server.urls[0]}/a%20b/c?d=é#part"
            response = await client.request("PUT", url, headers={"X-One": "2"}, body="bödy")
            assert await response.text() == "bödy"
            assert response.headers["x-method"] == "PUT"
            assert response.headers["x-target"] == "/a%20b/c?d=%C3%A9"
            assert response.headers["x-got-x-all"] == "1"
            assert response.headers["x-got-x-one"] == "2"
            assert response.headers["x-got-content-length"] == "5"
            assert response.headers["x-got-host"] == server.urls[0].removeprefix("http://")
            assert response.headers["x-got-user-agent"] == "sennit"

    sennit.run(main())


@pytest.mark.parametrize(("method", "length"), [("POST", "0"), ("PUT", "0"), ("GET", None)])
def test_a_method_that_means_a_body_says_that_there_is_none(
    method: str, length: str | None
) -> None:
    async def main() -> str | None:
        server = await http.listen(echo, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            response = await client.request(method, server.urls[0])
            return response.headers.get("x-got-content-length")

    assert sennit.run(main()) == length


def test_head_has_the_length_and_no_body() -> None:
    async def main() -> None:
        server = await http.listen(lambda _: "four", "http://127.0.0.1:0")
        async with server, http.Client() as client:
            response = await client.request("HEAD", server.urls[0])
            assert response.headers["content-length"] == "4"
            assert await response.body() == b""

    sennit.run(main())


@pytest.mark.parametrize(
    ("answer", "body"),
    [
        (
            CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
            b"abcde",
        ),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", b"until the end"),
        (b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK, b"ok"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"HTTP/1.0 200 OK\r\n\r\nold", b"old"),
    ],
)
def test_every_framing_of_a_body(answer: bytes, body: bytes) -> None:
    async def main() -> bytes:
        async with origin(answering(answer, close=True)) as url, http.Client() as client:
            return await (await client.get(url)).body()

    assert sennit.run(main()) == body


def test_a_response_that_dribbles_is_the_same_response() -> None:
    async def dribble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n":
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async def main() -> bytes:
        async with origin(dribble) as url, http.Client() as client:
            return await (await client.get(url)).body()

    assert sennit.run(main()) == b"ok"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (b"", errors.ConnectionLostError, "while waiting for the response"),
        (b"HTTP/1.1 200", errors.ConnectionLostError, "while waiting for the response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", errors.ConnectionLostError, "body"),
        (
            CHUNKED + b"zz\r\n",
            errors.RemoteProtocolError,
            "body",
        ),
        (b"SSH-2.0-OpenSSH\r\n", errors.RemoteProtocolError, "while waiting for the response"),
        (b"HTTP/1.1 101 Switching\r\n\r\n", errors.RemoteProtocolError, "while"),
        (b"HTTP/1.1 102 P\r\n\r\n" * 20, errors.RemoteProtocolError, "while"),
        (CHUNKED + b"-1\r\n\r\n", errors.RemoteProtocolError, "body"),
        (CHUNKED + b"ffffffffffffffffff\r\n", errors.RemoteProtocolError, "body"),
        (CHUNKED + b"2\r\nabc\r\n", errors.RemoteProtocolError, "body"),
        (CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n", errors.RemoteProtocolError, "body"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500, errors.RemoteProtocolError, "response"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"b" * 99_999, errors.RemoteProtocolError, "response"),
        (b"HTTP/1.1 200 OK\r\nA : b\r\n\r\n", errors.RemoteProtocolError, "response"),
        (b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", errors.RemoteProtocolError, "response"),
        (b"HTTP/2 200\r\n\r\n", errors.RemoteProtocolError, "response"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\n",
            errors.OverloadedError,
            "max_response_size",
        ),
    ],
)
def test_a_bad_answer_says_what_was_bad(answer: bytes, error: type[Exception], words: str) -> None:
    async def main() -> None:
        async with origin(answering(answer, close=True)) as url, http.Client() as client:
            with pytest.raises(error, match=words):
                await client.get(url)
            assert client.statistics()["open"] == 0

    sennit.run(main())


def test_a_protocol_error_names_its_rule() -> None:
    async def main() -> errors.RemoteProtocolError:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"
        async with origin(answering(answer)) as url, http.Client() as client:
            with pytest.raises(errors.RemoteProtocolError) as caught:
                await client.get(url)
            return caught.value

    assert sennit.run(main()).rule.startswith("RFC 9")


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def test_a_refused_connection_is_a_connect_error() -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(errors.ConnectError, match="while connecting") as caught:
                await client.get(f"http://127.0.0.1:{closed_port()}/")
            assert isinstance(caught.value.__cause__, ConnectionRefusedError)

    sennit.run(main())


def test_a_name_is_looked_up_once_for_many_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> int:
        server = await http.listen(lambda _: "ok", "http://127.0.0.1:0")
        lookups = 0
        reactor = sennit.current_reactor()
        look_up = reactor.getaddrinfo

        async def counted(host: str, *args: object, **kwargs: object) -> object:
            nonlocal lookups
            lookups += 1
            return await look_up("127.0.0.1", *args, **kwargs)

        monkeypatch.setattr(reactor, "getaddrinfo", counted)
        async with server, http.Client() as client:
            url = f"http://name.test:{server.port}/"
            responses = await asyncio.gather(*(client.get(url) for _ in range(5)))
            responses.append(await client.get(url))
            assert [response.status for response in responses] == [200] * 6
        return lookups

    assert sennit.run(main()) == 1


def test_a_name_that_does_not_exist_is_a_connect_error() -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(errors.ConnectError, match="no address was found"):
                await client.get("http://name.invalid/")

    sennit.run(main())


@pytest.mark.parametrize(
    ("found", "error"),
    [
        ([(10, 1, 6, "", ("fe80::1%lo", 80, 0, 1))], errors.ConnectError),
        ([(2, 1, 6, "", ("not an address", 80))], ValueError),
    ],
)
def test_a_lookup_that_finds_nothing_of_use_is_told(
    monkeypatch: pytest.MonkeyPatch, found: list, error: type[Exception]
) -> None:
    async def main() -> None:
        async def look_up(*_args: object, **_kwargs: object) -> list:
            return found

        monkeypatch.setattr(sennit.current_reactor(), "getaddrinfo", look_up)
        async with http.Client() as client:
            with pytest.raises(error):
                await client.get("http://name.test/")

    sennit.run(main())


def test_many_addresses_that_cannot_be_reached_end_in_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        async def look_up(*_args: object, **_kwargs: object) -> list:
            # Connecting to the broadcast address fails at once.
            return [(2, 1, 6, "", ("255.255.255.255", port)) for port in range(1, 301)]

        monkeypatch.setattr(sennit.current_reactor(), "getaddrinfo", look_up)
        async with http.Client(connect_timeout=0.2) as client:
            with pytest.raises((errors.ConnectError, errors.DeadlineError)):
                await client.get("http://name.test/")

    sennit.run(main())


@pytest.mark.parametrize("size", [1, 100_000, 5_000_000])
def test_a_response_of_any_size_arrives_whole(size: int) -> None:
    async def main() -> None:
        body = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
        server = await http.listen(lambda _: body, "http://127.0.0.1:0")
        async with server, http.Client() as client:
            responses = await asyncio.gather(*(client.get(server.urls[0]) for _ in range(3)))
            assert [await response.body() == body for response in responses] == [True] * 3

    sennit.run(main())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("ftp://example.org/", "no http URL"),
        ("example.org", "no http URL"),
        ("http:///path", "names no host"),
        ("http://us%0Aer@example.org/", "control character"),
        ("http://é..example/", "no name of a host"),
        ("http://example.org:99999/", "Port out of range"),
        ("http://example.org:0/", "port 0"),
    ],
)
def test_a_url_that_makes_no_sense_is_refused(url: str, words: str) -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(errors.ConfigError, match=words):
                client.get(url)

    sennit.run(main())


@pytest.mark.parametrize(
    "arguments",
    [
        {"headers": {"x": "a\r\nb: c"}},
        {"headers": {"a b": "c"}},
        {"headers": {"content-length": "3"}},
        {"method": "GET /"},
    ],
)
def test_what_would_break_the_request_is_not_sent(arguments: dict) -> None:
    async def main() -> None:
        async with http.Client() as client:
            with pytest.raises(errors.LocalProtocolError):
                client.request(**{"method": "GET", "url": "http://127.0.0.1:1/"} | arguments)
            assert client.statistics()["requests"] == 0

    sennit.run(main())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", 0),
        ("total_timeout", 0),
        ("connect_timeout", -1),
        ("max_connecting", 1.5),
        ("max_ratio", 0),
        ("max_head_size", 1.5),
        ("max_interim_responses", 256),
        ("max_header_count", 257),
        ("max_headers", 5),
    ],
)
def test_a_setting_that_makes_no_sense_is_refused(name: str, value: float) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match=name):
            http.Client(**{name: value})

    sennit.run(main())


def test_a_client_outside_a_reactor_is_an_error() -> None:
    with pytest.raises(RuntimeError):
        http.Client()
