"""Connecting: TCP, UNIX, given sockets, several addresses, errors that name the address."""

import asyncio
import gc
import os
import socket
import weakref

import pytest


@pytest.fixture
def listening():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    yield sock
    sock.close()


@pytest.fixture
def refusing():
    """An address at which nobody listens while the test runs."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    yield sock.getsockname()
    sock.close()


def close(reactor, transport):
    transport.abort()
    reactor.call_soon(reactor.stop)
    reactor.run_forever()


def test_a_connection_is_made(reactor, listening):
    transport, protocol = reactor.run_until_complete(
        reactor.create_connection(asyncio.Protocol, *listening.getsockname())
    )
    accepted, address = listening.accept()
    accepted.close()
    assert isinstance(protocol, asyncio.Protocol)
    assert transport.get_protocol() is protocol
    assert transport.get_extra_info("peername") == listening.getsockname()
    assert transport.get_extra_info("sockname") == address
    sock = transport.get_extra_info("socket")
    assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert transport.get_extra_info("colour") is None
    assert transport.get_extra_info("colour", "red") == "red"
    close(reactor, transport)


def test_a_refused_connection_names_the_address(reactor, refusing):
    with pytest.raises(ConnectionRefusedError, match=rf"{refusing[1]}"):
        reactor.run_until_complete(reactor.create_connection(asyncio.Protocol, *refusing))


def test_a_missing_unix_path_is_an_error(reactor, tmp_path):
    with pytest.raises(FileNotFoundError):
        reactor.run_until_complete(
            reactor.create_unix_connection(asyncio.Protocol, tmp_path / "nothing")
        )


def test_the_next_address_is_tried(reactor, monkeypatch, listening, refusing):
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "")

    async def addresses(*_args, **_kwargs):
        return [(*info, refusing), (*info, listening.getsockname())]

    monkeypatch.setattr(reactor, "getaddrinfo", addresses)
    for delay in (None, 0.25):
        transport, _ = reactor.run_until_complete(
            reactor.create_connection(
                asyncio.Protocol, "example.invalid", 80, happy_eyeballs_delay=delay
            )
        )
        assert transport.get_extra_info("peername") == listening.getsockname()
        close(reactor, transport)


def test_every_error_can_be_had(reactor, monkeypatch, refusing):
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "")
    other = ("127.0.0.2", refusing[1])

    async def addresses(*_args, **_kwargs):
        return [(*info, refusing), (*info, other)]

    monkeypatch.setattr(reactor, "getaddrinfo", addresses)
    connect = reactor.create_connection
    with pytest.raises(OSError, match="Multiple exceptions"):
        reactor.run_until_complete(connect(asyncio.Protocol, "example.invalid", 80))
    with pytest.raises(ExceptionGroup) as caught:
        reactor.run_until_complete(
            connect(asyncio.Protocol, "example.invalid", 80, all_errors=True)
        )
    assert len(caught.value.exceptions) == 2


def test_a_failed_connection_leaves_no_cycle(reactor, refusing):
    class MarkError(Exception):
        pass

    async def main():
        try:
            await reactor.create_connection(asyncio.Protocol, *refusing)
        except ConnectionRefusedError as error:
            error.__cause__ = mark = MarkError()
        return weakref.ref(mark)

    gc.collect()
    gc.disable()
    try:
        gone = reactor.run_until_complete(main())
        assert gone() is None
    finally:
        gc.enable()


def test_the_local_address_can_be_chosen(reactor, listening):
    transport, _ = reactor.run_until_complete(
        reactor.create_connection(
            asyncio.Protocol, *listening.getsockname(), local_addr=("127.0.0.3", 0)
        )
    )
    assert transport.get_extra_info("sockname")[0] == "127.0.0.3"
    close(reactor, transport)
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        reactor.run_until_complete(
            reactor.create_connection(
                asyncio.Protocol, *listening.getsockname(), local_addr=("192.0.2.1", 0)
            )
        )


def test_a_connected_socket_is_taken_over(reactor, listening):
    sock = socket.create_connection(listening.getsockname())
    number = sock.fileno()
    transport, _ = reactor.run_until_complete(
        reactor.create_connection(asyncio.Protocol, sock=sock)
    )
    assert sock.fileno() == -1
    assert transport.get_extra_info("socket").fileno() == number
    close(reactor, transport)
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


def test_an_accepted_socket_is_taken_over(reactor, listening):
    peer = socket.create_connection(listening.getsockname())
    sock, address = listening.accept()
    transport, _ = reactor.run_until_complete(
        reactor.connect_accepted_socket(asyncio.Protocol, sock)
    )
    assert transport.get_extra_info("peername") == address
    close(reactor, transport)
    assert peer.recv(1) == b""
    peer.close()


def test_a_factory_that_fails_leaves_no_socket(reactor, listening):
    def factory():
        raise LookupError

    with pytest.raises(LookupError):
        reactor.run_until_complete(reactor.create_connection(factory, *listening.getsockname()))
    accepted, _ = listening.accept()
    assert accepted.recv(1) == b""
    accepted.close()


def test_a_cancelled_connection_leaves_nothing(reactor, tmp_path):
    path = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX) as full, socket.socket() as silent:
        full.bind(path)
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        waiting = []

        async def main():
            # The queue takes a few; the others hang in their handshake until they are cancelled.
            tries = [
                asyncio.ensure_future(
                    reactor.create_connection(asyncio.Protocol, *silent.getsockname())
                )
                for _ in range(8)
            ]
            for _ in range(20):
                await asyncio.sleep(0)
            for each in tries:
                each.cancel()
            results = await asyncio.gather(*tries, return_exceptions=True)
            waiting.extend(r for r in results if isinstance(r, asyncio.CancelledError))
            for result in results:
                if isinstance(result, tuple):
                    result[0].abort()
            await asyncio.sleep(0)

        before = reactor.statistics()["descriptors"]
        reactor.run_until_complete(main())
        assert waiting
        # The wake-up socket of signals is the loop's own.
        assert reactor.statistics()["descriptors"] <= before + 1


def test_wrong_arguments_are_refused(reactor):
    stream, datagram = socket.socket(), socket.socket(type=socket.SOCK_DGRAM)
    calls = [
        lambda: reactor.create_connection(object),
        lambda: reactor.create_connection(object, "127.0.0.1", 1, sock=stream),
        lambda: reactor.create_connection(object, sock=datagram),
        lambda: reactor.connect_accepted_socket(object, datagram),
        lambda: reactor.create_unix_connection(object),
        lambda: reactor.create_unix_connection(object, "path", sock=stream),
        lambda: reactor.create_unix_connection(object, sock=stream),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=r"sock|host|Sock|Stream"):
            reactor.run_until_complete(call())
    stream.close()
    datagram.close()
