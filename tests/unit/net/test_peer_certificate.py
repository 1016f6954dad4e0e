"""Whom a peer's verified certificate names."""

import dataclasses
import datetime
import subprocess

import pytest

from sennit import net
from sennit.errors import CertificateError

TLS = "tls://127.0.0.1:0"
NAMES = (
    "DNS:Client.example",
    "URI:spiffe://example.org/client",
    "email:client@example.org",
    "IP:192.0.2.7",
    "IP:2001:db8::1",
)


def openssl(path, *what):
    command = ["openssl", "x509", "-in", path, "-noout", *what]
    done = subprocess.run(command, capture_output=True, check=True, text=True, timeout=60)
    return done.stdout.strip().partition("=")[2]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_a_server_hears_every_name_of_its_client(on_reactor, certificates, version):
    chain, key = certificates.make("someone", *NAMES)
    heard = []

    async def serve(stream):
        heard.append(net.tls_details(stream.transport))
        await stream.write(b"x")

    async def test():
        ca = certificates.path("ca.pem")
        tls = certificates.server_tls(client_certificate="required", client_ca=ca)
        async with await net.listen(serve, TLS, tls=tls) as server:
            settings = {"ca": ca, "certificate": chain, "key": key, "versions": (version,)}
            stream = await net.connect(server.urls[0], **settings)
            assert await stream.read() == b"x"
            assert net.tls_details(stream.transport).peer_certificate.addresses == ("127.0.0.1",)
            stream.close()

    on_reactor(test)
    (details,) = heard
    assert details.peer_names == ("client.example",)
    found = details.peer_certificate
    assert found.common_name == "someone"
    assert found.dns_names == ("client.example",)
    assert found.uris == ("spiffe://example.org/client",)
    assert found.emails == ("client@example.org",)
    assert found.addresses == ("192.0.2.7", "2001:db8::1")
    assert f"{found.serial:X}" == openssl(chain, "-serial").lstrip("0")
    fingerprint = openssl(chain, "-fingerprint", "-sha256")
    assert found.fingerprint == fingerprint.replace(":", "").lower()
    ends = datetime.datetime.strptime(openssl(chain, "-enddate"), "%b %d %H:%M:%S %Y %Z")
    assert found.not_after == ends.replace(tzinfo=datetime.UTC)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.serial = 1


def test_a_client_without_a_certificate_has_no_name(on_reactor, certificates):
    heard = []

    async def serve(stream):
        heard.append(net.tls_details(stream.transport))
        await stream.write(b"x")

    async def test():
        ca = certificates.path("ca.pem")
        tls = certificates.server_tls(client_certificate="optional", client_ca=ca)
        async with await net.listen(serve, TLS, tls=tls) as server:
            stream = await net.connect(server.urls[0], ca=ca)
            assert await stream.read() == b"x"
            stream.close()

    on_reactor(test)
    assert heard[0].peer_certificate is None


def test_what_is_no_certificate():
    with pytest.raises(CertificateError, match="cannot be read: its outermost value is malformed"):
        net.PeerCertificate.parse(b"\x30\x03\x02\x01")
