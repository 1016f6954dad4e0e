//! Transports over TLS: the handshake and its deadline, what is written and paused meanwhile, the
//! end of each half, and what a connection must not swallow.
#![allow(clippy::disallowed_types)] // std's sockets are what the peer is made of

mod common;

use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::rc::Rc;

use common::connection::{Connection, Heard, connection, copy, data};
use common::peer::{read_now, reset, shrink_buffer, tcp_pair};
use common::tls::{Authority, BOTH, End, ONLY_12, ONLY_13, client_settings, pair, server_settings};
use common::{Loop, reactor, turn, turn_until};
use sennit_engine::tls::server::Versions;
use sennit_engine::tls::{FaultKind, Phase, TlsClient, TlsServer};
use sennit_engine::transport::{Handshake, State};

const SECOND: u64 = 1_000_000_000;
const TIMEOUT: u64 = 10 * SECOND;

/// A client's end in memory behind a real socket.
struct Peer {
    end: End,
    socket: TcpStream,
    has_ended: bool,
}

impl Peer {
    /// Reads and writes what can be read and written now.
    fn act(&mut self) {
        let (bytes, has_ended) = read_now(&mut self.socket);
        self.has_ended |= has_ended;
        if !self.end.is_over() {
            self.end.feed(&bytes);
        }
        self.send();
    }

    fn send(&mut self) {
        self.socket.write_all(&std::mem::take(&mut self.end.outgoing)).unwrap();
    }

    fn is_open(&self) -> bool {
        self.end.phase != Phase::Handshaking
    }
}

/// Our transport, a server's end, before its handshake, and a client.
fn beginning(reactor: &Loop, versions: Versions) -> (Rc<Connection>, Peer) {
    let (server, client) = pair(versions);
    let (ours, socket) = tcp_pair();
    let connection = connection(ours);
    let handshake = Handshake { session: server.session().unwrap(), timeout: TIMEOUT };
    connection.start_tls(reactor, handshake).unwrap();
    connection.start(reactor).unwrap();
    let end = End::new(client.session("a.example").unwrap());
    (connection, Peer { end, socket, has_ended: false })
}

/// As [`beginning`], after the handshake.
fn secured(reactor: &Loop, versions: Versions) -> (Rc<Connection>, Peer) {
    let (connection, mut peer) = beginning(reactor, versions);
    shake_hands(reactor, &connection, &mut peer);
    assert_eq!(connection.protocol().take(), [Heard::Secured]);
    (connection, peer)
}

fn shake_hands(reactor: &Loop, connection: &Connection, peer: &mut Peer) {
    turn_until(reactor, || {
        peer.act();
        peer.is_open() && !connection.is_handshaking()
    });
}

fn hear(reactor: &Loop, connection: &Connection, peer: &mut Peer, what: &Heard) {
    turn_until(reactor, || {
        peer.act();
        connection.protocol().has_heard(what)
    });
}

#[test]
fn data_goes_both_ways() {
    for versions in [ONLY_12, ONLY_13] {
        let reactor = reactor();
        let (connection, mut peer) = secured(&reactor, versions);
        let large: Vec<u8> = (0..1_000_000_u32).map(|number| number as u8).collect();
        connection.write(&reactor, copy(b"hello ")).unwrap();
        connection.write(&reactor, copy(&large)).unwrap();
        turn_until(&reactor, || {
            peer.act();
            peer.end.plain.len() == large.len() + 6
        });
        assert!(peer.end.plain.ends_with(&large));
        peer.end.seal(&large[..300_000]);
        turn_until(&reactor, || {
            let count = peer.end.outgoing.len().min(50_000);
            let piece: Vec<u8> = peer.end.outgoing.drain(..count).collect();
            peer.socket.write_all(&piece).unwrap();
            connection.protocol().received() == 300_000
        });
        let heard = connection.protocol().take();
        assert!(heard.contains(&data(&large[..300_000])), "{} things", heard.len());
    }
}

