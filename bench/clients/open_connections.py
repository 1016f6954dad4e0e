"""Requests at once over connections that are open already: prints one JSON line.

The origin waits long enough for every connection to be busy before the first is free again, so that
the first round opens them all; what counts is the time beyond that wait.
"""

import asyncio
import json
import sys
import time

import sennit
from sennit import http

URL, COUNT, WAIT = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])


async def fetch(client: http.Client) -> bool:
    """One request in a task of its own, as a program would write it."""
    response = await client.get(URL)
    return response.status == 200 and await response.body() == b"Hello, World!"


async def main() -> None:
    """Open all connections, then measure rounds over them."""
    rounds = []
    limits = {"max_connections": COUNT, "max_connections_per_origin": COUNT, "max_connecting": 1024}
    async with http.Client(**limits) as client:
        await asyncio.gather(*(fetch(client) for _ in range(COUNT)))
        for _ in range(5):
            wall, cpu = time.perf_counter(), time.process_time()
            answers = await asyncio.gather(*(fetch(client) for _ in range(COUNT)))
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            rounds.append((wall - WAIT, cpu, sum(answers), client.statistics()["open"]))
    wall, cpu, answered, connections = sorted(rounds)[len(rounds) // 2]
    row = {"answered": answered, "connections": connections, "beyond_wait_s": wall, "cpu_s": cpu}
    print(json.dumps(row))


sennit.run(main())
