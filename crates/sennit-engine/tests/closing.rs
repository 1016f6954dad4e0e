//! The end of a reactor: everything that it held is dropped, every descriptor is closed.
//! One test only, as it counts the descriptors of the whole process.
#![allow(clippy::disallowed_types)] // the clients are ordinary programs

mod common;

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};

use common::connection::{Heard, copy, start};
use common::peer::{any_port, open_descriptors, tcp_pair, unix_pair};
use common::{Callback, DropCounter, DropGuard, Loop, TestHost, call_soon, reactor, turn};
use sennit_engine::clock::SECOND;
use sennit_engine::listener::{Acceptor, Descriptor, Listener};
use sennit_engine::reactor::State;
use sennit_engine::socket;
use sennit_engine::watcher::{Direction, Watcher};

struct Doorman(#[allow(dead_code)] DropGuard);

impl Acceptor<TestHost> for Doorman {
    fn accepted(&self, _reactor: &Loop, _socket: OwnedFd, _peer: Option<SocketAddr>) {}
    fn exhausted(&self, _reactor: &Loop, _error: io::Error) {}
}

fn holding(guard: DropGuard) -> Callback {
    Callback::new(move |_| {
        let _ = &guard;
    })
}

#[test]
fn a_closed_reactor_leaves_nothing_behind() {
    let before = open_descriptors();
    let drops = DropCounter::default();
    let guard = || drops.guard();
    let reactor = reactor();

    // 100 connections: open, paused, half closed, draining, blocked, lost but not told yet.
    let mut peers: Vec<Box<dyn std::any::Any>> = Vec::new();
    let mut connections = Vec::new();
    for number in 0..100 {
        let (ours, peer): (_, Box<dyn std::any::Any>) = if number % 2 == 0 {
            let (ours, peer) = tcp_pair();
            (ours, Box::new(peer))
        } else {
            let (ours, peer) = unix_pair();
            (ours, Box::new(peer))
        };
        let connection = start(&reactor, ours);
        connection.protocol().hold(guard());
        peers.push(peer);
        connections.push(connection);
    }
    turn(&reactor);
    for (number, connection) in connections.iter().enumerate() {
        match number % 7 {
            0 => connection.write(&reactor, copy(b"waits for the turn")).unwrap(),
            1 => drop(connection.pause_reading()),
            2 => connection.write_eof(&reactor),
            3 => {
                connection.write(&reactor, copy(&vec![0; 8 << 20])).unwrap();
                connection.close(&reactor);
            }
            4 => connection.write(&reactor, copy(&vec![0; 8 << 20])).unwrap(),
            5 => connection.abort(&reactor),
            _ => {}
        }
    }

    let socket = socket::listen(&any_port(), 10).unwrap();
    let listener = Listener::start(&reactor, Descriptor::Owned(socket), Doorman(guard())).unwrap();
    let queued = TcpStream::connect(listener.address().unwrap().unwrap()).unwrap();
    let (watched, _watched_peer) = unix_pair();
    Watcher::register(&reactor, watched.as_raw_fd(), Direction::Read, holding(guard())).unwrap();
    reactor.call_soon(holding(guard()));
    reactor.call_at(SECOND, holding(guard()));
    reactor.call_soon_threadsafe(holding(guard()));

    let left = reactor.close();
    assert_eq!((left.len(), reactor.source_len(), reactor.state()), (3, 0, State::Closed));
    assert_eq!((reactor.ready_len(), reactor.timer_len()), (0, 0));
    drop(left);
    assert_eq!(drops.count(), 4, "three callbacks and the watcher's");
    for connection in connections {
        assert_eq!(connection.descriptor(), None);
        assert_eq!(connection.protocol().take().last(), Some(&Heard::Abandoned));
    }
    drop(listener);
    assert_eq!(drops.count(), 105);

    // A second close, and calls that come too late, do no harm.
    assert!(reactor.close().is_empty());
    call_soon(&reactor, |_| panic!("a closed reactor runs nothing"));
    drop(reactor.close());
    drop((reactor, peers, queued, watched, _watched_peer));
    assert_eq!(open_descriptors(), before);
}
