//! Transports, the reading half: data, the short-read rule, fairness, pausing, the peer's end.

mod common;

use std::io::{ErrorKind, Write};
use std::os::fd::AsRawFd;

use common::connection::{Heard, connection, copy, data, start};
use common::peer::{fill, packet_pair, read_now, reset, tcp_pair, unix_pair, wait_readable};
use common::{reactor, turn, turn_until};
use sennit_engine::reactor::SCRATCH_SIZE;
use sennit_engine::transport::{Reading, State};

#[test]
fn data_reaches_the_protocol_in_order() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    for word in ["one ", "two ", "three"] {
        peer.write_all(word.as_bytes()).unwrap();
        turn(&reactor);
    }
    assert_eq!(connection.protocol().take(), [data(b"one two three")]);
}

#[test]
fn nothing_is_read_before_the_start() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = connection(ours);
    peer.write_all(b"early").unwrap();
    turn(&reactor);
    assert_eq!(connection.protocol().take(), []);
    connection.start(&reactor).unwrap();
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [data(b"early")]);
}

#[test]
fn a_read_that_comes_up_short_is_the_last_of_its_dispatch() {
    let reactor = reactor();
    // Where the borders between sends are kept, each read ends at one: a second read in the same
    // dispatch would be seen.
    let (ours, peer) = packet_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    let peer_fd = peer.as_raw_fd();
    sennit_engine::socket::send(peer_fd, b"one").unwrap();
    sennit_engine::socket::send(peer_fd, b"two").unwrap();
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [data(b"one")]);
}

#[test]
fn a_connection_gets_its_share_of_a_turn_and_the_rest_in_the_next() {
    let reactor = reactor();
    let (ours, mut peer) = tcp_pair();
    let total = fill(&mut peer);
    assert!(total > 2 * SCRATCH_SIZE, "the kernel's buffers are too small for this test");
    let connection = start(&reactor, ours);
    let mut turns = 0;
    let mut before = 0;
    turn_until(&reactor, || {
        let now = connection.protocol().received();
        assert!(now - before <= SCRATCH_SIZE, "{} bytes in one turn", now - before);
        turns += 1;
        before = now;
        now >= total
    });
    assert!(turns > total / SCRATCH_SIZE);
}

#[test]
fn a_peer_that_never_stops_sending_gets_no_more_than_its_share() {
    let reactor = reactor();
    let (ours, mut peer) = tcp_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    let mut most = 0;
    for _ in 0..50 {
        // New data makes a new edge while the rest of the old still waits.
        fill(&mut peer);
        turn(&reactor);
        most = most.max(connection.protocol().received());
        connection.protocol().take();
    }
    assert!(most > 0 && most <= SCRATCH_SIZE, "{most} bytes in one turn");
}

#[test]
fn a_protocol_with_a_buffer_of_its_own_gets_all_and_only_its_share() {
    let reactor = reactor();
    let (ours, mut peer) = tcp_pair();
    let connection = connection(ours);
    connection.protocol().own_buffer.set(Some(1000));
    connection.start(&reactor).unwrap();
    turn(&reactor);
    let total = fill(&mut peer);
    let mut before = 0;
    turn_until(&reactor, || {
        let now = connection.protocol().received();
        assert!(now - before < SCRATCH_SIZE + 1000);
        before = now;
        now == total
    });
    assert_eq!(connection.protocol().largest.get(), 1000);
}

#[test]
fn a_paused_connection_hears_nothing_until_it_resumes() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    assert!(connection.pause_reading());
    assert!(!connection.pause_reading());
    peer.write_all(b"hello").unwrap();
    drop(peer);
    turn(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), []);
    assert_eq!(connection.reading(), Reading::Paused);
    connection.resume_reading(&reactor);
    connection.resume_reading(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [data(b"hello"), Heard::Eof, Heard::Lost(None)]);
    assert!(!connection.pause_reading());
}

