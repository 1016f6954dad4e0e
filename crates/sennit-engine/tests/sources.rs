//! Sources: registering, changing, forgetting, and that nobody gets the events of another.
#![allow(clippy::disallowed_types)] // a second hand on the same socket is an ordinary one

mod common;

use std::cell::RefCell;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, IntoRawFd, OwnedFd};
use std::rc::Rc;

use common::peer::{fill, read_now, unix_pair};
use common::probe::Probe;
use common::{DropCounter, Log, call_soon, reactor, turn};
use sennit_engine::clock::MILLISECOND;
use sennit_engine::{Interest, Readiness, Token};

const READ: Interest = Interest::Level { readable: true, writable: false };
const WRITE: Interest = Interest::Level { readable: false, writable: true };

#[test]
fn a_level_triggered_source_hears_at_every_poll_until_it_is_read() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    turn(&reactor);
    assert!(probe.told().is_empty());
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    turn(&reactor);
    assert_eq!(probe.told(), ["r", "r"]);
    sennit_engine::socket::receive(probe.descriptor(), &mut [0; 8]).unwrap();
    turn(&reactor);
    assert!(probe.told().is_empty());
}

#[test]
fn an_edge_triggered_source_hears_once_of_each_change() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, Interest::Edge);
    turn(&reactor);
    turn(&reactor);
    assert_eq!(probe.told(), ["w"]);
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    turn(&reactor);
    assert_eq!(probe.told(), ["rw"]);
    peer.write_all(b"y").unwrap();
    turn(&reactor);
    assert_eq!(probe.told(), ["rw"]);
    drop(peer);
    turn(&reactor);
    turn(&reactor);
    assert_eq!(probe.told(), ["rwcb"]);
}

#[test]
fn a_changed_interest_holds_from_the_next_poll_on() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    peer.write_all(b"x").unwrap();
    reactor.change(probe.descriptor(), probe.token(), WRITE).unwrap();
    turn(&reactor);
    assert_eq!(probe.told(), ["w"]);
    let both = Interest::Level { readable: true, writable: true };
    reactor.change(probe.descriptor(), probe.token(), both).unwrap();
    turn(&reactor);
    assert_eq!(probe.told(), ["rw"]);
    let neither = Interest::Level { readable: false, writable: false };
    reactor.change(probe.descriptor(), probe.token(), neither).unwrap();
    turn(&reactor);
    assert!(probe.told().is_empty());
}

#[test]
fn an_unwatched_descriptor_stays_open_and_can_be_registered_again() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let descriptor = ours.as_raw_fd();
    let probe = Probe::start(&reactor, ours, READ);
    peer.write_all(b"x").unwrap();
    reactor.unwatch(descriptor).unwrap();
    assert!(reactor.remove(probe.token()).is_some());
    turn(&reactor);
    assert!(probe.told().is_empty());
    assert!(reactor.unwatch(descriptor).is_err());
    let again = Rc::new(Probe::default());
    reactor.register(descriptor, READ, again.clone()).unwrap();
    turn(&reactor);
    assert_eq!((probe.told(), again.told()), (vec![], vec!["r".to_string()]));
}

#[test]
fn a_descriptor_that_cannot_be_watched_is_an_error_and_leaves_nothing() {
    let reactor = reactor();
    let drops = DropCounter::default();
    let probe = Probe::default();
    *probe.guard.borrow_mut() = Some(drops.guard());
    assert!(reactor.register(-1, READ, Rc::new(probe)).is_err());
    assert_eq!((reactor.source_len(), drops.count()), (0, 1));
}

#[test]
fn a_second_registration_of_a_descriptor_is_an_error() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    let second = Rc::new(Probe::default());
    assert!(reactor.register(probe.descriptor(), READ, second).is_err());
    assert_eq!(reactor.source_len(), 1);
}

#[test]
fn a_removed_source_does_not_hear_of_an_event_reported_in_the_same_poll() {
    let reactor = reactor();
    let (one, mut one_peer) = unix_pair();
    let (other, mut other_peer) = unix_pair();
    let one = Probe::start(&reactor, one, READ);
    let other = Probe::start(&reactor, other, READ);
    for (me, victim) in [(&one, other.token()), (&other, one.token())] {
        me.once(move |reactor| drop(reactor.remove(victim)));
    }
    one_peer.write_all(b"x").unwrap();
    other_peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(one.told().len() + other.told().len(), 1);
    assert_eq!(reactor.source_len(), 1);
}

