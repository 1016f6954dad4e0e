"""Children of the lab: read line by line, and ended with everything that they have started."""

import socket
import sys

import pytest

from sennit.lab.leash import Child


def python(program: str) -> tuple[str, ...]:
    return (sys.executable, "-c", program)


def test_lines_are_read_one_by_one() -> None:
    with Child(python("print('one'); print('two', end='')")) as child:
        assert child.wait_line(30.0) == "one"
        assert child.wait_line(30.0) is None


def test_a_line_that_does_not_come_in_time_is_an_error() -> None:
    with Child(python("import signal; signal.pause()")) as child, pytest.raises(TimeoutError):
        child.wait_line(0.05, lambda: None)


def test_its_last_words_are_kept() -> None:
    with Child(python("import sys; print('a\\n\\nb\\n', file=sys.stderr)")) as child:
        assert child.wait_line(30.0) is None
        child.wait_ended(30.0)
        assert child.last_words() == "b"


def grandchild(port: int) -> str:
    """A program whose child holds a connection: its end can be seen from here."""
    return (
        "import os, signal, socket\n"
        "if os.fork() == 0:\n"
        f"    held = socket.create_connection(('127.0.0.1', {port}))\n"
        "signal.pause()\n"
    )


def test_what_it_has_started_ends_with_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with Child(python(grandchild(server.getsockname()[1]))):
            held, _ = server.accept()
        with held:
            assert held.recv(1) == b""


def test_it_ends_with_its_parent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        held_by_child = (
            "import signal, socket; from sennit.lab.leash import die_with_parent\n"
            "die_with_parent()\n"
            f"held = socket.create_connection(('127.0.0.1', {port}))\n"
            "signal.pause()\n"
        )
        parent = (
            "import signal, sys; from sennit.lab.leash import Child\n"
            f"child = Child((sys.executable, '-c', {held_by_child!r}))\n"
            "print('started', flush=True)\n"
            "signal.pause()\n"
        )
        with Child(python(parent)) as child:
            assert child.wait_line(30.0) == "started"
            held, _ = server.accept()
        with held:
            assert held.recv(1) == b""
