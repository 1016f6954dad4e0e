"""A port forwarder: every connection to one endpoint becomes a connection to another.

python examples/port_forwarder.py tcp://127.0.0.1:7004 tcp://127.0.0.1:80
"""

import asyncio
import logging
import sys
from typing import Any

from sennit import net
from sennit.errors import SennitError


class Half(net.Protocol):
    """One of the two connections; what comes goes to the other one, without which none is read."""

    other: Any = None
    has_ended = False

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.other.write(data)

    def eof_received(self) -> bool:
        """Pass the end on; the other direction may go on, unless it has ended too."""
        self.has_ended = True
        self.other.transport.write_eof()
        return not self.other.has_ended

    def connection_lost(self, exc: Exception | None) -> None:
        """One half alone is of no use."""
        if self.other is not None:
            (self.other.close if exc is None else self.other.abort)()
            self.other.other = None

    def pause_writing(self) -> None:
        """This side is full: the other one has to wait."""
        self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        """There is room again."""
        if self.other is not None:
            self.other.transport.resume_reading()


class Entrance(Half):
    """The half that was accepted; it reads nothing before the other one is there."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Open the other half."""
        super().connection_made(transport)
        self.transport.pause_reading()
        self.opening = asyncio.get_running_loop().create_task(self.open())

    async def open(self) -> None:
        """Connect, then let both halves flow."""
        try:
            self.other = await net.connect(target, Half)
        except SennitError as error:
            logging.warning("%s", error)
            self.abort()
        else:
            self.other.other = self
            self.transport.resume_reading()

    def server_closing(self) -> None:
        """What is going on may end by itself, within the grace time."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The peer may go before the other half is there."""
        self.opening.cancel()
        super().connection_lost(exc)


if __name__ == "__main__":
    entrance, target = sys.argv[1:]
    service = net.Service("forwarder", grace=5)
    service.listen(Entrance, entrance)
    service.run()
