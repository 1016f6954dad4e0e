"""Network services of your own: endpoints, protocols, streams, framing, TLS, and one end for all.

`listen` serves connections and `connect` opens one, each by a URL: `tcp://HOST:PORT`,
`tls://HOST:PORT`, `unix:///PATH`. What handles a connection is a `Protocol`, a `FrameProtocol`, or
an `async def` function of a `Stream`. `bind` opens a socket for datagrams, `udp://HOST:PORT`.
"""

from sennit.net.binding import bind
from sennit.net.connecting import connect
from sennit.net.datagrams import Datagram, DatagramProtocol, DatagramSocket
from sennit.net.framing import FixedSize, FrameProtocol, LengthPrefixed, Lines, Netstrings
from sennit.net.handler import StreamFactory
from sennit.net.listening import listen
from sennit.net.pool import Pool
from sennit.net.protocol import Factory, Protocol, tls_details
from sennit.net.reconnecting import Reconnector, ReconnectorState
from sennit.net.server import Server, ServerState
from sennit.net.service import Service, ServiceState
from sennit.net.stream import Stream
from sennit.net.tls import Certificate, ClientTls, PeerCertificate, ServerTls, TlsDetails
from sennit.net.upgrading import start_tls

__all__ = [
    "Certificate",
    "ClientTls",
    "Datagram",
    "DatagramProtocol",
    "DatagramSocket",
    "Factory",
    "FixedSize",
    "FrameProtocol",
    "LengthPrefixed",
    "Lines",
    "Netstrings",
    "PeerCertificate",
    "Pool",
    "Protocol",
    "Reconnector",
    "ReconnectorState",
    "Server",
    "ServerState",
    "ServerTls",
    "Service",
    "ServiceState",
    "Stream",
    "StreamFactory",
    "TlsDetails",
    "bind",
    "connect",
    "listen",
    "start_tls",
    "tls_details",
]
