"""The command line as a whole: help, version, wrong options, signals."""

import os
import re
import signal
import socket
import subprocess
import sys

import pytest

from sennit.cli import main
from sennit.lab.models import MODELS


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """The status, standard output and standard error of a command."""
    try:
        status = main(arguments)
    except SystemExit as end:
        status = int(end.code or 0)
    return status, *capsys.readouterr()


def test_help_names_the_commands_and_shows_examples(capsys) -> None:
    status, out, err = said(capsys, "--help")
    assert (status, err) == (0, "")
    for word in ("lab", "fetch", "--version", "examples:"):
        assert word in out


def test_without_a_command_there_is_help_and_a_status(capsys) -> None:
    status, out, _ = said(capsys)
    assert status == 2
    assert "commands:" in out


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("lab", ["SCENARIO", "--requests", "--wait", "--models", "--json", "--report", *MODELS]),
        ("fetch", ["URL", "--concurrency", "--repeat", "--output", "--timeout", "--input"]),
    ],
)
def test_each_command_has_help_with_examples(command: str, words: list[str], capsys) -> None:
    status, out, err = said(capsys, command, "--help")
    assert (status, err) == (0, "")
    assert "examples:" in out
    assert [word for word in words if word not in out] == []


def test_the_version_is_one_line(capsys) -> None:
    status, out, _ = said(capsys, "--version")
    assert status == 0
    assert re.fullmatch(r"sennit \S.*\n", out)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["bogus"], "invalid choice: 'bogus'"),
        (["lab", "--bogus"], "sennit lab: there is no --bogus"),
        (["lab", "sleeping"], "there is no scenario sleeping; there are: waiting"),
        (["lab", "--models", "tornado"], "there is no model tornado; there are: limit, "),
        (["lab", "--requests", "0"], "--requests: 0 is no whole number above 0"),
        (["lab", "--requests", "many"], "many is no whole number above 0"),
        (["lab", "--wait", "nan"], "--wait: nan is no number of seconds above 0"),
        (["lab", "--wait", "-1"], "--wait: -1 is no number"),
        (["lab", "--req", "5"], "there is no --req"),
        (["lab", "--json", "/no/such/folder/x.json"], "cannot write /no/such/folder/x.json"),
        (["lab", "--requests", "999,999,999"], "999,999,999 requests at once need"),
        (["fetch"], "no URL is given"),
        (["fetch", "example"], "example is no HTTP URL"),
        (["fetch", "http://"], "http:// is no HTTP URL"),
        (["fetch", "http://[::1/"], "is no HTTP URL"),
        (["fetch", "--input", "/no/such/file"], "cannot read /no/such/file"),
        (["fetch", "http://a/", "--concurrency", "999999999"], "file descriptors"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(arguments: list[str], message: str, capsys) -> None:
    status, out, err = said(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert err.startswith("sennit")
    assert err.count("\n") == 1


def test_a_terminal_without_unicode_is_no_reason_to_fail() -> None:
    program = (
        "import sennit.cli.fetch, sys; from sennit.cli import main\n"
        "sennit.cli.fetch.run = lambda _: print('\u2020') or 0\n"
        "sys.exit(main(['fetch', 'http://a/']))"
    )
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, check=True)
    assert done.stdout == b"?\n"


# A lab whose origin is the test itself: it never answers, and it sees when a connection ends. The
# program that stands for the origin holds a connection too, so its end can be seen as well.
LAB = """
import sys
import sennit.cli, sennit.cli.lab
from sennit.lab.measuring import Plan
origin = '''
import socket
held = socket.create_connection(("127.0.0.1", {port}))
print({port}, flush=True)
held.recv(1)
'''
sennit.cli.lab.Plan = lambda *options: Plan(*options, origin=(sys.executable, "-c", origin))
sys.exit(sennit.cli.main(["lab", "--models", "{model}", "--requests", "3"]))
"""


@pytest.mark.parametrize("model", ["asyncio", "threads", "processes"])
@pytest.mark.parametrize(
    ("number", "status", "words"),
    [(signal.SIGINT, 130, "interrupted\n"), (signal.SIGTERM, 143, "")],
)
def test_a_signal_ends_everything_that_the_lab_has_started(
    model: str, number: signal.Signals, status: int, words: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        program = LAB.format(port=server.getsockname()[1], model=model)
        with subprocess.Popen(
            [sys.executable, "-c", program],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as lab:
            by_origin, _ = server.accept()
            by_model, _ = server.accept()
            lab.send_signal(number)
            out, err = lab.communicate()
        assert (lab.returncode, out, err) == (status, "", words)
        with by_origin, by_model:
            assert by_origin.recv(1) == b""
            while by_model.recv(4096):
                pass
