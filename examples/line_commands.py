"""A line command server over TLS.

python examples/line_commands.py tls://127.0.0.1:7002 CERTIFICATE.pem KEY.pem
openssl s_client -quiet -connect 127.0.0.1:7002
"""

import asyncio
import sys
import time

from sennit import net
from sennit.errors import DeadlineError, RemoteProtocolError

started = time.monotonic()


async def answer(words: list[str], stream: net.Stream) -> str:
    """The answer to one command."""
    match words:
        case ["help"]:
            return "commands: help, uptime, sleep SECONDS, cipher, quit"
        case ["uptime"]:
            return f"{time.monotonic() - started:.1f} s"
        case ["sleep", seconds] if seconds.replace(".", "", 1).isdigit():
            await asyncio.sleep(min(float(seconds), 10))
            return "good morning"
        case ["cipher"]:
            tls = net.tls_details(stream.transport)
            return f"{tls.version} {tls.cipher}" if tls else "none"
        case _:
            return f"there is no {' '.join(words)!r}; say help"


async def serve(stream: net.Stream) -> None:
    """Commands, line by line, until quit, the end, or a minute of silence."""
    stream.read_timeout = 60.0
    frames = stream.frames(net.Lines(max_size=200))
    await frames.send(b"ready")
    try:
        async for line in frames:
            words = line.decode("utf-8", "replace").split()
            if words == ["quit"]:
                await frames.send(b"good-bye")
                break
            if words:
                await frames.send((await answer(words, stream)).encode())
    except (RemoteProtocolError, DeadlineError) as error:
        await frames.send(f"error: {error}".encode())


if __name__ == "__main__":
    url, certificate, key = sys.argv[1:]
    service = net.Service("line commands", grace=5)
    service.listen(serve, url, tls=net.ServerTls(certificate=certificate, key=key))
    service.run()
