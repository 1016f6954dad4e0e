"""A client that tries again, against a server behind a bad line, in a simulated world.

Nothing here waits for real: the line, its losses and all the time are made up, and the same seed
gives the same run. `python examples/simulated_network.py 7` prints what `... 7` printed before.
"""

import asyncio
import sys

import sennit
from sennit import testing

# A satellite in a storm: half a second each way, a tenth of what is sent gets lost.
STORM = testing.Link(latency=0.5, jitter=0.2, loss=0.1, bandwidth=20_000)


def say(what: str) -> None:
    """Print with the time."""
    print(f"{asyncio.get_running_loop().time():8.3f} s  {what}")


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The server: an answer of 5,000 bytes for each line."""
    while line := await reader.readline():
        writer.write(line.strip().upper() + b" " * 5_000 + b"\n")
        await writer.drain()
    writer.close()


async def ask(question: str) -> str:
    """One try: connect, ask, read the answer."""
    reader, writer = await asyncio.open_connection("ground.example", 7000)
    try:
        writer.write(question.encode() + b"\n")
        return (await reader.readline()).decode().strip()
    finally:
        writer.close()


async def ask_until_answered(question: str) -> str:
    """The client under test: it gives each try a deadline, and waits longer after each failure."""
    patience = 0.5
    while True:
        try:
            async with asyncio.timeout(3):
                return await ask(question)
        except (TimeoutError, ConnectionError) as error:
            say(f"{type(error).__name__}, again in {patience:g} s")
        await asyncio.sleep(patience)
        patience *= 2


async def main() -> None:
    """Serve, ask, cut the line, ask again."""
    reactor = sennit.current_reactor()
    assert isinstance(reactor, testing.Reactor)
    reactor.network.add_host("ground.example", "10.0.0.7")
    server = await asyncio.start_server(answer, "ground.example", 7000)
    for question in ("where", "how fast", "how high", "still there"):
        if question == "still there":
            say("the line is cut for a minute")
            reactor.network.partition("ground.example")
            reactor.call_later(60, reactor.network.heal)
        say(f"{question}?")
        say(f"{await ask_until_answered(question)}!")
    server.close()
    await server.wait_closed()
    say("the last connection is closed")


if __name__ == "__main__":
    testing.run(main(), seed=int(sys.argv[1]) if len(sys.argv) > 1 else 7, link=STORM)
