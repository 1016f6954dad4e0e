"""The server's life: listening, closing, and what is left behind."""

import asyncio
import gc
import logging
import os
import resource
import socket
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from tests.unit.http.talking import GET, LAST, Peer, connected, eventually, with_peer, with_server

import sennit
from sennit import errors, http

ANY = "http://127.0.0.1:0"


def path(request: http.Request) -> str:
    return request.path


def open_descriptors() -> set[str]:
    return set(os.listdir("/proc/self/fd"))  # noqa: PTH208


# -- listening ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "no http URL"),
        ("127.0.0.1:8080", "no http URL"),
        ("ftp://127.0.0.1:8080", "no http URL"),
        ("http://", "names no host"),
        ("http://:8080", "names no host"),
        ("http://127.0.0.1:99999", "0 to 65535"),
        ("http://127.0.0.1:port", "ports are"),
        ("http://127.0.0.1:0/path", "more than host and port"),
        ("http://127.0.0.1:0?query", "more than host and port"),
        ("http://user@127.0.0.1:0", "more than host and port"),
        ("http://[::1", "Invalid IPv6"),
    ],
)
def test_a_url_that_makes_no_sense(url: str, words: str) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match=words):
            await http.listen(path, url)

    sennit.run(main())


def test_https_needs_certificates() -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match="needs tls, a sennit"):
            await http.listen(path, "https://127.0.0.1:0")

    sennit.run(main())


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_heads": 1}, "max_heads is no setting; there are: body_timeout, header_timeout"),
        ({"max_head_size": 0}, "max_head_size is 0, it must be an int of at least 64"),
        ({"max_head_size": 100.5}, "must be an int"),
        ({"max_requests": 0}, "at least 1"),
        ({"max_header_count": 257}, "at most 256"),
        ({"header_timeout": 0}, "a number of seconds above 0"),
        ({"header_timeout": -1}, "a number of seconds above 0"),
        ({"write_timeout": float("nan")}, "a number of seconds above 0"),
        ({"keep_alive_timeout": float("inf")}, "a number of seconds above 0"),
        ({"body_timeout": "1"}, "a number of seconds above 0"),
    ],
)
def test_a_setting_that_makes_no_sense(settings: dict[str, Any], words: str) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match=words):
            await http.listen(path, ANY, **settings)

    sennit.run(main())


def test_a_handler_that_cannot_be_called_and_no_url() -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match="cannot be called"):
            await http.listen("app", ANY)  # type: ignore[arg-type]
        with pytest.raises(errors.ConfigError, match="at least one URL"):
            await http.listen(path)

    sennit.run(main())


def test_a_busy_port_leaves_nothing_open() -> None:
    async def main() -> None:
        async with await http.listen(path, ANY) as server:
            before = open_descriptors()
            with pytest.raises(OSError, match=str(server.port)):
                await http.listen(path, ANY, server.urls[0])
            assert open_descriptors() == before

    sennit.run(main())


def test_outside_a_reactor() -> None:
    with pytest.raises(RuntimeError, match=r"sennit\.Reactor"):
        asyncio.run(http.listen(path, ANY))  # type: ignore[arg-type]


def test_several_urls_and_ipv6() -> None:
    async def main() -> None:
        async with await http.listen(path, ANY, "http://[::1]:0", ANY) as server:
            first, second, third = server.urls
            assert first == f"http://127.0.0.1:{server.port}"
            assert second.startswith("http://[::1]:")
            assert third != first
            assert repr(server) == f"<sennit.http.Server RUNNING {first} {second} {third}>"
            for url in server.urls:
                host, _, port = url.removeprefix("http://").rpartition(":")
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                writer.write(LAST)
                assert (await reader.read()).endswith(b"/last")
                writer.close()
        assert repr(server).startswith("<sennit.http.Server STOPPED ")

    sennit.run(main())


def test_every_interface() -> None:
    async def main() -> None:
        async with await http.listen(path, "http://*:0") as server, connected(server) as peer:
            assert (await peer.ask()).status == 200

    sennit.run(main())


def test_two_servers_in_one_loop() -> None:
    async def main() -> None:
        one = await http.listen(lambda _: "one", ANY)
        two = await http.listen(lambda _: "two", ANY)
        async with one, two, connected(one) as first, connected(two) as second:
            for _ in range(3):
                assert (await first.ask()).body == b"one"
                assert (await second.ask()).body == b"two"
            await one.close()
            assert (await second.ask()).body == b"two"

    sennit.run(main())


def test_in_another_thread() -> None:
    ports: list[int] = []
    ready, done = threading.Event(), threading.Event()

    async def main() -> None:
        async with await http.listen(path, ANY) as server:
            ports.append(server.port)
            ready.set()
            await asyncio.get_running_loop().run_in_executor(None, done.wait)

    thread = threading.Thread(target=lambda: sennit.run(main()))
    thread.start()
    assert ready.wait(10)
    with socket.create_connection(("127.0.0.1", ports[0])) as peer:
        peer.sendall(LAST)
        data = b""
        while piece := peer.recv(1000):
            data += piece
    done.set()
    thread.join()
    assert data.endswith(b"/last")


# -- closing --------------------------------------------------------------------------------------


def test_idle_connections_are_closed_at_once() -> None:
    async def scenario(server: http.Server) -> None:
        async with connected(server) as used, connected(server) as fresh:
            await used.ask()
            await eventually(lambda: server.statistics()["open"] == 2)
            await server.close()
            assert await used.end() == b""
            assert await fresh.end() == b""
            assert server.statistics()["open"] == 0
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)

    assert with_server(path, scenario) == []


