//! Coarse deadlines: late by less than a tick, never early, and for nobody else.

mod common;

use std::time::Duration;

use common::peer::unix_pair;
use common::probe::Probe;
use common::{call_at, reactor, turn};
use sennit_engine::clock::MILLISECOND;
use sennit_engine::{Clock, Interest};

const READ: Interest = Interest::Level { readable: true, writable: false };

#[test]
fn deadlines_come_late_by_less_than_a_tick_and_wake_the_reactor() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    reactor.wake_source_at(105 * MILLISECOND, probe.token());
    reactor.wake_source_at(7_000 * MILLISECOND, probe.token());
    call_at(&reactor, 8_000 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(probe.told(), ["deadline 110", "deadline 7010"]);
    assert_eq!(reactor.clock().now(), 8_000 * MILLISECOND);
}

#[test]
fn a_deadline_of_a_removed_source_finds_nobody() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    reactor.wake_source_at(10 * MILLISECOND, probe.token());
    drop(reactor.remove(probe.token()));
    let (next, _next_peer) = unix_pair();
    let next = Probe::start(&reactor, next, READ);
    reactor.clock().advance(50 * MILLISECOND);
    turn(&reactor);
    assert_eq!((probe.told().len(), next.told().len()), (0, 0));
}

#[test]
fn a_deadline_may_be_asked_for_again_from_within_itself() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    let token = probe.token();
    probe.once(move |reactor| {
        // Once in the past and once ahead: neither is heard in this very turn.
        reactor.wake_source_at(0, token);
        reactor.wake_source_at(reactor.now() + 50 * MILLISECOND, token);
    });
    reactor.wake_source_at(MILLISECOND, token);
    call_at(&reactor, 200 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(probe.told(), ["deadline 10", "deadline 20", "deadline 70"]);
}

#[test]
fn an_interrupt_among_deadlines_leaves_the_others_for_the_next_turn_at_once() {
    let reactor = reactor();
    let (one, _one_peer) = unix_pair();
    let (other, _other_peer) = unix_pair();
    let one = Probe::start(&reactor, one, READ);
    let other = Probe::start(&reactor, other, READ);
    one.once(|reactor| reactor.interrupt());
    reactor.wake_source_at(MILLISECOND, one.token());
    reactor.wake_source_at(MILLISECOND, other.token());
    reactor.clock().advance(10 * MILLISECOND);
    turn(&reactor);
    assert_eq!((one.told().len(), other.told().len()), (1, 0));
    call_at(&reactor, 1000 * MILLISECOND, |reactor| reactor.stop());
    reactor.host().waits.take();
    reactor.clock().advance(1);
    reactor.run().unwrap();
    assert_eq!(reactor.host().waits.take()[0], Some(Duration::ZERO));
    assert_eq!(other.told(), ["deadline 10"]);
}
