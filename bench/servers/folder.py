"""A folder of files under `sennit.http`."""

import asyncio
import signal
import sys

import sennit
from sennit import http


async def main() -> None:
    """Serve until SIGTERM."""
    handler = http.Folder(sys.argv[1])
    server = await http.listen(handler, "http://127.0.0.1:0", max_requests=2**31)
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    print("PORT", server.port, flush=True)
    await stopped.wait()
    await server.close(0)


sennit.run(main())
