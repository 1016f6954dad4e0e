"""Who gets a connection, and how long one waits: limits, queues, deadlines, lack of descriptors."""

import asyncio
import socket
import subprocess
import sys
from typing import Any

import pytest
from tests.unit.http.misbehaving import OK, answering, origin, read_head
from tests.unit.net.test_connect import full_listener

import sennit
from sennit import errors, http, testing
from sennit.http.client.origins import in_turns


class Answering(asyncio.Protocol):
    """Gives the same answer to whatever comes, and the connection stays."""

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def data_received(self, _: bytes) -> None:
        self.transport.write(OK)


def counting() -> tuple[http.Handler, list[int], asyncio.Event]:
    """A handler that waits for a gate, and the most requests that it had at once."""
    gate, now, most = asyncio.Event(), 0, [0]

    async def handler(_: http.Request) -> str:
        nonlocal now
        now += 1
        most[0] = max(most[0], now)
        await gate.wait()
        now -= 1
        return "ok"

    return handler, most, gate


def test_an_origin_gets_no_more_connections_than_its_limit() -> None:
    handler, most, gate = counting()

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client(max_connections_per_origin=3) as client:
            calls = [client.get(server.urls[0]) for _ in range(20)]
            while most[0] < 3 or client.statistics()["waiting"] > 17:
                await asyncio.sleep(0)
            gate.set()
            assert {response.status for response in await asyncio.gather(*calls)} == {200}
            assert client.statistics()["connected"] == 3
        assert most == [3]

    sennit.run(main())


def test_an_origin_that_is_full_keeps_nobody_else_waiting() -> None:
    handler, _, gate = counting()

    async def main() -> None:
        slow = await http.listen(handler, "http://127.0.0.1:0")
        fast = await http.listen(lambda _: "fast", "http://127.0.0.1:0")
        async with slow, fast, http.Client(max_connections_per_origin=2) as client:
            calls = [client.get(slow.urls[0]) for _ in range(50)]
            for _ in range(50):
                assert await (await client.get(fast.urls[0])).text() == "fast"
            assert not any(call.done() for call in calls)
            gate.set()
            await asyncio.gather(*calls)

    sennit.run(main())


def test_origins_take_turns_where_connections_are_few() -> None:
    order: list[str] = []

    async def main() -> None:
        def named(name: str) -> http.Handler:
            return lambda _: order.append(name) or name

        servers = [await http.listen(named(name), "http://127.0.0.1:0") for name in "abc"]
        async with http.Client(max_connections=1) as client:
            urls = [server.urls[0] for server in servers]
            calls = [client.get(url) for url in urls for _ in range(4)]
            await asyncio.gather(*calls)
        for server in servers:
            await server.close()

    sennit.run(main())
    assert sorted(order) == sorted("abc" * 4)
    assert len(set(order[:3])) == 3


def test_one_waits_for_a_connection_no_longer_than_pool_timeout() -> None:
    handler, _, gate = counting()

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:80")
        settings = {"max_connections_per_origin": 1, "pool_timeout": 3}
        async with http.Client(**settings) as client:  # type: ignore[arg-type]
            first = client.get("http://127.0.0.1/")
            begin = client.reactor.time()
            with pytest.raises(errors.DeadlineError, match="longer than pool_timeout") as caught:
                await client.get("http://127.0.0.1/")
            assert caught.value.step == "waiting for a connection"
            assert 3 <= client.reactor.time() - begin < 3.1
            gate.set()
            assert (await first).status == 200
        await server.close(0)

    testing.run(main())


def test_the_queue_has_a_size() -> None:
    async def main() -> None:
        async with http.Client(max_waiting=5) as client:
            calls = [client.get("http://127.0.0.1:1/") for _ in range(5)]
            with pytest.raises(errors.OverloadedError, match=r"limit 5 \(max_waiting\)"):
                await client.get("http://127.0.0.1:1/")
            assert all(
                isinstance(outcome, errors.ConnectError)
                for outcome in await asyncio.gather(*calls, return_exceptions=True)
            )

    sennit.run(main())


