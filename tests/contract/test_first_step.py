"""A handler's first step runs in a real task of its own, although none is made for it."""

import asyncio
import io
from typing import Any

import anyio
import anyio.lowlevel
from tests.contract.asking import (
    GET,
    LAST,
    answer_of,
    ask,
    bodies,
    in_every_mode,
    variable,
    with_server,
)

from sennit import http

# -- the task --------------------------------------------------------------------------------------


@in_every_mode
def test_the_current_task_is_a_real_one(mode: str) -> None:
    seen: dict[str, Any] = {}

    async def handler(_request: http.Request) -> str:
        task = asyncio.current_task()
        assert isinstance(task, asyncio.Task)
        shown = io.StringIO()
        task.print_stack(file=shown)
        coroutine = task.get_coro()
        seen.update(
            loop=task.get_loop() is asyncio.get_running_loop(),
            done=task.done(),
            cancelling=task.cancelling(),
            coroutine=asyncio.iscoroutine(coroutine),
            qualname=getattr(coroutine, "__qualname__", ""),
            frames=[frame.f_code.co_name for frame in task.get_stack()],
            shown=shown.getvalue(),
            repr=repr(task),
            name=task.get_name(),
        )
        task.set_name("mine")
        assert task.get_name() == "mine"
        return "ok"

    assert answer_of(handler, mode) == b"ok"
    assert seen["loop"]
    assert not seen["done"]
    assert seen["cancelling"] == 0
    assert seen["coroutine"]
    assert "handler" in seen["qualname"]
    assert "handler" in seen["frames"]
    assert "in handler" in seen["shown"]
    assert "handler" in seen["repr"]
    assert seen["name"].startswith("Task-")


