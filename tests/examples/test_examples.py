"""The examples run as their first lines say, and real peers talk to them."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
LONGEST = 80
PATIENCE = 60


class Example:
    """An example that runs, and the port that it has picked."""

    def __init__(self, name, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / name), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""

    def __enter__(self):
        self.port = int(self.wait_for(r"(?:PORT |is ready: .*:|serving on .*:)(\d+)"))
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.communicate()

    def wait_for(self, pattern):
        """Reads on until a pattern has come; its first group."""
        while (found := re.search(pattern, self.output)) is None:
            line = self.process.stdout.readline()
            assert line, self.output
            self.output += line
        return found[1] if found.groups() else found[0]

    def stop(self):
        """Ends it as Ctrl-C does; its exit status."""
        self.process.send_signal(signal.SIGINT)
        self.output += self.process.communicate(timeout=PATIENCE)[0]
        return self.process.returncode


class Peer:
    """A real program that talks over its standard input and output."""

    def __init__(self, *command):
        self.process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.seen = b""

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.communicate()

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def hears(self, text):
        """Reads on until a text has come."""
        while text not in self.seen:
            data = os.read(self.process.stdout.fileno(), 65_536)
            assert data, f"{text!r} did not come: {self.seen!r}"
            self.seen += data
        self.seen = self.seen.partition(text)[2]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_says_how_to_run_it(path):
    lines = path.read_text().splitlines()
    assert len(lines) <= LONGEST
    assert f"python examples/{path.name}" in path.read_text()


def test_echo_with_netcat_and_socat(peer, tmp_path):
    with Example("echo.py", f"unix://{tmp_path}/echo.sock", "tcp://127.0.0.1:0") as echo:
        with Peer(peer("nc"), "127.0.0.1", echo.port) as netcat:
            netcat.say(b"hello\n")
            netcat.hears(b"hello\n")
        with Peer(peer("socat"), "-", f"UNIX-CONNECT:{tmp_path}/echo.sock") as socat:
            block = bytes(range(256)) * 4000
            done = subprocess.run(
                [peer("socat"), "-t60", "-", f"UNIX-CONNECT:{tmp_path}/echo.sock"],
                input=block,
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
            assert done.stdout == block
            socat.say(b"still here")
            socat.hears(b"still here")
        assert echo.stop() == 0


def test_chat_with_telnet_and_netcat(peer):
    with (
        Example("chat.py", "tcp://127.0.0.1:0") as chat,
        Peer(peer("telnet"), "127.0.0.1", chat.port) as anna,
        Peer(peer("nc"), "127.0.0.1", chat.port) as bert,
    ):
        anna.hears(b"Who are you?")
        bert.hears(b"Who are you?")
        anna.say(b"anna\n")
        bert.hears(b"* anna is here\n")
        bert.say(b"bert\nhello anna\n")
        anna.hears(b"* bert is here")
        anna.hears(b"bert: hello anna")
        bert.say(b"x" * 1001 + b"\n")
        bert.hears(b"1,000")
        anna.hears(b"* bert has gone")
        chat.process.send_signal(signal.SIGINT)
        anna.hears(b"The chat closes.")
        assert chat.process.wait(PATIENCE) == 0


def test_chat_shows_the_quiet_out(peer):
    with (
        Example("chat.py", "tcp://127.0.0.1:0", 0.05) as chat,
        Peer(peer("nc"), "127.0.0.1", chat.port) as quiet,
    ):
        quiet.hears(b"Good-bye.\n")
        assert chat.stop() == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for localhost, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    command = "openssl req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -days 2"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    files = ["-keyout", f"{folder}/key.pem", "-out", f"{folder}/certificate.pem"]
    leaf = ["-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([*command.split(), *names, *leaf, *files], check=True, capture_output=True)
    return folder / "certificate.pem", folder / "key.pem"


def test_line_commands_with_openssl(peer, certificate):
    with Example("line_commands.py", "tls://127.0.0.1:0", *certificate) as server:
        client = [peer("openssl"), "s_client", "-quiet", "-verify_return_error"]
        trust = ["-CAfile", certificate[0], "-servername", "localhost"]
        with Peer(*client, *trust, "-connect", f"127.0.0.1:{server.port}") as openssl:
            openssl.hears(b"ready\n")
            openssl.say(b"help\n")
            openssl.hears(b"commands: help")
            openssl.say(b"cipher\nsleep 0.01\nuptime\r\nwhat now\n")
            openssl.hears(b"TLSv1.3 ")
            openssl.hears(b"good morning\n")
            openssl.hears(b" s\n")
            openssl.hears(b"there is no 'what now'")
            openssl.say(b"y" * 300 + b"\n")
            openssl.hears(b"error: ")
            openssl.hears(b"200")
        assert server.stop() == 0


def test_the_forwarder_passes_both_ways_and_the_ends(peer):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(PATIENCE)
        target = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with Example("port_forwarder.py", "tcp://127.0.0.1:0", target) as forwarder:
            near = socket.create_connection(("127.0.0.1", forwarder.port), timeout=PATIENCE)
            far = listening.accept()[0]
            far.settimeout(PATIENCE)
            with near, far:
                near.sendall(b"there")
                assert far.recv(100) == b"there"
                near.shutdown(socket.SHUT_WR)
                assert far.recv(100) == b""
                far.sendall(b"and back")
                far.close()
                assert near.recv(100) == b"and back"
                assert near.recv(100) == b""


def test_the_forwarder_with_curl_passes_more_than_its_buffers(peer, tmp_path):
    """Neither end reads as fast as the other one writes: both ways, then it is stopped."""
    block = os.urandom(20 * 1024 * 1024)
    (tmp_path / "sent").write_bytes(block)
    far = ["TCP-LISTEN:0,bind=127.0.0.1,fork", "SYSTEM:cat"]
    with (
        subprocess.Popen(
            [peer("socat"), "-d", "-d", "-t60", *far], stderr=subprocess.PIPE, text=True
        ) as echo,
        Example("web_application.py", "http://127.0.0.1:0") as web,
    ):
        while (found := re.search(r"listening on .*:(\d+)", echo.stderr.readline())) is None:
            pass
        with Example(
            "port_forwarder.py", "tcp://127.0.0.1:0", f"tcp://127.0.0.1:{found[1]}"
        ) as forwarder:
            done = subprocess.run(
                [peer("socat"), "-t60", "-", f"TCP:127.0.0.1:{forwarder.port}"],
                input=block,
                capture_output=True,
                timeout=PATIENCE,
                check=True,
            )
            assert done.stdout == block
            assert forwarder.stop() == 0
            assert "Traceback" not in forwarder.output
        echo.kill()
        with Example(
            "port_forwarder.py", "tcp://127.0.0.1:0", f"tcp://127.0.0.1:{web.port}"
        ) as forwarder:
            command = [peer("curl"), "-sS", "--max-time", str(PATIENCE)]
            upload = ["-F", f"file=@{tmp_path}/sent", f"http://127.0.0.1:{forwarder.port}/upload"]
            done = subprocess.run([*command, *upload], capture_output=True, check=True, text=True)
            assert done.stdout == f'{{"file":["sent",{len(block)}]}}'
            assert forwarder.stop() == 0


def test_the_forwarder_drops_whom_it_cannot_serve():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound, so that nobody else listens there either
        target = f"tcp://127.0.0.1:{nobody.getsockname()[1]}"
        with Example("port_forwarder.py", "tcp://127.0.0.1:0", target) as forwarder:
            with socket.create_connection(("127.0.0.1", forwarder.port), timeout=PATIENCE) as near:
                assert near.recv(100) == b""
            forwarder.wait_for("refused")


def test_primes_for_two_with_netcat_and_socat(peer):
    with (
        Example("primes.py", "tcp://127.0.0.1:0", 0.01) as primes,
        Peer(peer("nc"), "127.0.0.1", primes.port) as long,
        Peer(peer("socat"), "-", f"TCP:127.0.0.1:{primes.port}") as short,
    ):
        long.say(b"1000000000\n")
        long.hears(b"at ")
        # A sum that takes hours is under way, and others are served meanwhile.
        short.say(b"how many?\n100\n")
        short.hears(b"say a number")
        short.hears(b"25 primes")
        long.hears(b"at ")
        long.say(b"enough\n")
        long.hears(b"stopped before its end")
        long.say(b"10\n")
        long.hears(b"4 primes")
        long.say(b"1000000000\n")  # and nobody waits for the answer
        long.hears(b"at ")
        assert primes.stop() == 0
        assert "Traceback" not in primes.output


def test_the_game_with_netcat_and_socat(peer):
    with (
        Example("udp_game.py", "udp://127.0.0.1:0", 200) as game,
        Peer(peer("nc"), "-u", "127.0.0.1", game.port) as anna,
        Peer(peer("socat"), "-", f"UDP:127.0.0.1:{game.port}") as bert,
    ):
        anna.say(b"join anna\n")
        anna.hears(b"welcome anna")
        bert.say(b"join bert\n")
        bert.hears(b"welcome bert")
        anna.hears(b"anna:0,0 bert:0,0")
        bert.say(b"move 1 -1\n")
        anna.hears(b"bert:1,-1")
        bert.say(b"move 100 0\n")
        bert.hears(b"say: join")
        bert.say(b"leave\n")
        bert.hears(b"bye")
        # Who says nothing for fifty ticks is out.
        anna.hears(b"bye")
        assert game.stop() == 0


def test_web_application_with_curl(peer, tmp_path):
    def curl(*arguments):
        command = [peer("curl"), "-sS", "--max-time", str(PATIENCE), *arguments]
        return subprocess.run(command, capture_output=True, check=True, text=True).stdout

    with Example("web_application.py", "http://127.0.0.1:0") as application:
        url = f"http://127.0.0.1:{application.port}"
        assert "<h1>Notes</h1>" in curl("--compressed", url)
        with Peer(peer("curl"), "-sSN", f"{url}/events") as watcher:
            as_json = ("-H", "content-type: application/json", "-d")
            made = curl("-i", f"{url}/notes", *as_json, '{"text": "buy milk"}')
            assert made.startswith("HTTP/1.1 201 ")
            assert "location: /notes/1\n" in made
            watcher.hears(b"data: buy milk\n\n")
            assert curl(f"{url}/notes/1") == '{"text":"buy milk"}'
            assert curl(f"{url}/notes/2") == '{"error":"there is no note 2"}'
            assert (
                curl(f"{url}/notes", *as_json, "[]") == '{"error":"send {\\"text\\": \\"...\\"}"}'
            )
            assert "allow: POST, OPTIONS" in curl("-i", "-X", "DELETE", f"{url}/notes")
            (tmp_path / "large").write_bytes(b"x" * 200_000)
            assert (
                curl("-F", f"file=@{tmp_path}/large", f"{url}/upload")
                == '{"file":["large",200000]}'
            )
            curl(f"{url}/notes", *as_json, '{"text": "call home"}')
            watcher.hears(b"data: call home\n\n")
        assert application.stop() == 0
    assert "POST /notes 422" in application.output
