//! The ready queue: order, turns, cancelling, stopping, and how often the poller is asked.

mod common;

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use common::connection::{data, start};
use common::peer::unix_pair;
use common::{Callback, Log, Loop, call_at, call_soon, reactor, turn};
use sennit_engine::clock::MILLISECOND;
use sennit_engine::reactor::State;

#[test]
fn callbacks_run_in_the_order_in_which_they_were_added() {
    let reactor = reactor();
    let log = Log::default();
    for number in 0..100 {
        call_soon(&reactor, log.writer(number));
    }
    turn(&reactor);
    assert_eq!(log.take(), (0..100).collect::<Vec<_>>());
}

#[test]
fn what_is_added_during_a_turn_waits_for_the_next() {
    let reactor = reactor();
    let log = Log::default();
    let inner = log.clone();
    call_soon(&reactor, move |reactor| {
        inner.push("first");
        call_soon(reactor, inner.writer("third"));
    });
    call_soon(&reactor, log.writer("second"));
    turn(&reactor);
    assert_eq!((log.take(), reactor.ready_len()), (vec!["first", "second"], 1));
    turn(&reactor);
    assert_eq!(log.take(), ["third"]);
}

/// A callback that adds itself again for ever.
fn again_and_again(reactor: &Loop, each: Arc<dyn Fn(&Loop) + Send + Sync>) {
    call_soon(reactor, move |reactor| {
        each(reactor);
        again_and_again(reactor, each.clone());
    });
}

#[test]
fn a_callback_that_adds_itself_does_not_starve_the_others() {
    let reactor = reactor();
    let log = Log::default();
    let all = log.clone();
    again_and_again(
        &reactor,
        Arc::new(move |reactor| {
            all.push('a');
            if all.len() >= 8 {
                reactor.stop();
            }
        }),
    );
    let all = log.clone();
    again_and_again(&reactor, Arc::new(move |_| all.push('b')));
    reactor.run().unwrap();
    assert_eq!(log.take(), ['a', 'b', 'a', 'b', 'a', 'b', 'a', 'b', 'a', 'b']);
}

#[test]
fn a_cancelled_callback_does_not_run() {
    let reactor = reactor();
    let log = Log::default();
    let victim = Callback::new(log.writer("victim"));
    let other = victim.clone();
    call_soon(&reactor, move |reactor| other.cancel(reactor));
    reactor.call_soon(victim);
    turn(&reactor);
    assert_eq!((log.len(), reactor.host().skipped.get()), (0, 1));
}

#[test]
fn due_timers_and_other_threads_come_behind_what_is_ready() {
    let reactor = reactor();
    let log = Log::default();
    reactor.call_soon_threadsafe(Callback::new(log.writer("inbox")));
    call_at(&reactor, 0, log.writer("timer"));
    call_soon(&reactor, log.writer("ready"));
    turn(&reactor);
    assert_eq!(log.take(), ["ready", "timer", "inbox"]);
}

#[test]
fn stop_lets_the_turn_come_to_its_end() {
    let reactor = reactor();
    let log = Log::default();
    let inner = log.clone();
    call_soon(&reactor, move |reactor| {
        reactor.stop();
        assert_eq!(reactor.state(), State::Stopping);
        call_soon(reactor, inner.writer("next turn"));
    });
    call_soon(&reactor, log.writer("same turn"));
    reactor.run().unwrap();
    assert_eq!((log.take(), reactor.state()), (vec!["same turn"], State::Idle));
    turn(&reactor);
    assert_eq!(log.take(), ["next turn"]);
}

#[test]
fn stop_before_run_gives_one_turn_that_does_not_sleep() {
    let reactor = reactor();
    let log = Log::default();
    call_at(&reactor, 1000, log.writer("later"));
    reactor.stop();
    reactor.run().unwrap();
    assert_eq!(log.len(), 0);
    assert_eq!(reactor.host().waits.take(), [Some(Duration::ZERO)]);
}

