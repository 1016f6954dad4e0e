"""TLS in the middle of a connection: nothing that came in the clear counts after it."""

import asyncio
import shutil

import pytest

from sennit import net
from sennit.errors import CertificateError, ConfigError, RemoteProtocolError

ANY = "tcp://127.0.0.1:0"

REQUEST = b"STARTTLS\n"
INJECTED = b"RCPT TO:<injected>\n"


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


class Frames(net.FrameProtocol):
    """A server's end that says yes and upgrades right where it has understood the request."""

    framing = net.Lines()

    def __init__(self, tls, heard):
        super().__init__()
        self.tls = tls
        self.heard = heard

    def frame_received(self, frame):
        if frame == b"STARTTLS":
            self.send_frame(b"yes")
            net.start_tls(self, self.tls)
        else:
            self.heard.append((frame, net.tls_details(self.transport) is not None))
            self.send_frame(frame)

    def connection_lost(self, exc):
        self.heard.append(exc)


class Pieces(net.Protocol):
    """The same by hand."""

    def __init__(self, tls, heard):
        self.tls_settings = tls
        self.heard = heard

    def data_received(self, data):
        if data.startswith(REQUEST):
            self.write(b"yes\n")
            net.start_tls(self, self.tls_settings, unread=data[len(REQUEST) :])
        else:
            self.heard.append((data.strip(), self.tls is not None))
            self.write(data)

    def connection_lost(self, exc):
        self.heard.append(exc)


KINDS = pytest.mark.parametrize("kind", [Frames, Pieces])


@KINDS
def test_what_stands_behind_the_request_is_refused(on_reactor, reported, certificates, kind):
    async def test():
        heard = []
        tls = certificates.server_tls()
        async with await net.listen(lambda: kind(tls, heard), ANY) as server:
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST + INJECTED)
            await until(lambda: heard)
            stream.abort()
        (error,) = heard
        assert isinstance(error, RemoteProtocolError)
        assert "19 bytes have come in the clear" in str(error)
        assert error.rule == "RFC 3207 section 4.2"

    on_reactor(test)
    assert reported == []


@KINDS
def test_what_comes_after_the_request_in_the_clear_is_no_tls(on_reactor, certificates, kind):
    async def test():
        heard = []
        tls = certificates.server_tls()
        async with await net.listen(lambda: kind(tls, heard), ANY) as server:
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST)
            assert await stream.readline() == b"yes\n"
            stream.write(INJECTED)
            await until(lambda: heard)
            stream.abort()
        assert isinstance(heard[0], RemoteProtocolError)
        assert len(heard) == 1

    on_reactor(test)


@KINDS
def test_upgrading_where_the_request_is_understood(on_reactor, certificates, kind):
    async def test():
        heard = []
        tls, ca = certificates.server_tls(), certificates.path("ca.pem")
        async with await net.listen(lambda: kind(tls, heard), ANY) as server:
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST)
            assert await stream.readline() == b"yes\n"
            await net.start_tls(stream, net.ClientTls(ca=ca), server_name="localhost")
            stream.write(b"hello\n")
            assert await stream.readline() == b"hello\n"
            stream.close()
            await stream.wait_closed()
        assert heard == [(b"hello", True), None]

    on_reactor(test)


def test_an_answer_that_was_injected_is_refused_by_a_client(on_reactor, certificates):
    """Whoever sits in between puts an answer behind the yes, for after the handshake."""

    async def serve(stream):
        assert await stream.readline() == REQUEST
        await stream.write(b"yes\n250 injected\n")
        await stream.read()

    async def test():
        tls = net.ClientTls(ca=certificates.path("ca.pem"))
        async with await net.listen(serve, ANY) as server:
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST)
            assert await stream.readline() == b"yes\n"
            with pytest.raises(RemoteProtocolError, match="13 bytes have come in the clear"):
                await net.start_tls(stream, tls, server_name="localhost")
            assert stream.is_closing()

    on_reactor(test)


def test_our_own_mistakes_are_raised_at_once(on_reactor, certificates):
    async def test():
        async with await net.listen(net.Protocol, ANY) as server:
            stream = await net.connect(server.urls[0])
            with pytest.raises(ConfigError, match="server_name"):
                net.start_tls(stream, net.ClientTls(verify=False))
            assert not stream.is_closing()
            stream.close()

    on_reactor(test)


def test_a_handshake_that_fails_is_told_to_the_protocol(on_reactor, reported, certificates):
    async def test():
        heard = []
        tls = certificates.server_tls()
        async with await net.listen(lambda: Frames(tls, heard), ANY) as server:
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST)
            assert await stream.readline() == b"yes\n"
            with pytest.raises(CertificateError):
                await net.start_tls(stream, net.ClientTls(), server_name="localhost")
            await until(lambda: heard)
            assert isinstance(heard[0], RemoteProtocolError)

    on_reactor(test)
    assert reported == []


def test_files_that_change_are_for_connections_that_upgrade(
    on_reactor, certificates, tmp_path, monkeypatch
):
    # Looking once a second is enough where a test does not wait.
    monkeypatch.setattr("sennit.net.reloading._INTERVAL", 0.0)
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(name):
        shutil.copy(certificates.path(f"{name}.pem"), chain)
        shutil.copy(certificates.path(f"{name}.key"), key)

    async def test():
        put("server")
        tls = net.ServerTls(certificate=chain, key=key)

        async def names():
            stream = await net.connect(server.urls[0])
            stream.write(REQUEST)
            assert await stream.readline() == b"yes\n"
            details = await net.start_tls(
                stream, net.ClientTls(verify=False), server_name="localhost"
            )
            stream.abort()
            return details.peer_certificate.dns_names

        async with await net.listen(lambda: Frames(tls, []), ANY) as server:
            assert await names() == ("localhost",)
            put("other")
            assert "other.example" in await names()

    on_reactor(test)