#[test]
fn the_end_of_our_half_waits_for_the_handshake() {
    for versions in [ONLY_12, ONLY_13] {
        for words in ["", "all that I have"] {
            let reactor = reactor();
            let (connection, mut peer) = beginning(&reactor, versions);
            connection.write(&reactor, copy(words.as_bytes())).unwrap();
            connection.write_eof(&reactor);
            turn(&reactor);
            shake_hands(&reactor, &connection, &mut peer);
            turn_until(&reactor, || {
                peer.act();
                peer.has_ended
            });
            assert_eq!(peer.end.phase, Phase::PeerClosed);
            assert_eq!(peer.end.plain, words.as_bytes());
            peer.end.seal(b"answer");
            peer.end.close();
            hear(&reactor, &connection, &mut peer, &Heard::Lost(None));
            let heard = [Heard::Secured, data(b"answer"), Heard::Eof, Heard::Lost(None)];
            assert_eq!(connection.protocol().take(), heard);
        }
    }
}

#[test]
fn the_end_of_the_peers_half_leaves_ours_open() {
    for versions in [ONLY_12, ONLY_13] {
        let reactor = reactor();
        let (connection, mut peer) = secured(&reactor, versions);
        connection.protocol().keep_open.set(true);
        peer.end.seal(b"all that I have");
        peer.end.close();
        hear(&reactor, &connection, &mut peer, &Heard::Eof);
        assert_eq!(connection.protocol().take(), [data(b"all that I have"), Heard::Eof]);
        let large = vec![7; 300_000];
        connection.write(&reactor, copy(&large)).unwrap();
        connection.close(&reactor);
        turn_until(&reactor, || {
            peer.act();
            peer.has_ended
        });
        assert!(peer.end.plain == large && peer.end.phase == Phase::PeerClosed);
    }
}

#[test]
fn what_is_written_before_the_handshake_is_done_leaves_behind_it() {
    for versions in [ONLY_12, ONLY_13] {
        let reactor = reactor();
        let (connection, mut peer) = beginning(&reactor, versions);
        connection.write(&reactor, copy(b"early")).unwrap();
        // A dispatch that says nothing of writing must not keep the handshake's bytes back.
        peer.send();
        connection.pause_reading();
        connection.resume_reading(&reactor);
        shake_hands(&reactor, &connection, &mut peer);
        turn_until(&reactor, || {
            peer.act();
            peer.end.plain == b"early"
        });
    }
}

#[test]
fn a_close_in_the_handshake_waits_only_for_what_was_written() {
    let reactor = reactor();
    let (connection, mut peer) = beginning(&reactor, BOTH);
    connection.close(&reactor);
    turn_until(&reactor, || connection.protocol().has_heard(&Heard::Lost(None)));
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);

    let (connection, mut other) = beginning(&reactor, BOTH);
    connection.write(&reactor, copy(b"last words")).unwrap();
    connection.close(&reactor);
    hear(&reactor, &connection, &mut other, &Heard::Lost(None));
    other.act();
    assert_eq!(
        (other.end.plain.as_slice(), other.end.phase),
        (&b"last words"[..], Phase::PeerClosed)
    );
    turn_until(&reactor, || {
        let (_, ended) = read_now(&mut peer.socket);
        ended
    });
}

