//! Listeners: every connection is accepted, in shares, until the listener closes.
#![allow(clippy::disallowed_types)] // the clients are ordinary programs

mod common;

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use common::connection::{Connection, data, start};
use common::peer::any_port;
use common::{DropCounter, DropGuard, Loop, TestHost, reactor, turn, turn_until};
use sennit_engine::limits::raise_descriptor_limit;
use sennit_engine::listener::{Acceptor, Descriptor, Listener};
use sennit_engine::socket;

type Reaction = Box<dyn Fn(&Loop)>;

/// Keeps what comes.
#[derive(Default)]
struct Doorman {
    taken: RefCell<Vec<(OwnedFd, Option<SocketAddr>)>>,
    exhausted: Cell<usize>,
    reaction: RefCell<Option<Reaction>>,
    guard: RefCell<Option<DropGuard>>,
}

impl Acceptor<TestHost> for Doorman {
    fn accepted(&self, reactor: &Loop, socket: OwnedFd, peer: Option<SocketAddr>) {
        self.taken.borrow_mut().push((socket, peer));
        let reaction = self.reaction.take();
        if let Some(reaction) = reaction {
            reaction(reactor);
        }
    }

    fn exhausted(&self, _reactor: &Loop, _error: io::Error) {
        self.exhausted.set(self.exhausted.get() + 1);
    }
}

type TestListener = Rc<Listener<TestHost, Doorman>>;

fn listen(reactor: &Loop) -> (TestListener, SocketAddr) {
    let socket = socket::listen(&any_port(), socket::FULL_BACKLOG).unwrap();
    let listener = Listener::start(reactor, Descriptor::Owned(socket), Doorman::default()).unwrap();
    let address = listener.address().unwrap().unwrap();
    (listener, address)
}

fn taken(listener: &TestListener) -> usize {
    listener.acceptor().taken.borrow().len()
}

#[test]
fn two_thousand_quick_connections_are_all_accepted_in_shares() {
    raise_descriptor_limit().unwrap();
    let reactor = reactor();
    let (listener, address) = listen(&reactor);
    // Sockets that do not block: the connects are under way together, before anybody accepts.
    let mut clients = Vec::new();
    for _ in 0..2_000 {
        let client = socket::open_stream(&address).unwrap();
        socket::start_connect(client.as_raw_fd(), &address).unwrap();
        clients.push(client);
    }
    let mut before = 0;
    turn_until(&reactor, || {
        let now = taken(&listener);
        assert!(now - before <= 256, "{} in one turn", now - before);
        before = now;
        now == 2_000
    });
    let accepted = listener.acceptor().taken.take();
    let mut peers: Vec<_> = accepted.iter().map(|(_, peer)| peer.unwrap()).collect();
    peers.sort_unstable();
    let name = |client: &OwnedFd| socket::local_address(client.as_raw_fd()).unwrap().unwrap();
    let mut names: Vec<_> = clients.iter().map(name).collect();
    names.sort_unstable();
    assert_eq!(peers, names);
}

#[test]
fn an_accepted_socket_does_not_block_and_carries_data() {
    let reactor = reactor();
    let (listener, address) = listen(&reactor);
    let mut client = TcpStream::connect(address).unwrap();
    turn_until(&reactor, || taken(&listener) == 1);
    let (socket, _) = listener.acceptor().taken.take().remove(0);
    let error = socket::receive(socket.as_raw_fd(), &mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
    let connection: Rc<Connection> = start(&reactor, socket);
    client.write_all(b"hello").unwrap();
    turn_until(&reactor, || connection.protocol().received() == 5);
    assert_eq!(connection.protocol().take(), [data(b"hello")]);
}

#[test]
fn a_closed_listener_refuses() {
    let reactor = reactor();
    let (listener, address) = listen(&reactor);
    listener.close(&reactor);
    listener.close(&reactor);
    assert_eq!(reactor.source_len(), 0);
    drop(listener);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn a_listener_that_closes_while_it_accepts_takes_no_more() {
    let reactor = reactor();
    let (listener, address) = listen(&reactor);
    let clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).unwrap()).collect();
    let itself = listener.clone();
    *listener.acceptor().reaction.borrow_mut() =
        Some(Box::new(move |reactor| itself.close(reactor)));
    turn_until(&reactor, || taken(&listener) > 0);
    turn(&reactor);
    assert_eq!(taken(&listener), 1);
    drop(clients);
}

#[test]
fn a_lent_socket_stays_open() {
    let reactor = reactor();
    let socket = socket::listen(&any_port(), 10).unwrap();
    let lent = Descriptor::Lent(socket.as_raw_fd());
    let listener = Listener::start(&reactor, lent, Doorman::default()).unwrap();
    let address = listener.address().unwrap().unwrap();
    listener.close(&reactor);
    drop(listener);
    let _client = TcpStream::connect(address).unwrap();
    socket::accept(socket.as_raw_fd()).unwrap();
}

#[test]
fn the_end_of_the_reactor_closes_the_listener() {
    let reactor = reactor();
    let drops = DropCounter::default();
    let (listener, address) = listen(&reactor);
    *listener.acceptor().guard.borrow_mut() = Some(drops.guard());
    drop(listener);
    assert_eq!(drops.count(), 0);
    drop(reactor.close());
    assert_eq!(drops.count(), 1);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn connections_that_died_in_the_queue_do_no_harm() {
    let reactor = reactor();
    let (listener, address) = listen(&reactor);
    for _ in 0..20 {
        common::peer::reset(TcpStream::connect(address).unwrap());
    }
    let _client = TcpStream::connect(address).unwrap();
    let last = _client.local_addr().unwrap();
    turn_until(&reactor, || {
        listener.acceptor().taken.borrow().iter().any(|(_, peer)| *peer == Some(last))
    });
    assert_eq!(listener.acceptor().exhausted.get(), 0);
}

#[test]
fn both_families_of_addresses_are_understood() {
    let v6 = SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 0));
    for address in [any_port(), v6] {
        let Ok(listener) = socket::listen(&address, 1) else {
            assert!(address.is_ipv6(), "this machine has no IPv4");
            continue;
        };
        let local = socket::local_address(listener.as_raw_fd()).unwrap().unwrap();
        assert_eq!(local.ip(), address.ip());
        let client = TcpStream::connect(local).unwrap();
        let (accepted, peer) = {
            common::peer::wait_readable(listener.as_raw_fd());
            socket::accept(listener.as_raw_fd()).unwrap()
        };
        assert_eq!(peer, Some(client.local_addr().unwrap()));
        assert_eq!(socket::peer_address(accepted.as_raw_fd()).unwrap(), peer);
    }
}
