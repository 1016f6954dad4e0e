//! Timers: order, cancelling, how long the poller is asked to sleep.

mod common;

use std::time::Duration;

use common::{Callback, DropCounter, Log, call_at, call_soon, reactor, turn};
use sennit_engine::Clock;
use sennit_engine::clock::{MILLISECOND, Nanos, SECOND};
use sennit_engine::timer::TimerHeap;

#[test]
fn timers_run_in_the_order_of_their_times() {
    let reactor = reactor();
    let log = Log::default();
    for when in [50, 10, 40, 20, 30] {
        call_at(&reactor, when * MILLISECOND, log.writer(when));
    }
    call_at(&reactor, 60 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(log.take(), [10, 20, 30, 40, 50]);
}

#[test]
fn equal_times_run_first_set_first_even_among_many() {
    let reactor = reactor();
    let log = Log::default();
    for number in 0..1000 {
        call_at(&reactor, (number % 2) * SECOND, log.writer(number));
    }
    reactor.clock().advance(SECOND);
    turn(&reactor);
    let expected: Vec<Nanos> = (0..1000).step_by(2).chain((1..1000).step_by(2)).collect();
    assert_eq!(log.take(), expected);
}

#[test]
fn a_timer_is_never_early() {
    let reactor = reactor();
    let log = Log::default();
    call_at(&reactor, SECOND, log.writer(()));
    reactor.clock().advance(SECOND - 1);
    turn(&reactor);
    assert_eq!(log.len(), 0);
    reactor.clock().advance(1);
    turn(&reactor);
    assert_eq!(log.len(), 1);
}

#[test]
fn the_poller_sleeps_until_the_next_timer() {
    let reactor = reactor();
    call_at(&reactor, 3 * SECOND, |reactor| reactor.stop());
    call_at(&reactor, 2 * SECOND, |_| {});
    reactor.run().unwrap();
    let expected = [2, 1].map(|seconds| Some(Duration::from_secs(seconds)));
    assert_eq!(reactor.host().waits.take(), expected);
    assert_eq!(reactor.clock().now(), 3 * SECOND);
}

#[test]
fn the_poller_does_not_sleep_for_a_timer_in_the_past() {
    let reactor = reactor();
    reactor.clock().advance(SECOND);
    call_at(&reactor, 1, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(reactor.host().waits.take(), [Some(Duration::ZERO)]);
}

#[test]
fn a_due_timer_set_by_a_callback_runs_in_the_next_turn() {
    let reactor = reactor();
    let log = Log::default();
    let inner = log.clone();
    call_soon(&reactor, move |reactor| {
        call_at(reactor, 0, inner.writer("timer"));
        call_soon(reactor, inner.writer("soon"));
    });
    turn(&reactor);
    assert_eq!(log.len(), 0);
    turn(&reactor);
    assert_eq!(log.take(), ["soon", "timer"]);
}

#[test]
fn a_cancelled_timer_does_not_run() {
    let reactor = reactor();
    let log = Log::default();
    let timer = call_at(&reactor, MILLISECOND, log.writer("cancelled"));
    timer.cancel(&reactor);
    call_at(&reactor, 2 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(log.len(), 0);
}

#[test]
fn a_timer_can_be_cancelled_by_one_that_is_due_with_it() {
    let reactor = reactor();
    let log = Log::default();
    let victim = Callback::new(log.writer("victim"));
    let other = victim.clone();
    call_at(&reactor, 5, move |reactor| other.cancel(reactor));
    reactor.call_at(5, victim);
    reactor.clock().advance(5);
    turn(&reactor);
    assert_eq!((log.len(), reactor.host().skipped.get()), (0, 1));
}

#[test]
fn many_cancelled_timers_do_not_keep_memory() {
    let reactor = reactor();
    let drops = DropCounter::default();
    let kept = call_at(&reactor, 3600 * SECOND, |_| {});
    let mut most = 0;
    for _ in 0..10_000 {
        let guard = drops.guard();
        let timer = call_at(&reactor, 60 * SECOND, move |_| drop_nothing(&guard));
        timer.cancel(&reactor);
        most = most.max(reactor.timer_len());
    }
    assert!(most < 300, "{most} timers at once");
    assert!(drops.count() > 9_700, "only {} of 10,000 were dropped", drops.count());
    assert!(!kept.is_cancelled());
}

fn drop_nothing<T>(_value: &T) {}

#[test]
fn sweeping_keeps_every_live_timer_and_its_order() {
    let reactor = reactor();
    let log = Log::default();
    let mut timers = Vec::new();
    for number in 0..1000 {
        timers.push(call_at(&reactor, 7, log.writer(number)));
    }
    for (number, timer) in timers.iter().enumerate() {
        if number % 10 != 0 {
            timer.cancel(&reactor);
        }
    }
    assert!(reactor.timer_len() < 300);
    reactor.clock().advance(7);
    turn(&reactor);
    assert_eq!(log.take(), (0..1000).step_by(10).collect::<Vec<_>>());
}

#[test]
fn cancelled_timers_that_came_due_are_not_counted_twice() {
    let mut heap = TimerHeap::default();
    for number in 0..300 {
        heap.push(number, number);
    }
    // The first hundred are cancelled and leave by themselves; then they count no more.
    assert!(!(0..100).any(|_| heap.note_cancelled()));
    while heap.pop_due(99).is_some() {
        heap.forget_cancelled();
    }
    assert!(!(0..100).any(|_| heap.note_cancelled()));
    assert!(heap.note_cancelled());
}

#[test]
fn a_cancelled_timer_that_came_due_does_not_hasten_the_next_sweep() {
    let reactor = reactor();
    let set = |when| call_at(&reactor, when, |_| {});
    for _ in 0..99 {
        set(1).cancel(&reactor);
    }
    reactor.clock().advance(1);
    turn(&reactor);
    assert_eq!((reactor.timer_len(), reactor.host().skipped.get()), (0, 99));
    let timers: Vec<_> = (0..100).map(|_| set(SECOND)).collect();
    timers[..60].iter().for_each(|timer| timer.cancel(&reactor));
    assert_eq!(reactor.timer_len(), 100);
}

#[test]
fn a_time_at_the_end_of_the_clock_does_not_overflow() {
    let reactor = reactor();
    let log = Log::default();
    call_at(&reactor, Nanos::MAX, log.writer(()));
    reactor.wake_source_at(Nanos::MAX, sennit_engine::Token::NONE);
    turn(&reactor);
    assert_eq!((log.len(), reactor.timer_len()), (0, 1));
}