@in_every_mode
def test_a_plain_function_has_a_task_too(mode: str) -> None:
    seen: list[Any] = []

    def handler(_request: http.Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        seen.append((type(task), task.get_loop(), task.get_stack(), repr(task)))
        task.print_stack(file=io.StringIO())
        variable.set("inside")
        return "ok"

    assert answer_of(handler, mode) == b"ok"
    assert issubclass(seen[0][0], asyncio.Task)
    assert variable.get() == "unset"


def test_a_name_that_was_set_is_not_the_next_ones() -> None:
    names = []

    async def handler(_request: http.Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        names.append(task.get_name())
        task.set_name("mine")
        return "ok"

    async def scenario(server: http.Server) -> None:
        await ask(server, GET * 3 + LAST)

    assert with_server(handler, scenario) == []
    assert "mine" not in names


@in_every_mode
def test_a_suspended_handler_goes_on_in_the_same_task(mode: str) -> None:
    tasks = []

    async def handler(_request: http.Request) -> str:
        for _ in range(3):
            tasks.append(asyncio.current_task())
            await asyncio.sleep(0)
        await asyncio.sleep(0.001)
        tasks.append(asyncio.current_task())
        return "ok"

    assert answer_of(handler, mode) == b"ok"
    assert len(set(tasks)) == 1
    assert tasks[0].done()
    assert not tasks[0].cancelled()
    assert tasks[0].exception() is None


def test_each_request_has_a_task_of_its_own_while_one_is_kept() -> None:
    tasks = []

    async def handler(_request: http.Request) -> str:
        tasks.append(asyncio.current_task())
        return "ok"

    async def scenario(server: http.Server) -> None:
        await ask(server, GET * 9 + LAST)
        assert len(set(tasks)) == 10
        await asyncio.sleep(0)
        assert all(task.done() for task in tasks)

    assert with_server(handler, scenario) == []


@in_every_mode
def test_a_done_callback_set_in_the_first_step_is_called(mode: str) -> None:
    called: list[Any] = []

    async def handler(request: http.Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.add_done_callback(lambda task: called.append((request.path, task.done())))
        if request.path == "/suspended":
            await asyncio.sleep(0)
        return "ok"

    async def scenario(server: http.Server) -> None:
        await ask(server, b"GET /suspended HTTP/1.1\r\nHost: h\r\n\r\n" + LAST)
        for _ in range(3):
            await asyncio.sleep(0)

    assert with_server(handler, scenario, mode=mode) == []
    assert called == [("/suspended", True), ("/last", True)]


def test_all_tasks_lists_suspended_handlers_and_no_spare() -> None:
    proceed = asyncio.Event()

    async def handler(request: http.Request) -> str:
        if request.path != "/last":
            await proceed.wait()
        return "ok"

    async def scenario(server: http.Server) -> None:
        mine = asyncio.all_tasks()
        assert bodies(await ask(server)) == [b"ok"]
        assert asyncio.all_tasks() == mine
        waiting = [asyncio.create_task(ask(server, GET + LAST)) for _ in range(3)]
        while server.statistics()["requests"] < 4:
            await asyncio.sleep(0)
        suspended = asyncio.all_tasks() - mine - set(waiting)
        assert len(suspended) == 3
        assert all("handler" in repr(task) for task in suspended)
        assert all("handler" in str(task.get_stack()) for task in suspended)
        proceed.set()
        await asyncio.gather(*waiting)
        assert asyncio.all_tasks() == mine

    assert with_server(handler, scenario) == []


# -- timeouts, groups, cancellation ----------------------------------------------------------------


@in_every_mode
def test_a_timeout_that_expires_after_suspension(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        try:
            async with asyncio.timeout(0.001):
                await asyncio.get_running_loop().create_future()
        except TimeoutError:
            return f"late {asyncio.current_task().cancelling()}"  # type: ignore[union-attr]
        return "never"

    assert answer_of(handler, mode) == b"late 0"


@in_every_mode
def test_a_timeout_that_does_not_expire(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        async with asyncio.timeout(60) as outer:
            async with asyncio.timeout(30):
                await asyncio.sleep(0)
            await asyncio.sleep(0)
        return f"in time {outer.expired()}"

    assert answer_of(handler, mode) == b"in time False"


@in_every_mode
def test_a_timeout_without_a_suspension(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        async with asyncio.timeout(60):  # noqa: ASYNC100 - entering it is the test
            return "at once"

    async def scenario(server: http.Server) -> None:
        assert bodies(await ask(server, GET * 50 + LAST)) == [b"at once"] * 51

    assert with_server(handler, scenario, mode=mode) == []


@in_every_mode
def test_a_timeout_of_zero_strikes_at_the_first_wait(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.sleep(60)
        except TimeoutError:
            return "late"
        return "never"

    assert answer_of(handler, mode) == b"late"


@in_every_mode
def test_a_task_group(mode: str) -> None:
    async def child(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def handler(_request: http.Request) -> str:
        async with asyncio.TaskGroup() as group:
            children = [group.create_task(child(number)) for number in range(3)]
        async with asyncio.TaskGroup():
            pass
        return " ".join(str(task.result()) for task in children)

    assert answer_of(handler, mode) == b"0 1 2"


@in_every_mode
def test_a_task_group_whose_child_fails(mode: str) -> None:
    async def child() -> None:
        raise LookupError("lost")

    async def handler(_request: http.Request) -> str:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.sleep(60)
        except ExceptionGroup as caught:
            return str(len(caught.exceptions))
        return "never"

    assert answer_of(handler, mode) == b"1"


@in_every_mode
def test_cancel_before_an_await(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel("enough")
        assert task.cancelling() == 1
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError as error:
            task.uncancel()
            await asyncio.sleep(0)
            return f"cancelled {error.args}"
        return "never"

    assert answer_of(handler, mode) == b"cancelled ('enough',)"


@in_every_mode
def test_cancel_before_an_await_cancels_what_is_awaited(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        child = asyncio.create_task(asyncio.sleep(60))
        await asyncio.sleep(0)
        other = asyncio.create_task(asyncio.sleep(60))
        asyncio.current_task().cancel()  # type: ignore[union-attr]
        try:
            await child
        except asyncio.CancelledError:
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
        other.cancel()
        return f"{child.cancelled()} {other.cancelled()}"

    async def at_once(_request: http.Request) -> str:
        future = asyncio.get_running_loop().create_future()
        asyncio.current_task().cancel("enough")  # type: ignore[union-attr]
        try:
            await future
        except asyncio.CancelledError as error:
            asyncio.current_task().uncancel()  # type: ignore[union-attr]
            return f"{future.cancelled()} {error.args}"
        return "never"

    assert answer_of(handler, mode) == b"True False"
    assert answer_of(at_once, mode) == b"True ('enough',)"


@in_every_mode
def test_cancel_without_any_await(mode: str) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def handler(_request: http.Request) -> str:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        tasks.append(task)
        return "answered"

    async def scenario(server: http.Server) -> None:
        assert bodies(await ask(server, GET + LAST)) == [b"answered"] * 2
        await asyncio.sleep(0)
        # As under asyncio: a task that ends with a request to cancel it is a cancelled one.
        assert [task.cancelled() for task in tasks] == [True, True]
        assert tasks[0] is not tasks[1]

    assert with_server(handler, scenario, mode=mode) == []


@in_every_mode
def test_anyio_scopes(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        with anyio.CancelScope():  # noqa: ASYNC100 - entering it is the test
            pass
        with anyio.move_on_after(0.001) as late:
            await anyio.sleep_forever()
        with anyio.fail_after(60):
            await anyio.lowlevel.checkpoint()
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        return f"{late.cancelled_caught} {scope.cancelled_caught}"

    assert answer_of(handler, mode) == b"True True"


@in_every_mode
def test_an_anyio_scope_that_is_cancelled_first_of_all(mode: str) -> None:
    async def handler(_request: http.Request) -> str:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await anyio.sleep_forever()
        return f"{scope.cancelled_caught}"

    assert answer_of(handler, mode) == b"True"


@in_every_mode
def test_anyio_task_groups(mode: str) -> None:
    async def child(send: Any, number: int) -> None:
        await send.send(number)

    async def handler(_request: http.Request) -> str:
        send, receive = anyio.create_memory_object_stream[int](3)
        async with anyio.create_task_group() as group:
            for number in range(3):
                group.start_soon(child, send, number)
        send.close()
        async with receive:
            return str(sorted([number async for number in receive]))

    async def scenario(server: http.Server) -> None:
        assert bodies(await ask(server, GET * 5 + LAST)) == [b"[0, 1, 2]"] * 6

    assert with_server(handler, scenario, mode=mode) == []


@in_every_mode
def test_children_outlive_their_handler(mode: str) -> None:
    done: list[str] = []
    children: set[asyncio.Task[None]] = set()

    async def child(path: str) -> None:
        await asyncio.sleep(0)
        done.append(path)

    async def handler(request: http.Request) -> str:
        task = asyncio.create_task(child(request.path))
        children.add(task)
        return "ok"

    async def scenario(server: http.Server) -> None:
        await ask(server)
        await asyncio.gather(*children)

    assert with_server(handler, scenario, mode=mode) == []
    assert done == ["/last"]
