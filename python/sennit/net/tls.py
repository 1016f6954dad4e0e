"""TLS: certificates and keys, whom to trust, and what a handshake has agreed upon.

TLS 1.2 and 1.3 by rustls, beneath any protocol, stream or framing.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from sennit._native import core
from sennit.errors import ConfigError

__all__ = ["Certificate", "ClientTls", "PeerCertificate", "ServerTls", "TlsDetails"]

Pem: TypeAlias = str | os.PathLike[str] | bytes
"""A file's path, or PEM itself as bytes."""

_VERSIONS = ("1.2", "1.3")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class PeerCertificate:
    """What a peer's own certificate says of it; it was verified, unless `verify` was False."""

    common_name: str | None
    """The subject's common name; the last one if it has several."""
    dns_names: tuple[str, ...]
    """In lower case."""
    uris: tuple[str, ...]
    """Such as `spiffe://example.org/service`."""
    emails: tuple[str, ...]
    addresses: tuple[str, ...]
    """Of the network, as text."""
    not_before: datetime.datetime
    not_after: datetime.datetime
    """Until when it holds, in UTC."""
    serial: int
    """Its number; with its issuer it names the certificate."""
    fingerprint: str
    """SHA-256 of the whole certificate, in hexadecimal."""

    @classmethod
    def parse(cls, der: bytes) -> PeerCertificate:
        """Read a certificate in DER.

        Raises:
            CertificateError: It is none.
        """
        name, dns_names, uris, emails, addresses, begins, ends, serial = core.read_certificate(der)
        epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
        return cls(
            common_name=name,
            dns_names=dns_names,
            uris=uris,
            emails=emails,
            addresses=addresses,
            not_before=epoch + datetime.timedelta(seconds=begins),
            not_after=epoch + datetime.timedelta(seconds=ends),
            serial=int.from_bytes(serial, signed=True),
            fingerprint=hashlib.sha256(der).hexdigest(),
        )


class TlsDetails(NamedTuple):
    """What the two ends have agreed upon."""

    version: str
    """`TLSv1.2` or `TLSv1.3`."""
    cipher: str
    """The cipher suite's name (RFC 8446, appendix B.4; RFC 5289)."""
    alpn: str | None
    """The protocol that was chosen (ALPN, RFC 7301)."""
    server_name: str | None
    """The name that the client asks for (RFC 6066, section 3)."""
    peer_certificates: tuple[bytes, ...]
    """The peer's verified certificates, its own first, in DER; empty if it has shown none."""
    peer_names: tuple[str, ...]
    """DNS names of the peer's own certificate, in lower case; `peer_certificate` has the others."""
    resumed: bool
    """Whether an earlier session was resumed."""

    @property
    def peer_certificate(self) -> PeerCertificate | None:
        """Whom the peer's own certificate names; None if it has shown none."""
        if not self.peer_certificates:
            return None
        return PeerCertificate.parse(self.peer_certificates[0])


class Certificate(NamedTuple):
    """A certificate chain and its key."""

    chain: Pem
    """The certificate first, then those between it and its root."""
    key: Pem | None = None
    """The private key; None: it stands in the same file."""


def _read(what: str, pem: Pem) -> bytes:
    if isinstance(pem, bytes):
        return pem
    try:
        return Path(pem).read_bytes()
    except OSError as error:
        raise ConfigError(f"{what} {os.fspath(pem)!r} cannot be read: {error.strerror}") from error


def stamp(pem: Pem | None) -> tuple[int, int, int] | None:
    """When a file was changed last, which file it is, and its size; None where there is none."""
    if pem is None or isinstance(pem, bytes):
        return None
    try:
        status = Path(pem).stat()
    except OSError:
        return None  # in the middle of being replaced
    return status.st_mtime_ns, status.st_ino, status.st_size


def _identity(given: Certificate) -> tuple[str, bytes, bytes]:
    name = "(PEM bytes)" if isinstance(given.chain, bytes) else os.fspath(given.chain)
    chain = _read("certificate", given.chain)
    return name, chain, chain if given.key is None else _read("key", given.key)


def _refuse_text(name: str, value: object) -> None:
    if isinstance(value, str):  # its letters would be taken for the names
        raise ConfigError(f"{name} is {value!r}, it must be a tuple of names: ({value!r},)")


def _check_common(alpn: tuple[str, ...], versions: tuple[str, ...], timeout: float) -> None:
    _refuse_text("versions", versions)
    _refuse_text("alpn", alpn)
    for version in versions:
        if version not in _VERSIONS:
            raise ConfigError(f'versions has {version!r}; there are "1.2" and "1.3"')
    if not versions:
        raise ConfigError('versions is empty: name "1.2", "1.3" or both')
    for name in alpn:
        if not name.isascii() or not 0 < len(name) < 256:  # RFC 7301, section 3.1
            raise ConfigError(f"alpn has {name!r}; a protocol has 1 to 255 ASCII characters")
    if not 0 < timeout < 1e9:
        raise ConfigError(f"handshake_timeout is {timeout!r}, it must be seconds above 0")


