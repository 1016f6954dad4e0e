"""The client's pool: connections used again, paced, given up, and never left over."""

import asyncio
import gc
import socket
import struct
import weakref
from pathlib import Path

import pytest
from tests.unit.http.misbehaving import OK, answering, origin, read_head

import sennit
from sennit import errors, http


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_connection_is_used_again() -> None:
    async def main() -> dict[str, int]:
        async with origin(answering(OK, OK, OK)) as url, http.Client() as client:
            for _ in range(3):
                await client.get(url)
            return client.statistics()

    counted = sennit.run(main())
    assert (counted["connected"], counted["reused"], counted["open"]) == (1, 2, 1)


def test_without_keep_alive_every_request_has_its_own_connection() -> None:
    heads = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await read_head(reader))
        writer.write(OK)

    async def main() -> dict[str, int]:
        async with origin(script) as url, http.Client(keep_alive=False) as client:
            for _ in range(3):
                await client.get(url)
            return client.statistics()

    counted = sennit.run(main())
    assert (counted["connected"], counted["reused"], counted["open"]) == (3, 0, 0)
    assert all(b"connection: close" in head for head in heads)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        OK + b"more than was asked for",
    ],
)
def test_a_connection_that_cannot_be_trusted_is_not_kept(answer: bytes) -> None:
    async def main() -> int:
        async with origin(answering(answer)) as url, http.Client() as client:
            await client.get(url)
            return client.statistics()["open"]

    assert sennit.run(main()) == 0


def test_a_stale_connection_is_replaced_without_a_word() -> None:
    connections = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await read_head(reader)
        writer.write(OK)
        if connections == 1:
            # The next request meets an end of stream instead of an answer.
            await read_head(reader)
        else:
            await reader.read()

    async def main() -> dict[str, int]:
        async with origin(script) as url, http.Client() as client:
            await client.get(url)
            await client.get(url)
            return client.statistics()

    counted = sennit.run(main())
    assert (connections, counted["retried"], counted["responses"]) == (2, 1, 2)


def test_an_idle_connection_that_is_reset_leaves_the_pool() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await writer.drain()
        # No end of stream comes first: the peer just dies.
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    async def main() -> dict[str, int]:
        async with origin(script) as url, http.Client(total_timeout=10) as client:
            for _ in range(3):
                assert (await client.get(url)).status == 200
            return client.statistics()

    counted = sennit.run(main())
    assert counted["responses"] == 3
    assert counted["open"] in {0, 1}


def test_a_post_is_not_sent_twice() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        await read_head(reader)

    async def main() -> None:
        async with origin(script) as url, http.Client() as client:
            await client.get(url)
            with pytest.raises(errors.ConnectionLostError):
                await client.request("POST", url, body=b"")
            assert client.statistics()["retried"] == 0

    sennit.run(main())


def test_max_connections_holds_and_everybody_is_served() -> None:
    async def main() -> int:
        most = 0

        async def handler(_request: http.Request) -> str:
            nonlocal most
            most = max(most, server.statistics()["open"])
            await asyncio.sleep(0)
            return "ok"

        server = await http.listen(handler, "http://127.0.0.1:0")
        async with server, http.Client(max_connections=3) as client:
            responses = await asyncio.gather(*(client.get(server.urls[0]) for _ in range(50)))
            assert len(responses) == 50
        return most

    assert sennit.run(main()) == 3


def test_connects_are_paced() -> None:
    async def main() -> int:
        server = await http.listen(lambda _: "ok", "http://127.0.0.1:0")
        most = 0
        async with server, http.Client(max_connecting=4, keep_alive=False) as client:
            calls = [client.get(server.urls[0]) for _ in range(40)]
            while not all(call.done() for call in calls):
                most = max(most, client.statistics()["connecting"])
                await asyncio.sleep(0)
            assert all(call.result().status == 200 for call in calls)
        return most

    assert 1 <= sennit.run(main()) <= 4


def test_an_idle_connection_makes_room_for_another_origin() -> None:
    async def main() -> None:
        async with (
            origin(answering(OK, OK)) as one,
            origin(answering(OK, OK)) as other,
            http.Client(max_connections=1) as client,
        ):
            for url in (one, other, one):
                assert (await client.get(url)).status == 200
            assert client.statistics()["connected"] == 3

    sennit.run(main())


