"""What the tests of `sennit.net` share."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

import sennit


@pytest.fixture
def reported() -> list[dict[str, Any]]:
    """What the loop's exception handler was told."""
    return []


@pytest.fixture
def on_reactor(reported: list[dict[str, Any]]) -> Callable[[Callable[[], Awaitable[Any]]], Any]:
    """Runs an `async def` test on a reactor, for a minute at most."""

    def start(test: Callable[[], Awaitable[Any]]) -> Any:
        async def main() -> Any:
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _loop, context: reported.append(context))
            async with asyncio.timeout(60):
                return await test()

        return sennit.run(main())

    return start


async def until(condition: Callable[[], Any]) -> None:
    """Waits, turn by turn, until something is true."""
    while not condition():
        await asyncio.sleep(0)
