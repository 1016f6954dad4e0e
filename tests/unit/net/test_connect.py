"""Connecting: who cannot be reached and why, addresses in turn, timeouts, cancelling."""

import asyncio
import errno
import socket

import pytest

import sennit
from sennit import net
from sennit.errors import ConnectError, DeadlineError

ANY = "tcp://127.0.0.1:0"


class Silent(net.Protocol):
    pass


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return listening.getsockname()[1]


def full_listener():
    """A listener that has no room for one more connection, and the connections that fill it."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen(0)
    waiting = []
    for _ in range(4):
        waiting.append(made := socket.socket())
        made.setblocking(False)
        made.connect_ex(listening.getsockname())
    return listening, waiting


def test_who_is_not_there(on_reactor, tmp_path):
    async def test():
        port = free_port()
        with pytest.raises(ConnectError, match=f"tcp://127.0.0.1:{port}: .*refused") as raised:
            await net.connect(f"tcp://127.0.0.1:{port}", Silent)
        assert isinstance(raised.value, ConnectionError)
        assert isinstance(raised.value.__cause__, ConnectionRefusedError)
        with pytest.raises(ConnectError, match="No such file"):
            await net.connect(f"unix://{tmp_path}/nobody.sock")
        with pytest.raises(ConnectError, match=r"nowhere\.invalid"):
            await net.connect("tcp://nowhere.invalid:80")

    on_reactor(test)


def test_a_protocol_by_class_and_as_it_is(on_reactor):
    async def test():
        async with await net.listen(Silent, ANY) as server:
            made = await net.connect(server.urls[0], Silent)
            own = Silent()
            assert await net.connect(server.urls[0], own) is own
            assert own.peer_address == made.peer_address == ("127.0.0.1", server.port)
            assert own.local_address != made.local_address
            assert own.tls is None
            stream = await net.connect(server.urls[0])
            assert isinstance(stream, net.Stream)
            for one in (made, own, stream):
                one.abort()

    on_reactor(test)


def test_who_does_not_answer_in_time(on_reactor):
    async def test():
        listening, waiting = full_listener()
        try:
            url = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
            with pytest.raises(
                DeadlineError, match=r"no connection after 0\.05 s .connect_timeout"
            ):
                await net.connect(url, connect_timeout=0.05)
            task = asyncio.create_task(net.connect(url))
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        finally:
            for sock in (listening, *waiting):
                sock.close()

    on_reactor(test)


def test_where_we_connect_from(on_reactor):
    async def test():
        async with await net.listen(Silent, ANY, "tcp://[::1]:0") as server:
            port = free_port()
            for url, local, ours in [
                (server.urls[0], f"127.0.0.1:{port}", ("127.0.0.1", port)),
                (server.urls[0], "127.0.0.2", ("127.0.0.2",)),
                (server.urls[1], "[::1]", ("::1",)),
            ]:
                made = await net.connect(url, Silent, local_address=local, keep_alive=True)
                assert made.local_address[: len(ours)] == ours
                sock = made.transport.get_extra_info("socket")
                assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
                made.abort()
            with pytest.raises(ConnectError):
                await net.connect(server.urls[0], local_address="203.0.113.1")

    on_reactor(test)


class Names(sennit.Reactor):
    """A reactor on which every name has the addresses that a test gives it."""

    found = ()

    async def getaddrinfo(self, _host, port, **_options):
        return [
            (socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, 6, "", address)
            for host in self.found
            for address in [(host, port, 0, 0) if ":" in host else (host, port)]
        ]


def test_addresses_take_turns_until_one_answers(monkeypatch):
    loop, tried = Names(), []
    connect = loop._connect

    async def noted(sock, address):
        tried.append(address[0])
        if address[0] == "127.0.0.9":
            raise OSError(errno.EHOSTUNREACH, "no way there")
        if address[0] == "::1":
            await loop.create_future()
        await connect(sock, address)

    monkeypatch.setattr(loop, "_connect", noted)
    loop.found = ("::1", "::1", "127.0.0.9", "127.0.0.1")

    async def test():
        async with await net.listen(Silent, ANY) as server:
            url = f"tcp://a.example:{server.port}"
            made = await net.connect(url, Silent, attempt_delay=0.01)
            assert made.peer_address[0] == "127.0.0.1"
            made.abort()
        # The families take turns, and who says no is not waited for.
        assert tried == ["::1", "127.0.0.9", "::1", "127.0.0.1"]

    try:
        loop.run_until_complete(asyncio.wait_for(test(), 60))
    finally:
        loop.close()


def test_many_connections_wait_for_their_turn(on_reactor):
    async def test():
        async with await net.listen(Silent, ANY) as server:
            url = server.urls[0]
            made = await asyncio.gather(*(net.connect(url, Silent) for _ in range(600)))
            assert len({one.local_address for one in made}) == 600
            for one in made:
                one.abort()

    on_reactor(test)


def test_a_resolver_of_ones_own_says_where_to_connect(on_reactor):
    async def test():
        asked = []

        async def resolver(host, family):
            asked.append((host, family))
            return ["127.0.0.1"]

        async with await net.listen(net.Protocol, "tcp://127.0.0.1:0") as server:
            sennit.current_reactor().set_resolver(resolver)
            stream = await net.connect(f"tcp://some.example:{server.port}")
            assert stream.peer_address == ("127.0.0.1", server.port)
            stream.abort()
            assert asked == [("some.example", socket.AF_UNSPEC)]

    on_reactor(test)


@pytest.mark.parametrize("answer", [None, [], ["nonsense"], [17], "127.0.0.1"])
def test_a_resolver_that_returns_nonsense_is_a_connect_error(on_reactor, answer):
    async def test():
        async def resolver(_host, _family):
            return answer

        sennit.current_reactor().set_resolver(resolver)
        with pytest.raises(ConnectError, match=r"some\.example"):
            await net.connect("tcp://some.example:80")

    on_reactor(test)
