"""Moves and cancellations of delayed calls, against a sorted list."""

import asyncio
import functools

from hypothesis import given
from hypothesis import strategies as st

import sennit
from sennit import testing

PROGRAM = st.lists(
    st.one_of(
        st.tuples(st.just("make"), st.integers(0, 20)),
        st.tuples(st.just("reset"), st.integers(0, 20), st.integers(0, 30)),
        st.tuples(st.just("delay"), st.integers(-20, 20), st.integers(0, 30)),
        st.tuples(st.just("cancel"), st.integers(0, 30)),
        st.tuples(st.just("advance"), st.integers(0, 15)),
    ),
    max_size=60,
)


@given(PROGRAM)
def test_moves_and_cancellations_against_a_sorted_list(program):
    """The calls of an `advance` are those whose time has come, in the order of their times."""
    clock, made, waiting, called = testing.Clock(), [], {}, []
    for step in program:
        match step:
            case ("make", seconds):
                waiting[len(made)] = clock.time() + seconds
                made.append(sennit.call_later(seconds, called.append, len(made), clock=clock))
            case ("advance", seconds):
                called.clear()
                clock.advance(seconds)
                due = {index for index, when in waiting.items() if when <= clock.time()}
                assert set(called) == due
                assert len(called) == len(due)
                times = [waiting.pop(index) for index in called]
                assert times == sorted(times)
            case (_, *_) if not made:
                pass
            case ("cancel", number):
                index = number % len(made)
                made[index].cancel()
                waiting.pop(index, None)
            case (move, seconds, number) if (index := number % len(made)) in waiting:
                if move == "reset":
                    made[index].reset(seconds)
                    waiting[index] = clock.time() + seconds
                else:
                    made[index].delay(seconds)
                    waiting[index] = max(clock.time(), waiting[index] + seconds)
        active = {index for index, call in enumerate(made) if call.active}
        assert active == set(waiting)
        assert clock.statistics()["pending"] == len(waiting)


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.lists(st.integers(1, 50), max_size=5)),
        min_size=1,
        max_size=10,
    )
)
def test_on_a_reactor_each_call_has_its_own_time(programs):
    """Moved at some times by `reset(5)`, a call is made 5 s behind the last of them in time."""

    async def main():
        loop, called, expected = asyncio.get_running_loop(), {}, {}

        def note(index):
            called[index] = loop.time()

        def move(call):
            if call.active:
                call.reset(5)

        for index, (first, moves) in enumerate(programs):
            call = sennit.call_later(first, note, index)
            due = first
            for moment in sorted(moves):
                # A move of the very moment was scheduled later than the call: it comes too late.
                loop.call_at(moment, functools.partial(move, call))
                if moment < due:
                    due = moment + 5
            expected[index] = (due, moves)
        await asyncio.sleep(200)
        return called, expected

    called, expected = testing.run(main())
    for index, (due, moves) in expected.items():
        # At one and the same moment, call and move have no order that is promised.
        if called[index] != due:
            assert due in moves
