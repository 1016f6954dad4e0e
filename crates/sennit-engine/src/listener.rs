//! Accepting connections, and backing off when the process has no descriptor left for them.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::clock::{MILLISECOND, Nanos};
use crate::host::{Host, Source};
use crate::poller::{Interest, Readiness};
use crate::reactor::Reactor;
use crate::socket;
use crate::sources::Token;

/// Connections taken in one turn: enough to drain bursts, few enough to let others live.
const ACCEPTS_PER_TURN: usize = 256;

/// How long a listener rests after it ran out of descriptors or memory; asyncio rests one second,
/// nginx half of one.
const BACK_OFF: Nanos = 100 * MILLISECOND;

/// What happens with accepted connections.
pub trait Acceptor<H: Host> {
    /// A connection has come. The socket is non-blocking.
    fn accepted(&self, reactor: &Reactor<H>, socket: OwnedFd, peer: Option<SocketAddr>);
    /// Whether those who wait are refused when the process runs out of descriptors. Otherwise they wait in the
    /// kernel's queue until there are some.
    fn refuses(&self) -> bool {
        false
    }
    /// A connection that nobody can serve, because the process ran out of descriptors: it may be told so.
    fn refused(&self, _reactor: &Reactor<H>, socket: OwnedFd) {
        drop(socket);
    }
    /// The process ran out of descriptors or memory; the listener tries again in a moment. Called
    /// once for each shortage, not for each attempt.
    fn exhausted(&self, reactor: &Reactor<H>, error: io::Error);
    /// Shows the collector each value that this holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Accepting,
    Resting,
    Closed,
}

/// A listening socket. The descriptor belongs to the listener, or to somebody who has lent it.
pub struct Listener<H: Host, A: Acceptor<H>> {
    socket: Descriptor,
    acceptor: A,
    token: Cell<Token>,
    state: Cell<State>,
    /// A descriptor that is given up for a moment when none is left, so that those who wait can be refused.
    reserve: Cell<Option<OwnedFd>>,
    host: std::marker::PhantomData<fn(H)>,
}

/// Whose descriptor it is.
#[derive(Debug)]
pub enum Descriptor {
    /// Closed with the listener.
    Owned(OwnedFd),
    /// Somebody else closes it, after the listener.
    Lent(RawFd),
}

impl Descriptor {
    fn raw(&self) -> RawFd {
        match self {
            Descriptor::Owned(descriptor) => descriptor.as_raw_fd(),
            Descriptor::Lent(descriptor) => *descriptor,
        }
    }
}

impl<H: Host, A: Acceptor<H> + 'static> Listener<H, A> {
    /// Starts to accept on a listening, non-blocking socket.
    pub fn start(reactor: &Reactor<H>, socket: Descriptor, acceptor: A) -> io::Result<Rc<Self>> {
        let reserve = Cell::new(reserve_for(&acceptor));
        let listener = Rc::new(Listener {
            socket,
            acceptor,
            token: Cell::new(Token::NONE),
            state: Cell::new(State::Accepting),
            reserve,
            host: std::marker::PhantomData,
        });
        let token = reactor.register(listener.socket.raw(), READABLE, listener.clone())?;
        listener.token.set(token);
        Ok(listener)
    }

    /// Stops accepting. Connections in the kernel's queue are refused when the socket closes,
    /// which is when the last reference to this listener goes.
    pub fn close(&self, reactor: &Reactor<H>) {
        if self.state.replace(State::Closed) == State::Closed {
            return;
        }
        // A resting listener is not in the set; the failure says just that.
        let _ = reactor.unwatch(self.socket.raw());
        drop(reactor.remove(self.token.get()));
    }

    /// The name of this registration.
    pub fn token(&self) -> Token {
        self.token.get()
    }

    /// The address that is listened on, where it has an IP.
    pub fn address(&self) -> io::Result<Option<SocketAddr>> {
        socket::local_address(self.socket.raw())
    }

    /// What happens with accepted connections.
    pub fn acceptor(&self) -> &A {
        &self.acceptor
    }

    /// Refuses those who wait, with the one descriptor that was kept for that.
    fn refuse_waiting(&self, reactor: &Reactor<H>) {
        let reserve = self.reserve.take();
        if reserve.is_none() {
            return;
        }
        drop(reserve);
        for _ in 0..ACCEPTS_PER_TURN {
            match socket::accept(self.socket.raw()) {
                Ok((socket, _)) => self.acceptor.refused(reactor, socket),
                Err(_) => break,
            }
        }
        self.reserve.set(reserve_for(&self.acceptor));
    }

    fn rest(&self, reactor: &Reactor<H>, error: io::Error) {
        self.refuse_waiting(reactor);
        let first = self.state.replace(State::Resting) == State::Accepting;
        let quiet = Interest::Level { readable: false, writable: false };
        if let Err(error) = reactor.change(self.socket.raw(), self.token.get(), quiet) {
            return self.acceptor.exhausted(reactor, error);
        }
        reactor.wake_source_at(reactor.turn_time() + BACK_OFF, self.token.get());
        if first {
            self.acceptor.exhausted(reactor, error);
        }
    }

    fn accept_waiting(&self, reactor: &Reactor<H>) -> Result<(), io::Error> {
        for _ in 0..ACCEPTS_PER_TURN {
            if self.state.get() == State::Closed {
                return Ok(());
            }
            match socket::accept(self.socket.raw()) {
                Ok((socket, peer)) => {
                    self.acceptor.accepted(reactor, socket, peer);
                }
                Err(error) if socket::would_block(&error) => return Ok(()),
                Err(error) if is_exhaustion(&error) => return Err(error),
                // The connection died in the queue, or the network has an error for it
                // (accept(2) lists them): the next one may be well.
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The descriptor that is kept for refusing, where there is one to be had.
fn reserve_for<H: Host>(acceptor: &impl Acceptor<H>) -> Option<OwnedFd> {
    acceptor.refuses().then(socket::open_nothing)?.ok()
}

const READABLE: Interest = Interest::Level { readable: true, writable: false };

fn is_exhaustion(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

impl<H: Host, A: Acceptor<H> + 'static> Source<H> for Listener<H, A> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, _readiness: Readiness) {
        if self.state.get() != State::Accepting {
            return;
        }
        if let Err(error) = self.accept_waiting(reactor) {
            self.rest(reactor, error);
        }
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, _now: Nanos) {
        if self.state.get() != State::Resting {
            return;
        }
        match self.accept_waiting(reactor) {
            Err(error) => self.rest(reactor, error),
            Ok(()) if self.state.get() == State::Closed => {}
            Ok(()) => match reactor.change(self.socket.raw(), self.token.get(), READABLE) {
                Ok(()) => {
                    self.state.set(State::Accepting);
                    let reserve = self.reserve.take();
                    self.reserve.set(reserve.or_else(|| reserve_for(&self.acceptor)));
                }
                Err(error) => self.acceptor.exhausted(reactor, error),
            },
        }
    }

    fn abandoned(self: Rc<Self>, reactor: &Reactor<H>) {
        self.close(reactor);
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        self.acceptor.visit(visitor);
    }
}
