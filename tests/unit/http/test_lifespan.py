"""What runs before a server listens and after it has drained."""

import asyncio
import signal
import subprocess
import sys
from typing import Any

import pytest
from tests.unit.http.talking import connected

import sennit
from sennit import errors, http


def handler(_: http.Request) -> str:
    return "ok"


def test_hooks_run_in_order_around_the_server_s_life() -> None:
    order: list[str] = []

    def note(text: str) -> http.Hook:
        async def hook() -> None:
            await asyncio.sleep(0)
            order.append(text)

        return hook

    child = http.Router()
    child.on_startup(note("child up"))
    child.on_shutdown(note("child down"))
    root = http.Router()
    root.mount("/child", child)
    root.on_startup(lambda: order.append("root up 1"))
    root.on_startup(note("root up 2"))
    root.on_shutdown(lambda: order.append("root down 1"))
    root.on_shutdown(note("root down 2"))
    root.add("/", lambda _: order.append("request") or "ok")

    async def main() -> None:
        server = await http.listen(
            http.log_requests(root),
            "http://127.0.0.1:0",
            on_startup=[note("listen up")],
            on_shutdown=[note("listen down")],
        )
        async with connected(server) as peer:
            assert (await peer.ask()).status == 200
        await server.close()
        await server.close()

    sennit.run(main())
    assert order == [
        "listen up", "root up 1", "root up 2", "child up",
        "request",
        "child down", "root down 2", "root down 1", "listen down",
    ]  # fmt: skip


def test_what_was_started_is_shut_down_when_a_later_hook_fails() -> None:
    order: list[str] = []

    def fails() -> None:
        raise OSError("no database")

    async def main() -> None:
        with pytest.raises(OSError, match="no database"):
            await http.listen(
                router, "http://127.0.0.1:0", on_startup=[lambda: order.append("listen up")],
                on_shutdown=[lambda: order.append("listen down")],
            )  # fmt: skip

    router = http.Router()
    router.on_startup(fails)
    router.on_shutdown(lambda: order.append("never begun"))
    sennit.run(main())
    assert order == ["listen up", "listen down"]


def test_a_busy_port_shuts_down_what_was_started() -> None:
    order: list[str] = []

    async def main() -> None:
        first = await http.listen(handler, "http://127.0.0.1:0")
        with pytest.raises(OSError, match="in use"):
            await http.listen(handler, first.urls[0], on_shutdown=[lambda: order.append("down")])
        await first.close()

    sennit.run(main())
    assert order == ["down"]


def test_a_shutdown_hook_that_fails_is_reported_and_the_others_run() -> None:
    order: list[str] = []
    reports: list[dict[str, Any]] = []

    def fails() -> None:
        raise ValueError("down")

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, told: reports.append(told))
        hooks = [lambda: order.append("first"), fails]
        server = await http.listen(handler, "http://127.0.0.1:0", on_shutdown=hooks)
        await server.close()

    sennit.run(main())
    assert order == ["first"]
    assert [str(report["exception"]) for report in reports] == ["down"]
    assert "shutdown hook" in reports[0]["message"]


def test_closing_waits_for_the_hooks_also_where_it_is_called_twice_or_cancelled() -> None:
    gate = asyncio.Event()
    order: list[str] = []

    async def slow() -> None:
        await gate.wait()
        order.append("down")

    async def main() -> None:
        server = await http.listen(handler, "http://127.0.0.1:0", on_shutdown=[slow])
        first = asyncio.create_task(server.close())
        await asyncio.sleep(0)
        second = asyncio.create_task(server.wait_closed())
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        assert not second.done()
        gate.set()
        await second
        assert order == ["down"]

    sennit.run(main())


def test_hooks_must_be_functions() -> None:
    async def main() -> None:
        wrong: Any = ["text"]
        with pytest.raises(errors.ConfigError, match="cannot be called"):
            await http.listen(handler, "http://127.0.0.1:0", on_startup=wrong)

    sennit.run(main())


PROGRAM = """
from sennit import http

router = http.Router()
router.on_startup(lambda: print("up", flush=True))
router.on_shutdown(lambda: print("down", flush=True))
router.get("/")(lambda _: "ok")
http.serve(router, "http://127.0.0.1:0", on_startup=[lambda: print("first", flush=True)])
"""


def test_a_program_runs_them_until_a_signal() -> None:
    command = [sys.executable, "-c", PROGRAM]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        assert [program.stdout.readline(), program.stdout.readline()] == ["first\n", "up\n"]
        # The socket listens soon after; the signal may come before that, too.
        program.send_signal(signal.SIGTERM)
        rest, _ = program.communicate(timeout=30)
    assert (rest, program.returncode) == ("down\n", 0)
