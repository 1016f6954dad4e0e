"""Processes: the time that a large array takes to another process and back."""

from __future__ import annotations

import concurrent.futures
import time
from typing import TYPE_CHECKING, Any

import measure

if TYPE_CHECKING:
    import argparse
    from collections.abc import Awaitable, Callable

SIZE = 100_000_000


def same(array: Any) -> Any:
    """What the other process does: nothing."""
    return array


def process_array(options: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    """An array of 100 MB to a process and back: defer_to_process, ProcessPoolExecutor."""
    import numpy  # noqa: PLC0415 - this figure only

    import sennit  # noqa: PLC0415

    async def timed(call: Callable[[Any], Awaitable[Any]], array: Any) -> float:
        begin = time.perf_counter()
        back = await call(array)
        took = time.perf_counter() - begin
        if not numpy.array_equal(array, back):
            raise measure.MeasuringError("what came back is not what was sent")
        return took

    async def main() -> dict[str, list[float]]:
        array = numpy.arange(SIZE // 8, dtype="int64")
        found: dict[str, list[float]] = {}
        with concurrent.futures.ProcessPoolExecutor(1) as executor:
            async with sennit.ProcessPool(1) as pool:
                calls = {
                    "sennit defer_to_process": lambda a: pool.defer(same, a),
                    "ProcessPoolExecutor": lambda a: sennit.defer_to_executor(executor, same, a),
                }
                for call in calls.values():
                    await timed(call, array)  # both have their process
                for number in range(options.pairs):
                    for name in calls if number % 2 == 0 else reversed(calls):
                        found.setdefault(name, []).append(await timed(calls[name], array))
        return found

    found = sennit.run(main())
    base = found["ProcessPoolExecutor"]
    rows = []
    for name, own in found.items():
        middle, low, high = measure.median_interval(
            [other / one for one, other in zip(own, base, strict=True)]
        )
        rows.append(
            {
                "to a process and back": name,
                "ms": round(1000 * measure.median_interval(own)[0], 1),
                "times faster": round(middle, 2),
                "interval": [round(low, 2), round(high, 2)],
            }
        )
    return {f"an array of {SIZE:,} bytes to a process and back": rows}


FIGURES = {"process-array": process_array}
