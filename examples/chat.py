"""Chat: every line goes to everybody else; who says nothing for a while is shown out.

python examples/chat.py [tcp://127.0.0.1:7001] [SECONDS]
telnet 127.0.0.1 7001
"""

import asyncio
import sys

import sennit
from sennit import net


class Member(net.FrameProtocol):
    """One member; telnet and netcat send lines."""

    framing = net.Lines(max_size=1000)
    patience = 300.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Welcome the new member and tell the others."""
        super().connection_made(transport)
        self.name = "guest"
        self.clock = sennit.call_later(self.patience, self.show_out)
        self.send_frame(f"Welcome, there are {len(room)} here. Who are you?".encode())

    def frame_received(self, frame: bytes) -> None:
        """The first line is the member's name, the others are for everybody."""
        self.clock.reset(self.patience)
        text = "".join(c for c in frame.decode("utf-8", "replace") if c.isprintable())
        if self.name == "guest" and text:
            self.name = text[:20]
            self.tell(f"* {self.name} is here")
        elif text:
            self.tell(f"{self.name}: {text}")

    def frame_error(self, error: Exception) -> None:
        """A line that is too long ends the conversation, with the reason."""
        self.send_frame(str(error).encode())
        self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The others hear that a member has gone."""
        self.clock.cancel()
        self.tell(f"* {self.name} has gone")

    def show_out(self) -> None:
        """Nothing was said for too long."""
        self.send_frame(b"You are very quiet. Good-bye.")
        self.transport.close()

    def server_closing(self) -> None:
        """The service stops."""
        self.send_frame(b"The chat closes. Good-bye.")
        self.transport.close()

    def tell(self, text: str) -> None:
        """A line for all others."""
        room.broadcast(text.encode() + b"\n", besides=self)


room = net.Factory(Member)

if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    Member.patience = float(arguments.get(2, 300.0))
    service = net.Service("chat", grace=5)
    service.listen(room, arguments.get(1, "tcp://127.0.0.1:7001"))
    service.run()
