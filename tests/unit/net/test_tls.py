"""TLS of our own: upgrading, names, files that change, handshakes that fail, settings."""

import asyncio
import contextlib
import gc
import os
import shutil
import socket
import weakref

import pytest

import sennit
from sennit import net
from sennit.errors import (
    CertificateError,
    ClosedError,
    ConfigError,
    ConnectionLostError,
    DeadlineError,
    RemoteProtocolError,
)

TLS = "tls://127.0.0.1:0"


class Echo(net.Protocol):
    def data_received(self, data):
        self.write(data)


def test_what_was_sent_before_tls_does_not_count_after_it(on_reactor, certificates):
    tls = certificates.server_tls()
    errors = []

    async def serve(stream):
        assert await stream.readline() == b"STARTTLS\n"
        try:
            await net.start_tls(stream, tls)
        except Exception as error:
            errors.append(error)
            raise

    async def test():
        async with await net.listen(serve, "tcp://127.0.0.1:0") as server:
            async with await net.connect(server.urls[0]) as stream:
                stream.write(b"STARTTLS\nRCPT TO:<injected>\n")
                with contextlib.suppress(ConnectionLostError):
                    assert await stream.read() == b""
            assert isinstance(errors[0], RemoteProtocolError)
            assert "19 bytes have come in the clear" in str(errors[0])

    on_reactor(test)


def test_both_our_ends_upgrade(on_reactor, certificates):
    server_tls = certificates.server_tls()
    client_tls = net.ClientTls(ca=certificates.path("ca.pem"))

    async def serve(stream):
        assert await stream.readline() == b"STARTTLS\n"
        stream.write(b"yes\n")
        await net.start_tls(stream, server_tls)
        await stream.write(b"secret\n")

    async def test():
        async with await net.listen(serve, "tcp://127.0.0.1:0") as server:
            stream = await net.connect(server.urls[0])
            with pytest.raises(ConfigError, match="server_name"):
                await net.start_tls(stream, client_tls)
            await stream.write(b"STARTTLS\n")
            assert await stream.readline() == b"yes\n"
            assert net.tls_details(stream.transport) is None
            details = await net.start_tls(stream, client_tls, server_name="localhost")
            assert details.version == "TLSv1.3"
            assert await stream.readline() == b"secret\n"
            with pytest.raises((ConfigError, ClosedError)):
                await net.start_tls(stream, client_tls, server_name="localhost")
            stream.close()
            await stream.wait_closed()
            with pytest.raises(ClosedError):
                await net.start_tls(stream, client_tls, server_name="localhost")

    on_reactor(test)


def test_certificates_by_name(on_reactor, certificates):
    other = net.Certificate(certificates.path("other.pem"), certificates.path("other.key"))

    async def test():
        tls = certificates.server_tls(more=(other,))
        async with await net.listen(Echo, TLS, tls=tls) as server:
            for name, shown in [
                ("other.example", "other.example"),
                ("A.Wild.example", "other.example"),
                ("localhost", "localhost"),
                ("127.0.0.1", "localhost"),
            ]:
                ca = certificates.path("ca.pem")
                made = await net.connect(server.urls[0], ca=ca, server_name=name)
                assert net.tls_details(made.transport).peer_names[0] == shown
                made.abort()
            with pytest.raises(CertificateError, match=r"is for localhost.*not for \"b\.example\""):
                await net.connect(server.urls[0], ca=ca, server_name="b.example")

    on_reactor(test)


def test_files_that_change_are_for_new_connections(on_reactor, certificates, tmp_path, caplog):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"

    def put(name):
        for source, target in ((f"{name}.pem", chain), (f"{name}.key", key)):
            shutil.copy(certificates.path(source), tmp_path / "new")
            (tmp_path / "new").replace(target)

    async def test():
        put("server")
        tls = net.ServerTls(certificate=chain, key=key)
        assert not tls.has_changed()
        async with await net.listen(Echo, TLS, tls=tls) as server:
            old = await net.connect(server.urls[0], tls=net.ClientTls(verify=False))
            put("other")
            assert tls.has_changed()
            server._certificates._look()
            new = await net.connect(server.urls[0], tls=net.ClientTls(verify=False))
            assert net.tls_details(old.transport).peer_names == ("localhost",)
            assert net.tls_details(new.transport).peer_names[0] == "other.example"
            chain.write_text("nothing")
            server._certificates._look()
            server._certificates._look()
            key.unlink()
            server._certificates._look()
            same = await net.connect(server.urls[0], tls=net.ClientTls(verify=False))
            assert net.tls_details(same.transport).peer_names[0] == "other.example"
            put("server")
            server._certificates._look()
            back = await net.connect(server.urls[0], tls=net.ClientTls(verify=False))
            assert net.tls_details(back.transport).peer_names == ("localhost",)
            for stream in (old, new, same, back):
                stream.write(b"x")
                assert await stream.read() == b"x"
                stream.abort()
            told = server.statistics()
            assert told["certificates_reloaded"] == 2
            assert told["certificate_reloads_failed"] == 2

    on_reactor(test)
    assert caplog.text.count("certificates stay as they were") == 2