#[test]
fn an_interrupt_leaves_the_rest_for_the_next_run() {
    let reactor = reactor();
    let log = Log::default();
    call_soon(&reactor, |reactor| reactor.interrupt());
    call_soon(&reactor, log.writer("rest"));
    reactor.run().unwrap();
    assert_eq!((log.len(), reactor.ready_len(), reactor.state()), (0, 1, State::Idle));
    turn(&reactor);
    assert_eq!(log.take(), ["rest"]);
}

#[test]
fn a_host_that_forbids_turns_gets_none() {
    let reactor = reactor();
    let log = Log::default();
    call_soon(&reactor, log.writer(()));
    reactor.host().refuses_turns.set(true);
    reactor.run().unwrap();
    assert_eq!((log.len(), reactor.host().waits.take()), (0, vec![]));
    reactor.host().refuses_turns.set(false);
    turn(&reactor);
    assert_eq!(log.len(), 1);
}

#[test]
fn a_busy_loop_asks_the_poller_seldom_but_within_sixteen_turns() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    let turns = Log::default();
    let inner = turns.clone();
    again_and_again(&reactor, Arc::new(move |_| inner.push(())));
    connection.protocol().on_each(|_, reactor, _| reactor.stop());
    let before = reactor.statistics();
    peer.write_all(b"hello").unwrap();
    reactor.run().unwrap();
    assert_eq!(connection.protocol().take(), [data(b"hello")]);
    assert!(turns.len() <= 16, "{} turns without a poll", turns.len());
    assert!(reactor.statistics().polls - before.polls <= 2);
}

#[test]
fn the_first_turn_of_a_run_asks_the_poller_however_busy_it_is() {
    let reactor = reactor();
    for _ in 0..3 {
        call_soon(&reactor, |reactor| reactor.stop());
        reactor.run().unwrap();
        assert_eq!(reactor.host().waits.take(), [Some(Duration::ZERO)]);
    }
}

#[test]
fn a_busy_loop_asks_the_poller_when_the_clock_has_moved() {
    let reactor = reactor();
    let turns = Log::default();
    let inner = turns.clone();
    again_and_again(
        &reactor,
        Arc::new(move |reactor| {
            reactor.clock().advance(MILLISECOND);
            inner.push(());
            if inner.len() == 20 {
                reactor.stop();
            }
        }),
    );
    reactor.run().unwrap();
    assert_eq!(reactor.host().waits.take().len(), 20);
}

#[test]
fn a_busy_loop_lets_other_threads_in_every_five_milliseconds() {
    let reactor = reactor();
    let turns = Log::default();
    let inner = turns.clone();
    again_and_again(
        &reactor,
        Arc::new(move |reactor| {
            reactor.clock().advance(MILLISECOND);
            inner.push(());
            if inner.len() == 50 {
                reactor.stop();
            }
        }),
    );
    reactor.run().unwrap();
    let host = reactor.host();
    assert!((9..=11).contains(&host.parked.get()), "parked {} times", host.parked.get());
    assert_eq!(host.parked, host.unparked);
}

#[test]
fn pending_signals_are_looked_at_after_each_poll() {
    let reactor = reactor();
    let log = Log::default();
    call_soon(&reactor, log.writer(()));
    reactor.host().interrupt_when_polled.set(true);
    reactor.run().unwrap();
    assert_eq!((log.len(), reactor.host().polled.get()), (0, 1));
    turn(&reactor);
    assert_eq!(log.len(), 1);
}

#[test]
fn statistics_count_turns_polls_and_callbacks() {
    let reactor = reactor();
    let before = reactor.statistics();
    for _ in 0..3 {
        call_soon(&reactor, |_| {});
        call_soon(&reactor, |_| {});
        turn(&reactor);
    }
    let after = reactor.statistics();
    assert_eq!((after.turns - before.turns, after.polls - before.polls), (3, 3));
    assert_eq!(after.callbacks - before.callbacks, 6);
}

#[test]
fn a_collector_sees_every_callback_that_is_held() {
    let reactor = reactor();
    let ready = call_soon(&reactor, |_| {});
    let timer = call_at(&reactor, 5, |_| {});
    let mut seen = Vec::new();
    reactor.visit(&mut |references| seen.push(*references));
    assert_eq!(seen, [2, 2]);
    drop((ready, timer));
}
