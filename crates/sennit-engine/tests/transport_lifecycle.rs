//! Transports, from the start to the end: who hears what, once, and when descriptors are closed.

mod common;

use std::io::{Error, ErrorKind, Read, Write};
use std::os::fd::AsRawFd;
use std::rc::Rc;

use common::connection::{Heard, connection, copy, data, start};
use common::peer::{read_now, tcp_pair, unix_pair, wait_readable};
use common::random::Random;
use common::{DropCounter, Log, call_soon, reactor, turn, turn_until};
use sennit_engine::transport::State;

#[test]
fn close_sends_what_waits_and_then_says_so_in_the_next_turn() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(b"goodbye")).unwrap();
    connection.close(&reactor);
    assert_eq!(connection.state(), State::Lost);
    assert_eq!(connection.protocol().take(), []);
    assert_eq!(read_now(&mut peer), (b"goodbye".to_vec(), false));
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
    assert_eq!((read_now(&mut peer).1, connection.state()), (true, State::Closed));
}

#[test]
fn close_waits_for_a_slow_reader() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&vec![b'.'; 1 << 20])).unwrap();
    connection.close(&reactor);
    assert_eq!(connection.state(), State::Draining);
    let mut received = 0;
    turn_until(&reactor, || {
        let (bytes, ended) = read_now(&mut peer);
        received += bytes.len();
        ended
    });
    assert_eq!(received, 1 << 20);
    assert_eq!(connection.protocol().take().last(), Some(&Heard::Lost(None)));
}

#[test]
fn a_connection_that_closes_hears_no_more_data() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&vec![b'.'; 1 << 20])).unwrap();
    connection.protocol().take();
    connection.close(&reactor);
    peer.write_all(b"too late").unwrap();
    turn_until(&reactor, || {
        read_some(&mut peer);
        connection.state() == State::Closed
    });
    let heard = connection.protocol().take();
    assert!(!heard.iter().any(|heard| matches!(heard, Heard::Data(_) | Heard::Eof)), "{heard:?}");
}

#[test]
fn a_write_after_close_joins_what_waits_or_is_ignored() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.close(&reactor);
    connection.write(&reactor, copy(b"too late")).unwrap();
    turn(&reactor);
    connection.write(&reactor, copy(b"much too late")).unwrap();
    turn(&reactor);
    assert_eq!(connection.queued(), 0);
    assert_eq!(read_now(&mut peer), (vec![], true));
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
}

#[test]
fn abort_drops_what_waits() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(b"never sent")).unwrap();
    connection.abort(&reactor);
    assert_eq!((connection.queued(), connection.state()), (0, State::Lost));
    turn(&reactor);
    assert_eq!(read_now(&mut peer), (vec![], true));
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
}

#[test]
fn abort_ends_a_close_that_waits_for_a_peer_who_never_reads() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&vec![b'.'; 1 << 20])).unwrap();
    connection.close(&reactor);
    for _ in 0..10 {
        turn(&reactor);
    }
    assert_eq!(connection.state(), State::Draining);
    connection.abort(&reactor);
    turn(&reactor);
    assert_eq!((connection.state(), reactor.source_len()), (State::Closed, 0));
}

#[test]
fn a_failure_reaches_the_protocol() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.fail(&reactor, Error::from(ErrorKind::TimedOut));
    connection.fail(&reactor, Error::from(ErrorKind::Other));
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Lost(Some(ErrorKind::TimedOut))]);
}

#[test]
fn a_write_to_a_peer_that_is_gone_is_an_error_and_no_signal() {
    let reactor = reactor();
    let (ours, peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.pause_reading();
    drop(peer);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), []);
    connection.write(&reactor, copy(b"hello?")).unwrap();
    turn(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Lost(Some(ErrorKind::BrokenPipe))]);
}

#[test]
fn a_protocol_may_close_its_transport_within_its_own_call() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.protocol().own_buffer.set(Some(5));
    connection.protocol().on_each(|connection, reactor, heard| {
        if matches!(heard, Heard::Data(_)) {
            connection.write(reactor, copy(b"bye")).unwrap();
            connection.close(reactor);
        }
    });
    peer.write_all(b"hello, are you there?").unwrap();
    turn(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [data(b"hello"), Heard::Lost(None)]);
    assert_eq!(&read_all(&mut peer)[..], b"bye");
}

fn read_all(peer: &mut impl Read) -> Vec<u8> {
    let mut all = Vec::new();
    // What nobody has read on our side makes a reset behind the data.
    let _ = peer.read_to_end(&mut all);
    all
}

#[test]
fn every_call_may_abort_and_nothing_but_the_end_follows() {
    let at = [data(b"hello"), Heard::Eof, Heard::Pause, Heard::Resume, Heard::Lost(None)];
    for when in at {
        let reactor = reactor();
        let (ours, mut peer) = unix_pair();
        let connection = start(&reactor, ours);
        connection.protocol().keep_open.set(true);
        let then = when.clone();
        connection.protocol().on_each(move |connection, reactor, heard| {
            if *heard == then {
                connection.abort(reactor);
                connection.close(reactor);
                connection.write(reactor, copy(b"x")).unwrap();
                connection.resume_reading(reactor);
            }
        });
        peer.write_all(b"hello").unwrap();
        turn(&reactor);
        connection.write(&reactor, copy(&vec![b'.'; 1 << 20])).unwrap();
        turn_until(&reactor, || read_now(&mut peer).0.is_empty());
        peer.shutdown(std::net::Shutdown::Write).unwrap();
        turn(&reactor);
        turn(&reactor);
        connection.abort(&reactor);
        turn(&reactor);
        turn(&reactor);
        let heard = connection.protocol().take();
        let lost = heard.iter().filter(|heard| matches!(heard, Heard::Lost(_))).count();
        assert_eq!((lost, heard.last()), (1, Some(&Heard::Lost(None))), "{when:?}: {heard:?}");
        let place = heard.iter().position(|heard| *heard == when).unwrap();
        assert!(place + 2 >= heard.len(), "{when:?}: {heard:?}");
        assert_eq!(reactor.source_len(), 0);
    }
}

