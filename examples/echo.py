"""Echo: whatever a peer sends comes back.

python examples/echo.py tcp://127.0.0.1:7000 unix:///tmp/echo.sock
nc 127.0.0.1 7000
"""

import sys

from sennit import net


class Echo(net.Protocol):
    """A protocol is the lightest way to serve a connection."""

    def data_received(self, data: bytes) -> None:
        """Send it back; a peer that does not read is not read from either."""
        self.write(data)

    def pause_writing(self) -> None:
        """More than 64 KiB wait to be sent."""
        self.transport.pause_reading()

    def resume_writing(self) -> None:
        """The peer has taken most of it."""
        self.transport.resume_reading()


if __name__ == "__main__":
    service = net.Service("echo")
    service.listen(Echo, *(sys.argv[1:] or ["tcp://127.0.0.1:7000"]))
    service.run()
