//! One connection of a server: bytes in, requests in their order, answers out.
//!
//! Laws:
//! - One request is with the application at a time; what is pipelined behind it waits unparsed, and
//!   nothing further is read from the socket meanwhile, except a body that was asked for.
//! - The application is called when a head is complete. Its body is not judged before it is asked for; what of a small one
//!   nobody has read is thrown away behind the answer. So a request has the same result however its bytes are cut.
//! - After so many requests of one dispatch it is the turn of the others.
//! - Everything written during a dispatch leaves with one call at its end.
//! - After an error of the peer, or an answer to a request with a large body that was not read, the connection
//!   ends; the write side first, so that the answer is not lost to a reset.
//!
//! | phase | may become | when |
//! | --- | --- | --- |
//! | Idle | Head, Handling | bytes of a head; a whole one |
//! | Head | Handling | the head is complete |
//! | Handling | Idle, Closing | answered; answered for the last time |
//! | Handling, Answering | Skipping | answered, and some of a small body is left |
//! | Skipping | Idle, Closing | the body is over; it is broken, or too large |
//! | Handling | Answering | the head of an answer whose body is to follow |
//! | Answering | Idle, Closing | the body is complete; complete and the last |
//! | Handling | Leaving | the connection is to speak another protocol from here on |
//! | Idle, Head | Closing | the peer broke a rule and was told |
//! | Closing | Lingering, Closed | all is sent, and the peer may, or may not, still be sending |
//! | any | Closed | the peer is gone, a deadline has passed, `abort` |

mod answering;
mod asking;
mod ending;
mod leaving;
mod reading;

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

use sennit_engine::clock::{Nanos, SECOND};
use sennit_engine::stall::{NEVER, Stall};
use sennit_engine::stream::{Chunk, Flushed, Stream};
use sennit_engine::tls::Details;
use sennit_engine::transport::Handshake;
use sennit_engine::{Host, Interest, Reactor, Readiness, Source, Token};
use sennit_wire::http1::RequestReader;

use super::answer::Delimiter;
use super::body::{Body, BodyFailure};
use super::{Application, Server, Settings};

/// Bytes read at once while heads are expected: what may wait unparsed behind a request.
pub const HEAD_READ: usize = 64 * 1024;

/// Answers of pipelined requests that may wait to be sent before the next request is looked at.
pub const HIGH_WATER: usize = 64 * 1024;

/// Bytes that wait when a streamed answer may go on.
const LOW_WATER: usize = HIGH_WATER / 4;

/// How long a peer may go on sending a body that nobody wants, and after our last byte; nginx allows 5 s.
pub const LINGER: Nanos = 2 * SECOND;

/// Which request of a connection: an answer to an earlier one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Serial(u32);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Idle,
    Head,
    Handling,
    Answering,
    Skipping,
    Leaving,
    Closing,
    Lingering,
    Closed,
}

impl Phase {
    /// Whether a request is with the application.
    fn is_busy(self) -> bool {
        matches!(self, Phase::Handling | Phase::Answering)
    }

    /// Whether the next thing is a request.
    fn is_before_request(self) -> bool {
        matches!(self, Phase::Idle | Phase::Head | Phase::Skipping)
    }
}

/// Where a client offers to go on in another protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Offer {
    #[default]
    None,
    Upgrade,
    /// CONNECT.
    Tunnel,
}

impl Offer {
    /// Whether the connection ends where it is answered in HTTP. The client may have sent more already, in the other protocol:
    /// without a tunnel that is not HTTP, and where an upgrade has failed nobody knows how far it had come.
    fn ends_with(self, status: u16) -> bool {
        match self {
            Offer::None => false,
            Offer::Upgrade => status >= 500,
            Offer::Tunnel => true,
        }
    }
}

/// What has to be remembered of a request until its answer.
#[derive(Debug, Clone, Copy, Default)]
struct Exchange {
    serial: Serial,
    keep_alive: bool,
    is_head: bool,
    is_old: bool,
    takes_trailers: bool,
    offer: Offer,
    is_answered: bool,
    /// The connection ends with this answer, and its head has said so.
    is_last: bool,
    /// How the body of an answer in pieces is delimited.
    delimiter: Delimiter,
    /// The application waits until more of that body is welcome.
    wants_room: bool,
}

