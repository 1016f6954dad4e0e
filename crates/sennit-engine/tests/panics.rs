//! A panic of the host goes through the reactor to whoever runs it, and leaves it usable: nothing
//! is borrowed while the host is called.

mod common;

use std::io::Write;
use std::os::fd::AsRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;

use common::connection::{Heard, data, start};
use common::peer::unix_pair;
use common::{Log, Loop, TestHost, call_at, call_soon, reactor, turn};
use sennit_engine::clock::{MILLISECOND, Nanos, SECOND};
use sennit_engine::reactor::State;
use sennit_engine::{Interest, Readiness, Source};

fn panics(reactor: &Loop) {
    let result = catch_unwind(AssertUnwindSafe(|| turn(reactor)));
    assert!(result.is_err());
    assert_eq!(reactor.state(), State::Idle);
}

#[test]
fn a_panic_in_a_callback_leaves_the_others_in_their_place() {
    let reactor = reactor();
    let log = Log::default();
    call_soon(&reactor, |_| panic!("the first of three"));
    call_soon(&reactor, log.writer(2));
    call_soon(&reactor, log.writer(3));
    panics(&reactor);
    assert_eq!((log.len(), reactor.ready_len()), (0, 2));
    turn(&reactor);
    assert_eq!(log.take(), [2, 3]);
}

#[test]
fn a_panic_in_a_timer_leaves_the_other_timers() {
    let reactor = reactor();
    let log = Log::default();
    call_at(&reactor, 1, |_| panic!("a timer"));
    call_at(&reactor, 1, log.writer("same time"));
    call_at(&reactor, 2, log.writer("later"));
    reactor.clock().advance(1);
    panics(&reactor);
    reactor.clock().advance(1);
    turn(&reactor);
    assert_eq!(log.take(), ["same time", "later"]);
}

#[test]
fn a_panic_in_one_connection_costs_no_other_its_edge() {
    let reactor = reactor();
    let (bad, mut bad_peer) = unix_pair();
    let bad = start(&reactor, bad);
    bad.protocol().on_each(|_, _, heard| {
        assert!(!matches!(heard, Heard::Data(_)), "a protocol that fails");
    });
    let mut others = Vec::new();
    for _ in 0..5 {
        let (ours, peer) = unix_pair();
        others.push((start(&reactor, ours), peer));
    }
    turn(&reactor);
    for (_, peer) in &mut others[..2] {
        peer.write_all(b"hello").unwrap();
    }
    bad_peer.write_all(b"hello").unwrap();
    for (_, peer) in &mut others[2..] {
        peer.write_all(b"hello").unwrap();
    }
    panics(&reactor);
    bad.abort(&reactor);
    turn(&reactor);
    for (connection, _) in &others {
        assert_eq!(connection.protocol().take(), [data(b"hello")]);
    }
    assert_eq!(reactor.source_len(), 5);
}

#[test]
fn a_connection_that_has_panicked_is_thrown_away() {
    let reactor = reactor();
    let (bad, mut bad_peer) = unix_pair();
    let (good, mut good_peer) = unix_pair();
    let (bad, good) = (start(&reactor, bad), start(&reactor, good));
    bad.protocol().on_each(|_, _, _| panic!("a protocol that fails"));
    bad_peer.write_all(b"hello").unwrap();
    panics(&reactor);
    assert!(reactor.discard_failed());
    assert!(!reactor.discard_failed());
    assert_eq!((bad.descriptor(), reactor.source_len()), (None, 1));
    good_peer.write_all(b"hello").unwrap();
    turn(&reactor);
    assert_eq!(good.protocol().take(), [data(b"hello")]);
}

#[test]
fn a_panic_of_a_callback_is_no_connections_fault() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    call_soon(&reactor, |_| panic!("a callback"));
    panics(&reactor);
    assert!(!reactor.discard_failed());
    assert!(connection.descriptor().is_some());
}

#[test]
fn a_reactor_can_be_closed_after_a_panic() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.protocol().on_each(|_, _, _| panic!("a protocol that fails"));
    peer.write_all(b"hello").unwrap();
    panics(&reactor);
    call_soon(&reactor, |_| {});
    assert_eq!(reactor.close().len(), 1);
    assert_eq!(connection.descriptor(), None);
}

#[test]
fn a_panic_at_a_deadline_or_a_flush_costs_no_other_source_its_own() {
    let reactor = reactor();
    let heard = Log::default();
    let mut sockets = Vec::new();
    for number in 0..3 {
        let (ours, peer) = unix_pair();
        let source = Rc::new(Fragile { number, heard: heard.clone() });
        let quiet = Interest::Level { readable: false, writable: false };
        let token = reactor.register(ours.as_raw_fd(), quiet, source).unwrap();
        reactor.wake_source_at(MILLISECOND, token);
        reactor.flush_later(token);
        sockets.push((ours, peer));
    }
    reactor.clock().advance(SECOND);
    // A deadline that fails ends the turn; the others hear in the next, and then come the flushes.
    panics(&reactor);
    panics(&reactor);
    turn(&reactor);
    assert_eq!(heard.take(), ["deadline 1", "deadline 2", "flush 1", "flush 2"]);
}

/// A source of which the first fails.
struct Fragile {
    number: usize,
    heard: Log<String>,
}

impl Fragile {
    fn hear(&self, what: &str) {
        assert!(self.number > 0, "the first source fails");
        self.heard.push(format!("{what} {}", self.number));
    }
}

impl Source<TestHost> for Fragile {
    fn ready(self: Rc<Self>, _reactor: &Loop, _readiness: Readiness) {}

    fn flush(self: Rc<Self>, _reactor: &Loop) {
        self.hear("flush");
    }

    fn deadline(self: Rc<Self>, _reactor: &Loop, _now: Nanos) {
        self.hear("deadline");
    }

    fn abandoned(self: Rc<Self>, _reactor: &Loop) {}
}