def test_a_silent_address_gives_way_to_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        reactor = sennit.current_reactor()
        server = await http.listen(lambda _: "good", "http://127.0.0.1:0")
        listening, filling = full_listener()
        places = [listening.getsockname(), ("127.0.0.1", server.port)]

        async def both(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", place) for place in places]

        monkeypatch.setattr(reactor, "getaddrinfo", both)
        async with http.Client(connect_timeout=0.05) as client:
            assert await (await client.get("http://two.example/")).text() == "good"
            del places[1]
            with pytest.raises(errors.DeadlineError, match="longer than connect_timeout"):
                await client.get("http://one.example/")
        for sock in (listening, *filling):
            sock.close()
        await server.close(0)

    sennit.run(main())


SILENT, REFUSING, GOOD = "silent", "refusing", "good"


@pytest.mark.parametrize(
    "kinds",
    [
        (SILENT, GOOD),
        (SILENT, REFUSING, GOOD),
        (REFUSING, SILENT, GOOD),
        (SILENT, SILENT, REFUSING, GOOD),
    ],
    ids=" ".join,
)
def test_a_silent_address_keeps_the_next_one_not_waiting(
    kinds: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of one address is far longer than this test may take."""

    async def main() -> None:
        reactor = sennit.current_reactor()
        server = await http.listen(lambda _: "good", "http://127.0.0.1:0")
        listening, filling = full_listener()
        places = {
            SILENT: listening.getsockname(),
            REFUSING: ("127.0.0.1", 1),
            GOOD: ("127.0.0.1", server.port),
        }

        async def looked_up(*_: Any, **__: Any) -> list[Any]:
            # Each address once: the same one twice would be one.
            found = [places[kind] for kind in kinds]
            return [(2, 1, 6, "", (f"127.0.0.{i + 1}" if place[1] == 1 else place[0], place[1]))
                    for i, place in enumerate(found)]  # fmt: skip

        monkeypatch.setattr(reactor, "getaddrinfo", looked_up)
        settings = {"connect_timeout": 1000.0, "total_timeout": 1000.0}
        async with asyncio.timeout(30), http.Client(**settings) as client:
            calls = [client.get("http://two.example/") for _ in range(5)]
            for response in await asyncio.gather(*calls):
                assert await response.text() == "good"
            assert client.statistics()["connecting"] == 0
            assert client.statistics()["open"] == client.statistics()["connected"]
        for sock in (listening, *filling):
            sock.close()
        await server.close(0)

    sennit.run(main())


def test_addresses_that_are_all_silent_have_their_time_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def main() -> None:
        reactor = sennit.current_reactor()
        first, second = full_listener(), full_listener()

        async def both(*_: Any, **__: Any) -> list[Any]:
            return [(2, 1, 6, "", one[0].getsockname()) for one in (first, second)]

        monkeypatch.setattr(reactor, "getaddrinfo", both)
        async with asyncio.timeout(30), http.Client(connect_timeout=0.3) as client:
            with pytest.raises(errors.DeadlineError, match="longer than connect_timeout"):
                await client.get("http://two.example/")
            given_up = client.get("http://two.example/")
            while not client.statistics()["connecting"]:
                await asyncio.sleep(0)
            given_up.cancel()
            assert client.statistics()["open"] == 0
        for listening, filling in (first, second):
            for sock in (listening, *filling):
                sock.close()

    sennit.run(main())


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        (["a:1", "b:2", "4.1", "4.2"], ["a:1", "4.1", "b:2", "4.2"]),
        (["4.1", "4.2", "4.3", "a:1"], ["4.1", "a:1", "4.2", "4.3"]),
        (["4.1"], ["4.1"]),
    ],
)
def test_families_take_turns(given: list[str], tried: list[str]) -> None:
    assert in_turns([(host, 80) for host in given]) == [(host, 80) for host in tried]


@pytest.mark.parametrize(("timeout", "ends_at"), [(300, 300), (None, 60), (5, 5)])
def test_a_request_may_take_as_long_as_it_says(timeout: float | None, ends_at: float) -> None:
    async def never(_: http.Request) -> str:
        await asyncio.sleep(1e6)
        return "never"

    async def main() -> None:
        server = await http.listen(never, "http://127.0.0.1:80")
        async with http.Client() as client:
            begin = client.reactor.time()
            with pytest.raises(errors.DeadlineError, match="than its timeout allows"):
                await client.get("http://127.0.0.1/", timeout=timeout)
            assert ends_at <= client.reactor.time() - begin < ends_at + 0.1
        await server.close(0)

    testing.run(main())


def test_a_body_in_pieces_may_be_silent_for_60_seconds() -> None:
    async def pieces() -> Any:
        yield "a"
        await asyncio.sleep(50)
        yield "b"
        await asyncio.sleep(1e6)

    async def main() -> None:
        server = await http.listen(lambda _: http.Response(pieces()), "http://127.0.0.1:80")
        async with http.Client() as client:
            begin = client.reactor.time()
            async with client.stream("GET", "http://127.0.0.1/", timeout=300) as response:
                with pytest.raises(errors.DeadlineError, match="longer than read_timeout"):
                    await response.body()
            assert 110 <= client.reactor.time() - begin < 110.1
        await server.close(0)

    testing.run(main())


def test_a_small_listen_queue_is_not_drowned() -> None:
    """Requests that wait take what is free; nobody opens a connection for each of them."""

    async def main() -> None:
        reactor = sennit.current_reactor()
        with socket.create_server(("127.0.0.1", 0), backlog=5) as listener:
            server = await reactor.create_server(Answering, sock=listener, backlog=5)
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            async with http.Client() as client:
                answers = await asyncio.gather(*(client.get(url) for _ in range(300)))
                assert {answer.status for answer in answers} == {200}
                assert client.statistics()["connected"] <= 100
            server.close()

    sennit.run(main())


@pytest.mark.parametrize("when", ["head", "body"])
def test_a_response_that_stops_runs_into_the_read_timeout(when: str) -> None:
    async def handler(_: http.Request) -> Any:
        if when == "body":

            async def pieces() -> Any:
                yield "a"
                await asyncio.sleep(1e6)

            return http.Response(pieces())
        await asyncio.sleep(1e6)
        return "never"

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:80")
        async with http.Client(read_timeout=4, total_timeout=1e5) as client:
            begin = client.reactor.time()
            with pytest.raises(errors.DeadlineError, match="longer than read_timeout") as caught:
                await client.get("http://127.0.0.1/")
            step = "waiting for the response" if when == "head" else "receiving the response's body"
            assert caught.value.step == step
            assert 4 <= client.reactor.time() - begin < 4.1
            assert client.statistics()["open"] == 0
        await server.close(0)

    testing.run(main())


def test_a_response_that_drips_is_no_response_that_stops() -> None:
    async def drip() -> Any:
        for _ in range(10):
            await asyncio.sleep(3)
            yield "drop"

    async def main() -> None:
        server = await http.listen(lambda _: http.Response(drip()), "http://127.0.0.1:80")
        async with http.Client(read_timeout=4) as client:
            assert await (await client.get("http://127.0.0.1/")).text() == "drop" * 10
        await server.close(0)

    testing.run(main())


PROGRAM = """
import asyncio, os, resource, sennit
from sennit import http

async def main():
    server = await http.listen(lambda _: "ok", "http://127.0.0.1:0")
    async with http.Client(max_connections=1000) as client:
        await client.get(server.urls[0])
        free = os.dup(0)
        os.close(free)
        # Room for three connections, both ends of which are this process's.
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + 6, hard))
        responses = await asyncio.gather(*(client.get(server.urls[0]) for _ in range(50)))
        assert {response.status for response in responses} <= {200, 503}, responses
        print(sum(response.status == 200 for response in responses) > 0)

sennit.run(main())
"""


def test_requests_wait_where_the_process_has_no_descriptor_left() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "True\n", done.stderr


@pytest.mark.parametrize("count", [1, 5])
def test_connections_are_used_again_and_not_more_than_needed(count: int) -> None:
    async def main() -> None:
        async with origin(answering(*[OK] * 100)) as url, http.Client() as client:
            for _ in range(10):
                await asyncio.gather(*(client.get(url) for _ in range(count)))
            assert client.statistics()["connected"] == count
            assert client.statistics()["reused"] == 9 * count

    sennit.run(main())


def test_the_answer_to_a_request_that_was_given_up_is_nobody_s() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"GET /slow" in head:
            await reader.read()
        writer.write(OK)
        await reader.read()

    async def main() -> None:
        async with origin(script) as url, http.Client(max_connections_per_origin=1) as client:
            slow = client.get(url + "/slow")
            while not client.statistics()["connected"]:
                await asyncio.sleep(0)
            fast = client.get(url + "/fast")
            slow.cancel()
            assert await (await fast).text() == "ok"

    sennit.run(main())