def test_cancelling_a_request_frees_its_connection() -> None:
    started = asyncio.Event()
    ended: asyncio.Future[bytes] | None = None

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        started.set()
        ended.set_result(await reader.read())

    async def main() -> None:
        nonlocal ended
        ended = asyncio.get_running_loop().create_future()
        async with origin(silent) as url, http.Client() as client:
            call = asyncio.ensure_future(client.get(url))
            await started.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            assert client.statistics()["open"] == 0
            assert await ended == b""
            assert client.statistics()["cancelled"] == 1

    sennit.run(main())


def test_cancelling_the_task_that_waits_frees_the_connection() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with origin(silent) as url, http.Client() as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.01):
                    await client.get(url)
            assert client.statistics()["open"] == 0

    sennit.run(main())


def test_cancelling_a_request_in_the_queue_costs_nobody_else() -> None:
    async def main() -> None:
        async with origin(answering(*([OK] * 9))) as url, http.Client(max_connections=1) as client:
            calls = [client.get(url) for _ in range(5)]
            calls[2].cancel()
            results = await asyncio.gather(*calls, return_exceptions=True)
            assert isinstance(results[2], asyncio.CancelledError)
            assert [r.status for i, r in enumerate(results) if i != 2] == [200] * 4

    sennit.run(main())


def test_a_request_has_a_deadline_in_every_step() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await read_head(reader)
        if b"/body" in head:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")
        await reader.read()

    async def main() -> None:
        async with origin(silent) as url, http.Client(total_timeout=0.05) as client:
            with pytest.raises(errors.DeadlineError, match="while waiting for the response"):
                await client.get(url)
            with pytest.raises(errors.DeadlineError, match="while receiving the response's body"):
                await client.get(f"{url}/body")
            assert client.statistics()["open"] == 0
        async with origin(silent) as url, http.Client(max_connections=1) as client:
            held = client.get(url)
            with pytest.raises(errors.DeadlineError, match="while waiting for a connection"):
                await client.get(url, timeout=0.05)
            held.cancel()

    sennit.run(main())


def test_a_connection_that_is_never_made_has_a_deadline() -> None:
    async def main() -> None:
        # TEST-NET-1 leads nowhere; where the system knows that at once, it says so itself.
        async with http.Client(connect_timeout=0.05) as client:
            with pytest.raises((errors.DeadlineError, errors.ConnectError), match="connecting"):
                await client.get("http://192.0.2.1/")

    sennit.run(main())


def test_closing_fails_what_is_under_way() -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def main() -> None:
        async with origin(silent) as url:
            client = http.Client()
            call = client.get(url)
            await client.close()
            with pytest.raises(errors.ClosedError):
                await call
            with pytest.raises(errors.ClosedError):
                client.get(url)

    sennit.run(main())


def test_an_idle_connection_that_is_too_old_is_closed() -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_head(reader)
        writer.write(OK)
        closed.set_result(await reader.read())

    closed: asyncio.Future[bytes] | None = None

    async def main() -> None:
        nonlocal closed
        closed = asyncio.get_running_loop().create_future()
        async with origin(script) as url, http.Client(keep_alive_timeout=0.02) as client:
            await client.get(url)
            assert await closed == b""
            assert client.statistics()["open"] == 0

    sennit.run(main())


# Python says of the listening socket that it was not closed, and is right.
@pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)
def test_nothing_is_left_behind() -> None:
    before = descriptors()
    watched: list[weakref.ref] = []

    async def main() -> None:
        server = await http.listen(lambda _: "ok", "http://127.0.0.1:0")
        client = http.Client()
        watched.extend((weakref.ref(client), weakref.ref(server)))
        await asyncio.gather(*(client.get(server.urls[0]) for _ in range(20)))
        # Neither is closed: the end of the loop is the end of both.

    sennit.run(main())
    gc.collect()
    assert descriptors() == before
    assert [reference() for reference in watched] == [None, None]


def test_two_thousand_requests_are_answered_at_once() -> None:
    async def main() -> int:
        arrived = 0
        everybody = asyncio.Event()

        async def handler(_request: http.Request) -> str:
            nonlocal arrived
            arrived += 1
            if arrived == count:
                everybody.set()
            await everybody.wait()
            return "ok"

        count = 2_000
        server = await http.listen(handler, "http://127.0.0.1:0", max_connections=count)
        limits = {"max_connections": count, "max_connections_per_origin": count}
        async with server, http.Client(**limits) as client:
            responses = await asyncio.gather(*(client.get(server.urls[0]) for _ in range(count)))
            assert client.statistics()["connected"] == count
        return sum(response.status == 200 for response in responses)

    assert sennit.run(main()) == 2_000
