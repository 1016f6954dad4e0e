"""A UDP game server: players say where they go, everybody hears where all are, tick by tick.

python examples/udp_game.py udp://127.0.0.1:7005 [TICKS_PER_SECOND]
nc -u 127.0.0.1 7005        then type: join anna, move 1 -1, leave
"""

import itertools
import sys
from dataclasses import dataclass
from typing import Any

import sennit
from sennit import net

MOST_PLAYERS, PATIENCE = 100, 50  # ticks without a word


@dataclass
class Player:
    """Somebody who plays."""

    name: str
    x: int = 0
    y: int = 0
    silent: int = 0  # ticks


class Game(net.DatagramProtocol):
    """The world; every datagram is one command."""

    def __init__(self) -> None:
        self.players: dict[Any, Player] = {}

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """A command; what makes no sense is told to its sender."""
        player = self.players.get(addr)
        match data.decode("ascii", "replace").split():
            case ["join", name] if len(self.players) < MOST_PLAYERS and len(name) <= 20:
                self.players[addr] = Player(name)
                self.send(f"welcome {name}".encode(), addr)
            case ["move", ("-1" | "0" | "1") as dx, ("-1" | "0" | "1") as dy] if player:
                player.x, player.y, player.silent = player.x + int(dx), player.y + int(dy), 0
            case ["leave"] if player:
                del self.players[addr]
                self.send(b"bye", addr)
            case _:
                self.send(b"say: join NAME, move DX DY, leave", addr)

    def tick(self, number: int) -> None:
        """Everybody hears of everybody; who was silent for too long is out."""
        for player in self.players.values():
            player.silent += 1
        for address in [a for a, one in self.players.items() if one.silent > PATIENCE]:
            del self.players[address]
            self.send(b"bye", address)
        where = " ".join(f"{one.name}:{one.x},{one.y}" for one in self.players.values())
        for address in self.players:
            self.send(f"tick {number} {where}".encode(), address)


def make_service(url: str, ticks_per_second: float) -> net.Service:
    """The game and its clock."""
    game, service = Game(), net.Service("game")
    service.listen(lambda: game, url)

    @service.background
    async def keep_time() -> None:
        """Tick at a steady pace: a late tick does not move the next one."""
        numbers = itertools.count(1)
        beat = sennit.LoopingCall(lambda: game.tick(next(numbers)))
        await beat.start(1 / ticks_per_second, now=False)

    return service


if __name__ == "__main__":
    url, ticks = [*sys.argv[1:], *("udp://127.0.0.1:7005", "10")[len(sys.argv) - 1 :]]
    make_service(url, float(ticks)).run()