def test_handshakes_that_fail_say_why(on_reactor, reported, certificates):
    async def test():
        ca = certificates.path("ca.pem")
        async with await net.listen(Echo, TLS, tls=certificates.server_tls(alpn=("h2",))) as server:
            url = server.urls[0]
            with pytest.raises(CertificateError, match="trusted here"):
                await net.connect(url, ca=certificates.authority("nobody"))
            with pytest.raises(RemoteProtocolError, match="none of the protocols"):
                await net.connect(url, ca=ca, alpn=["smtp"])
            plain = await net.connect(url.replace("tls:", "tcp:"))
            plain.write(b"GET / HTTP/1.1\r\n\r\n")
            heard = await plain.read()
            assert heard[0] == 21, "an alert"
            plain.abort()
            while server.statistics()["connections_open"]:
                await asyncio.sleep(0)
            assert server.statistics()["handshakes_failed"] == 3
            assert len(server.connections) == 0
        async with await net.listen(Echo, "tcp://127.0.0.1:0") as server:
            with pytest.raises(RemoteProtocolError):
                # It says our own hello to us.
                await net.connect(server.urls[0].replace("tcp:", "tls:"), ca=ca)

        async def greet(stream):
            await stream.write(b"220 here\r\n")
            await stream.read()

        async with await net.listen(greet, "tcp://127.0.0.1:0") as server:
            with pytest.raises(RemoteProtocolError, match="plain text"):
                await net.connect(server.urls[0].replace("tcp:", "tls:"), ca=ca)

    on_reactor(test)
    assert reported == []


def test_a_handshake_that_does_not_come_to_its_end(on_reactor, certificates):
    async def test():
        tls = certificates.server_tls(handshake_timeout=0.05)
        async with await net.listen(Echo, TLS, tls=tls) as server:
            silent = await net.connect(server.urls[0].replace("tls:", "tcp:"))
            with contextlib.suppress(ConnectionLostError):
                assert await silent.read() == b""
            assert server.statistics()["handshakes_failed"] == 1
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"tls://localhost:{deaf.getsockname()[1]}"
            with pytest.raises(DeadlineError, match="handshake_timeout"):
                await net.connect(url, ca=certificates.path("ca.pem"), handshake_timeout=0.05)
            with pytest.raises(DeadlineError, match="connect_timeout"):
                await net.connect(url, ca=certificates.path("ca.pem"), connect_timeout=0.05)

    on_reactor(test)


def test_a_cancelled_connect_leaves_nothing(on_reactor, certificates):
    made = []

    def protocol():
        made.append(weakref.ref(one := net.Protocol()))
        return one

    async def test():
        with socket.create_server(("127.0.0.1", 0)) as deaf:
            url = f"tls://localhost:{deaf.getsockname()[1]}"
            task = asyncio.create_task(net.connect(url, protocol, ca=certificates.path("ca.pem")))
            while not made:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            del task
            accepted, _ = await asyncio.to_thread(deaf.accept)
            with accepted:
                accepted.settimeout(60)
                while await asyncio.to_thread(accepted.recv, 1 << 16):
                    pass
        gc.collect()
        assert made[0]() is None

    on_reactor(test)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # open sockets
def test_a_reactor_that_is_closed_in_the_middle_of_handshakes(certificates):
    made = []

    def protocol():
        made.append(weakref.ref(one := net.Protocol()))
        return one

    async def main():
        server = await net.listen(protocol, TLS, tls=certificates.server_tls())
        raw = socket.create_connection(("127.0.0.1", server.port))
        while not made:
            await asyncio.sleep(0)
        return raw

    loop = sennit.Reactor()
    raw = loop.run_until_complete(main())
    loop.close()
    del loop
    gc.collect()
    assert made[0]() is None
    with raw:
        raw.settimeout(60)
        assert raw.recv(1) == b""


