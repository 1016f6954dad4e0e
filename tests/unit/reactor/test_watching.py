"""`add_reader` and `add_writer`: level-triggered, replaced, removed, and never mistaken."""

import os
import socket
from collections.abc import Iterator

import pytest


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    left, right = socket.socketpair()
    for end in (left, right):
        end.setblocking(False)
    yield left, right
    for end in (left, right):
        end.close()


def test_a_reader_is_called_as_long_as_there_is_something(reactor, turns, pair):
    left, right = pair
    calls = []
    reactor.add_reader(left, calls.append, "ready")
    turns(1)
    assert calls == []
    right.send(b"xy")
    turns(3)
    assert calls == ["ready"] * 3
    left.recv(2)
    turns(2)
    assert calls == ["ready"] * 3


def test_a_writer_is_called_as_long_as_there_is_room(reactor, turns, pair):
    left, _ = pair
    calls = []
    reactor.add_writer(left.fileno(), calls.append, "room")
    turns(2)
    assert calls == ["room"] * 2
    assert reactor.remove_writer(left) is True
    assert reactor.remove_writer(left) is False
    turns(1)
    assert len(calls) == 2


def test_both_directions_live_side_by_side(reactor, turns, pair):
    left, right = pair
    calls = []
    reactor.add_reader(left, calls.append, "read")
    reactor.add_writer(left, calls.append, "write")
    right.send(b"x")
    turns(1)
    assert sorted(calls) == ["read", "write"]
    reactor.remove_writer(left)
    turns(1)
    assert sorted(calls) == ["read", "read", "write"]
    reactor.remove_reader(left)
    turns(1)
    assert len(calls) == 3


def test_a_new_callback_replaces_the_old(reactor, turns, pair):
    left, right = pair
    calls = []
    reactor.add_reader(left, calls.append, "old")
    reactor.add_reader(left, calls.append, "new")
    right.send(b"x")
    turns(1)
    assert calls == ["new"]


def test_a_removed_reader_that_is_queued_does_not_run(reactor, turns, pair):
    left, right = pair
    other, peer = socket.socketpair()
    calls = []

    def first(name, loser):
        calls.append(name)
        reactor.remove_reader(loser)

    reactor.add_reader(left, first, "left", other)
    reactor.add_reader(other, first, "other", left)
    right.send(b"x")
    peer.send(b"x")
    turns(1)
    assert len(calls) == 1
    other.close()
    peer.close()


def test_the_end_of_the_peer_is_reported_to_both(reactor, turns, pair):
    left, right = pair
    calls = []
    reactor.add_reader(left, calls.append, "read")
    right.close()
    turns(1)
    assert calls == ["read"]
    reactor.remove_reader(left)
    reactor.add_writer(left, calls.append, "write")
    turns(1)
    assert calls == ["read", "write"]


def test_a_closed_number_that_comes_again_is_not_mistaken(reactor, turns):
    first_read, first_write = os.pipe()
    calls = []
    reactor.add_reader(first_read, calls.append, "stale")
    number = first_read
    os.close(first_read)
    second_read, second_write = os.pipe()
    assert second_read == number, "the lowest free number is given out"
    os.write(second_write, b"x")
    turns(2)
    assert calls == []
    reactor.add_reader(second_read, calls.append, "fresh")
    turns(1)
    assert calls == ["fresh"]
    assert reactor.remove_reader(second_read) is True
    for descriptor in (first_write, second_read, second_write):
        os.close(descriptor)


def test_a_callback_of_the_closed_file_does_not_come_back_with_the_number(reactor, turns, pair):
    left, right = pair
    calls = []
    number = left.fileno()
    reactor.add_writer(left, calls.append, "stale writer")
    left.close()
    fresh = socket.socket()
    if fresh.fileno() != number:
        os.dup2(right.fileno(), number)
    reactor.add_reader(number, calls.append, "reader")
    turns(2)
    assert "stale writer" not in calls
    reactor.remove_reader(number)
    if fresh.fileno() != number:
        os.close(number)
    fresh.close()


def test_removing_after_the_close_of_the_file_is_allowed(reactor, pair):
    left, _ = pair
    number = left.fileno()
    reactor.add_reader(number, print)
    reactor.add_writer(number, print)
    left.close()
    assert reactor.remove_reader(number) is True
    assert reactor.remove_writer(number) is True
    assert reactor.remove_reader(number) is False


@pytest.mark.parametrize("wrong", [-1, "1", 1.5, None])
def test_what_is_no_descriptor_is_refused(reactor, wrong):
    with pytest.raises((ValueError, TypeError)):
        reactor.add_reader(wrong, print)


def test_a_file_that_cannot_be_watched_is_refused(reactor, tmp_path):
    with (tmp_path / "plain").open("w") as file, pytest.raises(PermissionError):
        reactor.add_writer(file, print)
    assert reactor.statistics()["descriptors"] == 0


def test_an_error_in_a_reader_is_reported(reactor, turns, pair, reported):
    left, right = pair

    def fail():
        left.recv(1)
        raise LookupError

    reactor.add_reader(left, fail)
    right.send(b"x")
    turns(1)
    assert [type(context["exception"]) for context in reported] == [LookupError]


def test_nothing_is_lost_when_a_reader_leaves_the_loop(reactor, turns, pair):
    left, right = pair
    calls = []

    def leave():
        left.recv(1)
        raise KeyboardInterrupt

    reactor.add_reader(left, leave)
    right.send(b"xy")
    with pytest.raises(KeyboardInterrupt):
        reactor.run_forever()
    reactor.add_reader(left, calls.append, "still there")
    turns(1)
    assert calls == ["still there"]
