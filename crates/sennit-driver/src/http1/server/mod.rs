//! The server's side of HTTP/1.1.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `settings` | the limits, with their defaults |
//! | `connection` | one connection: bytes in, requests in order, answers out |
//! | `body` | the body of the request that is being answered |
//! | `answer` | what an application answers with |
//! | `departed` | connections that have left HTTP |
//! | `admission` | who may connect, and how others are refused |
//! | `statistics` | what is counted |
//!
//! The life of a server: NEW, it may listen; RUNNING, it accepts; DRAINING, it accepts no more, idle
//! connections are closed and every answer is the last of its connection; STOPPED, no connection is left.

mod admission;
mod answer;
mod body;
mod connection;
mod departed;
mod settings;
mod statistics;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::listener::{Acceptor, Descriptor, Listener};
use sennit_engine::stream::Stream;
use sennit_engine::transport::Handshake;
use sennit_engine::{Clock, Host, Reactor, Token};
use sennit_wire::http1::{DateCache, RequestHead};

use admission::Addresses;
pub use admission::Network;
pub use answer::{Answer, AnswerBody, AnswerHead, Answered, Begun, PieceRefused, Room};
pub use body::{BodyFailure, BodyState, Portion, RATE_GRACE, SKIP_AT_MOST};
pub use connection::{Connection, HEAD_READ, HIGH_WATER, LINGER, Serial};
pub use departed::Departed;
use departed::Departures;
pub use settings::Settings;
pub use statistics::Statistics;

/// What answers requests. No borrow is held during any of these calls.
pub trait Application<H: Host>: Sized + 'static {
    /// Immutable bytes of the host that can be sent without a copy.
    type Bytes: AsRef<[u8]>;
    /// What is kept with a request that is not answered yet.
    type Pending;

    /// A request has come. It is answered by [`Connection::answer`], during this call (`None`) or later
    /// (`Some`). The head is valid during the call only.
    fn request(
        &self,
        reactor: &Reactor<H>,
        connection: &Rc<Connection<H, Self>>,
        serial: Serial,
        head: &RequestHead<'_, '_>,
    ) -> Option<Self::Pending>;

    /// The body that was asked for is complete, or will never be, or some of it is here for who asked for a piece:
    /// [`Connection::body`] says which.
    fn body_settled(&self, _reactor: &Reactor<H>, _pending: &Self::Pending) {}

    /// The piece of a body that was asked for, as it lies in the buffer. False: it is to be collected, and told of
    /// by [`Application::body_settled`].
    fn body_piece(&self, _reactor: &Reactor<H>, _pending: &Self::Pending, _data: &[u8]) -> bool {
        false
    }

    /// More of the body of an answer is welcome, as [`Connection::ask_for_room`] has asked.
    fn room(&self, _reactor: &Reactor<H>, _pending: &Self::Pending) {}

    /// A connection has left HTTP, as [`Connection::leave_http`] has asked. `input` is what came behind the request;
    /// `departed` is held until the connection is over.
    fn left(
        &self,
        reactor: &Reactor<H>,
        _pending: Self::Pending,
        _stream: Stream<Self::Bytes>,
        _input: Vec<u8>,
        departed: Departed<H, Self>,
    ) {
        departed.end(reactor);
    }

    /// The connection is gone before the request was answered.
    fn abandoned(&self, _reactor: &Reactor<H>, _pending: Self::Pending) {}

    /// The server drains and its last connection is gone.
    fn drained(&self, _reactor: &Reactor<H>) {}

    /// The reactor was closed under the server, which has stopped: nothing will be asked any more.
    fn orphaned(&self) {}

    /// The process ran out of descriptors; accepting rests for a moment.
    fn exhausted(&self, _reactor: &Reactor<H>, _error: io::Error) {}

    /// Shows the collector each value that the application itself holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}

    /// Shows the collector each value that a pending request holds exactly once.
    fn visit_pending(_pending: &Self::Pending, _visitor: &mut dyn FnMut(&H::Value)) {}
}

/// Where a server is in its life; the module's page says what each means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// May listen.
    New,
    /// Accepts.
    Running,
    /// Accepts no more, answers what there is.
    Draining,
    /// Nothing is left.
    Stopped,
}

/// The reactor holds the listeners, and they the server.
type Listeners<H, A> = Vec<Weak<Listener<H, ServerAcceptor<H, A>>>>;

