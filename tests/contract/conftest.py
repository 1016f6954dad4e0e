"""One contract, several loops and sockets: what a test of the contract is run with."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import sennit
from sennit import testing
from sennit.testing.sockets import reset

LINK = testing.Link(latency=0.001, jitter=0.001, chunk=50_000, window=256 * 1024)


def on_a_link() -> testing.Reactor:
    return testing.Reactor(seed=1, link=LINK)


LOOPS = {
    "reactor": sennit.Reactor,
    "asyncio": asyncio.SelectorEventLoop,
    "memory": testing.Reactor,
    "link": on_a_link,
}
FAMILIES = {"tcp": socket.AF_INET, "tls": socket.AF_INET, "unix": socket.AF_UNIX}
SIMULATED = {socket.AF_INET: ("10.0.0.7", 80), socket.AF_UNIX: "/run/contract"}


class Recorder(asyncio.Protocol):
    """Writes down what it hears, in order; `hears` waits for it."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.data = bytearray()
        self.transport: Any = None
        self.keep_open = False
        self._changed: asyncio.Event = asyncio.Event()

    def note(self, event: Any) -> None:
        self.events.append(event)
        self._changed.set()

    def connection_made(self, transport):
        self.transport = transport
        self.note("made")

    def data_received(self, data):
        assert type(data) is bytes
        self.data += data
        self.note("data")

    def eof_received(self):
        self.note("eof")
        return self.keep_open

    def connection_lost(self, exc):
        self.error = exc
        self.note("lost")

    def pause_writing(self):
        self.note("pause")

    def resume_writing(self):
        self.note("resume")

    async def hears(self, condition: Any) -> None:
        """Waits for an event by its name, or until a function of nothing is true."""
        is_true = condition if callable(condition) else lambda: condition in self.events
        while not is_true():
            self._changed.clear()
            await self._changed.wait()


@pytest.fixture(params=LOOPS)
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop]:
    made = LOOPS[request.param]()
    yield made
    made.run_until_complete(made.shutdown_default_executor())
    made.close()


@pytest.fixture
def reported(loop: asyncio.AbstractEventLoop) -> list[dict[str, Any]]:
    contexts: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _loop, context: contexts.append(context))
    return contexts


def connect_simulated(loop: testing.Reactor, family: int) -> tuple[socket.socket, socket.socket]:
    """A connection of a simulated network, its far end a plain blocking socket."""
    with loop.network.bind(SIMULATED[family]) as listening:
        listening.listen(1)
        ours = loop.run_until_complete(loop.network.connect(SIMULATED[family]))
        return ours, listening.accept()[0]


# Python's ssl reads nothing any more after its own goodbye, and two threads may not use one object.
NOT_OF_SSL = {
    "test_half_close_by_the_peer",
    "test_what_waits_is_sent_after_the_peers_end",
    "test_ten_megabytes_each_way_at_once",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """TLS of our own is for the connections of a Reactor, whatever its network is."""

    def is_meant(item: pytest.Item) -> bool:
        parameters = getattr(getattr(item, "callspec", None), "params", {})
        if parameters.get("sockets") != "tls":
            return True
        name = getattr(item, "originalname", item.name)
        return parameters.get("loop") != "asyncio" and name not in NOT_OF_SSL

    items[:] = filter(is_meant, items)


class TlsPeer(ssl.SSLSocket):
    """A peer that speaks TLS, and says goodbye in its words where a plain one says it in TCP's."""

    def shutdown(self, how: int) -> None:
        assert how == socket.SHUT_WR
        self._say_goodbye()

    def close(self) -> None:
        if self.fileno() >= 0 and not any(self.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8)):
            self._say_goodbye()
        super().close()

    def _say_goodbye(self) -> None:
        timeout = self.gettimeout()
        self.settimeout(0)
        # It wants to read the other's goodbye, for which nobody waits here.
        with contextlib.suppress(OSError, ValueError):
            self.unwrap()
        self.settimeout(timeout)


@pytest.fixture
def secure(certificates: Any) -> Callable[[socket.socket], TlsPeer]:
    """Makes a peer of a plain socket, before its handshake."""
    context = ssl.create_default_context(cafile=certificates.path("ca.pem"))
    context.sslsocket_class = TlsPeer

    def wrap(peer: socket.socket) -> TlsPeer:
        peer.settimeout(60)
        made = context.wrap_socket(peer, server_hostname="localhost", do_handshake_on_connect=False)
        assert isinstance(made, TlsPeer)
        return made

    return wrap


@pytest.fixture(params=FAMILIES)
def sockets(
    request: pytest.FixtureRequest,
    loop: asyncio.AbstractEventLoop,
    secure: Callable[[socket.socket], TlsPeer],
) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two connected sockets."""
    family = FAMILIES[request.param]
    if isinstance(loop, testing.Reactor):
        ends = connect_simulated(loop, family)
    elif family == socket.AF_UNIX:
        ends = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            left = socket.create_connection(listening.getsockname())
            ends = (left, listening.accept()[0])
    if request.param == "tls":
        ends = (ends[0], secure(ends[1]))
    yield ends
    for end in ends:
        end.close()


@pytest.fixture
def break_off(loop: asyncio.AbstractEventLoop) -> Callable[[socket.socket], None]:
    """Closes a peer's end so that the connection is reset."""

    def linger(peer: socket.socket) -> None:
        # Zero seconds of lingering: the close is a reset.
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
        if isinstance(loop, testing.Reactor):
            reset(peer)
        peer.close()

    return linger


@pytest.fixture
def run(loop, sockets, certificates) -> Callable[..., None]:
    """Runs `test(protocol, peer)`: our protocol over one socket, the peer's is left plain."""

    def start(test: Callable[..., Any], factory: Callable[[], Any] = Recorder) -> None:
        async def main():
            ours, peer = sockets
            make = (
                loop.create_unix_connection
                if ours.family == socket.AF_UNIX
                else loop.create_connection
            )
            if isinstance(peer, TlsPeer):
                shaken = loop.run_in_executor(None, peer.do_handshake)
                make = functools.partial(
                    loop.connect_accepted_socket, ssl=certificates.server_tls()
                )
            else:
                shaken = loop.create_future()
                shaken.set_result(None)
            _, protocol = await make(factory, sock=ours)
            await shaken
            peer.settimeout(60)
            try:
                await test(protocol, peer)
            finally:
                # asyncio's own transport fails when it is aborted after its end.
                if not protocol.transport.is_closing():
                    protocol.transport.abort()
                for _ in range(3):
                    await asyncio.sleep(0)

        loop.run_until_complete(asyncio.wait_for(main(), 60))

    return start