def test_what_runs_is_answered_for_the_last_time() -> None:
    proceed: list[asyncio.Event] = []

    async def handler(request: http.Request) -> str:
        await proceed[0].wait()
        return request.path

    async def scenario(server: http.Server) -> None:
        proceed.append(asyncio.Event())
        async with connected(server) as peer:
            peer.send(GET * 2)
            await eventually(lambda: server.statistics()["requests"] == 1)
            closing = asyncio.ensure_future(server.close())
            waiting = asyncio.ensure_future(server.wait_closed())
            await asyncio.sleep(0)
            assert "DRAINING" in repr(server)
            proceed[0].set()
            answer = await peer.answer()
            assert answer.headers["connection"] == "close"
            assert await peer.end() == b""
        await closing
        await waiting

    assert with_server(handler, scenario) == []


def test_what_waits_behind_a_large_answer_is_not_lost_by_closing() -> None:
    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            peer.send(GET)
            await eventually(lambda: server.statistics()["requests"] == 1)
            closing = asyncio.ensure_future(server.close())
            await asyncio.sleep(0.001)
            peer.writer.transport.resume_reading()  # type: ignore[attr-defined]
            assert len((await peer.answer()).body) == 20_000_000
            assert await peer.end() == b""
            # Not after the time of an idle connection.
            async with asyncio.timeout(5):
                await closing

    assert with_server(lambda _: b"x" * 20_000_000, scenario) == []


def test_after_the_grace_time_a_handler_is_cancelled() -> None:
    heard: list[str] = []

    async def handler(_request: http.Request) -> str:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            heard.append("cancelled")
            raise
        return "never"

    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            peer.send(GET)
            await eventually(lambda: server.statistics()["requests"] == 1)
            await server.close(grace=0.01)
            assert await peer.end() == b""
            assert server.statistics()["abandoned"] == 1
            await asyncio.sleep(0)
            assert heard == ["cancelled"]
            await server.close()
            await server.wait_closed()

    assert with_server(handler, scenario) == []


def test_a_second_close_shortens_the_first() -> None:
    async def handler(_request: http.Request) -> str:
        await asyncio.sleep(60)
        return "never"

    async def scenario(server: http.Server) -> None:
        async with connected(server) as peer:
            peer.send(GET)
            await eventually(lambda: server.statistics()["requests"] == 1)
            first = asyncio.ensure_future(server.close(60))
            await asyncio.sleep(0)
            await server.close(0)
            await first

    assert with_server(handler, scenario) == []


def test_statistics_count_everything() -> None:
    async def scenario(peer: Peer, server: http.Server) -> None:
        assert set(server.statistics().values()) <= {0, 1}
        await peer.ask()
        counted = {name: count for name, count in server.statistics().items() if count}
        assert counted == {"accepted": 1, "open": 1, "requests": 1, "answered": 1}
        assert set(server.statistics()) == {limit.counter for limit in http.LIMITS} | {
            "accepted",
            "refused_without_descriptor",
            "open",
            "requests",
            "answered",
            "protocol_errors",
            "abandoned",
            "handshake_failures",
            "handshake_timeouts",
            "upgraded",
            "certificates_reloaded",
            "certificate_reloads_failed",
        }

    assert with_peer(path, scenario) == []


# -- shortage -------------------------------------------------------------------------------------


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(name) for name in open_descriptors())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 10, before[1]))
    taken = []
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        yield
    finally:
        for descriptor in taken:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_no_descriptor_is_left_for_a_connection(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: http.Server) -> None:
        peers = [socket.socket() for _ in range(3)]
        for peer in peers:
            peer.setblocking(False)
        with no_descriptor_left(), caplog.at_level(logging.ERROR):
            for peer in peers:
                peer.connect_ex(("127.0.0.1", server.port))
                peer.send(LAST)
            await eventually(lambda: caplog.records)
            counted = server.statistics()
        assert counted["accepted"] < 3
        assert counted["accepted"] + counted["refused_without_descriptor"] == 3
        await eventually(lambda: server.statistics()["answered"] == counted["accepted"])
        ends = sorted(peer.recv(1000).rpartition(b"\n")[0][-20:] for peer in peers)
        assert ends.count(b"too many connections") == counted["refused_without_descriptor"]
        for peer in peers:
            peer.close()
        async with connected(server) as late:  # it recovers by itself
            assert (await late.ask()).body == b"/"

    assert with_server(path, scenario) == []
    assert len(caplog.records) == 1
    assert "no descriptor is left for new connections" in caplog.records[0].getMessage()


# -- what is left ---------------------------------------------------------------------------------


def test_a_loop_closed_under_a_live_server_leaves_no_descriptor() -> None:
    gc.collect()
    before = open_descriptors()

    async def handler(_request: http.Request) -> str:
        await asyncio.sleep(60)
        return "never"

    async def main() -> http.Server:
        server = await http.listen(handlers[0], ANY, ANY)
        async with connected(server) as idle, connected(server) as busy:
            await eventually(lambda: server.statistics()["open"] == 2)
            busy.send(GET)
            await eventually(lambda: server.statistics()["requests"] == 1)
            idle.send(b"GET / HT")
        return server

    handlers = [handler]
    server = sennit.run(main())
    assert open_descriptors() == before
    assert server.statistics()["open"] == 0
    assert "STOPPED" in repr(server)
    seen = weakref.ref(server)
    handlers.clear()
    del server, handler
    gc.collect()
    assert seen() is None


def test_a_server_nobody_keeps_goes_on() -> None:
    async def main() -> None:
        port = (await http.listen(path, ANY)).port
        gc.collect()
        async with connected(port) as peer:
            assert (await peer.ask()).body == b"/"

    sennit.run(main())
