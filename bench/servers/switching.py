"""The cost of a switch on one of the loops: prints one JSON line with nanoseconds of CPU each."""

import asyncio
import json
import sys
import time
from collections.abc import Callable

from loops import new_loop

import sennit

ROUNDS = 3


def call_soon(loop: asyncio.AbstractEventLoop, count: int = 200_000) -> int:
    """A callback that schedules itself."""
    left = count

    def callback() -> None:
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(callback)
        else:
            loop.stop()

    loop.call_soon(callback)
    loop.run_forever()
    return count


def task_turn(loop: asyncio.AbstractEventLoop, count: int = 100_000) -> int:
    """One turn of a task that has nothing to wait for."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.sleep(0)

    loop.run_until_complete(main())
    return count


def hand_over(loop: asyncio.AbstractEventLoop, count: int = 30_000) -> int:
    """A result handed from task to task through a future, there and back."""

    async def main() -> None:
        ping, pong = loop.create_future(), loop.create_future()

        async def other() -> None:
            nonlocal ping, pong
            for _ in range(count):
                await ping
                ping = loop.create_future()
                pong.set_result(None)

        task = loop.create_task(other())
        for _ in range(count):
            ping.set_result(None)
            await pong
            pong = loop.create_future()
        await task

    loop.run_until_complete(main())
    return 2 * count


def spawn(loop: asyncio.AbstractEventLoop, count: int = 30_000) -> int:
    """A task made and finished, all of them at once."""

    async def nothing() -> None:
        pass

    async def main() -> None:
        await asyncio.gather(*[nothing() for _ in range(count)])

    loop.run_until_complete(main())
    return count


def timers(loop: asyncio.AbstractEventLoop, count: int = 30_000) -> int:
    """A timer of 50 ms set and run."""

    async def main() -> None:
        done = loop.create_future()
        left = count

        def callback() -> None:
            nonlocal left
            left -= 1
            if not left:
                done.set_result(None)

        for _ in range(count):
            loop.call_later(0.05, callback)
        await done

    loop.run_until_complete(main())
    return count


def thread_hop(loop: asyncio.AbstractEventLoop, count: int = 5_000) -> int:
    """To a thread and back."""

    async def main() -> None:
        for _ in range(count):
            await loop.run_in_executor(None, int)

    loop.run_until_complete(main())
    return count


def to_thread(loop: asyncio.AbstractEventLoop, count: int = 5_000) -> int:
    """The same by `asyncio.to_thread`, which takes the context along."""

    async def main() -> None:
        for _ in range(count):
            await asyncio.to_thread(int)

    loop.run_until_complete(main())
    return count


def defer_to_thread(loop: asyncio.AbstractEventLoop, count: int = 5_000) -> int:
    """The same by `sennit.defer_to_thread`, on any loop."""

    async def main() -> None:
        for _ in range(count):
            await sennit.defer_to_thread(int)

    loop.run_until_complete(main())
    return count


KINDS: tuple[Callable[[asyncio.AbstractEventLoop], int], ...] = (
    call_soon,
    task_turn,
    hand_over,
    spawn,
    timers,
    thread_hop,
    to_thread,
    defer_to_thread,
)


def nanoseconds(loop: asyncio.AbstractEventLoop, kind: Callable[..., int]) -> float:
    """The best of some rounds: what disturbs only adds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begin = time.process_time_ns()
        count = kind(loop)
        best = min(best, (time.process_time_ns() - begin) / count)
    return best


loop = new_loop(sys.argv[1])
print(json.dumps({kind.__name__: round(nanoseconds(loop, kind), 1) for kind in KINDS}))
loop.run_until_complete(loop.shutdown_default_executor())