/// What begins TLS on an accepted connection: asked for each, so that settings may change meanwhile.
pub type StartTls = Box<dyn Fn() -> io::Result<Handshake>>;

/// One application, its limits, its listeners and its connections.
pub struct Server<H: Host, A: Application<H>> {
    application: A,
    settings: Settings,
    state: Cell<State>,
    listeners: RefCell<Listeners<H, A>>,
    connections: RefCell<HashMap<u64, Weak<Connection<H, A>>>>,
    addresses: RefCell<Addresses>,
    departures: RefCell<Departures<H>>,
    statistics: RefCell<Statistics>,
    date: RefCell<DateCache>,
    date_is_good_until: Cell<Nanos>,
    /// The buffer that answers are written into, lent to one connection at a time.
    out: Cell<Vec<u8>>,
}

/// A wall clock that is read this seldom is never seen to be late.
const DATE_KEEPS: Nanos = 50 * MILLISECOND;

impl<H: Host, A: Application<H>> Server<H, A> {
    /// A server that does not listen yet.
    pub fn new(application: A, settings: Settings) -> Rc<Self> {
        let addresses = Addresses::new(settings.trusted_proxies.clone());
        Rc::new(Server {
            application,
            settings,
            state: Cell::new(State::New),
            listeners: RefCell::default(),
            connections: RefCell::default(),
            addresses: RefCell::new(addresses),
            departures: RefCell::default(),
            statistics: RefCell::default(),
            date: RefCell::new(DateCache::new(0)),
            date_is_good_until: Cell::new(0),
            out: Cell::default(),
        })
    }

    /// Accepts connections on a listening, non-blocking socket, over TLS if that is given.
    pub fn listen(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        socket: Descriptor,
        tls: Option<StartTls>,
    ) -> io::Result<()> {
        let acceptor = ServerAcceptor { server: self.clone(), tls };
        let listener = Listener::start(reactor, socket, acceptor)?;
        self.listeners.borrow_mut().push(Rc::downgrade(&listener));
        self.state.set(State::Running);
        Ok(())
    }

    /// What answers the requests.
    pub fn application(&self) -> &A {
        &self.application
    }

