"""A closed loop lets go of everything: descriptors and objects."""

import asyncio
import functools
import gc
import socket
import weakref
from pathlib import Path

import pytest

import sennit


def descriptors():
    return {path.name for path in Path("/proc/self/fd").iterdir()}


class Thing:
    """Something that can be watched for its end."""


@pytest.fixture
def watched():
    """Weak references that must all be dead at the end; and no descriptor may stay open."""
    gc.collect()
    before = descriptors()
    references = []

    def watch(thing):
        references.append(weakref.ref(thing))
        return thing

    yield watch
    gc.collect()
    assert references
    assert [reference() for reference in references if reference() is not None] == []
    assert len(descriptors()) <= len(before)


class Keeper(asyncio.Protocol):
    def __init__(self, kept):
        self.kept = kept

    def connection_made(self, transport):
        self.transport = transport


async def connected(loop, watch):
    """A server with a connection, both ends alive and full of references to each other."""
    made = []

    def factory():
        protocol = watch(Keeper(made))
        made.append(protocol)
        return protocol

    server = watch(await loop.create_server(factory, "127.0.0.1", 0))
    transport, _ = await loop.create_connection(factory, *server.sockets[0].getsockname())
    while len(made) < 2:
        await asyncio.sleep(0)
    for each in (transport, made[0].transport):
        watch(each)
        each.get_extra_info("socket")
        each.get_extra_info("peername")
        each.write(b"never read")
    return server, transport


def test_closing_gives_the_loops_own_descriptors_back(watched):
    before = len(descriptors())
    reactor = watched(sennit.Reactor())
    reactor.call_soon(reactor.stop)
    reactor.run_forever()
    assert len(descriptors()) > before
    reactor.close()
    assert len(descriptors()) == before


def test_a_closed_loop_with_live_connections(watched):
    reactor = watched(sennit.Reactor())
    kept = reactor.run_until_complete(connected(reactor, watched))
    assert kept[0].is_serving()
    before = len(descriptors())
    reactor.close()
    assert len(descriptors()) <= before - 4
    assert kept[1].is_closing()
    assert kept[1].get_extra_info("socket").fileno() == -1
    kept[1].write(b"nothing happens")
    kept[1].close()
    kept[1].abort()
    kept[0].close()
    del kept, reactor


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_forgotten_loop_with_live_connections(watched):
    reactor = watched(sennit.Reactor())
    reactor.run_until_complete(connected(reactor, watched))
    del reactor


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_a_forgotten_loop_closes_no_descriptor_twice(watched):
    class Silent(sennit.Reactor):
        def __del__(self):
            pass

    for _ in range(5):
        reactor = watched(Silent())
        reactor.run_until_complete(connected(reactor, watched))
        others = [socket.socket() for _ in range(4)]
        del reactor
        gc.collect()
        more = [socket.socket() for _ in range(8)]
        for sock in (*others, *more):
            sock.getsockname()
            sock.close()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_callbacks_timers_watchers_tasks(watched):
    reactor = watched(sennit.Reactor())
    left, right = socket.socketpair()

    async def wait(loop, thing):
        await loop.create_future()
        print(thing)

    reactor.call_soon(print, watched(Thing()), reactor)
    watched(reactor.call_later(3600, print, watched(Thing()), reactor))
    reactor.call_soon_threadsafe(print, watched(Thing()), reactor)
    reactor.add_reader(left, print, watched(Thing()), reactor)
    reactor.add_writer(right, print, watched(Thing()), reactor)
    reactor.set_exception_handler(functools.partial(print, watched(Thing())))
    task = reactor.create_task(wait(reactor, watched(Thing())))
    reactor.call_soon(reactor.stop)
    reactor.run_forever()
    reactor.call_soon(print, watched(Thing()), reactor)
    reactor.close()
    left.close()
    right.close()
    task._log_destroy_pending = False
    del reactor, task


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_cycles_through_a_forgotten_loop(watched):
    reactor = watched(sennit.Reactor())
    thing = watched(Thing())
    thing.loop = reactor
    thing.handle = reactor.call_later(3600, print, thing)
    thing.soon = watched(reactor.call_soon(print, thing))
    del reactor, thing


def test_a_connection_that_ends_leaves_nothing(watched):
    async def main():
        loop = asyncio.get_running_loop()
        server, transport = await connected(loop, watched)
        server.abort_clients()
        transport.abort()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0)

    sennit.run(main())


def test_many_loops_leave_nothing(watched):
    async def main():
        server = watched(await asyncio.start_server(print, "127.0.0.1", 0))
        server.close()

    for _ in range(50):
        sennit.run(main())


def test_many_connections_leave_nothing(watched):
    async def main():
        async def answer(reader, writer):
            writer.write(await reader.readline())
            writer.close()
            await writer.wait_closed()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        address = server.sockets[0].getsockname()
        gc.collect()
        before = len(descriptors())

        async def ask():
            reader, writer = await asyncio.open_connection(*address)
            watched(writer.transport)
            writer.write(b"x\n")
            await reader.read()
            writer.close()
            await writer.wait_closed()

        for _ in range(5):
            await asyncio.gather(*(ask() for _ in range(50)))
        server.close()
        await server.wait_closed()
        assert len(descriptors()) < before

    sennit.run(main())
