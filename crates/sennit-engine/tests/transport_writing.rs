//! Transports, the writing half: what leaves together, water marks, slow readers, half close.

mod common;

use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::rc::Rc;
use std::time::Duration;

use common::connection::{Heard, connection, copy, data, start};
use common::peer::{next_packet, packet_pair, read_now, shrink_buffer, tcp_pair, unix_pair};
use common::random::Random;
use common::{Log, call_at, call_soon, reactor, turn, turn_until};
use sennit_engine::clock::SECOND;
use sennit_engine::socket;
use sennit_engine::stream::Chunk;
use sennit_engine::transport::{HIGH_WATER, State, WriteRefused};

#[test]
fn all_writes_of_one_dispatch_leave_together() {
    let reactor = reactor();
    let (ours, peer) = packet_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    let seen = peer.try_clone().unwrap();
    connection.protocol().on_each(move |connection, reactor, _| {
        for word in ["one ", "two ", "three"] {
            connection.write(reactor, copy(word.as_bytes())).unwrap();
        }
        assert_eq!((connection.queued(), next_packet(&seen)), (13, None));
    });
    socket::send(peer.as_raw_fd(), b"go").unwrap();
    turn(&reactor);
    assert_eq!(next_packet(&peer), Some(b"one two three".to_vec()));
    assert_eq!((next_packet(&peer), connection.queued()), (None, 0));
}

#[test]
fn an_answer_leaves_before_the_callbacks_of_the_turn_run() {
    let reactor = reactor();
    let (ours, peer) = packet_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    connection.protocol().on_each(|connection, reactor, _| {
        connection.write(reactor, copy(b"answer")).unwrap();
    });
    let seen = peer.try_clone().unwrap();
    call_soon(&reactor, move |_| assert_eq!(next_packet(&seen), Some(b"answer".to_vec())));
    socket::send(peer.as_raw_fd(), b"question").unwrap();
    turn(&reactor);
}

#[test]
fn writes_made_elsewhere_leave_together_at_the_end_of_the_turn() {
    let reactor = reactor();
    let (ours, peer) = packet_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    connection.write(&reactor, copy(b"before the turn, ")).unwrap();
    let log = Log::default();
    let seen = peer.try_clone().unwrap();
    let inner = log.clone();
    call_soon(&reactor, move |_| inner.push(next_packet(&seen)));
    connection.write(&reactor, Chunk::Shared(Rc::from(&b"shared"[..]))).unwrap();
    turn(&reactor);
    assert_eq!(log.take(), [None]);
    assert_eq!(next_packet(&peer), Some(b"before the turn, shared".to_vec()));
    assert_eq!(next_packet(&peer), None);
}

#[test]
fn a_write_made_while_a_write_waits_for_the_end_of_the_turn_joins_it() {
    let reactor = reactor();
    let (ours, peer) = packet_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    connection.write(&reactor, copy(b"first, ")).unwrap();
    connection.protocol().on_each(|connection, reactor, _| {
        connection.write(reactor, copy(b"second")).unwrap();
    });
    socket::send(peer.as_raw_fd(), b"go").unwrap();
    turn(&reactor);
    assert_eq!(next_packet(&peer), Some(b"first, second".to_vec()));
    assert_eq!(next_packet(&peer), None);
}

#[test]
fn hundreds_of_small_pieces_leave_in_order() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    let mut expected = Vec::new();
    for number in 0..1000 {
        let piece = format!("{number},");
        expected.extend(piece.as_bytes());
        connection.write(&reactor, copy(piece.as_bytes())).unwrap();
        connection.write(&reactor, copy(b"")).unwrap();
    }
    turn(&reactor);
    assert_eq!(read_now(&mut peer).0, expected);
}

#[test]
fn a_reactor_that_is_about_to_sleep_sends_first() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    connection.write(&reactor, copy(b"now")).unwrap();
    connection.protocol().on_each(|_, reactor, _| reactor.stop());
    // The peer answers when it has read, and only that ends the run.
    let peer = std::thread::spawn(move || {
        peer.set_nonblocking(false).unwrap();
        peer.read_exact(&mut [0; 3]).unwrap();
        drop(peer);
    });
    reactor.run().unwrap();
    peer.join().unwrap();
}

#[test]
fn what_is_written_on_resume_does_not_wait_for_another_event() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&[b'.'; 100])).unwrap();
    connection.set_water_marks(&reactor, 10, 99);
    connection.protocol().on_each(|connection, reactor, heard| {
        if *heard == Heard::Resume {
            connection.write(reactor, copy(b"more")).unwrap();
        }
    });
    // The end of this turn sends, resumes, and finds new bytes to send.
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Pause, Heard::Resume]);
    reactor.host().waits.take();
    reactor.clock().advance(1);
    call_at(&reactor, SECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(reactor.host().waits.take()[0], Some(Duration::ZERO));
    assert!(read_now(&mut peer).0.ends_with(b"more"));
}

#[test]
fn the_water_marks_pause_and_resume_never_twice_in_a_row() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    assert_eq!(connection.water_marks(), (HIGH_WATER / 4, HIGH_WATER));
    let mut sent = 0;
    while !connection.protocol().has_heard(&Heard::Pause) {
        connection.write(&reactor, copy(&[b'.'; 10_000])).unwrap();
        sent += 10_000;
        turn(&reactor);
    }
    assert!(connection.queued() > HIGH_WATER);
    connection.write(&reactor, copy(&[b'.'; 10_000])).unwrap();
    sent += 10_000;
    assert_eq!(connection.protocol().take(), [Heard::Pause]);
    let mut received = 0;
    while !connection.protocol().has_heard(&Heard::Resume) {
        assert!(connection.queued() > HIGH_WATER / 4);
        received += peer.read(&mut [0; 5_000]).unwrap();
        turn(&reactor);
    }
    assert!(connection.queued() <= HIGH_WATER / 4);
    turn_until(&reactor, || {
        received += read_now(&mut peer).0.len();
        received == sent
    });
    assert_eq!(connection.protocol().take(), [Heard::Resume]);
}