#[test]
fn a_pause_within_a_call_stops_the_very_next_one() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = connection(ours);
    connection.protocol().own_buffer.set(Some(2));
    connection.protocol().on_each(|connection, _, heard| {
        if matches!(heard, Heard::Data(_)) {
            connection.pause_reading();
        }
    });
    connection.start(&reactor).unwrap();
    peer.write_all(b"abcdef").unwrap();
    for expected in [b"ab", b"cd", b"ef"] {
        turn(&reactor);
        turn(&reactor);
        assert_eq!(connection.protocol().take(), [data(expected)]);
        connection.resume_reading(&reactor);
    }
}

#[test]
fn a_paused_connection_makes_the_peer_wait() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.pause_reading();
    let sent = fill(&mut peer);
    turn(&reactor);
    assert_eq!(fill(&mut peer), 0);
    connection.resume_reading(&reactor);
    turn_until(&reactor, || connection.protocol().received() == sent);
    assert!(fill(&mut peer) > 0);
}

#[test]
fn the_end_of_the_peer_comes_after_all_its_data_however_much() {
    for length in [0, 1, 1000, SCRATCH_SIZE - 1, SCRATCH_SIZE, SCRATCH_SIZE + 1, 600_000] {
        let reactor = reactor();
        let (ours, mut peer) = tcp_pair();
        let connection = start(&reactor, ours);
        let bytes: Vec<u8> = (0..length).map(|number| number as u8).collect();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match peer.write(rest) {
                Ok(count) => rest = &rest[count..],
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            turn(&reactor);
        }
        drop(peer);
        turn_until(&reactor, || connection.state() == State::Closed);
        let mut heard = connection.protocol().take();
        assert_eq!(heard.split_off(heard.len() - 2), [Heard::Eof, Heard::Lost(None)]);
        assert!(heard == [Heard::Data(bytes)] || length == 0, "{length}");
    }
}

#[test]
fn a_protocol_may_stay_after_the_end_of_the_peer_and_go_on_writing() {
    let reactor = reactor();
    let (ours, mut peer) = tcp_pair();
    let connection = start(&reactor, ours);
    connection.protocol().keep_open.set(true);
    peer.write_all(b"question").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    turn_until(&reactor, || connection.protocol().has_heard(&Heard::Eof));
    assert_eq!(connection.protocol().take(), [data(b"question"), Heard::Eof]);
    assert_eq!((connection.state(), connection.reading()), (State::Open, Reading::Ended));
    connection.write(&reactor, copy(b"answer")).unwrap();
    turn(&reactor);
    connection.close(&reactor);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
    wait_readable(peer.as_raw_fd());
    assert_eq!(read_now(&mut peer), (b"answer".to_vec(), true));
}

#[test]
fn a_reset_of_the_peer_is_an_error() {
    let reactor = reactor();
    let (ours, peer) = tcp_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    reset(peer);
    turn_until(&reactor, || connection.state() == State::Closed);
    let lost = Heard::Lost(Some(ErrorKind::ConnectionReset));
    assert_eq!(connection.protocol().take(), [lost]);
    assert_eq!((reactor.source_len(), connection.descriptor()), (0, None));
}

#[test]
fn the_last_words_of_a_peer_that_no_longer_listens_are_heard() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    // More than the kernel takes, so that something waits when the peer is gone.
    connection.write(&reactor, copy(&vec![b'?'; 4 << 20])).unwrap();
    turn(&reactor);
    assert!(connection.queued() > 0);
    connection.protocol().take();
    peer.write_all(b"too much").unwrap();
    drop(peer);
    turn_until(&reactor, || connection.state() == State::Closed);
    let heard = connection.protocol().take();
    assert_eq!(heard.first(), Some(&data(b"too much")), "{heard:?}");
}

#[test]
fn two_connections_in_one_turn_share_the_scratch_buffer_but_not_their_bytes() {
    let reactor = reactor();
    let (one, mut one_peer) = unix_pair();
    let (other, mut other_peer) = unix_pair();
    let one = start(&reactor, one);
    let other = start(&reactor, other);
    one_peer.write_all(b"a long first message").unwrap();
    other_peer.write_all(b"short").unwrap();
    turn(&reactor);
    assert_eq!(one.protocol().take(), [data(b"a long first message")]);
    assert_eq!(other.protocol().take(), [data(b"short")]);
}
