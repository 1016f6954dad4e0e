"""Datagrams over UNIX sockets: paths, refusals, sizes, and a peer that does not read."""

import asyncio
import socket


class Recorder(asyncio.DatagramProtocol):
    """Writes down what it hears."""

    def __init__(self):
        self.heard = []
        self.lost = None

    def connection_made(self, transport):
        self.lost = asyncio.get_running_loop().create_future()

    def datagram_received(self, data, addr):
        self.heard.append((data, addr))

    def error_received(self, exc):
        self.heard.append(exc)

    def connection_lost(self, exc):
        self.lost.set_result(exc)


async def until(condition):
    while not condition():
        await asyncio.sleep(0)


def test_unix_datagrams(reactor, tmp_path):
    path = str(tmp_path / "socket")

    async def main():
        for _ in range(2):  # the second time the file is there
            theirs, protocol = await reactor.create_datagram_endpoint(
                Recorder, local_addr=path, family=socket.AF_UNIX
            )
            ours, _ = await reactor.create_datagram_endpoint(
                Recorder, remote_addr=path, family=socket.AF_UNIX
            )
            ours.sendto(b"x" * 100)
            await until(lambda protocol=protocol: protocol.heard)
            assert protocol.heard == [(b"x" * 100, None)]
            ours.close()
            theirs.close()
            await protocol.lost

    reactor.run_until_complete(main())


def test_a_unix_socket_that_nobody_has_refuses_once(reactor, tmp_path):
    path = str(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(path)

    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Recorder, local_addr=str(tmp_path / "ours"), family=socket.AF_UNIX
        )
        transport.sendto(b"x", path)
        transport.sendto(b"y", str(tmp_path / "ours"))
        await until(lambda: (b"y", str(tmp_path / "ours")) in protocol.heard)
        errors = [heard for heard in protocol.heard if isinstance(heard, OSError)]
        assert 1 <= len(errors) <= 2
        assert all(isinstance(error, ConnectionRefusedError) for error in errors)
        transport.close()
        await protocol.lost

    reactor.run_until_complete(main())


def test_a_long_unix_datagram_arrives_whole(reactor):
    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        right.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        transport, protocol = await reactor.create_datagram_endpoint(Recorder, sock=left)
        right.send(bytes(150_000))
        await until(lambda: protocol.heard)
        assert [len(data) for data, _ in protocol.heard] == [150_000]
        transport.close()
        await protocol.lost
        right.close()

    reactor.run_until_complete(main())


def test_pressure_is_told(reactor):
    log = []

    class Pressed(Recorder):
        def pause_writing(self):
            log.append("pause")

        def resume_writing(self):
            log.append("resume")

    async def main():
        left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        transport, protocol = await reactor.create_datagram_endpoint(Pressed, sock=left)
        transport.set_write_buffer_limits(high=10_000)
        assert transport.get_write_buffer_limits() == (2_500, 10_000)
        count = 0
        while not log:
            transport.sendto(bytes(1000))
            count += 1
        assert transport.get_write_buffer_size() > 10_000
        right.setblocking(False)
        received = 0
        while received < count:
            try:
                right.recv(2000)
                received += 1
            except BlockingIOError:
                await asyncio.sleep(0)
        assert log == ["pause", "resume"]
        transport.close()
        await protocol.lost
        right.close()

    reactor.run_until_complete(main())


def test_who_answers_errors_with_datagrams_lets_the_others_live(reactor, tmp_path):
    path = str(tmp_path / "gone")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as gone:
        gone.bind(path)

    class Stubborn(Recorder):
        def connection_made(self, transport):
            super().connection_made(transport)
            self.transport = transport

        def error_received(self, exc):
            super().error_received(exc)
            self.transport.sendto(b"again", path)

    async def main():
        transport, protocol = await reactor.create_datagram_endpoint(
            Stubborn, local_addr=str(tmp_path / "ours"), family=socket.AF_UNIX
        )
        transport.sendto(b"x", path)
        for _ in range(100):  # each turn comes to its end
            await asyncio.sleep(0)
        assert len(protocol.heard) >= 10
        transport.abort()
        await protocol.lost

    reactor.run_until_complete(main())