#[test]
fn a_lowered_mark_pauses_at_once() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&[0; 100])).unwrap();
    connection.set_water_marks(&reactor, 10, 100);
    assert_eq!(connection.protocol().take(), []);
    connection.set_water_marks(&reactor, 10, 99);
    assert_eq!(connection.protocol().take(), [Heard::Pause]);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Resume]);
}

#[test]
fn a_protocol_resumes_while_something_still_waits() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.set_water_marks(&reactor, 900_000, 1_000_000);
    for _ in 0..20 {
        connection.write(&reactor, copy(&[b'.'; 100_000])).unwrap();
    }
    assert_eq!(connection.protocol().take(), [Heard::Pause]);
    while connection.protocol().take().is_empty() {
        peer.read_exact(&mut [0; 1_000]).unwrap();
        turn(&reactor);
    }
    assert!(connection.queued() > 0 && connection.queued() <= 900_000);
}

#[test]
fn a_protocol_that_was_paused_is_resumed_although_the_end_follows() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    turn(&reactor);
    connection.write(&reactor, copy(&vec![b'.'; 4 << 20])).unwrap();
    assert_eq!(connection.protocol().take(), [Heard::Pause]);
    connection.write_eof(&reactor);
    let mut received = 0;
    let mut ended = false;
    turn_until(&reactor, || {
        let (bytes, end) = read_now(&mut peer);
        received += bytes.len();
        ended |= end;
        ended
    });
    assert_eq!((received, connection.state()), (4 << 20, State::Open));
    assert_eq!(connection.protocol().take(), [Heard::Resume]);
}

#[test]
fn a_slow_reader_gets_everything_in_order() {
    for seed in 0..20 {
        let mut random = Random::seeded(seed);
        let reactor = reactor();
        let (ours, mut peer) = unix_pair();
        shrink_buffer(ours.as_raw_fd(), libc::SO_SNDBUF);
        let connection = start(&reactor, ours);
        let (low, high) = (random.below(5_000) as usize, 5_000 + random.below(50_000) as usize);
        connection.set_water_marks(&reactor, low, high);
        let length = 100_000 + random.below(400_000) as usize;
        let bytes = random.bytes(length);
        let (mut written, mut paused, mut received) = (0, false, Vec::new());
        while received.len() < length {
            while !paused && written < length && !random.once_in(6) {
                let size = (1 + random.below(20_000) as usize).min(length - written);
                connection.write(&reactor, copy(&bytes[written..written + size])).unwrap();
                written += size;
                for heard in connection.protocol().take() {
                    assert_eq!(heard, Heard::Pause);
                    paused = true;
                }
            }
            assert!(connection.queued() <= high + 20_000);
            let mut buffer = vec![0; 1 + random.below(30_000) as usize];
            match peer.read(&mut buffer) {
                Ok(count) => received.extend_from_slice(&buffer[..count]),
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            turn(&reactor);
            for heard in connection.protocol().take() {
                assert_eq!((heard, paused), (Heard::Resume, true));
                paused = false;
            }
        }
        assert!(received == bytes, "seed {seed}: not the bytes that were written");
    }
}

#[test]
fn megabytes_arrive_whole_over_tcp() {
    let reactor = reactor();
    let (ours, mut peer) = tcp_pair();
    let connection = start(&reactor, ours);
    let bytes = Random::seeded(1).bytes(8 << 20);
    for piece in bytes.chunks(100_000) {
        connection.write(&reactor, Chunk::Shared(Rc::from(piece))).unwrap();
    }
    connection.close(&reactor);
    let reader = std::thread::spawn(move || {
        peer.set_nonblocking(false).unwrap();
        let mut received = Vec::new();
        peer.read_to_end(&mut received).unwrap();
        received
    });
    connection.protocol().on_each(|_, reactor, heard| {
        if matches!(heard, Heard::Lost(_)) {
            reactor.stop();
        }
    });
    reactor.run().unwrap();
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn a_half_close_sends_the_end_after_the_data_and_still_reads() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(b"that is all")).unwrap();
    connection.write_eof(&reactor);
    connection.write_eof(&reactor);
    assert_eq!(read_now(&mut peer), (b"that is all".to_vec(), true));
    assert_eq!(connection.write(&reactor, copy(b"x")), Err(WriteRefused::AfterEof));
    std::io::Write::write_all(&mut peer, b"thanks").unwrap();
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [data(b"thanks")]);
    drop(peer);
    turn(&reactor);
    assert_eq!(connection.protocol().take(), [Heard::Eof, Heard::Lost(None)]);
}

#[test]
fn the_end_of_a_blocked_half_close_comes_when_the_peer_has_read() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = start(&reactor, ours);
    connection.write(&reactor, copy(&vec![b'.'; 1 << 20])).unwrap();
    connection.write_eof(&reactor);
    assert!(connection.queued() > 0);
    let mut received = 0;
    turn_until(&reactor, || {
        let (bytes, end) = read_now(&mut peer);
        received += bytes.len();
        assert!(!end || received == 1 << 20);
        end
    });
}

#[test]
fn what_was_done_before_the_start_takes_effect_with_it() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let connection = connection(ours);
    connection.write(&reactor, copy(b"early")).unwrap();
    turn(&reactor);
    assert_eq!(read_now(&mut peer), (vec![], false));
    connection.start(&reactor).unwrap();
    turn(&reactor);
    assert_eq!(read_now(&mut peer), (b"early".to_vec(), false));
}
