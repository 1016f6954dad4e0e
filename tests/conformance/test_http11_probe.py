"""The probe's requests (`tests/wire/vectors/http11`) against a running server, socket and all."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sennit
from sennit import http

VECTORS = Path(__file__).parents[1] / "wire" / "vectors" / "http11" / "probe.json"
CASES: list[dict[str, Any]] = json.loads(VECTORS.read_text())

# The stored text of these ends before the byte that is wrong: what their descriptions name is put
# behind it.
CUT_OFF = {
    "MAL-NON-ASCII-HEADER-NAME": "\xc3\xabst: value\r\n\r\n",
    "SMUG-CHUNK-EXT-CTRL": "\0\r\nhello\r\n0\r\n\r\n",
    "SMUG-TE-VTAB": "\x0bchunked\r\n\r\n0\r\n\r\n",
    "SMUG-TE-FORMFEED": "\x0cchunked\r\n\r\n0\r\n\r\n",
    "SMUG-TE-NULL": "\0\r\n\r\n0\r\n\r\n",
}


async def echo(request: http.Request) -> bytes:
    return await request.body()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of a server in a thread of its own."""
    ports: list[int] = []
    ready = threading.Event()
    loop = sennit.Reactor()
    stop = asyncio.Event()

    async def main() -> None:
        async with await http.listen(echo, "http://127.0.0.1:0") as server:
            ports.append(server.port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    assert ready.wait(10)
    yield ports[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


def talk(port: int, raw: bytes, size: int) -> list[int]:
    """The statuses of all answers to a request that is sent in pieces, interim ones left out."""
    data = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for at in range(0, len(raw), size):
                peer.sendall(raw[at : at + size])
            peer.shutdown(socket.SHUT_WR)
            while piece := peer.recv(65536):
                data += piece
        except (ConnectionResetError, BrokenPipeError):
            pass
    statuses = []
    while data:
        assert data.startswith(b"HTTP/1.1 "), data
        head, _, data = data.partition(b"\r\n\r\n")
        status = int(head[9:12])
        if status == 100:
            continue
        statuses.append(status)
        if raw.startswith(b"HEAD "):
            assert data == b""
            break
        length = int(head.lower().partition(b"content-length: ")[2].split()[0])
        assert len(data) >= length
        data = data[length:]
    return statuses


def raw_of(case: dict[str, Any], port: int) -> bytes:
    text: str = case["raw"] + CUT_OFF.get(case["id"], "")
    return text.replace("@@HOST@@", f"127.0.0.1:{port}").encode("latin-1")


def check(case: dict[str, Any], statuses: list[int]) -> None:
    expected = case.get("expect", "")
    if expected == "Range2xx":
        assert statuses
        assert 200 <= statuses[0] < 300
    elif expected:
        assert statuses == [int(expected)]
    else:
        # No answer is prescribed; whatever comes is one that HTTP knows, and the connection ends.
        assert all(200 <= status < 600 and status != 500 for status in statuses)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["id"])
def test_whole(case: dict[str, Any], port: int) -> None:
    raw = raw_of(case, port)
    check(case, talk(port, raw, len(raw)))


@pytest.mark.parametrize(
    "case", [case for case in CASES if len(case["raw"]) < 1000], ids=lambda case: case["id"]
)
def test_byte_by_byte(case: dict[str, Any], port: int) -> None:
    raw = raw_of(case, port)
    statuses = talk(port, raw, 1)
    check(case, statuses)
    assert statuses == talk(port, raw, len(raw))


def test_every_case_that_must_be_one_way_is_among_them() -> None:
    must = [case for case in CASES if case["scored"] and case["level"] == "Must"]
    exact = [case for case in must if case.get("expect")]
    assert len(exact) >= 40
    assert {case["id"] for case in CASES} >= CUT_OFF.keys()
    assert all(case["expect"] == "400" for case in CASES if case["id"] in CUT_OFF)
