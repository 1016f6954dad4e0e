"""Long sums on the loop's own thread: prime numbers for many, and nobody waits for anybody.

python examples/primes.py [tcp://127.0.0.1:7006] [SECONDS]
nc 127.0.0.1 7006           then type a number: the primes below it are counted, with reports
"""

import asyncio
import sys
from collections.abc import Iterator

import sennit
from sennit import net


class Client(net.FrameProtocol):
    """One client, one number at a time."""

    framing = net.Lines(max_size=20)
    pace = 1.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Nothing is to be counted yet."""
        super().connection_made(transport)
        self.work: sennit.CooperativeTask | None = None
        self.report = sennit.LoopingCall(self.tell)

    def frame_received(self, frame: bytes) -> None:
        """A number begins the work, and anything else ends it."""
        if self.work is not None:
            self.work.stop()
        elif frame.strip().isdigit():
            self.found, self.at = 0, 2
            self.work = sennit.cooperate(self.count(int(frame)))
            self.work.when_done().add_callbacks(self.answer, self.give_up)
            self.report.start(self.pace, now=False)
        else:
            self.send_frame(b"say a number")

    def count(self, end: int) -> Iterator[None]:
        """The work itself; each yield is a place where others may go on."""
        for self.at in range(2, end):
            self.found += all(self.at % number for number in range(2, int(self.at**0.5) + 1))
            yield

    def tell(self) -> None:
        """How far it is."""
        self.send_frame(f"at {self.at:,}: {self.found:,}".encode())

    def answer(self, _work: object) -> None:
        """It is done."""
        self.finish(f"{self.found:,} primes")

    def give_up(self, failure: sennit.Failure) -> None:
        """It was stopped."""
        self.finish(failure.brief())

    def finish(self, text: str) -> None:
        """The next number may come."""
        self.work = None
        self.report.stop()
        self.send_frame(text.encode())

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is interested any more."""
        if self.work is not None:
            self.work.stop()


if __name__ == "__main__":
    arguments = dict(enumerate(sys.argv))
    Client.pace = float(arguments.get(2, 1.0))
    service = net.Service("primes", grace=5)
    service.listen(net.Factory(Client), arguments.get(1, "tcp://127.0.0.1:7006"))
    service.run()
