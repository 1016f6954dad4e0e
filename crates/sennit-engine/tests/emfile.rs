//! A process without descriptors: the listener rests, says so once, and recovers by itself.
//! One test only, as the limit that it lowers is the whole process's.
#![allow(clippy::disallowed_types)] // the clients are ordinary programs

mod common;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use common::peer::{any_port, wait_readable};
use common::{Loop, TestHost, reactor, turn, turn_until};
use sennit_engine::clock::{MILLISECOND, SECOND};
use sennit_engine::limits::{descriptor_limit, raise_descriptor_limit};
use sennit_engine::listener::{Acceptor, Descriptor, Listener};
use sennit_engine::socket;

const BACK_OFF: u64 = 100 * MILLISECOND;
const TICK: u64 = 10 * MILLISECOND;

#[derive(Default)]
struct Doorman {
    taken: RefCell<Vec<OwnedFd>>,
    exhausted: Cell<usize>,
    refuses: bool,
    refused: Cell<usize>,
}

impl Acceptor<TestHost> for Doorman {
    fn accepted(&self, _reactor: &Loop, socket: OwnedFd, _peer: Option<SocketAddr>) {
        self.taken.borrow_mut().push(socket);
    }

    fn refuses(&self) -> bool {
        self.refuses
    }

    fn refused(&self, _reactor: &Loop, socket: OwnedFd) {
        drop(socket);
        self.refused.set(self.refused.get() + 1);
    }

    fn exhausted(&self, _reactor: &Loop, error: io::Error) {
        assert_eq!(error.raw_os_error(), Some(libc::EMFILE));
        self.exhausted.set(self.exhausted.get() + 1);
    }
}

fn set_soft_limit(soft: u64) {
    let hard = descriptor_limit().unwrap().hard;
    let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
    // SAFETY: `limit` is valid for the call.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
}

/// The limit below which so many descriptors are free.
fn limit_with_free(count: usize) -> u64 {
    // SAFETY: no pointers; asking about a descriptor that is not open is an error and no harm.
    let is_free = |number: &i32| unsafe { libc::fcntl(*number, libc::F_GETFD) } < 0;
    (0..).filter(is_free).nth(count - 1).unwrap() as u64 + 1
}

/// Turns until the clock has come to `until`; the reactor sleeps as it sees fit.
fn run_until(reactor: &Loop, until: u64) {
    common::call_at(reactor, until, |reactor| reactor.stop());
    reactor.run().unwrap();
}

/// With a descriptor in reserve nobody waits for a place that may not come for long.
fn those_who_cannot_be_served_are_refused(reactor: &Loop) {
    let soft = descriptor_limit().unwrap().soft;
    let socket = socket::listen(&any_port(), 100).unwrap();
    let descriptor = socket.as_raw_fd();
    let doorman = Doorman { refuses: true, ..Doorman::default() };
    let listener = Listener::start(reactor, Descriptor::Owned(socket), doorman).unwrap();
    let address = listener.address().unwrap().unwrap();
    let doorman = || listener.acceptor();
    for round in 1..=2 {
        let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
        wait_readable(descriptor);
        set_soft_limit(limit_with_free(4));
        turn_until(reactor, || doorman().refused.get() == 6 * round);
        assert_eq!((doorman().taken.borrow().len(), doorman().exhausted.get()), (4, round));
        doorman().taken.borrow_mut().clear();
        set_soft_limit(soft);
        run_until(reactor, reactor.now() + BACK_OFF + TICK);
        drop(clients);
    }
    listener.close(reactor);
}

#[test]
fn a_listener_without_descriptors_rests_and_recovers() {
    let before = descriptor_limit().unwrap();
    let reactor = reactor();
    let socket = socket::listen(&any_port(), 100).unwrap();
    let descriptor = socket.as_raw_fd();
    let listener =
        Listener::start(&reactor, Descriptor::Owned(socket), Doorman::default()).unwrap();
    let address = listener.address().unwrap().unwrap();
    let doorman = || listener.acceptor();
    let clients: Vec<_> = (0..10).map(|_| TcpStream::connect(address).unwrap()).collect();
    wait_readable(descriptor);

    set_soft_limit(limit_with_free(4));
    turn_until(&reactor, || doorman().exhausted.get() > 0);
    let taken = doorman().taken.borrow().len();
    assert_eq!((taken, doorman().exhausted.get()), (4, 1));

    // While it rests the waiting connections do not turn the loop.
    let start = reactor.now();
    reactor.host().waits.take();
    run_until(&reactor, start + SECOND);
    let attempts = reactor.host().waits.take().len() as u64;
    assert!(attempts >= SECOND / (BACK_OFF + TICK), "{attempts} attempts in a second");
    assert!(attempts <= SECOND / BACK_OFF + 2, "{attempts} attempts in a second");
    assert_eq!((doorman().taken.borrow().len(), doorman().exhausted.get()), (4, 1));

    // Two places become free: two more come in, and it is still the same shortage.
    doorman().taken.borrow_mut().truncate(2);
    run_until(&reactor, reactor.now() + BACK_OFF + TICK);
    assert_eq!((doorman().taken.borrow().len(), doorman().exhausted.get()), (4, 1));

    // Enough for all: the next attempt takes them, and then the listener listens again.
    doorman().taken.borrow_mut().clear();
    set_soft_limit(before.soft);
    run_until(&reactor, reactor.now() + BACK_OFF + TICK);
    assert_eq!(doorman().taken.borrow().len(), 4);
    let late = TcpStream::connect(address).unwrap();
    wait_readable(descriptor);
    turn(&reactor);
    assert_eq!(doorman().taken.borrow().len(), 5);

    // A new shortage is told anew; a listener may be closed while it rests.
    let more = TcpStream::connect(address).unwrap();
    wait_readable(descriptor);
    set_soft_limit(3);
    turn(&reactor);
    assert_eq!(doorman().exhausted.get(), 2);
    listener.close(&reactor);
    assert_eq!(Rc::strong_count(&listener), 1);
    run_until(&reactor, reactor.now() + SECOND);
    assert_eq!((doorman().exhausted.get(), reactor.source_len()), (2, 0));

    set_soft_limit(before.soft);
    those_who_cannot_be_served_are_refused(&reactor);

    set_soft_limit(3);
    let raised = raise_descriptor_limit().unwrap();
    assert_eq!((raised.soft, raised.hard), (before.hard, before.hard));
    drop((clients, late, more));
}
