"""The cost of Deferreds, ours or Twisted's: prints one JSON line, nanoseconds of CPU and bytes."""

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

ROUNDS = 3
WAITING = 300_000


def same(result: Any) -> Any:
    """The callback."""
    return result


def ours() -> tuple[Callable[[], None], Callable[[int], Any], Callable[[], Any]]:
    """Make + 3 callbacks + fire, a coroutine that awaits fired ones, one that waits."""
    from sennit import Deferred, succeed  # noqa: PLC0415 - one of the two

    def chain() -> None:
        deferred = Deferred()
        deferred.add_callback(same)
        deferred.add_callback(same)
        deferred.add_callback(same)
        deferred.callback(1)

    async def wait(count: int) -> None:
        fired = succeed(1)
        for _ in range(count):
            await fired

    return chain, wait, lambda: Deferred().add_callback(same)


def twisteds() -> tuple[Callable[[], None], Callable[[int], Any], Callable[[], Any]]:
    """The same with Twisted's."""
    from twisted.internet.defer import Deferred, succeed  # noqa: PLC0415 - one of the two

    def chain() -> None:
        deferred = Deferred()
        deferred.addCallback(same)
        deferred.addCallback(same)
        deferred.addCallback(same)
        deferred.callback(1)

    async def wait(count: int) -> None:
        fired = succeed(1)
        for _ in range(count):
            await fired

    return chain, wait, lambda: Deferred().addCallback(same)


def drive(coroutine: Any) -> None:
    """Runs what never suspends."""
    try:
        coroutine.send(None)
    except StopIteration:
        return
    raise AssertionError("it has suspended")


def best(function: Callable[[], int]) -> float:
    """Nanoseconds of CPU for one of those that the function counts, the least of some rounds."""
    found = []
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        count = function()
        found.append((time.process_time_ns() - begin) / count)
    return min(found)


def resident() -> int:
    """Bytes of memory in use."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the system
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def main() -> None:
    """Measure and print."""
    chain, wait, waiting = {"sennit": ours, "Twisted": twisteds}[sys.argv[1]]()

    def chains(count: int = 200_000) -> int:
        for _ in range(count):
            chain()
        return count

    def awaits(count: int = 1_000_000) -> int:
        drive(wait(count))
        return count

    def loop_alone(count: int = 1_000_000) -> int:
        for _ in range(count):
            pass
        return count

    empty = best(loop_alone)
    row = {"chain_ns": best(chains) - empty, "await_ns": best(awaits) - empty}
    kept = [waiting() for _ in range(1_000)]
    before = resident()
    kept += [waiting() for _ in range(WAITING)]
    row["waiting_bytes"] = (resident() - before) / WAITING - 8
    print(json.dumps(row))
    # Their deaths are not measured.
    sys.stdout.flush()
    os._exit(0)


main()
