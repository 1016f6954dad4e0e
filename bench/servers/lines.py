"""Echo by lines on a Reactor: by a frame protocol, or by frames of a stream with await."""

import asyncio
import sys

import sennit
from sennit.net.framing import FrameProtocol, Lines
from sennit.net.stream import Stream


class Echo(FrameProtocol):
    """Sends back each line."""

    framing = Lines()

    def frame_received(self, frame: bytes) -> None:
        """Send it back."""
        self.send_frame(frame)


async def echo(stream: Stream) -> None:
    """Send back each line."""
    frames = stream.frames(Lines())
    async for line in frames:
        await frames.send(line)
    stream.close()


async def main(kind: str) -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    tasks = set()

    def connect() -> Stream:
        stream = Stream()
        task = loop.create_task(echo(stream))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return stream

    factory = Echo if kind == "protocol" else connect
    server = await loop.create_server(factory, "127.0.0.1", 0, backlog=65535)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


sennit.run(main(sys.argv[1]))
