"""Network services of your own: endpoints, protocols, factories, TLS."""

from sennit.net.connecting import connect
from sennit.net.protocol import Factory, Protocol
from sennit.net.server import Server, ServerState, listen
from sennit.net.tls import Certificate, ClientTls, ServerTls, TlsDetails

__all__ = [
    "Certificate",
    "ClientTls",
    "Factory",
    "Protocol",
    "Server",
    "ServerState",
    "ServerTls",
    "TlsDetails",
    "connect",
    "listen",
]