struct Inner<B> {
    stream: Option<Stream<B>>,
    reader: RequestReader,
    /// Received and not used up.
    input: Vec<u8>,
    /// What is to be sent at the end of this dispatch; the server's buffer, lent.
    out: Vec<u8>,
    /// The body of the request that is being answered, if it has one.
    body: Option<Box<Body>>,
    exchange: Exchange,
    /// Requests that were begun in this dispatch.
    begun: u32,
    phase: Phase,
    dispatching: bool,
    /// Something was written outside a dispatch; it leaves at the end of the turn.
    corked: bool,
    /// The socket may hold bytes that were reported and not read.
    unread: bool,
    /// `input` holds bytes that the reader has not been shown yet.
    stopped: bool,
    /// The peer may go on sending behind our last byte.
    sends_on: bool,
    peer_ended: bool,
    /// As the kernel has reported it, which may be before what was sent has been read.
    peer_gone: bool,
    phase_deadline: Nanos,
    stall: Stall,
    armed_at: Nanos,
}

/// One connection. The application holds it while it has something to answer.
pub struct Connection<H: Host, A: Application<H>> {
    server: Rc<Server<H, A>>,
    token: Cell<Token>,
    peer: Option<SocketAddr>,
    inner: RefCell<Inner<A::Bytes>>,
    pending: RefCell<Option<A::Pending>>,
}

impl<H: Host, A: Application<H>> Connection<H, A> {
    pub(super) fn start(
        server: &Rc<Server<H, A>>,
        reactor: &Reactor<H>,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
        handshake: Option<Handshake>,
    ) -> io::Result<Rc<Self>> {
        let mut stream = Stream::new(socket);
        let descriptor: RawFd = stream.descriptor();
        let mut patience = server.settings().header_timeout;
        if let Some(handshake) = handshake {
            stream.start_tls(handshake.session, handshake.timeout)?;
            patience = handshake.timeout;
        }
        let connection = Rc::new(Connection {
            server: server.clone(),
            token: Cell::new(Token::NONE),
            peer,
            inner: RefCell::new(Inner {
                stream: Some(stream),
                reader: RequestReader::new(),
                input: Vec::new(),
                out: Vec::new(),
                body: None,
                exchange: Exchange::default(),
                begun: 0,
                phase: Phase::Idle,
                dispatching: false,
                corked: false,
                unread: false,
                stopped: false,
                sends_on: false,
                peer_ended: false,
                peer_gone: false,
                phase_deadline: reactor.turn_time().saturating_add(patience),
                stall: Stall::default(),
                armed_at: NEVER,
            }),
            pending: RefCell::new(None),
        });
        let token = reactor.register(descriptor, Interest::Edge, connection.clone())?;
        connection.token.set(token);
        connection.arm(reactor);
        Ok(connection)
    }

    /// The server that this connection belongs to.
    pub fn server(&self) -> &Rc<Server<H, A>> {
        &self.server
    }

    /// The peer's address, where it has an IP.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.peer
    }

    /// What TLS has agreed upon; `None` without it.
    pub fn tls_details(&self) -> Option<Details> {
        self.inner.borrow().stream.as_ref().and_then(Stream::tls_details)
    }

    /// Whether TLS is spoken.
    pub fn has_tls(&self) -> bool {
        self.inner.borrow().stream.as_ref().is_some_and(Stream::has_tls)
    }

    pub(super) fn token(&self) -> Token {
        self.token.get()
    }

    /// Ends the connection at once.
    pub fn abort(&self, reactor: &Reactor<H>) {
        self.lose(reactor);
    }

    /// An idle connection ends now, or when its answers are sent.
    pub(super) fn drain(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            let is_skipping = inner.phase == Phase::Skipping;
            if !is_skipping && (inner.phase != Phase::Idle || inner.unread || inner.stopped) {
                return;
            }
            if is_skipping || inner.queued() > 0 {
                inner.close();
                inner.sends_on |= is_skipping;
            }
        }
        let is_closing = self.inner.borrow().phase == Phase::Closing;
        if is_closing {
            return self.finish_if_sent(reactor);
        }
        self.lose(reactor);
    }
}

/// Reported once already: read until nothing is left.
const RESUME: Readiness = Readiness(Readiness::READABLE.0 | Readiness::TO_THE_END.0);

impl<B: AsRef<[u8]>> Inner<B> {
    fn queued(&self) -> usize {
        self.stream.as_ref().map_or(0, Stream::queued)
    }

    /// Nothing follows what is written.
    fn close(&mut self) {
        self.phase = Phase::Closing;
        self.phase_deadline = NEVER;
    }

    /// Gets the buffer that answers are written into, unless it is here already.
    fn borrow_out(&mut self, lender: &Cell<Vec<u8>>) {
        if self.out.capacity() == 0 {
            self.out = lender.take();
        }
    }

    /// Queues what was written, so that something else may stand behind it.
    fn queue_out(&mut self) {
        let out = std::mem::take(&mut self.out);
        if let Some(stream) = self.stream.as_mut() {
            stream.push(Chunk::Owned(out));
        }
    }