    /// The limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Where the server is in its life.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        *self.statistics.borrow()
    }

    fn count(&self, change: impl FnOnce(&mut Statistics)) {
        change(&mut self.statistics.borrow_mut());
    }

    /// Takes over a connected, non-blocking socket, as the listeners do.
    pub fn accept(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handshake: Option<Handshake>,
    ) -> io::Result<()> {
        if self.open() >= self.settings.max_connections {
            self.count(|statistics| statistics.refused += 1);
            refuse(socket, handshake.is_some());
            return Ok(());
        }
        let most = self.settings.max_connections_per_address;
        if !self.addresses.borrow_mut().admit(peer, most) {
            self.count(|statistics| statistics.refused_per_address += 1);
            return Ok(());
        }
        let connection = Connection::start(self, reactor, socket, peer, handshake);
        let connection = match connection {
            Ok(connection) => connection,
            Err(error) => {
                self.addresses.borrow_mut().leave(peer);
                return Err(error);
            }
        };
        let token = connection.token().0;
        self.connections.borrow_mut().insert(token, Rc::downgrade(&connection));
        self.count(|statistics| {
            statistics.accepted += 1;
            statistics.open += 1;
        });
        Ok(())
    }

    /// Stops accepting, closes idle connections, and makes every answer the last of its connection.
    pub fn drain(&self, reactor: &Reactor<H>) {
        if matches!(self.state.get(), State::Draining | State::Stopped) {
            return;
        }
        self.state.set(State::Draining);
        self.stop_listening(reactor);
        for connection in self.connections() {
            connection.drain(reactor);
        }
        self.check_drained(reactor);
    }

    /// Drops every connection at once, answered or not.
    pub fn abort(&self, reactor: &Reactor<H>) {
        if self.state.get() != State::Stopped {
            self.state.set(State::Draining);
        }
        self.stop_listening(reactor);
        for connection in self.connections() {
            connection.abort(reactor);
        }
        let aborts = self.departures.borrow().aborts();
        for abort in aborts {
            abort(reactor);
        }
        self.check_drained(reactor);
    }

    fn stop_listening(&self, reactor: &Reactor<H>) {
        let listeners = std::mem::take(&mut *self.listeners.borrow_mut());
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.close(reactor);
        }
    }

    fn connections(&self) -> Vec<Rc<Connection<H, A>>> {
        self.connections.borrow().values().filter_map(Weak::upgrade).collect()
    }

    fn open(&self) -> u64 {
        self.statistics.borrow().open
    }

    /// A connection has left HTTP, and goes on to count.
    fn depart(self: &Rc<Self>, token: Token, peer: Option<SocketAddr>) -> Departed<H, A> {
        let known = self.connections.borrow_mut().remove(&token.0);
        drop(known);
        Departed::new(self.clone(), peer)
    }

    /// A connection is gone.
    fn forget(&self, reactor: &Reactor<H>, token: Token, peer: Option<SocketAddr>) {
        let known = self.connections.borrow_mut().remove(&token.0);
        if known.is_some() {
            self.addresses.borrow_mut().leave(peer);
            self.count(|statistics| statistics.open -= 1);
            self.check_drained(reactor);
        }
    }

    /// A connection is gone together with its reactor.
    fn orphan(&self, token: Token) {
        if self.connections.borrow_mut().remove(&token.0).is_some() {
            self.count(|statistics| statistics.open -= 1);
        }
        self.check_orphaned();
    }

    fn check_orphaned(&self) {
        if self.state.get() == State::Draining && self.open() == 0 {
            self.state.set(State::Stopped);
            self.application.orphaned();
        }
    }

    fn check_drained(&self, reactor: &Reactor<H>) {
        if self.state.get() == State::Draining && self.open() == 0 {
            self.state.set(State::Stopped);
            self.application.drained(reactor);
        }
    }

    /// Calls a function with the value of the date field.
    fn with_date<T>(&self, reactor: &Reactor<H>, body: impl FnOnce(&[u8]) -> T) -> T {
        let now = reactor.turn_time();
        let mut date = self.date.borrow_mut();
        if now >= self.date_is_good_until.get() {
            date.update(reactor.clock().unix_seconds());
            self.date_is_good_until.set(now + DATE_KEEPS);
        }
        body(date.as_bytes())
    }
}

/// Nobody serves this connection; it is told so where that takes no handshake.
fn refuse(socket: OwnedFd, has_tls: bool) {
    if !has_tls {
        admission::refuse(socket);
    }
}

/// Hands accepted sockets to the server.
pub struct ServerAcceptor<H: Host, A: Application<H>> {
    server: Rc<Server<H, A>>,
    tls: Option<StartTls>,
}

impl<H: Host, A: Application<H>> Acceptor<H> for ServerAcceptor<H, A> {
    fn accepted(&self, reactor: &Reactor<H>, socket: OwnedFd, peer: Option<SocketAddr>) {
        let handshake = self.tls.as_ref().map(|start| start()).transpose();
        let accepted =
            handshake.and_then(|handshake| self.server.accept(reactor, socket, peer, handshake));
        if let Err(error) = accepted {
            self.server.application.exhausted(reactor, error);
        }
    }

    fn refuses(&self) -> bool {
        true
    }

    fn refused(&self, _reactor: &Reactor<H>, socket: OwnedFd) {
        self.server.count(|statistics| statistics.refused_without_descriptor += 1);
        refuse(socket, self.tls.is_some());
    }

    fn exhausted(&self, reactor: &Reactor<H>, error: io::Error) {
        self.server.application.exhausted(reactor, error);
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        // Several listeners share one application: the first shows it.
        let listeners = self.server.listeners.try_borrow();
        let is_first = listeners.is_ok_and(|listeners| {
            let mut alive = listeners.iter().filter_map(Weak::upgrade);
            alive.next().is_none_or(|first| std::ptr::eq(first.acceptor(), self))
        });
        if is_first {
            self.server.application.visit(visitor);
        }
    }
}

impl<H: Host, A: Application<H>> Drop for ServerAcceptor<H, A> {
    fn drop(&mut self) {
        let server = &self.server;
        let listens = server.listeners.borrow().iter().any(|other| other.strong_count() > 0);
        // A server that stops listening by itself drains first.
        if server.state.get() == State::Running && !listens {
            server.state.set(State::Stopped);
            server.application.orphaned();
        }
    }
}
