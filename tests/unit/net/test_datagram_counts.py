"""What a socket for datagrams counts beside its own: drops in the kernel; what a server sums up."""

import asyncio
import socket
from pathlib import Path

from sennit import net

SMALL = "udp://127.0.0.1:0?receive_buffer=4096"


def flood(address: tuple[str, int], count: int) -> None:
    """Sends more than a small buffer holds, while the loop is held up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(count):
            sock.sendto(bytes(1000), address)


def test_what_the_kernel_drops_is_counted(on_reactor):
    async def test():
        async with await net.bind(SMALL) as ours:
            flood(ours.local_address, 500)
            for _ in range(ours.statistics()["received"] + 1):
                await ours.receive()
            counters = ours.statistics()
            assert counters["received"] + counters["dropped_by_kernel"] == 500
            assert counters["dropped_by_kernel"] > 400

    on_reactor(test)


def test_a_server_says_it_too_and_after_its_end(on_reactor):
    async def test():
        server = await net.listen(net.DatagramProtocol, SMALL)
        flood(("127.0.0.1", server.port), 500)
        await server.close()
        counters = server.statistics()
        assert counters["datagrams_received"] + counters["datagrams_dropped_by_kernel"] <= 500
        assert counters["datagrams_dropped_by_kernel"] > 400

    on_reactor(test)


def test_every_bound_socket_has_room_for_a_burst(on_reactor):
    default = int(Path("/proc/sys/net/core/rmem_default").read_text())

    async def test():

        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0)
        )
        sock = transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > default
        transport.close()

    on_reactor(test)


def test_a_stream_says_what_tcp_has_carried(on_reactor):
    async def test():
        class Echo(net.Protocol):
            def data_received(self, data):
                self.write(data)

        async with await net.listen(Echo, "tcp://127.0.0.1:0") as server:
            stream = await net.connect(server.urls[0])
            stream.write(bytes(5000))
            await stream.read_exactly(5000)
            (protocol,) = server.connections
            assert protocol.statistics() == {
                "bytes_received": 5000,
                "bytes_sent": 5000,
                "queued": 0,
            }
            assert stream.transport.statistics()["bytes_sent"] == 5000
            stream.close()

    on_reactor(test)
