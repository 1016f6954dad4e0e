"""Links: exact to the clock, the same for the same seed, and as bad as they are asked to be."""

import asyncio
import random

import pytest

from sennit import testing
from sennit.errors import ConfigError
from sennit.testing.link import Line

SECOND = 1_000_000_000


async def chat(reactor, recorder, log):
    """A program that talks a lot; writes down what happened when."""

    class Talker(recorder):
        def note(self, event):
            log.append((round(reactor.time() * SECOND), self.name, event))

        def data_received(self, data):
            super().data_received(data)
            if len(log) < 300:
                self.transport.write(bytes(len(log) % 250) + b"!")

    server = await reactor.create_server(lambda: named(Talker(), "server"), "10.0.0.7", 80)
    talkers = [named(Talker(), f"client {index}") for index in range(3)]
    for talker in talkers:
        await reactor.create_connection(lambda talker=talker: talker, "10.0.0.7", 80)
        talker.transport.write(bytes(3000))
    await asyncio.sleep(60)
    for talker in talkers:
        talker.transport.close()
        await talker.lost
    server.close()
    await server.wait_closed()


def named(talker, name):
    talker.name = name
    return talker


BAD = testing.Link(latency=0.05, jitter=0.02, loss=0.05, bandwidth=100_000, chunk=700)


def test_the_same_seed_is_the_same_run_byte_for_byte(world, recorder):
    logs = []
    for seed in (7, 7, 8):
        log = []
        world(lambda reactor, _, log=log: chat(reactor, recorder, log), seed=seed, link=BAD)
        logs.append(log)
    assert len(logs[0]) > 300
    assert logs[0] == logs[1]
    assert logs[0] != logs[2]


def test_latency_is_exact(world, recorder):
    async def test(reactor, _network):
        here, there = recorder(), recorder()
        ours, theirs = await testing.connected_pair(here, there, link=testing.Link(latency=0.25))
        # Connecting is one round trip.
        assert reactor.time() == 0.5
        ours.write(b"ping")
        await asyncio.sleep(1)
        assert there.events == [(0.75, b"ping")]
        theirs.write(b"pong")
        theirs.write_eof()
        ours.write(b"more")
        await asyncio.sleep(1)
        assert here.events == [(1.75, b"pong"), (1.75, "eof")]
        assert there.events[1:] == [(1.75, b"more"), (2.0, "eof")]
        assert await here.lost is None
        assert await there.lost is None

    world(test)


def test_each_direction_may_have_its_own(world, recorder):
    async def test(reactor, network):
        network.add_host("far", "10.0.2.1")
        network.set_link(testing.Link(latency=0.1), "localhost", "far")
        network.set_link(testing.Link(latency=0.3), "far", "localhost")
        there = recorder()
        server = await reactor.create_server(lambda: there, "far", 80)
        _, here = await reactor.create_connection(recorder, "far", 80)
        while there.transport is None:
            await asyncio.sleep(0)
        server.close()
        assert reactor.time() == 0.4
        here.transport.write(b"ping")
        there.transport.write(b"pong")
        await asyncio.sleep(1)
        assert there.events == [(0.5, b"ping")]
        assert here.events == [(0.7, b"pong")]

    world(test)


def test_a_megabyte_at_a_megabyte_a_second_takes_a_second(world, recorder):
    async def test(reactor, _network):
        here, there = recorder(), recorder()
        link = testing.Link(bandwidth=1_000_000)
        ours, _ = await testing.connected_pair(here, there, link=link)
        data = random.Random(1).randbytes(1_000_000)
        ours.write(data)
        ours.close()
        await there.lost
        assert there.data == data
        assert reactor.time() == 1.0
        # It came bit by bit, and the writer was told to wait.
        halfway = sum(len(piece) for time, piece in there.events if time <= 0.5 and piece != "eof")
        assert 0.49 * len(data) < halfway <= 0.5 * len(data)
        assert (0.0, "pause") in here.events

    world(test)


def test_a_reader_that_stops_makes_the_writer_wait(world, recorder):
    async def test(reactor, network):
        here, there = recorder(), recorder()
        link = testing.Link(latency=0.01, window=10_000)
        ours, theirs = await testing.connected_pair(here, there, link=link)
        theirs.pause_reading()
        data = bytes(range(256)) * 8_000
        ours.write(data)
        await asyncio.sleep(10)
        assert ours.get_write_buffer_size() > len(data) / 2
        (connection,) = network.connections
        assert connection.statistics()["bytes_to_server"] < len(data) / 2
        theirs.resume_reading()
        ours.close()
        await there.lost
        assert there.data == data
        assert connection.statistics()["bytes_to_server"] == len(data)

    world(test)


def test_a_chunk_of_one_dribbles(world, recorder):
    async def test(_reactor, _network):
        here, there = recorder(), recorder()
        ours, _ = await testing.connected_pair(here, there, link=testing.Link(chunk=1))
        ours.write(b"dribbling")
        await asyncio.sleep(1)
        assert [event for _, event in there.events] == [b"%c" % byte for byte in b"dribbling"]

    world(test)


def test_chunks_have_sizes_up_to_theirs(world, recorder):
    async def test(_reactor, _network):
        here, there = recorder(), recorder()
        ours, _ = await testing.connected_pair(here, there, link=testing.Link(chunk=100))
        ours.write(bytes(50_000))
        ours.close()
        await there.lost
        sizes = {len(event) for _, event in there.events if event != "eof"}
        assert len(there.data) == 50_000
        assert sizes >= set(range(1, 101))
        assert max(sizes) == 100

    world(test)


