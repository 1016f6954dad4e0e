"""`sennit fetch`: against the standard library's server."""

import io
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socket import create_server

import pytest

from sennit.cli import main
from sennit.cli.downloads import Folder, Summary, file_name, step_of
from sennit.cli.fetch import render_summary
from sennit.errors import (
    ConnectError,
    ConnectionLostError,
    DeadlineError,
    LocalProtocolError,
    OverloadedError,
    RemoteProtocolError,
    SennitError,
)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.path.encode()
        self.send_response(404 if self.path.startswith("/missing") else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_) -> None:
        pass


class Server(ThreadingHTTPServer):
    # Its own five would lose connections that come at once, each of which then waits a second.
    request_queue_size = 128


@pytest.fixture
def site() -> Iterator[str]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_each_url_is_fetched_and_counted(site: str, capsys) -> None:
    assert main(["fetch", f"{site}/a", f"{site}/missing", "--repeat", "5"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("10 answered, 50 B in ")
    assert out.splitlines()[1:] == ["  200: 5", "  404: 5"]
    assert err == ""


def test_many_at_once(site: str, capsys) -> None:
    assert main(["fetch", f"{site}/", "--repeat", "200", "--concurrency", "32"]) == 0
    assert capsys.readouterr().out.startswith("200 answered, 200 B in ")


def test_bodies_are_saved_and_none_is_written_over(site: str, tmp_path: Path) -> None:
    folder = tmp_path / "new" / "pages"
    urls = [f"{site}/a/b", f"{site}/a_b", f"{site}/a/b?c=d"]
    assert main(["fetch", *urls, "--output", str(folder)]) == 0
    assert main(["fetch", urls[0], "--output", str(folder)]) == 0
    bodies = sorted(path.read_text() for path in folder.iterdir())
    assert bodies == ["/a/b", "/a/b", "/a/b?c=d", "/a_b"]


def test_urls_come_from_a_file(site: str, tmp_path: Path, capsys) -> None:
    file = tmp_path / "urls"
    file.write_text(f"# two of them\n{site}/a\n\n  {site}/b  \n")
    assert main(["fetch", "--input", str(file), f"{site}/c"]) == 0
    assert capsys.readouterr().out.startswith("3 answered")


def test_urls_come_from_standard_input(site: str, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{site}/a\n{site}/b\n"))
    assert main(["fetch", "--input", "-"]) == 0
    assert capsys.readouterr().out.startswith("2 answered")


def test_a_refused_connection_is_a_failure(capsys) -> None:
    with create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert main(["fetch", f"http://127.0.0.1:{port}/", "--repeat", "2"]) == 1
    out = capsys.readouterr().out
    assert "2 failed\n  connect: 2; the first: http://127.0.0.1:" in out


def test_an_answer_that_does_not_come_is_a_failure(capsys) -> None:
    with create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        assert main(["fetch", url, "--timeout", "0.1"]) == 1
    assert "timeout: 1; the first: " in capsys.readouterr().out


def test_ctrl_c_ends_it() -> None:
    with create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        program = "import sys; from sennit.cli import main; sys.exit(main())"
        with subprocess.Popen(
            [sys.executable, "-c", program, "fetch", url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as fetch:
            connection, _ = server.accept()
            fetch.send_signal(signal.SIGINT)
            assert fetch.communicate() == ("", "interrupted\n")
        connection.close()
    assert fetch.returncode == 130


def test_a_body_that_cannot_be_saved_is_a_failure(
    site: str, tmp_path: Path, capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Folder, "save", full)
    assert main(["fetch", f"{site}/a", "--output", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert out.startswith("0 answered")
    assert "save: 1; the first: " in out
    assert "No space left on device" in out


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://a:80/b/c.html", "a_80_b_c.html"),
        ("http://a/../../etc/passwd", "a_.._.._etc_passwd"),
        ("http://a/?q=x y/z", "a_q_x_y_z"),
        ("http://../..", "body"),
        ("http://a/", "a"),
        ("http://a/\u00fc", "a"),
    ],
)
def test_names_are_safe(url: str, name: str) -> None:
    assert file_name(url) == name


def test_names_are_short_enough() -> None:
    assert len(file_name("http://a/" + "b" * 5000)) <= 200


def test_files_that_are_there_stay(tmp_path: Path) -> None:
    (tmp_path / "a_b").write_text("mine")
    folder = Folder(tmp_path)
    assert folder.save("http://a/b", b"1").name == "a_b-2"
    assert folder.save("http://a/b", b"2").name == "a_b-3"
    assert (tmp_path / "a_b").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "step"),
    [
        (ConnectError(), "connect"),
        (ConnectionLostError(), "connection lost"),
        (DeadlineError(), "timeout"),
        (TimeoutError(), "timeout"),
        (LocalProtocolError(), "request"),
        (RemoteProtocolError(""), "answer"),
        (OverloadedError(), "limit"),
        (ConnectionResetError(), "connect"),
        (SennitError(), "SennitError"),
    ],
)
def test_a_failure_is_counted_by_its_step(error: Exception, step: str) -> None:
    assert step_of(error) == step


def test_the_summary_names_what_happened_most_first() -> None:
    summary = Summary(wall_s=2.0, size=1500)
    summary.statuses.update({404: 1, 200: 9})
    for url in ("u1", "u2"):
        summary.failed("connect", url, ConnectError("refused"))
    summary.failed("timeout", "u3", TimeoutError())
    assert render_summary(summary) == (
        "10 answered, 1.5 KB in 2.00 s, 5 requests/s\n"
        "  200: 9\n"
        "  404: 1\n"
        "3 failed\n"
        "  connect: 2; the first: u1: refused\n"
        "  timeout: 1; the first: u3: TimeoutError\n"
    )