#[test]
fn a_descriptor_closed_and_reused_between_two_events_of_one_poll_is_not_mistaken() {
    let reactor = reactor();
    let (one, mut one_peer) = unix_pair();
    let (other, mut other_peer) = unix_pair();
    let one = Probe::start(&reactor, one, READ);
    let other = Probe::start(&reactor, other, READ);
    let newcomers = Rc::new(RefCell::new(Vec::new()));
    // Whoever hears first takes the other's place: same descriptor, same slot, other owner.
    for (me, victim) in [(&one, other.clone()), (&other, one.clone())] {
        let newcomers = newcomers.clone();
        me.once(move |reactor| {
            drop(reactor.remove(victim.token()));
            let number = victim.socket.take().unwrap().into_raw_fd();
            let (fresh, peer) = unix_pair();
            // SAFETY: both are open, and `number` was given up by its owner just now; no other
            // thread can get it in between, as dup2 closes and reuses it in one step.
            let taken = unsafe { libc::dup2(fresh.as_raw_fd(), number) };
            assert_eq!(taken, number);
            // SAFETY: dup2 has just made this descriptor for us.
            let reused = unsafe { OwnedFd::from_raw_fd(number) };
            let newcomer = Probe::start(reactor, reused, READ);
            assert_ne!(newcomer.token(), victim.token());
            assert_eq!(newcomer.token().0 as u32, victim.token().0 as u32);
            newcomers.borrow_mut().push((newcomer, peer));
        });
    }
    one_peer.write_all(b"x").unwrap();
    other_peer.write_all(b"x").unwrap();
    turn(&reactor);
    let (newcomer, mut peer) = newcomers.borrow_mut().pop().unwrap();
    assert!(newcomers.borrow().is_empty(), "both have heard");
    assert_eq!(one.told().len() + other.told().len(), 1);
    assert!(newcomer.told().is_empty(), "heard what was meant for another");
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(newcomer.told(), ["r"]);
    // The two probes hold each other.
    one.reaction.take();
    other.reaction.take();
}

#[test]
fn an_interrupt_in_the_middle_of_a_dispatch_loses_no_edge() {
    let reactor = reactor();
    let pairs: Vec<_> = (0..10).map(|_| unix_pair()).collect();
    let mut probes = Vec::new();
    let mut peers = Vec::new();
    for (ours, peer) in pairs {
        probes.push(Probe::start(&reactor, ours, Interest::Edge));
        peers.push(peer);
    }
    turn(&reactor);
    for (probe, peer) in probes.iter().zip(&mut peers) {
        assert_eq!(probe.told(), ["w"]);
        probe.once(|reactor| reactor.interrupt());
        peer.write_all(b"x").unwrap();
    }
    for done in 1..=10 {
        turn(&reactor);
        let heard = probes.iter().filter(|probe| !probe.told.borrow().is_empty()).count();
        assert_eq!(heard, done);
    }
    turn(&reactor);
    assert!(probes.iter().all(|probe| probe.told() == ["rw"]));
}

#[test]
fn a_dispatch_asked_for_again_comes_in_the_next_turn() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    let token = probe.token();
    probe.once(move |reactor| reactor.dispatch_again(token, Readiness::WRITABLE));
    reactor.dispatch_again(token, Readiness::READABLE);
    turn(&reactor);
    assert_eq!(probe.told(), ["r"]);
    // The reactor does not sleep over it.
    common::call_at(&reactor, 1000 * MILLISECOND, |reactor| reactor.stop());
    reactor.host().waits.take();
    reactor.run().unwrap();
    assert_eq!(probe.told(), ["w"]);
    assert_eq!(reactor.host().waits.take()[0].map(|wait| wait.as_nanos()), Some(0));
}

#[test]
fn notifications_have_their_place_among_the_callbacks() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    let log = Log::default();
    call_soon(&reactor, log.writer(1));
    reactor.notify_later(probe.token());
    call_soon(&reactor, log.writer(2));
    reactor.notify_later(Token::NONE);
    turn(&reactor);
    assert_eq!((log.take(), probe.told()), (vec![1, 2], vec!["notified".to_string()]));
}

#[test]
fn a_flush_comes_once_at_the_end_of_the_turn() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    let token = probe.token();
    probe.once(move |reactor| {
        reactor.flush_later(token);
        reactor.notify_later(token);
    });
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(probe.told(), ["r", "notified", "flush"]);
    sennit_engine::socket::receive(probe.descriptor(), &mut [0; 8]).unwrap();
    turn(&reactor);
    assert!(probe.told().is_empty());
}

#[test]
fn the_reactor_does_not_sleep_over_a_flush_that_was_asked_for_before_it_ran() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let probe = Probe::start(&reactor, ours, READ);
    reactor.flush_later(probe.token());
    common::call_at(&reactor, 1000 * MILLISECOND, |reactor| reactor.stop());
    reactor.clock().advance(1);
    reactor.run().unwrap();
    let first = reactor.host().waits.take()[0];
    assert_eq!((first.map(|wait| wait.as_nanos()), probe.told().len()), (Some(0), 1));
}

#[test]
fn a_source_hears_of_room_to_write_once_the_peer_has_read() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let mut writer: std::os::unix::net::UnixStream = ours.try_clone().unwrap().into();
    let probe = Probe::start(&reactor, ours, Interest::Edge);
    turn(&reactor);
    probe.told();
    let written = fill(&mut writer);
    turn(&reactor);
    assert!(probe.told().is_empty());
    assert_eq!(read_now(&mut peer).0.len(), written);
    turn(&reactor);
    assert_eq!(probe.told(), ["w"]);
}
