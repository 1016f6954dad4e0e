"""`http.serve` as a whole program: signals, and how it ends."""

import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

PROGRAM = """
    import asyncio, sys
    from sennit import http

    async def handler(request):
        print("asked", request.path, flush=True)
        if request.path == "/slow":
            await asyncio.sleep(0.2)
        if request.path == "/never":
            try:
                await asyncio.sleep(60)
            finally:
                print("cancelled", flush=True)
        if request.path == "/interrupt":
            raise KeyboardInterrupt
        return request.path

    http.serve(handler, "http://127.0.0.1:" + sys.argv[1])
    print("ended", flush=True)
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Program:
    """The running program, its port, and a connection that has asked for something."""

    def __init__(self, process: subprocess.Popen[str], port: int) -> None:
        self.process = process
        self.port = port

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def ask(self, path: str) -> socket.socket:
        peer = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        peer.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
        assert self.line() == f"asked {path}"
        return peer

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self) -> tuple[int, str]:
        """Exit code, and what was printed until then."""
        assert self.process.stdout is not None
        output = self.process.stdout.read()
        return self.process.wait(20), output.strip()


@contextmanager
def program(port: int) -> Iterator[Program]:
    process = subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", textwrap.dedent(PROGRAM), str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Program(process, port)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def running() -> Iterator[Program]:
    with program(free_port()) as started:
        while True:
            try:
                socket.create_connection(("127.0.0.1", started.port)).close()
                break
            except ConnectionRefusedError:
                assert started.process.poll() is None
        yield started


def read_all(peer: socket.socket) -> bytes:
    data = b""
    try:
        while piece := peer.recv(1000):
            data += piece
    except ConnectionResetError:
        pass
    return data


SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda it: it.name)


@SIGNALS
def test_a_signal_ends_an_idle_server(running: Program, number: int) -> None:
    with running.ask("/") as peer:
        assert peer.recv(1000).endswith(b"/")
        running.signal(number)
        assert read_all(peer) == b""
    assert running.end() == (0, "ended")


@SIGNALS
def test_what_runs_is_still_answered(running: Program, number: int) -> None:
    with running.ask("/slow") as peer:
        running.signal(number)
        data = read_all(peer)
    assert data.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"\r\nconnection: close\r\n" in data
    assert data.endswith(b"/slow")
    assert running.end() == (0, "ended")


@SIGNALS
def test_a_second_signal_stops_at_once(running: Program, number: int) -> None:
    with running.ask("/never") as peer, running.ask("/never") as other:
        running.signal(number)
        # The first one has arrived when nobody listens any more.
        while True:
            try:
                socket.create_connection(("127.0.0.1", running.port)).close()
            except OSError:
                break
        running.signal(signal.SIGTERM)
        assert read_all(peer) == b""
        assert read_all(other) == b""
    code, output = running.end()
    assert code == 0
    lines = output.splitlines()
    assert lines.count("cancelled") == 2
    assert lines[-1] == "ended"


def test_a_keyboard_interrupt_in_a_handler_ends_the_program(running: Program) -> None:
    with running.ask("/interrupt") as peer:
        assert read_all(peer) == b""
    code, output = running.end()
    assert code in {1, 130, -signal.SIGINT}
    assert output.splitlines()[-1] == "KeyboardInterrupt"
    assert "ended" not in output


def test_a_busy_port_is_a_clear_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with program(port) as started:
            code, output = started.end()
    assert code == 1
    assert "address already in use" in output
    assert str(port) in output.splitlines()[-1]
    assert "ResourceWarning" not in output