def test_a_loss_is_a_delay_and_nothing_is_missing(world, recorder):
    async def test(reactor, network):
        here, there = recorder(), recorder()
        link = testing.Link(latency=0.05, loss=0.2)
        ours, _ = await testing.connected_pair(here, there, link=link)
        (connection,) = network.connections
        start = reactor.time()
        data = random.Random(2).randbytes(100_000)
        ours.write(data)
        ours.close()
        await there.lost
        assert there.data == data
        lost = connection.statistics()["segments_lost"]
        assert lost > 5
        # What was lost arrives 0.2 s and a round trip later, and holds up what is behind it.
        delays = {round(time - start, 6) for time, event in there.events if event != "eof"}
        assert min(delays) in {0.05, 0.35}
        assert delays <= {round(0.05 + 0.3 * step, 6) for step in range(64)}

    world(test, seed=3)


def test_jitter_keeps_the_order_of_a_stream(world, recorder):
    async def test(_reactor, _network):
        here, there = recorder(), recorder()
        link = testing.Link(latency=0.1, jitter=1.0)
        ours, _ = await testing.connected_pair(here, there, link=link)
        for index in range(100):
            ours.write(b"%d " % index)
            await asyncio.sleep(0.01)
        ours.close()
        await there.lost
        assert [int(word) for word in there.data.split()] == list(range(100))

    world(test)


def test_a_reset_is_seen_by_both_ends(world, recorder):
    async def test(_reactor, network):
        here, there = recorder(), recorder()
        await testing.connected_pair(here, there, link=testing.Link())
        (connection,) = network.connections
        assert connection.client[0] == "127.0.0.1"
        connection.reset()
        for side in (here, there):
            assert isinstance(await side.lost, ConnectionResetError)
            assert side.events == []
        assert network.connections == []

    world(test)


def test_who_closes_without_reading_resets_the_other_after_the_way(world, recorder):
    async def test(reactor, _network):
        here, there = recorder(), recorder()
        ours, theirs = await testing.connected_pair(here, there, link=testing.Link(latency=1))
        theirs.pause_reading()
        ours.write(b"never read")
        await asyncio.sleep(5)
        theirs.abort()
        assert isinstance(await here.lost, ConnectionResetError)
        assert reactor.time() == 2 + 5 + 1

    world(test)


def test_who_writes_to_somebody_gone_hears_of_it_after_a_round_trip(world, recorder):
    async def test(reactor, _network):
        here, there = recorder(), recorder()
        ours, theirs = await testing.connected_pair(here, there, link=testing.Link(latency=1))
        here.eof_received = lambda: True
        theirs.close()
        await asyncio.sleep(5)
        ours.write(b"anybody?")
        await asyncio.sleep(1.5)
        # The answer is on its way still.
        ours.write(b"anybody?")
        await asyncio.sleep(1)
        ours.write(b"anybody?")
        assert isinstance(await here.lost, ConnectionError)
        assert reactor.time() == 2 + 5 + 2.5

    world(test)


def test_a_cable_is_pulled_and_plugged_in_again(world, recorder):
    async def test(reactor, network):
        here, there = recorder(), recorder()
        ours, _ = await testing.connected_pair(here, there, link=testing.Link(latency=0.1))
        (connection,) = network.connections
        connection.cut()
        ours.write(b"through")
        await asyncio.sleep(1000)
        assert there.events == []
        connection.restore()
        await asyncio.sleep(1000)
        assert there.events == [(1000.2 + 0.4, b"through")]
        assert reactor.time() == 2000.2

    world(test)


def test_a_partition_holds_up_what_is_connected(world, recorder):
    async def test(reactor, network):
        network.add_host("far", "10.0.2.1")
        there = recorder()
        server = await reactor.create_server(lambda: there, "far", 80)
        _, here = await reactor.create_connection(recorder, "far", 80)
        while there.transport is None:
            await asyncio.sleep(0)
        server.close()
        network.partition("far", "localhost")
        here.transport.write(b"through")
        await asyncio.sleep(100)
        assert there.events == []
        network.heal()
        await asyncio.sleep(100)
        assert there.data == b"through"

    world(test, link=testing.Link(latency=0.1))


@pytest.mark.parametrize(
    "wrong",
    [{"latency": -1}, {"jitter": float("inf")}, {"loss": 1.0}, {"loss": -0.1}, {"duplicate": 2},
     {"bandwidth": 0}, {"bandwidth": float("nan")}, {"chunk": 0}, {"chunk": 1.5}, {"window": 0}],
)  # fmt: skip
def test_a_link_that_cannot_be(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        testing.Link(**wrong)


def test_the_window_fills_the_wire():
    assert testing.Link().window_size == 1024 * 1024
    assert testing.Link(bandwidth=1e6, latency=0.5).window_size == 1_000_000
    assert testing.Link(bandwidth=1e6).window_size == 64 * 1024
    assert testing.Link(window=7).window_size == 7


def test_losses_come_as_often_as_is_said():
    line = Line(testing.Link(loss=0.25), "seed")
    count = sum(not line.datagram_arrivals(0, 1) for _ in range(10_000))
    assert 2_300 < count < 2_700
    assert line.lost == count
