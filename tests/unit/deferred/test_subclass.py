"""The object itself: subclasses, attributes, weak references, and what it refuses."""

import copy
import gc
import pickle
import weakref

import pytest

from sennit import Deferred, fail, succeed


class Named(Deferred):
    def __init__(self, name, *, canceller=None):
        super().__init__(canceller)
        self.name = name


def test_a_subclass_has_its_own_init():
    calls = []
    named = Named("it", canceller=calls.append)
    named.add_callback(lambda value: value + 1)
    assert named.cancel()
    assert calls == [named]
    assert (named.name, repr(named)[:6]) == ("it", "<Named")
    assert isinstance(named, Deferred)


def test_a_subclass_with_slots():
    class Slotted(Deferred):
        __slots__ = ("one",)

    slotted = Slotted()
    slotted.one = 1
    slotted.callback(2)
    assert (slotted.one, slotted.result()) == (1, 2)


def test_from_coroutine_and_from_future_make_the_subclass(run):
    class Own(Deferred):
        pass

    async def main():
        async def one():
            return 1

        own = Own.from_coroutine(one())
        assert type(own) is Own
        assert await own == 1

    run(main())


def test_attributes_and_weak_references():
    gone, deferred = [], Deferred()
    deferred.whatever = 1
    assert deferred.__dict__ == {"whatever": 1}
    reference = weakref.ref(deferred, gone.append)
    assert reference() is deferred
    del deferred
    assert gone == [reference]
    fresh = Deferred()
    assert fresh.__dict__ == {}
    assert weakref.getweakrefcount(fresh) == 0


def test_init_may_be_called_again():
    calls = []
    deferred = Deferred()
    deferred.__init__(calls.append)
    deferred.__init__()
    deferred.callback(1)
    deferred.__init__(canceller=None)
    assert deferred.result() == 1
    with pytest.raises(TypeError, match="one argument: canceller"):
        deferred.__init__(1, 2)


def test_new_without_init_is_usable():
    deferred = Deferred.__new__(Deferred, "whatever")
    deferred.callback(1)
    assert deferred.result() == 1


def test_del_of_a_subclass_runs_and_may_bring_it_back():
    held = []

    class Returning(Deferred):
        def __del__(self):
            held.append(self)

    Returning().callback(3)
    assert held[0].result() == 3
    held.clear()
    gc.collect()


def test_it_cannot_be_pickled_or_copied():
    for refuse in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="pickle"):
            refuse(Deferred())


def test_generic_for_type_checkers():
    assert Deferred[int].__origin__ is Deferred


def test_repr_says_what_it_has():
    inner = Deferred()
    outer = succeed(1).add_callback(lambda _: inner)
    paused = succeed(1)
    paused.pause()
    failing = fail(ValueError("no"))
    assert repr(Deferred()).endswith("has no result yet>")
    assert repr(succeed([1])).endswith("has [1]>")
    assert repr(paused).endswith("has 1, paused>")
    assert repr(outer).endswith(f"waits for the one at 0x{id(inner):x}>")
    assert "has failed: ValueError('no')" in repr(failing)
    failing.exception()


def test_repr_is_short_and_does_not_raise():
    class Fault:
        def __repr__(self):
            raise ValueError("no")

    assert "<Fault instance at" in repr(succeed(Fault()))
    assert len(repr(succeed("x" * 1_000_000))) < 300


def test_it_is_hashable_by_identity():
    one, two = Deferred(), Deferred()
    assert len({one, two, one}) == 2
    assert one != two
