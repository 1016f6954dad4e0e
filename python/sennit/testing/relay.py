"""A stream over a link: a relay between two socket pairs that cuts, delays and slows down.

One `Connection` has two directions. Each reads what its writer has sent, as far as its window goes,
gives every piece the time of its arrival, and hands it over when that has come. The end of a stream
and a reset travel like data.
"""

from __future__ import annotations

import collections
import contextlib
import enum
import socket
from typing import TYPE_CHECKING, Any

from sennit.testing.clock import SECOND
from sennit.testing.sockets import Address, address_tuple, reset

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from sennit.testing.clock import Timed
    from sennit.testing.hosts import Host
    from sennit.testing.link import Line

__all__ = ["Connection"]

_READ_SIZE = 64 * 1024


class _Sign(enum.Enum):
    END = enum.auto()
    RESET = enum.auto()


class _State(enum.Enum):
    OPENING = enum.auto()
    OPEN = enum.auto()
    CLOSED = enum.auto()


class _Direction:
    """What goes from one end to the other."""

    def __init__(self, reactor: Timed, line: Line, owner: Connection) -> None:
        self.line = line
        self.carried = 0
        self.is_ended = False
        self._reactor = reactor
        self._owner = owner
        self._source: socket.socket | None = None
        self._sink: socket.socket | None = None
        self._back: _Direction | None = None
        self._queue: collections.deque[tuple[int, bytes | _Sign]] = collections.deque()
        self._held = 0
        self._timer: asyncio.TimerHandle | None = None
        self._is_blocked = self._is_read = self._is_cut = False

    def start(self, source: socket.socket, sink: socket.socket, back: _Direction) -> None:
        self._source, self._sink, self._back = source, sink, back
        self._read_on()

    def stop(self) -> None:
        """Nothing moves any more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._source is not None:
            self._reactor.remove_reader(self._source)
        if self._sink is not None:
            self._reactor.remove_writer(self._sink)
        self._source = self._sink = self._timer = None
        self._queue.clear()

    def cut(self, is_cut: bool) -> None:
        """Pull the cable, or plug it in again: then what waited is sent again."""
        if is_cut == self._is_cut:
            return
        self._is_cut = is_cut
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not is_cut:
            again = self._reactor._now() + self.line.retransmit_after  # noqa: SLF001 - one room
            self._queue = collections.deque((max(time, again), what) for time, what in self._queue)
            self._arm()

    def send(self, sign: _Sign) -> None:
        """Let a sign travel behind the data."""
        self._queue.append((self.line.arrival(self._reactor._now(), 0), sign))  # noqa: SLF001
        self._arm()

    # -- in ----------------------------------------------------------------------------------------

    def _read_on(self) -> None:
        wants = self._held < self.line.link.window_size and not self.is_ended
        if self._source is None or wants == self._is_read:
            return
        self._is_read = wants
        if wants:
            self._reactor.add_reader(self._source, self._readable)
        else:
            self._reactor.remove_reader(self._source)

    def _readable(self) -> None:
        if self._source is None:
            return
        room = self.line.link.window_size - self._held
        try:
            data = self._source.recv(min(room, _READ_SIZE))
        except BlockingIOError:
            return
        except OSError:
            self._end(_Sign.RESET)
            return
        if not data:
            self._end(_Sign.END)
            return
        now = self._reactor._now()  # noqa: SLF001 - one room
        for piece in self.line.pieces(data):
            self._queue.append((self.line.arrival(now, len(piece)), piece))
        self._held += len(data)
        self._read_on()
        self._arm()

    def _end(self, sign: _Sign) -> None:
        self.is_ended = True
        self._read_on()
        self.send(sign)

    # -- out ---------------------------------------------------------------------------------------

    def _arm(self) -> None:
        if self._queue and self._timer is None and not self._is_blocked and not self._is_cut:
            when = self._queue[0][0] / SECOND
            self._timer = self._reactor.call_at(when, self._deliver)

    def _deliver(self) -> None:
        self._timer = None
        now = self._reactor._now()  # noqa: SLF001 - one room
        while self._queue and self._queue[0][0] <= now and not self._is_blocked:
            what = self._queue[0][1]
            if isinstance(what, _Sign):
                self._queue.popleft()
                self._show(what)
            else:
                self._write(what)
        self._read_on()
        self._arm()

    def _show(self, sign: _Sign) -> None:
        if self._sink is None:
            return
        if sign is _Sign.RESET:
            self._owner._lose()  # noqa: SLF001 - one room
            return
        # Whoever is gone does not hear of the end.
        with contextlib.suppress(OSError):
            self._sink.shutdown(socket.SHUT_WR)
        self._owner._ended()  # noqa: SLF001

    def _write(self, data: bytes) -> None:
        if self._sink is None:
            return
        try:
            sent = self._sink.send(data, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError:
            # Nobody is there: who has sent it hears of that after the way back.
            self._queue.clear()
            self.is_ended = True
            self._read_on()
            if self._back is not None:
                self._back.send(_Sign.RESET)
            return
        time, _ = self._queue.popleft()
        self._held -= sent
        self.carried += sent
        if sent < len(data):
            self._queue.appendleft((time, data[sent:]))
            self._is_blocked = True
            self._reactor.add_writer(self._sink, self._writable)

    def _writable(self) -> None:
        self._is_blocked = False
        if self._sink is not None:
            self._reactor.remove_writer(self._sink)
            self._deliver()


class Connection:
    """A stream connection over a link; the live ones are in `Network.connections`.

    Attributes:
        client: The address that has connected.
        server: The address that was connected to.
    """

    def __init__(
        self,
        reactor: Timed,
        lines: tuple[Line, Line],
        addresses: tuple[Address, Address],
        hosts: tuple[Host, Host],
        forget: Callable[[Connection], None],
    ) -> None:
        self.client: Any = address_tuple(addresses[0])
        self.server: Any = address_tuple(addresses[1])
        self._hosts = hosts
        self._cuts: set[str] = set()
        self._ended_signs = 0
        self._forget = forget
        self._state = _State.OPENING
        self._ends: list[socket.socket] = []
        self._there = _Direction(reactor, lines[0], self)
        self._back = _Direction(reactor, lines[1], self)

    def __repr__(self) -> str:
        return f"<Connection {self._state.name} {self.client} -> {self.server}>"

    def reset(self) -> None:
        """Break the connection: both ends get ConnectionResetError, at once."""
        self._lose()

    def cut(self) -> None:
        """Let nothing through until `restore`; nobody is told, as with a cable that is pulled."""
        self._pull("cable")

    def restore(self) -> None:
        """Undo `cut`: what waited arrives after one retransmission time."""
        self._plug("cable")

    def statistics(self) -> dict[str, int]:
        """Bytes that have arrived each way, and segments that were lost and sent again."""
        return {
            "bytes_to_server": self._there.carried,
            "bytes_to_client": self._back.carried,
            "segments_lost": self._there.line.lost + self._back.line.lost,
        }

    def _pull(self, where: str) -> None:
        self._cuts.add(where)
        for direction in (self._there, self._back):
            direction.cut(True)

    def _plug(self, where: str) -> None:
        self._cuts.discard(where)
        for direction in (self._there, self._back):
            direction.cut(bool(self._cuts))

    def _start(self, near: socket.socket, far: socket.socket) -> None:
        self._state = _State.OPEN
        self._ends = [near, far]
        self._there.start(near, far, self._back)
        self._back.start(far, near, self._there)

    def _ended(self) -> None:
        self._ended_signs += 1
        if self._ended_signs == 2:
            self._close(socket.socket.close)

    def _lose(self) -> None:
        self._close(reset)

    def _close(self, close: Callable[[socket.socket], None]) -> None:
        if self._state is not _State.OPEN:
            return
        self._state = _State.CLOSED
        self._there.stop()
        self._back.stop()
        for end in self._ends:
            close(end)
        self._ends.clear()
        self._forget(self)
