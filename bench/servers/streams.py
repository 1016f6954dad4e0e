"""Echo by streams with await on a Reactor: read, write, and again."""

import asyncio

import sennit
from sennit.net.stream import Stream


async def echo(stream: Stream) -> None:
    """Send back what comes."""
    while data := await stream.read():
        await stream.write(data)
    stream.close()


async def main() -> None:
    """Serve until killed."""
    loop = asyncio.get_running_loop()
    tasks = set()

    def connect() -> Stream:
        stream = Stream()
        task = loop.create_task(echo(stream))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        return stream

    server = await loop.create_server(connect, "127.0.0.1", 0, backlog=65535)
    print("PORT", server.sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


sennit.run(main())
