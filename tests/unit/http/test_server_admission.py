"""How many connections one address may have."""

import asyncio
import socket
from typing import Any

import pytest
from tests.unit.http.talking import GET, Peer, eventually

import sennit
from sennit import errors, http


def own_address() -> str:
    """An address of this machine that is not loopback; what is sent to it stays here."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(sock.getsockname()[0])


@pytest.mark.parametrize(
    ("trusts", "served"), [(None, 2), ("192.168.77.0/30", 2), ("itself", 4), ("0.0.0.0/0", 4)]
)
def test_an_address_has_its_share(trusts: str | None, served: int) -> None:
    address = own_address()
    networks = [address if trusts == "itself" else trusts] if trusts else []

    async def connect(server: http.Server) -> Peer:
        return Peer(*await asyncio.open_connection(address, server.port))

    async def main() -> None:
        server = await http.listen(
            lambda request: request.path,
            f"http://{address}:0",
            max_connections_per_address=2,
            trusted_proxies=networks,
        )
        async with server, asyncio.timeout(30):
            peers = [await connect(server) for _ in range(4)]
            for peer in peers[:served]:
                assert (await peer.ask()).body == b"/"
            for peer in peers[served:]:
                assert await peer.end() == b""
            assert server.statistics()["refused_per_address"] == 4 - served
            assert server.statistics()["open"] == served
            peers[0].writer.close()
            await eventually(lambda: server.statistics()["open"] == served - 1)
            peers.append(await connect(server))
            assert (await peers[-1].ask(GET)).status == 200
            for peer in peers:
                peer.writer.close()

    sennit.run(main())


@pytest.mark.parametrize("networks", ["10.0.0.0/8", ["10.0.0.1/8"], ["h"], ["10.0.0.0/33"], [None]])
def test_networks_that_are_none(networks: Any) -> None:
    async def main() -> None:
        with pytest.raises(errors.ConfigError, match="trusted_proxies"):
            await http.listen(lambda _: "", "http://127.0.0.1:0", trusted_proxies=networks)

    sennit.run(main())