#[test]
fn a_handshake_has_a_deadline_however_slowly_it_goes_on() {
    let reactor = reactor();
    let (connection, mut peer) = beginning(&reactor, BOTH);
    let hello = std::mem::take(&mut peer.end.outgoing);
    let start = reactor.turn_time();
    // A byte a second: nothing that comes puts the deadline off.
    for byte in hello.chunks(1).take(9) {
        peer.socket.write_all(byte).unwrap();
        common::call_at(&reactor, reactor.turn_time() + SECOND, |reactor| reactor.stop());
        reactor.run().unwrap();
        assert_eq!(connection.state(), State::Open);
    }
    common::call_at(&reactor, start + TIMEOUT + SECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    turn_until(&reactor, || connection.state() == State::Closed);
    assert_eq!(connection.protocol().take(), [Heard::Lost(Some(ErrorKind::TimedOut))]);
}

#[test]
fn a_deadline_that_was_met_means_nothing_later() {
    let reactor = reactor();
    let (connection, _peer) = secured(&reactor, BOTH);
    common::call_at(&reactor, reactor.turn_time() + 2 * TIMEOUT, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(connection.state(), State::Open);
    // The protocol may have deadlines of its own, and looks whether one of them has passed.
    let heard = connection.protocol().take();
    assert!(heard.iter().all(|heard| matches!(heard, Heard::Deadline(_))), "{heard:?}");
}

#[test]
fn data_behind_the_handshake_waits_for_who_paused_at_once() {
    for versions in [ONLY_12, ONLY_13] {
        for own_buffer in [None, Some(7)] {
            let reactor = reactor();
            let (connection, mut peer) = beginning(&reactor, versions);
            connection.protocol().own_buffer.set(own_buffer);
            connection.protocol().on_each(|connection, _, heard| {
                if *heard == Heard::Secured {
                    assert!(connection.pause_reading());
                }
            });
            // The client's last flight, and behind it data and the end, in one piece.
            turn_until(&reactor, || {
                let (bytes, _) = read_now(&mut peer.socket);
                peer.end.feed(&bytes);
                if !peer.is_open() {
                    peer.send();
                }
                peer.is_open() || versions == ONLY_12 && bytes.len() > 1000
            });
            if versions == ONLY_13 {
                peer.end.seal(b"on the heels");
                peer.end.close();
            }
            shake_hands(&reactor, &connection, &mut peer);
            if versions == ONLY_12 {
                peer.end.seal(b"on the heels");
                peer.end.close();
                peer.send();
            }
            for _ in 0..5 {
                turn(&reactor);
            }
            assert_eq!(connection.protocol().take(), [Heard::Secured]);
            connection.resume_reading(&reactor);
            turn_until(&reactor, || connection.protocol().has_heard(&Heard::Lost(None)));
            let heard = [data(b"on the heels"), Heard::Eof, Heard::Lost(None)];
            assert_eq!(connection.protocol().take(), heard);
        }
    }
}

#[test]
fn what_came_before_a_fault_is_heard() {
    let reactor = reactor();
    let (connection, mut peer) = secured(&reactor, BOTH);
    peer.end.seal(b"good");
    peer.end.outgoing.extend(b"GARBAGE GARBAGE");
    peer.send();
    turn_until(&reactor, || connection.state() == State::Closed);
    let heard = [data(b"good"), Heard::Lost(Some(ErrorKind::InvalidData))];
    assert_eq!(connection.protocol().take(), heard);
    peer.act();
    // The alert has come, and no reset in its place.
    assert_eq!(peer.end.fault.map(|fault| fault.kind), Some(FaultKind::Protocol));
}

#[test]
fn an_end_without_a_goodbye_is_an_error_and_data_before_it_is_heard() {
    let reactor = reactor();
    let (connection, mut peer) = secured(&reactor, BOTH);
    peer.end.seal(b"whole");
    peer.end.seal(b"cut off");
    let length = peer.end.outgoing.len() - 3;
    peer.end.outgoing.truncate(length);
    peer.send();
    drop(peer);
    turn_until(&reactor, || connection.state() == State::Closed);
    let heard = [data(b"whole"), Heard::Lost(Some(ErrorKind::UnexpectedEof))];
    assert_eq!(connection.protocol().take(), heard);
}

#[test]
fn a_reset_is_an_error_in_the_handshake_and_behind_it() {
    let reactor = reactor();
    let (early, peer) = beginning(&reactor, BOTH);
    reset(peer.socket);
    let (late, peer) = secured(&reactor, BOTH);
    reset(peer.socket);
    for connection in [early, late] {
        turn_until(&reactor, || connection.state() == State::Closed);
        let lost = Heard::Lost(Some(ErrorKind::ConnectionReset));
        assert_eq!(connection.protocol().take(), [lost]);
    }
}

#[test]
fn a_slow_reader_gets_all_and_the_writer_is_paused() {
    let reactor = reactor();
    let (connection, mut peer) = secured(&reactor, BOTH);
    shrink_buffer(connection.descriptor().unwrap(), libc::SO_SNDBUF);
    let large = vec![7; 3_000_000];
    connection.write(&reactor, copy(&large)).unwrap();
    connection.close(&reactor);
    assert!(connection.queued() > 0);
    turn_until(&reactor, || {
        peer.act();
        peer.has_ended
    });
    assert_eq!(peer.end.phase, Phase::PeerClosed);
    assert!(peer.end.plain == large);
    turn_until(&reactor, || connection.state() == State::Closed);
    assert_eq!(connection.protocol().take(), [Heard::Pause, Heard::Resume, Heard::Lost(None)]);
}

#[test]
fn small_buffers_of_a_protocol_get_all() {
    let reactor = reactor();
    let (connection, mut peer) = secured(&reactor, BOTH);
    connection.protocol().own_buffer.set(Some(13));
    let words: Vec<u8> = (0..200_000_u32).map(|number| (number % 251) as u8).collect();
    peer.end.seal(&words);
    peer.end.close();
    peer.send();
    turn_until(&reactor, || connection.protocol().has_heard(&Heard::Lost(None)));
    assert_eq!(connection.protocol().take(), [data(&words), Heard::Eof, Heard::Lost(None)]);
    assert_eq!(connection.protocol().largest.get(), 13);
}

#[test]
fn a_connection_can_speak_tls_from_its_middle_on() {
    let reactor = reactor();
    let (server, client) = pair(BOTH);
    let (ours, mut socket) = tcp_pair();
    let connection = connection(ours);
    connection.start(&reactor).unwrap();
    connection.protocol().on_each(move |connection, reactor, heard| {
        if *heard == data(b"STARTTLS") {
            connection.write(reactor, copy(b"go ahead")).unwrap();
            let handshake = Handshake { session: server.session().unwrap(), timeout: TIMEOUT };
            connection.start_tls(reactor, handshake).unwrap();
            let again = Handshake { session: server.session().unwrap(), timeout: TIMEOUT };
            assert!(connection.start_tls(reactor, again).is_err());
        }
    });
    socket.write_all(b"STARTTLS").unwrap();
    let mut answer = Vec::new();
    turn_until(&reactor, || {
        answer.extend(read_now(&mut socket).0);
        answer == b"go ahead"
    });
    let end = End::new(client.session("a.example").unwrap());
    let mut peer = Peer { end, socket, has_ended: false };
    shake_hands(&reactor, &connection, &mut peer);
    peer.end.seal(b"secret");
    hear(&reactor, &connection, &mut peer, &data(b"secret"));
}

#[test]
fn a_certificate_of_many_records_comes_in_pieces() {
    let authority = Authority::new();
    let names: Vec<String> = (0..2_000).map(|number| format!("n{number}.example")).collect();
    let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
    names.push("a.example");
    let server = TlsServer::new(&server_settings(vec![authority.sign(&names, |_| {})])).unwrap();
    let client = TlsClient::new(&client_settings(&authority)).unwrap();
    for size in [100, 5_000, 30_000] {
        let reactor = reactor();
        let (ours, mut socket) = tcp_pair();
        let connection = connection(ours);
        let session = client.session("a.example").unwrap();
        connection.start_tls(&reactor, Handshake { session, timeout: TIMEOUT }).unwrap();
        connection.start(&reactor).unwrap();
        let mut end = End::new(server.session().unwrap());
        turn_until(&reactor, || {
            let (bytes, _) = read_now(&mut socket);
            end.feed(&bytes);
            let count = end.outgoing.len().min(size);
            socket.write_all(&end.outgoing.drain(..count).collect::<Vec<_>>()).unwrap();
            end.phase == Phase::Open && !connection.is_handshaking() && end.outgoing.is_empty()
        });
        let details = connection.tls_details().unwrap();
        assert_eq!((connection.protocol().take(), details.resumed), (vec![Heard::Secured], false));
        assert!(details.peer_certificates[0].len() > 20_000);
    }
}

#[test]
fn a_hello_of_endless_records_is_refused_before_it_takes_memory() {
    let reactor = reactor();
    let (connection, mut peer) = beginning(&reactor, BOTH);
    // The head of a hello of 65,000 bytes, then a byte in each record.
    let mut hello = vec![22, 3, 3, 0, 6, 1, 0, 0xfd, 0xe8, 3, 3];
    hello.extend([22, 3, 3, 0, 1, 7].repeat(30_000));
    let mut left = hello.as_slice();
    turn_until(&reactor, || {
        let count = left.len().min(20_000);
        let sent = peer.socket.write(&left[..count]).unwrap_or(0);
        left = &left[sent..];
        connection.state() == State::Closed
    });
    assert_eq!(connection.protocol().take(), [Heard::Lost(Some(ErrorKind::InvalidData))]);
}