@dataclasses.dataclass(kw_only=True)
class ServerTls:
    """The server's end of TLS.

    Files are read when this is made, and by `reload`; a server does that by itself when one of
    them changes. New connections get what is new, those that are open go on.

    Attributes:
        certificate: Our certificate chain.
        key: Its key; None: it stands in the same file.
        more: Further certificates. Each is shown to clients that ask for a name of its own (SNI);
            everybody else sees the first one.
        alpn: Protocols by preference; empty: ALPN is not used.
        versions: Of `"1.2"` and `"1.3"`.
        client_certificate: `"none"`: clients are not asked for one; `"optional"`: one that is shown
            must be good; `"required"`.
        client_ca: The authorities of clients' certificates.
        tickets: Whether sessions can be resumed. The keys of the tickets change every six hours.
        handshake_timeout: Seconds; a connection that is not done with its handshake is dropped.

    Raises:
        ConfigError: A file cannot be read, a key does not fit its certificate, or a setting makes
            no sense.
    """

    certificate: Pem
    key: Pem | None = None
    more: tuple[Certificate, ...] = ()
    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = _VERSIONS
    client_certificate: str = "none"
    client_ca: Pem | None = None
    tickets: bool = True
    handshake_timeout: float = 10.0
    _native: core.TlsServer = dataclasses.field(init=False, repr=False)
    _looked_at: float = dataclasses.field(init=False, repr=False, compare=False, default=-1e9)
    _seen: dict[Any, Any] = dataclasses.field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_common(self.alpn, self.versions, self.handshake_timeout)
        if self.client_certificate not in {"none", "optional", "required"}:
            raise ConfigError(
                f"client_certificate is {self.client_certificate!r}; there are none, optional and "
                "required"
            )
        if (self.client_certificate == "none") != (self.client_ca is None):
            raise ConfigError("client_certificate (optional or required) and client_ca go together")
        self._seen = self._stamps()
        self._native = self._make()

    @property
    def native(self) -> core.TlsServer:
        """The native half, for the reactor."""
        return self._native

    def _make(self) -> core.TlsServer:
        own = Certificate(self.certificate, self.key)
        return core.TlsServer(
            tuple(_identity(one) for one in (own, *self.more)),
            tuple(name.encode() for name in self.alpn),
            tuple(self.versions),
            self.client_certificate,
            b"" if self.client_ca is None else _read("client_ca", self.client_ca),
            self.tickets,
        )

    def _stamps(self) -> dict[Pem | None, tuple[int, int, int] | None]:
        """What tells that a file has changed."""
        found: dict[Pem | None, tuple[int, int, int] | None] = {}
        pairs = (Certificate(self.certificate, self.key), *self.more)
        for pem in (*(part for pair in pairs for part in pair), self.client_ca):
            found[pem] = stamp(pem)
        return found

    def has_changed(self) -> bool:
        """Whether a file has changed since it was read last."""
        return self._stamps() != self._seen

    def reload(self) -> None:
        """Read the files again, for new connections.

        Raises:
            ConfigError: As when it was made; everything stays as it was.
        """
        self._seen = self._stamps()
        self._native.replace(self._make())


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClientTls:
    """The client's end of TLS. It verifies the server's certificate and name.

    Attributes:
        ca: Whose certificates servers may show; None: the system's authorities.
        certificate: Our own certificate chain, for servers that ask for one.
        key: Its key; None: it stands in the same file.
        alpn: Protocols by preference; empty: ALPN is not used.
        versions: Of `"1.2"` and `"1.3"`.
        verify: False believes every certificate: whoever sits between us and the server can read
            and change everything. For tests only.
        handshake_timeout: Seconds.

    Raises:
        ConfigError: A file cannot be read, a key does not fit its certificate, or a setting makes
            no sense.
    """

    ca: Pem | None = None
    certificate: Pem | None = None
    key: Pem | None = None
    alpn: tuple[str, ...] = ()
    versions: tuple[str, ...] = _VERSIONS
    verify: bool = True
    handshake_timeout: float = 10.0
    _native: Any = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_common(self.alpn, self.versions, self.handshake_timeout)
        if self.key is not None and self.certificate is None:
            raise ConfigError("there is a key but no certificate that it is for")
        own = () if self.certificate is None else (Certificate(self.certificate, self.key),)
        native = core.TlsClient(
            b"" if self.ca is None else _read("ca", self.ca),
            self.verify,
            tuple(_identity(one) for one in own),
            tuple(name.encode() for name in self.alpn),
            tuple(self.versions),
        )
        object.__setattr__(self, "_native", native)

    @property
    def native(self) -> core.TlsClient:
        """The native half, for the reactor."""
        native: core.TlsClient = self._native
        return native
