"""Memory: little for one that waits, nothing left of those that are over, no recursion."""

import contextlib
import gc
import itertools
import sys
import threading
import weakref

from sennit import Deferred, Failure, fail, succeed


def test_a_million_that_wait_have_200_bytes_each_their_contexts_counted(program):
    done = program(
        """
        import contextvars, os
        from sennit import Deferred

        variable = contextvars.ContextVar("variable")

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

        def callback(result):
            return result

        def make(count):
            variable.set(count)
            return [Deferred().add_callback(callback) for _ in range(count)]

        make(1000)
        before = resident()
        kept = make(1_000_000)
        # The list itself is 8 bytes each.
        print((resident() - before) / 1_000_000 - 8)
        kept[0].callback(1)
        assert kept[0].result() == 1
        """
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 200


def test_a_million_chains_leave_memory_flat(program):
    done = program(
        """
        import os
        from sennit import Deferred, fail, gather_results

        def resident():
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")

        def run(count):
            for number in range(count):
                inner, outer = Deferred(print), Deferred()
                outer.add_callback(lambda _: inner).add_callback(str, "ascii", errors="strict")
                outer.add_errback(lambda failure: None).add_both(lambda value: value)
                outer.callback(number)
                inner.callback(b"x")
                assert outer.result() == "x"

        run(10_000)
        before = resident()
        run(1_000_000)
        print(resident() - before)
        """
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 1_000_000


def use_everything():
    """One of each use, with each of its errors."""
    for error in (None, ValueError("no")):
        deferred = Deferred(lambda _: None)
        deferred.add_callback(lambda value: value).add_errback(lambda failure: failure)
        deferred.add_both(lambda value, *_, **__: value, 1, two=2)
        deferred.add_callbacks(str, str, callback_args=("ascii",), errback_keywords={})
        deferred.pause()
        deferred.callback(b"x") if error is None else deferred.errback(error)
        deferred.unpause()
        deferred.chain(Deferred().add_both(lambda _: None))
        for wrong in (
            lambda d=deferred: d.callback(1),
            lambda d=deferred: d.errback(3),
            lambda d=deferred: d.add_callback(3),
            lambda d=deferred: d.chain(3),
            lambda d=deferred: d.unpause(),
            lambda d=deferred: (
                d.add_callback(str, wrong=1).add_errback(lambda _: None).cancel(1, 2)
            ),
            lambda d=deferred: d.add_done_callback(1),
            lambda d=deferred: d.get_loop(),
            lambda d=deferred: next(d),
            lambda: next(Deferred()) and list(Deferred()),
        ):
            with contextlib.suppress(Exception):
                wrong()
    deferred = fail(ValueError("no"))
    for ask in (deferred.result, deferred.exception, deferred._make_cancelled_error):
        with contextlib.suppress(ValueError):
            ask()
    repr(deferred), deferred.done(), deferred.cancelled()
    waiting = succeed(1).add_callback(lambda _: Deferred())
    repr(waiting), waiting.cancel("why"), waiting.cancelled()
    Failure(ValueError()).full()


def test_no_method_leaks_a_reference():
    watched = (None, True, False, Deferred, Failure, str, Ellipsis, ValueError, print)

    def counts():
        gc.collect()
        return [sys.getrefcount(one) for one in watched], len(gc.get_objects())

    for _ in range(50):
        use_everything()
    before, objects = counts()
    for _ in range(200):
        use_everything()
    after, objects_after = counts()
    assert max(abs(now - then) for now, then in zip(after, before, strict=True)) < 50
    assert abs(objects_after - objects) < 50


def test_results_callbacks_and_arguments_are_let_go_of():
    class Thing:
        def __call__(self, result, *_args, **_keywords):
            return result

    things = [Thing() for _ in range(6)]
    references = [weakref.ref(thing) for thing in things]
    deferred = Deferred(things[0])
    deferred.add_callback(things[1], things[2], three=things[3]).add_errback(things[4])
    deferred.callback(things[5])
    del things
    assert [reference() is None for reference in references] == [True] * 5 + [False]
    del deferred
    assert references[5]() is None


def linked(count):
    """Each waits for the next, and all but the last have fired."""
    deferreds = [Deferred() for _ in range(count)]
    for waiting, inner in itertools.pairwise(deferreds):
        waiting.add_callback(lambda _, inner=inner: inner)
    for waiting in deferreds[:-1]:
        waiting.callback(None)
    return deferreds


def test_a_hundred_thousand_callbacks_run():
    deferred = Deferred()
    for _ in range(100_000):
        deferred.add_callback(lambda value: value + 1)
    deferred.callback(0)
    assert deferred.result() == 100_000


def test_a_chain_where_each_waits_for_the_next_resolves():
    deferreds = linked(100_000)
    deferreds[-1].callback("through")
    assert deferreds[0].result() == "through"


def test_the_same_built_from_its_end():
    inner = last = Deferred()
    for _ in range(100_000):
        outer = Deferred().add_callback(lambda _, inner=inner: inner)
        outer.callback(None)
        inner = outer
    last.errback(ValueError("through"))
    assert isinstance(inner.exception(), ValueError)


def test_a_chain_of_deferreds_that_are_chained_resolves():
    deferreds = [Deferred() for _ in range(100_000)]
    for first, second in itertools.pairwise(deferreds):
        first.chain(second)
    deferreds[0].callback("through")
    assert deferreds[-1].result() == "through"


def test_it_moves_on_a_hundred_thousand_times_from_within():
    def step(_value):
        nonlocal pending
        pending = Deferred().add_callback(step)
        return pending

    pending = None
    outer = Deferred().add_callback(step)
    outer.callback(None)
    for _ in range(100_000):
        pending.callback(None)
    # Cancelled where the waiting began, and from there through all of them.
    assert outer.cancel()
    assert outer.cancelled()


def test_chains_die_without_recursion():
    for make in (linked, lambda count: [Deferred() for _ in range(count)]):
        deferreds = make(100_000)
        for first, second in itertools.pairwise(deferreds):
            first.add_callback(second.callback)
        reference = weakref.ref(deferreds[-1])
        first = deferreds[0]
        del deferreds, second
        assert reference() is not None
        del first
        gc.collect()
        assert reference() is None


def test_results_within_results_die_without_recursion():
    class Own(Deferred):
        pass

    for kind in (Deferred, Own):
        last = inner = kind()
        for _ in range(100_000):
            outer = kind()
            outer.callback([inner])
            inner = outer
        reference = weakref.ref(last)
        del last, outer, inner
        assert reference() is None


def test_deaths_in_many_threads_leave_nothing():
    class Slow:
        def __del__(self):
            gate.wait(0)

    def work():
        for _ in range(30):
            inner = Deferred()
            for _ in range(100):
                outer = Deferred()
                outer.slow = Slow()
                outer.callback([inner])
                inner = outer
            references.append(weakref.ref(inner))

    gate, references = threading.Event(), []
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(switch)
    assert [reference for reference in references if reference() is not None] == []
    last = Deferred()
    reference = weakref.ref(last)
    del last
    assert reference() is None
