//! What a sleep lets go of, and when it need not.
#![allow(clippy::disallowed_types)] // the peer is an ordinary socket

mod common;

use std::cell::Cell;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

use common::peer::unix_pair;
use common::{Loop, TestHost, reactor};
use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::{Interest, Readiness, Source};

const READ: Interest = Interest::Level { readable: true, writable: false };

/// Finds its descriptor ready in every turn; stops the reactor in the one that is asked for.
struct Busy {
    socket: OwnedFd,
    turns_left: Cell<usize>,
    /// How much time passes in each turn.
    pace: Nanos,
}

impl Source<TestHost> for Busy {
    fn ready(self: Rc<Self>, reactor: &Loop, _readiness: Readiness) {
        reactor.clock().advance(self.pace);
        self.turns_left.set(self.turns_left.get() - 1);
        if self.turns_left.get() == 0 {
            reactor.stop();
        }
    }

    fn abandoned(self: Rc<Self>, _reactor: &Loop) {}
}

/// Lets a reactor run for some turns, in each of which something is ready.
fn run_busy(reactor: &Loop, turns: usize, pace: Nanos) {
    let (ours, mut peer) = unix_pair();
    peer.write_all(b"x").unwrap();
    let source = Rc::new(Busy { socket: ours, turns_left: Cell::new(turns), pace });
    reactor.register(source.socket.as_raw_fd(), READ, source.clone()).unwrap();
    reactor.run().unwrap();
}

#[test]
fn a_sleep_lets_others_in() {
    let reactor = reactor();
    run_busy(&reactor, 10, 0);
    let host = reactor.host();
    assert_eq!((host.parked.get(), host.unparked.get()), (10, 10));
    assert_eq!(host.waits.take(), [None; 10]);
}

#[test]
fn under_load_a_short_sleep_keeps_what_nobody_else_can_want() {
    let reactor = reactor();
    reactor.host().alone.set(true);
    run_busy(&reactor, 10, MILLISECOND / 2);
    let host = reactor.host();
    assert_eq!((host.parked.get(), host.unparked.get()), (0, 0));
    let short = Some(Duration::from_millis(1));
    assert_eq!(host.waits.take(), [short; 10]);
}

#[test]
fn a_reactor_with_little_to_do_lets_others_in_even_alone() {
    let reactor = reactor();
    reactor.host().alone.set(true);
    run_busy(&reactor, 10, 2 * MILLISECOND);
    // The first two looks, after that of the reactor's beginning, came at the same time as that.
    assert_eq!(reactor.host().parked.get(), 8);
}

#[test]
fn a_short_sleep_that_finds_nothing_is_followed_by_one_that_lets_others_in() {
    let reactor = reactor();
    let host = reactor.host();
    host.alone.set(true);
    let (ours, mut peer) = unix_pair();
    peer.write_all(b"x").unwrap();
    let source = Rc::new(Busy { socket: ours, turns_left: Cell::new(2), pace: 0 });
    let token = reactor.register(source.socket.as_raw_fd(), READ, source.clone()).unwrap();
    reactor.run().unwrap();
    // Closing the descriptor takes it out of the set.
    drop((reactor.remove(token), source));
    host.waits.take();
    host.parked.set(0);
    common::call_at(&reactor, 10 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    // A millisecond of the ten was slept alone.
    let (first, second) = (Duration::from_millis(1), Duration::from_millis(9));
    assert_eq!(host.waits.take(), [Some(first), Some(second)]);
    assert_eq!(host.parked.get(), 1);
}
