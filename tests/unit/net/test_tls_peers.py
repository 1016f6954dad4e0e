"""TLS with other people's ends: Python's ssl, openssl, curl."""

import asyncio
import socket
import ssl
import subprocess

import pytest

from sennit import net
from sennit.errors import ConnectionLostError, RemoteProtocolError

TLS = "tls://127.0.0.1:0"
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
LARGE = bytes(range(251)) * 4_000


class Echo(net.Protocol):
    def data_received(self, data):
        self.write(data)


class Greeting(net.Protocol):
    """Says what it knows of its peer, then nothing."""

    def connection_made(self, transport):
        super().connection_made(transport)
        details = self.tls
        self.write(f"{details.server_name} {details.resumed} {details.peer_names}\n".encode())


def context(certificates, version=None, *, client=None):
    made = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    if version is not None:
        made.minimum_version = made.maximum_version = VERSIONS[version]
    if client is not None:
        made.load_cert_chain(certificates.path(f"{client}.pem"), certificates.path(f"{client}.key"))
    return made


def exchange(port, made, data, name="localhost"):
    """Sends data, reads as much, says goodbye and waits for the other's."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=60) as raw,
        made.wrap_socket(raw, server_hostname=name) as sock,
    ):
        sock.sendall(data)
        heard = bytearray()
        while len(heard) < len(data):
            heard += sock.recv(1 << 16)
        version = sock.version()
        sock.unwrap()
        return bytes(heard), version


def openssl(*arguments, told=b"", **more):
    """What an `openssl s_client` says that hears our words and waits for the end."""
    return subprocess.run(
        ["openssl", "s_client", "-ign_eof", *map(str, arguments)],
        input=told, capture_output=True, timeout=60, check=False, **more,
    )  # fmt: skip


@pytest.mark.parametrize("version", VERSIONS)
def test_pythons_ssl_as_the_client(on_reactor, reported, certificates, version):
    async def test():
        async with await net.listen(Echo, TLS, tls=certificates.server_tls()) as server:
            made = context(certificates, version)
            heard, spoken = await asyncio.to_thread(exchange, server.port, made, LARGE)
            assert (heard == LARGE, spoken) == (True, f"TLSv{version}")

    on_reactor(test)
    assert reported == []


@pytest.mark.parametrize("version", VERSIONS)
def test_pythons_ssl_as_the_server(on_reactor, certificates, version):
    def serve(listening):
        made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        made.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
        made.minimum_version = made.maximum_version = VERSIONS[version]
        with made.wrap_socket(listening.accept()[0], server_side=True) as sock:
            sock.settimeout(60)
            heard = bytearray()
            while piece := sock.recv(1 << 16):
                heard += piece
            sock.sendall(heard)
            sock.unwrap()

    async def test():
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(60)
            serving = asyncio.create_task(asyncio.to_thread(serve, listening))
            url = f"tls://localhost:{listening.getsockname()[1]}"
            async with await net.connect(url, ca=certificates.path("ca.pem")) as stream:
                details = net.tls_details(stream.transport)
                assert details.version == f"TLSv{version}"
                assert details.peer_names == ("localhost",)
                stream.write(LARGE)
                stream.write_eof()
                assert await stream.read_exactly(len(LARGE)) == LARGE
                assert await stream.read() == b""
            await serving

    on_reactor(test)


@pytest.mark.parametrize("version", VERSIONS)
def test_openssl_resumes_a_session(on_reactor, certificates, peer, tmp_path, version):
    peer("openssl")
    kept = tmp_path / "session"

    async def ask(server, option):
        flags = [f"-tls{version.replace('.', '_')}", "-servername", "localhost", option, kept]
        made = await asyncio.to_thread(openssl, "-connect", f"127.0.0.1:{server.port}", *flags)
        return next(line for line in made.stdout.splitlines() if line.startswith(b"localhost "))

    class Brief(Greeting):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.close()

    async def test():
        tls = certificates.server_tls()
        async with await net.listen(Brief, TLS, tls=tls) as server:
            assert await ask(server, "-sess_out") == b"localhost False ()"
            tls.reload()
            assert await ask(server, "-sess_in") == b"localhost True ()"
            tls.client_certificate, tls.client_ca = "optional", certificates.path("ca.pem")
            tls.reload()
            assert await ask(server, "-sess_in") == b"localhost False ()"

    on_reactor(test)


@pytest.mark.parametrize("command", ["K", "k"])
def test_openssl_changes_keys_in_the_middle(on_reactor, certificates, peer, command):
    peer("openssl")

    def talk(port):
        # One command a read: s_client takes what it reads at once for one line.
        run = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-tls1_3", "-quiet"]
        with subprocess.Popen(
            [*run, "-no_ign_eof"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        ) as process:  # fmt: skip
            for word in (b"before\n", b"again\n"):
                process.stdin.write(word)
                assert process.stdout.readline() == word
            process.stdin.write(f"{command}\n".encode())
            while b"KEYUPDATE" not in process.stderr.readline():
                pass
            process.stdin.write(b"after\n")
            assert process.stdout.readline() == b"after\n"
            process.stdin.close()

    async def test():
        async with await net.listen(Echo, TLS, tls=certificates.server_tls()) as server:
            await asyncio.to_thread(talk, server.port)

    on_reactor(test)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("wanted", ["optional", "required"])
def test_clients_show_certificates(on_reactor, certificates, peer, version, wanted):
    peer("openssl")
    flag = f"-tls{version.replace('.', '_')}"
    pair = ["-cert", certificates.path("client.pem"), "-key", certificates.path("client.key")]

    class Brief(Greeting):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.close()

    async def test():
        more = {"client_certificate": wanted, "client_ca": certificates.path("ca.pem")}
        async with await net.listen(Brief, TLS, tls=certificates.server_tls(**more)) as server:
            address = f"127.0.0.1:{server.port}"
            shown = await asyncio.to_thread(openssl, "-connect", address, flag, *pair)
            assert b"None False ('client.example',)" in shown.stdout
            hidden = await asyncio.to_thread(openssl, "-connect", address, flag)
            assert (b"None False ()" in hidden.stdout) == (wanted == "optional")
            assert server.statistics()["handshakes_failed"] == int(wanted == "required")

    on_reactor(test)


def test_our_client_shows_its_certificate_to_openssl(on_reactor, certificates, peer):
    peer("openssl")

    async def test():
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
            ["openssl", "s_server", "-accept", f"127.0.0.1:{port}", "-rev", "-naccept", "2",
             "-cert", certificates.path("server.pem"), "-key", certificates.path("server.key"),
             "-Verify", "2", "-verify_return_error", "-CAfile", certificates.path("ca.pem")],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while b"ACCEPT" not in await asyncio.to_thread(process.stdout.readline):
            pass
        url = f"tls://localhost:{port}?ca={certificates.path('ca.pem')}"
        own = {
            "certificate": certificates.path("client.pem"),
            "key": certificates.path("client.key"),
        }
        async with await net.connect(url, **own) as stream:
            stream.write(b"olleh\n")
            assert await stream.readline() == b"hello\n"
        with pytest.raises((ConnectionLostError, RemoteProtocolError)):
            # In TLS 1.3 a client is through before the server has seen that there is none.
            async with await net.connect(url) as stream:
                await stream.read()
        process.kill()
        await asyncio.to_thread(process.communicate)

    on_reactor(test)


def test_curl(on_reactor, certificates, peer):
    curl = str(peer("curl"))

    async def answer(stream):
        head = await stream.read_until(b"\r\n\r\n")
        name = net.tls_details(stream.transport).server_name
        body = LARGE + f"{name} {head.split()[1].decode()}".encode()
        await stream.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body)

    async def test():
        async with await net.listen(answer, TLS, tls=certificates.server_tls()) as server:
            url = f"https://localhost:{server.port}/path"
            run = [curl, "-sS", "--cacert", certificates.path("ca.pem"), url]
            done = await asyncio.to_thread(
                subprocess.run, run, capture_output=True, timeout=60, check=True
            )
            assert done.stdout == LARGE + b"localhost /path"

    on_reactor(test)


def test_openssl_says_starttls_first(on_reactor, certificates, peer):
    peer("openssl")
    tls = certificates.server_tls()
    heard = []

    async def serve(stream):
        await stream.write(b"220 here ESMTP\r\n")
        while line := await stream.readline():
            heard.append(line)
            if line.startswith(b"EHLO"):
                await stream.write(b"250-here\r\n250 STARTTLS\r\n")
            elif line == b"STARTTLS\r\n":
                stream.write(b"220 go ahead\r\n")
                details = await net.start_tls(stream, tls)
                await stream.write(f"{details.version}\n".encode())
            else:
                return

    async def test():
        async with await net.listen(serve, "tcp://127.0.0.1:0") as server:
            address = f"127.0.0.1:{server.port}"
            flags = ["-starttls", "smtp", "-crlf", "-quiet"]
            done = await asyncio.to_thread(openssl, "-connect", address, *flags, told=b"QUIT\n")
            assert done.stdout.splitlines()[-1] == b"TLSv1.3"
            assert heard[-2:] == [b"STARTTLS\r\n", b"QUIT\r\n"]

    on_reactor(test)
