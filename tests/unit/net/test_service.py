"""A service: one start, one readiness, one end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import textwrap

import pytest

from sennit import http, net
from sennit.errors import BusyError, ConfigError

ANY = "tcp://127.0.0.1:0"


async def echo(stream):
    async for chunk in stream:
        await stream.write(chunk)


def test_parts_start_in_order_and_stop_as_one(on_reactor):
    log = []

    async def test():
        service = net.Service("test")
        service.on_start(lambda: log.append("start"))
        service.listen(echo, ANY)
        service.start_with(lambda: http.listen(lambda _: "hello", "http://127.0.0.1:0"))

        @service.background
        async def tick():
            log.append("tick")
            try:
                await asyncio.Event().wait()
            finally:
                log.append("tick ends")

        @service.on_stop
        async def last():
            log.append("last")

        service.on_stop(lambda: log.append("before last"))
        assert service.state is net.ServiceState.NEW
        async with service:
            assert service.state is net.ServiceState.RUNNING
            assert [url.partition(":")[0] for url in service.urls] == ["tcp", "http"]
            stream = await net.connect(service.urls[0])
            await stream.write(b"x")
            assert await stream.read() == b"x"
            async with http.Client() as client:
                response = await client.get(service.urls[1])
                assert await response.text() == "hello"
            numbers = service.statistics()
            assert numbers["state"] == "RUNNING"
            assert numbers["background_tasks"] == 1
            assert numbers["servers"][0]["connections_open"] == 1
        assert await stream.read() == b""
        assert service.state is net.ServiceState.STOPPED
        stream.close()

    on_reactor(test)
    assert log == ["start", "tick", "tick ends", "before last", "last"]


def test_what_cannot_start_stops_what_has_started(on_reactor):
    ended = []

    async def test():
        async with await net.listen(echo, ANY) as other:
            service = net.Service()
            service.listen(echo, ANY)
            service.listen(echo, other.urls[0])
            service.on_stop(lambda: ended.append(True))
            with pytest.raises(OSError, match="in use"):
                await service.start()
            assert service.state is net.ServiceState.STOPPED
            assert service.servers[0].state is net.ServerState.STOPPED

    on_reactor(test)
    assert ended == [True]


def test_a_background_task_that_fails_ends_the_service(on_reactor, caplog):
    async def test():
        service = net.Service()
        service.listen(echo, ANY)

        @service.background
        async def fail():
            await asyncio.sleep(0)
            raise ZeroDivisionError("on purpose")

        await service.start()
        with pytest.raises(ZeroDivisionError, match="on purpose"):
            await service.wait_stopped()
        assert service.state is net.ServiceState.STOPPED

    on_reactor(test)
    assert "the service stops" in caplog.text


def test_a_background_task_that_returns_has_done_its_work(on_reactor):
    async def test():
        service = net.Service()
        done = asyncio.Event()

        @service.background
        async def work():
            done.set()

        async with service:
            await done.wait()
            assert service.state is net.ServiceState.RUNNING

    on_reactor(test)


def test_stopping_twice_waits_for_one_end(on_reactor):
    async def test():
        service = net.Service(grace=0.05)

        async def linger(_stream):
            await asyncio.Event().wait()

        service.listen(linger, ANY)
        await service.start()
        stream = await net.connect(service.urls[0])
        while not service.servers[0].connections:
            await asyncio.sleep(0)
        first = asyncio.ensure_future(service.stop())
        while service.state is net.ServiceState.RUNNING:
            await asyncio.sleep(0)
        assert service.state is net.ServiceState.DRAINING
        await service.stop()
        assert first.done() or await first is None
        assert service.state is net.ServiceState.STOPPED
        assert await stream.read() == b""
        stream.close()

    on_reactor(test)


def test_a_hook_that_fails_does_not_keep_the_others_from_running(on_reactor, caplog):
    log = []

    async def test():
        service = net.Service()
        service.on_stop(lambda: log.append("runs"))

        @service.on_stop
        def fails():
            raise ZeroDivisionError

        async with service:
            pass

    on_reactor(test)
    assert log == ["runs"]
    assert "ZeroDivisionError" in caplog.text


def test_anything_that_closes_can_be_a_part(on_reactor):
    log = []

    class Files:
        def close(self):
            log.append("files")

    class Upstream:
        async def close(self):
            log.append("upstream")

    class Queue:
        async def close(self, grace=1.0):
            log.append(grace)

    async def test():
        service = net.Service(grace=7)
        for part in (Files(), Upstream(), Queue()):

            async def start(part=part):
                return part

            service.start_with(start)
        async with service:
            assert len(service.servers) == 3

    on_reactor(test)
    assert sorted(map(str, log)) == ["7", "files", "upstream"]


def test_a_part_that_cannot_close_is_refused_and_the_others_stop(on_reactor):
    async def nothing():
        return None

    async def test():
        service = net.Service()
        service.listen(echo, ANY)
        service.start_with(nothing)
        with pytest.raises(ConfigError, match="has no close"):
            await service.start()
        assert service.servers[0].state is net.ServerState.STOPPED

    on_reactor(test)


def test_a_service_is_used_once(on_reactor):
    async def test():
        service = net.Service()
        with pytest.raises(BusyError, match="not started"):
            await service.wait_stopped()
        async with service:
            with pytest.raises(BusyError, match="before"):
                service.listen(echo, ANY)
        with pytest.raises(BusyError, match="another"):
            await service.start()

    on_reactor(test)


def test_settings_that_make_no_sense():
    with pytest.raises(ConfigError, match="grace"):
        net.Service(grace=-1)
    with pytest.raises(ConfigError, match="async def"):
        net.Service().background(lambda: None)


# -- as a program ----------------------------------------------------------------------------------

PROGRAM = textwrap.dedent(
    """
    import asyncio, sys
    from sennit import net

    async def handler(stream):
        await stream.write(b"hello")
        if sys.argv[1] == "linger":
            await asyncio.Event().wait()
        async for _ in stream:
            pass
        await stream.write(b"good-bye")

    service = net.Service("test", grace=60)
    service.listen(handler, "tcp://127.0.0.1:0")

    @service.background
    async def tell():
        print(service.urls[0] if service.urls else "", flush=True)

    service.run()
    print("ended", flush=True)
    """
)


class Program:
    """The service as a process, and a connection to it."""

    def __init__(self, behaviour="polite", environment=None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, behaviour],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )
        port = int(self.process.stdout.readline().rpartition(":")[2])
        self.peer = socket.create_connection(("127.0.0.1", port), timeout=60)
        assert self.peer.recv(100) == b"hello"

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        self.peer.close()
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_program_when_its_connections_have_ended(number):
    with Program() as program:
        program.process.send_signal(number)
        assert program.peer.recv(100) == b"good-bye"
        output, log = program.process.communicate(timeout=60)
        assert (output, program.process.returncode) == ("ended\n", 0)
        assert "test is ready: tcp://127.0.0.1:" in log
        assert number.name in log
        assert "test has stopped" in log


def test_a_second_signal_ends_it_at_once():
    with Program("linger") as program:
        program.process.send_signal(signal.SIGTERM)
        line = ""
        while "stops, at most 60 s" not in line:
            line = program.process.stderr.readline()
        program.process.send_signal(signal.SIGTERM)
        output, log = program.process.communicate(timeout=60)
        assert output == ""
        assert program.process.returncode == 128 + signal.SIGTERM
        assert "again" in log


def test_systemd_hears_when_it_is_ready_and_when_it_stops(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(60)
        with Program(environment={"NOTIFY_SOCKET": str(tmp_path / "notify")}) as program:
            assert listening.recv(100) == b"READY=1"
            program.process.send_signal(signal.SIGTERM)
            assert listening.recv(100) == b"STOPPING=1"
