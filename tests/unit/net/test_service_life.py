"""A service's life: its states, an end while it starts, and an end that nobody can hold up."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from sennit import net, testing
from sennit.errors import ClosedError

ANY = "tcp://127.0.0.1:0"


async def echo(stream):
    async for chunk in stream:
        await stream.write(chunk)


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


class Part:
    """Something that closes, and says so."""

    def __init__(self):
        self.closed_with = []

    async def close(self, grace=1.0):
        self.closed_with.append(grace)


def test_it_is_new_until_everything_listens(on_reactor):
    async def test():
        service = net.Service()
        go_on = asyncio.Event()
        service.listen(echo, ANY)
        service.on_start(go_on.wait)
        waiting = asyncio.ensure_future(service.wait_ready())
        starting = asyncio.ensure_future(service.start())
        while not service.servers:
            await asyncio.sleep(0)
        assert service.state is net.ServiceState.NEW
        assert not waiting.done()
        go_on.set()
        await starting
        await waiting
        assert service.state is net.ServiceState.RUNNING
        await service.wait_ready()
        await service.stop()

    on_reactor(test)


def test_waiting_for_a_service_that_will_not_be_ready(on_reactor):
    async def test():
        service = net.Service()
        waiting = asyncio.ensure_future(service.wait_ready())
        await turns()
        await service.stop()
        assert service.state is net.ServiceState.STOPPED
        with pytest.raises(ClosedError, match="before it was ready"):
            await waiting

        async def fail():
            raise ZeroDivisionError("on purpose")

        service = net.Service()
        service.on_start(fail)
        waiting = asyncio.ensure_future(service.wait_ready())
        with pytest.raises(ZeroDivisionError):
            await service.start()
        with pytest.raises(ZeroDivisionError):
            await waiting

    on_reactor(test)


def test_a_stop_while_it_starts_ends_the_start_and_what_has_started(on_reactor):
    async def test():
        service = net.Service()
        service.listen(echo, ANY)
        service.on_start(asyncio.Event().wait)
        service.listen(echo, ANY)
        starting = asyncio.ensure_future(service.start())
        while not service.servers:
            await asyncio.sleep(0)
        await service.stop()
        assert service.state is net.ServiceState.STOPPED
        with pytest.raises(ClosedError, match="before it was ready"):
            await starting
        assert [server.state for server in service.servers] == [net.ServerState.STOPPED]

    on_reactor(test)


def test_a_part_that_starts_after_all_is_closed(on_reactor):
    part = Part()

    async def test():
        service = net.Service()
        begun = asyncio.Event()

        async def stubborn():
            begun.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return part

        service.start_with(stubborn)
        starting = asyncio.ensure_future(service.start())
        await begun.wait()
        await service.stop()
        with pytest.raises(ClosedError):
            await starting

    on_reactor(test)
    assert part.closed_with == [0]


def test_a_start_that_is_cancelled_stops_what_has_started(on_reactor):
    async def test():
        service = net.Service()
        service.listen(echo, ANY)
        service.on_start(asyncio.Event().wait)
        starting = asyncio.ensure_future(service.start())
        while not service.servers:
            await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        assert service.state is net.ServiceState.STOPPED
        assert service.servers[0].state is net.ServerState.STOPPED

    on_reactor(test)


def test_a_background_task_that_fails_ends_the_block_with_its_error(on_reactor):
    async def test():
        service = net.Service()
        service.listen(echo, ANY)
        fails = asyncio.Event()

        @service.background
        async def fail():
            await fails.wait()
            raise ZeroDivisionError("on purpose")

        async def use():
            async with service:
                fails.set()
                while service.state is not net.ServiceState.STOPPED:  # by itself
                    await asyncio.sleep(0)

        with pytest.raises(ZeroDivisionError, match="on purpose"):
            await use()
        assert service.servers[0].state is net.ServerState.STOPPED

    on_reactor(test)


def test_the_error_of_a_block_is_not_hidden_by_that_of_a_task(on_reactor):
    async def test():
        service = net.Service()

        @service.background
        async def fail():
            raise ZeroDivisionError

        async def use():
            async with service:
                await turns()
                raise LookupError

        with pytest.raises(LookupError):
            await use()

    on_reactor(test)


def test_a_task_that_fails_while_the_service_starts_ends_the_start(on_reactor):
    async def test():
        service = net.Service()

        @service.background
        async def fail():
            raise ZeroDivisionError("on purpose")

        service.on_start(asyncio.Event().wait)
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            await service.start()
        assert service.state is net.ServiceState.STOPPED

    on_reactor(test)


class Stuck:
    """A part that does not close."""

    async def close(self):
        await asyncio.Event().wait()

    def __repr__(self):
        return "stuck part"


def test_nothing_holds_up_the_end_beyond_the_grace_time(caplog):
    log = []

    async def main():
        service = net.Service("test", grace=7)
        ends = asyncio.Event()

        async def start():
            return Stuck()

        service.start_with(start)

        @service.background
        async def deaf():
            while not ends.is_set():
                try:
                    await ends.wait()
                except asyncio.CancelledError:
                    continue

        @service.on_stop
        async def last():
            log.append("last")

        @service.on_stop
        async def endless():
            await asyncio.Event().wait()

        await service.start()
        clock = asyncio.get_running_loop()
        began = clock.time()
        await service.stop()
        assert service.state is net.ServiceState.STOPPED
        took = clock.time() - began
        ends.set()
        await turns()
        return took

    with caplog.at_level(logging.ERROR, "sennit.service"):
        took = testing.run(main())
    assert log == ["last"]
    assert 7 <= took <= 7 + 3 * 5.0
    for name in ("stuck part", "deaf", "endless"):
        assert name in caplog.text


# -- as a program ----------------------------------------------------------------------------------

PROGRAM = textwrap.dedent(
    """
    import asyncio, atexit, sys
    from sennit import net
    from sennit.net import program, service as its_module

    program.CANCEL_TIME = its_module.CANCEL_TIME = 0.01

    async def deaf():
        print("deaf", flush=True)
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("cancelled", flush=True)

    async def slow_start():
        print("starting", flush=True)
        try:
            await asyncio.Event().wait()
        finally:
            print("start ends", flush=True)

    async def deaf_start():
        await deaf()

    def block():
        import threading
        print("blocks", flush=True)
        threading.Event().wait()

    service = net.Service("test", grace=float(sys.argv[2]))
    service.listen(net.Protocol, "tcp://127.0.0.1:0")
    service.on_stop(lambda: print("on_stop", flush=True))
    if sys.argv[1] == "slow start":
        service.on_start(slow_start)
    elif sys.argv[1] == "deaf start":
        service.on_start(deaf_start)
    elif sys.argv[1] == "deaf task":
        service.background(deaf)
    elif sys.argv[1] == "blocks at its end":
        service.background(deaf)
        atexit.register(block)
    try:
        service.run()
    except Exception as error:
        print(type(error).__name__)
    """
)


class Running:
    """The service as a process."""

    def __init__(self, behaviour, grace=0):
        self.process = subprocess.Popen(
            [sys.executable, "-X", "dev", "-c", PROGRAM, behaviour, str(grace)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONASYNCIODEBUG": "0"},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.process.kill()
        self.process.communicate()

    def hears(self, line):
        while (said := self.process.stdout.readline()) != f"{line}\n":
            assert said, self.process.communicate()

    def ends(self):
        output, log = self.process.communicate(timeout=60)
        return output, log, self.process.returncode


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_service_that_still_starts(number):
    with Running("slow start", grace=60) as running:
        running.hears("starting")
        running.process.send_signal(number)
        output, log, status = running.ends()
    assert (output, status) == ("start ends\non_stop\n", 0)
    assert "is ready" not in log
    assert "test has stopped" in log
    assert "Traceback" not in log


@pytest.mark.parametrize("behaviour", ["deaf start", "deaf task"])
def test_a_second_signal_ends_it_whatever_a_task_does_with_its_cancellation(behaviour):
    with Running(behaviour, grace=3600) as running:
        running.hears("deaf")
        running.process.send_signal(signal.SIGTERM)
        running.hears("cancelled")
        running.process.send_signal(signal.SIGTERM)
        _, log, status = running.ends()
    assert status == 128 + signal.SIGTERM
    assert "SIGTERM again" in log
    assert "ends without" in log
    assert "Traceback" not in log


def test_a_task_that_never_ends_is_left_behind_after_one_signal_too():
    with Running("deaf task") as running:
        running.hears("deaf")
        running.process.send_signal(signal.SIGTERM)
        output, log, status = running.ends()
    assert status == 0
    assert "on_stop" in output
    assert "stops without test: deaf: still running" in log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_third_signal_ends_the_process_itself(number):
    with Running("blocks at its end", grace=3600) as running:
        running.hears("deaf")
        running.process.send_signal(number)
        running.hears("cancelled")
        running.process.send_signal(number)
        running.hears("blocks")
        running.process.send_signal(number)
        assert running.ends()[2] == -number