    /// Why a request is not waiting for its answer any more, if it is not.
    fn gone(&self, serial: Serial) -> Option<BodyFailure> {
        if self.exchange.serial != serial || self.exchange.is_answered {
            return Some(BodyFailure::Answered);
        }
        (!self.phase.is_busy()).then_some(BodyFailure::Lost)
    }

    /// Whether the next request may be looked at, or the peer has to take its answers first.
    fn has_room(&self) -> bool {
        self.queued() + self.out.len() <= HIGH_WATER
    }

    fn send(&mut self, out: &[u8]) -> io::Result<Flushed> {
        match self.stream.as_mut() {
            None => Ok(Flushed::All),
            Some(stream) if out.is_empty() && stream.queued() == 0 => Ok(Flushed::All),
            Some(stream) if stream.queued() == 0 => stream.send_or_queue(out),
            Some(stream) => {
                stream.push(Chunk::Owned(out.to_vec()));
                stream.flush()
            }
        }
    }

    /// Some bytes have left, or none. The peer's time for its next request begins when all have.
    fn note_sent(&mut self, now: Nanos, before: usize, flushed: Flushed, settings: &Settings) {
        let times = (now, settings.write_timeout);
        let Some(stream) = self.stream.as_ref() else { return };
        if !self.stall.note(stream, times, before, flushed) {
            return;
        }
        match self.phase {
            Phase::Idle => self.phase_deadline = now + settings.keep_alive_timeout,
            Phase::Head => self.phase_deadline = now + settings.header_timeout,
            Phase::Skipping => self.phase_deadline = now + LINGER,
            _ => {}
        }
    }

    /// Whether the peer takes nothing any more.
    fn is_stalled(&mut self, now: Nanos, settings: &Settings) -> bool {
        let stream = self.stream.as_ref();
        stream.is_some_and(|stream| self.stall.is_over(stream, (now, settings.write_timeout)))
    }

    fn deadline(&self, settings: &Settings) -> Nanos {
        if self.phase.is_before_request() && self.queued() > 0 {
            return self.stall.next_look();
        }
        let body = self.body.as_ref().and_then(|body| body.deadline(settings));
        let body = body.map_or(NEVER, |(deadline, _)| deadline);
        self.phase_deadline.min(self.stall.next_look()).min(body)
    }

    /// Whether nobody waits for an answer any more, as far as can be known: the client has ended its sending side behind the
    /// whole request.
    fn is_left_alone(&self) -> bool {
        self.peer_gone && self.phase.is_busy() && self.body.as_ref().is_none_or(|b| b.is_complete())
    }
}

impl<H: Host, A: Application<H>> Source<H> for Connection<H, A> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        if readiness.has(Readiness::BROKEN) && self.inner.borrow().phase.is_busy() {
            return self.lose(reactor);
        }
        if readiness.has(Readiness::WRITABLE) && self.inner.borrow().queued() > 0 {
            self.flush_queue(reactor);
            self.go_on(reactor);
        }
        if !readiness.has(Readiness::READABLE) {
            return;
        }
        {
            let mut inner = self.inner.borrow_mut();
            inner.dispatching = true;
            inner.begun = 0;
            inner.peer_gone |= readiness.has(Readiness::PEER_CLOSED.with(Readiness::BROKEN));
            inner.borrow_out(&self.server.out);
        }
        self.read(reactor, readiness);
        self.inner.borrow_mut().dispatching = false;
        if self.server.settings().cancel_on_disconnect && self.inner.borrow().is_left_alone() {
            return self.lose(reactor);
        }
        self.send(reactor);
        self.go_on(reactor);
    }

    fn flush(self: Rc<Self>, reactor: &Reactor<H>) {
        self.inner.borrow_mut().corked = false;
        self.send(reactor);
        self.go_on(reactor);
    }

    fn notified(self: Rc<Self>, reactor: &Reactor<H>) {
        self.leave(reactor);
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, now: Nanos) {
        let (due, stalled) = {
            let mut inner = self.inner.borrow_mut();
            if inner.armed_at > now {
                return;
            }
            inner.armed_at = NEVER;
            let stalled = inner.is_stalled(now, self.server.settings());
            (inner.deadline(self.server.settings()), stalled)
        };
        if stalled || due <= now {
            self.deadline_passed(reactor, stalled);
        }
        self.arm(reactor);
    }

    fn abandoned(self: Rc<Self>, _reactor: &Reactor<H>) {
        let stream = {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Closed;
            inner.stream.take()
        };
        drop(stream);
        let token = self.token.replace(Token::NONE);
        let pending = self.pending.take();
        drop(pending);
        self.server.orphan(token);
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        if let Ok(pending) = self.pending.try_borrow()
            && let Some(pending) = pending.as_ref()
        {
            A::visit_pending(pending, visitor);
        }
    }
}
