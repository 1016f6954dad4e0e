"""The UDP game server in a simulated world: exact ticks, and a wire that loses some."""

import asyncio
import importlib.util
from pathlib import Path
from typing import Any

import pytest

from sennit import net, testing

SERVER = "udp://10.0.0.9:7005"
EXAMPLE = Path(__file__).parents[2] / "examples" / "udp_game.py"


@pytest.fixture
def game() -> Any:
    spec = importlib.util.spec_from_file_location("udp_game_example", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def join(name: str) -> net.DatagramSocket:
    ours: net.DatagramSocket = await net.connect(SERVER)
    ours.send(f"join {name}".encode())
    return ours


def test_a_silent_player_is_out_after_fifty_ticks(game: Any) -> None:
    async def main() -> None:
        async with game.make_service(SERVER, 10) as service, await join("anna") as anna:
            assert await anna.receive() == (b"welcome anna", ("10.0.0.9", 7005))
            heard = [(asyncio.get_running_loop().time(), one.data) async for one in until_bye(anna)]
            assert [round(time, 3) for time, _ in heard[:3]] == [0.1, 0.2, 0.3]
            assert heard[0][1] == b"tick 1 anna:0,0"
            assert (round(heard[-1][0], 3), heard[-1][1]) == (5.1, b"bye")
            (server,) = service.statistics()["servers"]
            assert server["datagrams_received"] == 1
            assert server["datagrams_sent"] == 52

    testing.run(main())


async def until_bye(player: net.DatagramSocket) -> Any:
    async for datagram in player:
        yield datagram
        if datagram.data == b"bye":
            return


def test_over_a_bad_wire_the_players_still_meet(game: Any) -> None:
    async def main() -> None:
        async with game.make_service(SERVER, 10):
            players = [await join(name) for name in ("anna", "bert")]
            met = [False, False]
            while not all(met):
                for number, (player, name) in enumerate(
                    zip(players, ("anna", "bert"), strict=True)
                ):
                    player.send(f"join {name}".encode())
                    while (datagram := player.receive_nowait()) is not None:
                        met[number] |= b"anna:" in datagram.data and b"bert:" in datagram.data
                await asyncio.sleep(0.3)
            assert asyncio.get_running_loop().time() < 30
            for player in players:
                player.close()

    testing.run(
        main(), seed=5, link=testing.Link(latency=0.05, jitter=0.1, loss=0.3, duplicate=0.1)
    )