def test_plain_and_tls_at_one_server(on_reactor, certificates):
    async def test():
        chain, key = certificates.path("server.pem"), certificates.path("server.key")
        secure = f"{TLS}?certificate={chain}&key={key}"
        async with await net.listen(Echo, "tcp://127.0.0.1:0", secure) as server:
            plain = await net.connect(server.urls[0])
            safe = await net.connect(server.urls[1], ca=certificates.path("ca.pem"))
            for stream in (plain, safe):
                stream.write(b"x")
                assert await stream.read() == b"x"
            assert len(server.connections) == 2
            assert server.factory.broadcast(b"all") == 2
            assert (await plain.read(), await safe.read()) == (b"all", b"all")
            plain.abort()
            safe.abort()

    on_reactor(test)


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"certificate": "/nowhere.pem"}, "certificate '/nowhere.pem' cannot be read"),
        ({"certificate": b"nothing"}, "holds no certificate"),
        ({"versions": ()}, "versions is empty"),
        ({"versions": ("1.1",)}, "there are"),
        ({"alpn": ("",)}, "1 to 255"),
        ({"handshake_timeout": 0}, "handshake_timeout is 0"),
        ({"client_certificate": "perhaps"}, "there are none, optional and required"),
        ({"client_certificate": "required"}, "go together"),
        ({"client_ca": b""}, "go together"),
    ],
)
def test_settings_of_a_server_that_make_no_sense(certificates, wrong, reason):
    good = {"certificate": certificates.path("server.pem"), "key": certificates.path("server.key")}
    with pytest.raises(ConfigError, match=reason):
        net.ServerTls(**{**good, **wrong})


def test_a_key_of_another_certificate(certificates):
    with pytest.raises(ConfigError, match="the key does not fit the certificate"):
        net.ServerTls(certificate=certificates.path("server.pem"), key=certificates.path("ca.key"))
    with pytest.raises(ConfigError, match="no certificate that it is for"):
        net.ClientTls(key=certificates.path("ca.key"))
    with pytest.raises(ConfigError, match="ca holds no certificate"):
        net.ClientTls(ca=b"nothing")


def test_a_chain_with_its_key_from_memory(on_reactor, certificates):
    both = b"".join(
        (certificates.folder / name).read_bytes() for name in ("server.key", "server.pem")
    )

    async def test():
        async with await net.listen(Echo, TLS, tls=net.ServerTls(certificate=both)) as server:
            assert not server._certificates._settings[0].has_changed()
            ca = (certificates.folder / "ca.pem").read_bytes()
            made = await net.connect(server.urls[0], tls=net.ClientTls(ca=ca))
            made.abort()

    on_reactor(test)


@pytest.mark.parametrize("name", ["alpn", "versions"])
def test_a_name_is_not_taken_for_its_letters(certificates, name):
    with pytest.raises(ConfigError, match=f"{name} is '1.3', it must be a tuple of names"):
        net.ClientTls(**{name: "1.3"})
    with pytest.raises(ConfigError, match=f"{name} is '1.3', it must be a tuple of names"):
        certificates.server_tls(**{name: "1.3"})


def test_a_file_of_another_size_has_changed(certificates, tmp_path):
    chain, key = tmp_path / "chain.pem", tmp_path / "key.pem"
    shutil.copy(certificates.path("server.pem"), chain)
    shutil.copy(certificates.path("server.key"), key)
    tls = net.ServerTls(certificate=chain, key=key)
    before = chain.stat()
    with chain.open("a") as file:  # the same file, and its time is put back
        file.write("# more")
    os.utime(chain, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert tls.has_changed()


def test_whatever_goes_wrong_with_files_they_are_looked_at_again(
    on_reactor, certificates, monkeypatch, caplog
):
    async def test():
        tls = certificates.server_tls()
        async with await net.listen(Echo, TLS, tls=tls) as server:
            watch = server._certificates
            monkeypatch.setattr(tls, "has_changed", lambda: 1 / 0)
            before, watch._timer = watch._timer, None
            before.cancel()
            watch._look()
            assert watch._timer is not None
            assert watch.failures == 1

    on_reactor(test)
    assert "division by zero" in caplog.text


def test_parts_of_the_settings_as_options(on_reactor, certificates):
    async def test():
        files = (
            f"certificate={certificates.path('server.pem')}&key={certificates.path('server.key')}"
        )
        urls = [f"{TLS}?{files}&versions=1.2&tickets=no&handshake_timeout=5"]
        async with await net.listen(Echo, *urls) as server:
            stream = await net.connect(f"{server.urls[0]}?verify=no")
            assert net.tls_details(stream.transport).version == "TLSv1.2"
            stream.abort()
            with pytest.raises(RemoteProtocolError):
                await net.connect(server.urls[0], verify=False, versions=("1.3",))

    on_reactor(test)