#[test]
fn connection_lost_has_its_place_among_the_callbacks() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    let log = Log::default();
    call_soon(&reactor, log.writer("before"));
    connection.abort(&reactor);
    call_soon(&reactor, log.writer("after"));
    let inner = log.clone();
    connection.protocol().on_each(move |_, _, _| inner.push("lost"));
    turn(&reactor);
    assert_eq!(log.take(), ["before", "lost", "after"]);
}

#[test]
fn the_descriptor_is_open_until_connection_lost_has_returned() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    let seen = Log::default();
    let inner = seen.clone();
    connection.protocol().on_each(move |connection, _, _| inner.push(connection.descriptor()));
    connection.abort(&reactor);
    turn(&reactor);
    assert!(seen.take()[0].is_some());
    assert_eq!((connection.descriptor(), read_now(&mut peer).1), (None, true));
}

#[test]
fn an_end_before_the_start_is_told_after_it() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = connection(ours);
    connection.abort(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), []);
    connection.start(&reactor).unwrap();
    turn(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
    assert_eq!(reactor.source_len(), 0);
}

#[test]
fn a_lost_connection_is_let_go_of() {
    let reactor = reactor();
    let drops = DropCounter::default();
    for _ in 0..100 {
        let (ours, peer) = unix_pair();
        let connection = start(&reactor, ours);
        connection.protocol().hold(drops.guard());
        connection.write(&reactor, copy(b"x")).unwrap();
        drop(peer);
    }
    turn_until(&reactor, || reactor.source_len() == 0);
    assert_eq!(drops.count(), 100);
}

#[test]
fn closing_the_reactor_within_a_call_ends_everything() {
    let reactor = reactor();
    let (one, mut one_peer) = unix_pair();
    let (other, mut other_peer) = tcp_pair();
    let one = start(&reactor, one);
    let other = start(&reactor, other);
    let log = Log::default();
    call_soon(&reactor, log.writer(()));
    one.protocol().on_each(|connection, reactor, _| {
        connection.write(reactor, copy(b"x")).unwrap();
        drop(reactor.close());
        assert_eq!(connection.state(), State::Closed);
    });
    one_peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(one.protocol().take(), [data(b"x"), Heard::Abandoned]);
    assert_eq!(other.protocol().take(), [Heard::Abandoned]);
    assert_eq!((reactor.source_len(), log.len()), (0, 0));
    wait_readable(other_peer.as_raw_fd());
    assert!(read_now(&mut other_peer).1);
    assert!(Rc::strong_count(&one) == 1 && Rc::strong_count(&other) == 1);
}

#[test]
fn in_any_order_of_calls_a_protocol_hears_a_legal_story() {
    for seed in 0..300 {
        let mut random = Random::seeded(seed);
        let reactor = reactor();
        let (ours, mut peer) = unix_pair();
        let connection = connection(ours);
        connection.protocol().keep_open.set(random.once_in(2));
        connection.set_water_marks(&reactor, 100, 1000);
        let mut started = false;
        for _ in 0..60 {
            match random.below(14) {
                0..3 => {
                    let size = [0, 10, 900, 300_000][random.below(4) as usize];
                    let _ = connection.write(&reactor, copy(&vec![b'.'; size]));
                }
                3 | 4 => {
                    let _ = peer.write(&[b'?'; 50]);
                }
                5 => drop(read_some(&mut peer)),
                6 if !started => {
                    connection.start(&reactor).unwrap();
                    started = true;
                }
                7 => drop(connection.pause_reading()),
                8 => connection.resume_reading(&reactor),
                9 if random.once_in(10) => connection.write_eof(&reactor),
                10 if random.once_in(20) => connection.close(&reactor),
                11 if random.once_in(20) => connection.abort(&reactor),
                12 if random.once_in(20) => {
                    let _ = peer.shutdown(std::net::Shutdown::Write);
                }
                _ => turn(&reactor),
            }
        }
        if !started {
            connection.start(&reactor).unwrap();
        }
        connection.abort(&reactor);
        turn(&reactor);
        turn(&reactor);
        assert_eq!((connection.state(), reactor.source_len()), (State::Closed, 0));
        check_story(seed, &connection.protocol().take());
    }
}

/// Reads once; what has become of the connection is not of interest.
fn read_some(peer: &mut impl Read) -> usize {
    peer.read(&mut [0; 65_536]).unwrap_or(0)
}

fn check_story(seed: u64, story: &[Heard]) {
    let (mut paused, mut ended) = (false, false);
    for (place, heard) in story.iter().enumerate() {
        let last = place + 1 == story.len();
        match heard {
            Heard::Data(_) => assert!(!ended, "seed {seed}: data after the end: {story:?}"),
            Heard::Eof => assert!(!std::mem::replace(&mut ended, true), "seed {seed}"),
            Heard::Pause => assert!(!std::mem::replace(&mut paused, true), "seed {seed}"),
            Heard::Secured => unreachable!("there is no TLS"),
            Heard::Resume => assert!(std::mem::replace(&mut paused, false), "seed {seed}"),
            Heard::Lost(_) => assert!(last, "seed {seed}: {story:?}"),
            Heard::Deadline(_) | Heard::Abandoned => panic!("seed {seed}: {story:?}"),
        }
    }
    assert!(matches!(story.last(), Some(Heard::Lost(_))), "seed {seed}: {story:?}");
}
