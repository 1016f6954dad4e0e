//! A stream with manners: what asyncio calls a transport.
//!
//! Laws:
//! - A protocol hears `data_received*`, then `eof_received` at most once, then `connection_lost`
//!   exactly once, and nothing after it.
//! - What was written before [`Transport::close`] is sent; [`Transport::abort`] drops it.
//! - All writes made while the connection is dispatched leave with one call at its end; writes
//!   made elsewhere leave at the end of the turn.
//! - With TLS the protocol hears nothing between [`Transport::start_tls`] and `secured`, which
//!   comes exactly once unless `connection_lost` does.
//! - With limits (see [`WriteLimits`]) a peer that takes nothing for too long, or for whom too much waits, ends the
//!   connection, a closing one as well.
//! - `pause_writing` when more than the high-water mark waits, `resume_writing` when no more than
//!   the low-water mark does; never two of the same in a row.
//!
//! | state | may become | when |
//! | --- | --- | --- |
//! | Open | Draining | `close`, or the end of the peer's stream without a wish to stay |
//! | Open, Draining | Lost | nothing is left to send; `abort`; an error |
//! | Lost | Closed | `connection_lost` has returned, in its own place of the ready queue |

mod limits;
mod state;
mod writing;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;

pub use self::limits::{WriteFault, WriteLimits};
use self::state::{Cork, Pressure};
pub use self::state::{Reading, State, WriteRefused, Writing};
use crate::clock::Nanos;
use crate::host::{Host, Source};
use crate::poller::{Interest, Readiness};
use crate::reactor::Reactor;
use crate::sources::Token;
use crate::stall::{NEVER, Stall};
use crate::stream::{Received, Stream};
use crate::tls::{Details, Session};

/// Bytes that may wait before a protocol is told to pause; asyncio's number.
pub const HIGH_WATER: usize = 64 * 1024;

/// Bytes that are offered to the kernel when they are written, and not at the end of the dispatch
/// or turn: more would leave the processor's cache meanwhile, and packets are full anyway.
const OFFER_AT_ONCE: usize = 32 * 1024;

/// What stands above a transport. No borrow is held during any of these calls.
pub trait Protocol<H: Host>: Sized + 'static {
    /// Immutable bytes of the host that can be queued without a copy. Dropping them must not run
    /// foreign code.
    type Bytes: AsRef<[u8]>;

    /// Bytes have come.
    fn data_received(&self, reactor: &Reactor<H>, data: &[u8]);

    /// The TLS handshake is done.
    fn secured(&self, _reactor: &Reactor<H>) {}

    /// Whether bytes are to be read into [`Protocol::fill_buffer`]'s buffer instead.
    fn has_buffer(&self) -> bool {
        false
    }

    /// Gets a buffer from the protocol, has `fill` read into it, and tells the protocol what has
    /// come. `None`: the protocol has failed and has said so.
    fn fill_buffer(
        &self,
        _reactor: &Reactor<H>,
        _fill: &mut dyn FnMut(&mut [u8]) -> io::Result<Received>,
    ) -> Option<io::Result<Received>> {
        None
    }

    /// The peer has sent all. True: keep the writing half open.
    fn eof_received(&self, reactor: &Reactor<H>) -> bool;
    /// It is over; `None` after an orderly end.
    fn connection_lost(&self, reactor: &Reactor<H>, error: Option<io::Error>);
    /// More than the high-water mark waits.
    fn pause_writing(&self, reactor: &Reactor<H>);
    /// No more than the low-water mark waits.
    fn resume_writing(&self, reactor: &Reactor<H>);
    /// A coarse deadline asked for with [`Transport::wake_at`] may have passed.
    fn deadline(&self, _reactor: &Reactor<H>, _now: Nanos) {}
    /// The reactor was closed under a live connection: let go of everything.
    fn abandoned(&self) {}
    /// Shows the collector each value that this holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}
}

struct Inner<B> {
    stream: Option<Stream<B>>,
    state: State,
    reading: Reading,
    writing: Writing,
    pressure: Pressure,
    cork: Cork,
    limits: Option<Rc<WriteLimits>>,
    rare: Option<Box<Rare>>,
}

/// What most connections never have.
struct Rare {
    high_water: usize,
    low_water: usize,
    error: Option<io::Error>,
    stall: Stall,
    /// When the wheel looks at the stall next.
    armed_at: Nanos,
}

impl Default for Rare {
    fn default() -> Self {
        let (high_water, low_water) = (HIGH_WATER, HIGH_WATER / 4);
        Rare { high_water, low_water, error: None, stall: Stall::default(), armed_at: NEVER }
    }
}

impl<B> Inner<B> {
    fn high_water(&self) -> usize {
        self.rare.as_ref().map_or(HIGH_WATER, |rare| rare.high_water)
    }

    fn low_water(&self) -> usize {
        self.rare.as_ref().map_or(HIGH_WATER / 4, |rare| rare.low_water)
    }
}

/// A TLS handshake and its deadline.
pub struct Handshake {
    /// Our end.
    pub session: Box<dyn Session>,
    /// How long it may take.
    pub timeout: Nanos,
}

/// One connection and its protocol.
pub struct Transport<H: Host, P: Protocol<H>> {
    protocol: P,
    token: Cell<Token>,
    inner: RefCell<Inner<P::Bytes>>,
    host: std::marker::PhantomData<fn(H)>,
}

impl<H: Host, P: Protocol<H>> Transport<H, P> {
    /// A transport over a connected, non-blocking socket. Nothing is read before it starts.
    pub fn new(socket: OwnedFd, protocol: P) -> Rc<Self> {
        Transport::over(Stream::new(socket), protocol)
    }

    /// A transport over a connection that somebody else has used until now.
    pub fn over(stream: Stream<P::Bytes>, protocol: P) -> Rc<Self> {
        Rc::new(Transport {
            protocol,
            token: Cell::new(Token::NONE),
            inner: RefCell::new(Inner {
                stream: Some(stream),
                state: State::Open,
                reading: Reading::Flowing,
                writing: Writing::Flowing,
                pressure: Pressure::Low,
                cork: Cork::Out,
                limits: None,
                rare: None,
            }),
            host: std::marker::PhantomData,
        })
    }

    /// Registers the transport: from here on the protocol hears of data. When this fails the
    /// socket is closed with the last reference.
    pub fn start(self: &Rc<Self>, reactor: &Reactor<H>) -> io::Result<()> {
        let Some(descriptor) = self.descriptor() else { return Ok(()) };
        let token = reactor.register(descriptor, Interest::Edge, self.clone())?;
        self.token.set(token);
        self.mind_handshake(reactor);
        // Whatever was done to the transport before it had a token takes effect now.
        let (state, queued) = (self.state(), self.queued());
        if state == State::Lost {
            reactor.notify_later(token);
        } else if queued > 0 || state == State::Draining {
            self.inner.borrow_mut().cork = Cork::Turn;
            reactor.flush_later(token);
        }
        Ok(())
    }

    /// Speaks TLS from here on, a server's end or a client's; what was written before leaves in
    /// the clear. A failure ends the connection.
    pub fn start_tls(&self, reactor: &Reactor<H>, handshake: Handshake) -> io::Result<()> {
        {
            let mut inner = self.inner.borrow_mut();
            let is_open = inner.state == State::Open && inner.writing == Writing::Flowing;
            match inner.stream.as_mut() {
                Some(stream) if is_open && !stream.has_tls() => {
                    stream.start_tls(handshake.session, handshake.timeout)?;
                }
                _ => return Err(io::Error::from(io::ErrorKind::InvalidInput)),
            }
        }
        self.mind_handshake(reactor);
        self.cork_for_turn(reactor);
        // The peer's first message may be here, behind what was read in the clear.
        self.look_again(reactor);
        Ok(())
    }

    /// Sets the deadline of a handshake once the transport is registered.
    fn mind_handshake(&self, reactor: &Reactor<H>) {
        let token = self.token.get();
        if token == Token::NONE {
            return;
        }
        let mut inner = self.inner.borrow_mut();
        let now = reactor.turn_time();
        if let Some(when) = inner.stream.as_mut().and_then(|stream| stream.begin_handshake(now)) {
            reactor.wake_source_at(when, token);
        }
    }

    /// Whether a TLS handshake goes on.
    pub fn is_handshaking(&self) -> bool {
        self.inner.borrow().stream.as_ref().is_some_and(|stream| !stream.is_open())
    }

    /// What TLS has agreed upon; `None` without it.
    pub fn tls_details(&self) -> Option<Details> {
        self.inner.borrow().stream.as_ref().and_then(Stream::tls_details)
    }

    /// Calls [`Protocol::deadline`] at `when` or up to 10 ms later. False: nothing is registered.
    pub fn wake_at(&self, reactor: &Reactor<H>, when: Nanos) -> bool {
        let token = self.token.get();
        if token == Token::NONE {
            return false;
        }
        reactor.wake_source_at(when, token);
        true
    }

    /// What stands above.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The socket's descriptor while there is one.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.inner.borrow().stream.as_ref().map(Stream::descriptor)
    }

    /// Where the transport is in its life.
    pub fn state(&self) -> State {
        self.inner.borrow().state
    }

    /// The state of the reading half.
    pub fn reading(&self) -> Reading {
        self.inner.borrow().reading
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.inner.borrow().stream.as_ref().map_or(0, Stream::queued)
    }

    /// The low and high water marks, in bytes.
    pub fn water_marks(&self) -> (usize, usize) {
        let inner = self.inner.borrow();
        (inner.low_water(), inner.high_water())
    }

    /// Sets the water marks, in bytes.
    pub fn set_water_marks(&self, reactor: &Reactor<H>, low: usize, high: usize) {
        {
            let mut inner = self.inner.borrow_mut();
            let rare = inner.rare.get_or_insert_default();
            (rare.low_water, rare.high_water) = (low, high);
        }
        self.mind_high_water(reactor);
    }

    /// Stops data for the protocol; the kernel's buffer fills and the peer must wait. False: it
    /// was paused or over already.
    pub fn pause_reading(&self) -> bool {
        let mut inner = self.inner.borrow_mut();
        let flows = inner.reading == Reading::Flowing && inner.state == State::Open;
        if flows {
            inner.reading = Reading::Paused;
        }
        flows
    }

    /// Lets data through again.
    pub fn resume_reading(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.reading != Reading::Paused || inner.state != State::Open {
                return;
            }
            inner.reading = Reading::Flowing;
        }
        // The edge was reported while nobody listened.
        self.look_again(reactor);
    }

    /// Reads what is there, reported or not; PEER_CLOSED makes the read go to the end.
    pub fn look_again(&self, reactor: &Reactor<H>) {
        reactor.dispatch_again(self.token.get(), Readiness::READABLE.with(Readiness::PEER_CLOSED));
    }

    /// Sends the end of the stream after what is queued.
    pub fn write_eof(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            if matches!(inner.writing, Writing::Ending | Writing::Ended) {
                return;
            }
            inner.writing = Writing::Ending;
        }
        self.flush_now(reactor);
    }

    /// Sends what is queued, then closes.
    pub fn close(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.state != State::Open {
                return;
            }
            inner.state = State::Draining;
        }
        self.flush_now(reactor);
    }

    /// Closes at once; what is queued is lost.
    pub fn abort(&self, reactor: &Reactor<H>) {
        self.lose(reactor, None);
    }

    /// Ends the connection with an error.
    pub fn fail(&self, reactor: &Reactor<H>, error: io::Error) {
        self.lose(reactor, Some(error));
    }

    fn lose(&self, reactor: &Reactor<H>, error: Option<io::Error>) {
        let dropped = {
            let mut inner = self.inner.borrow_mut();
            if !matches!(inner.state, State::Open | State::Draining) {
                return;
            }
            inner.state = State::Lost;
            if error.is_some() {
                inner.rare.get_or_insert_default().error = error;
            }
            inner.stream.as_mut().map(Stream::discard)
        };
        drop(dropped);
        if self.token.get() != Token::NONE {
            reactor.notify_later(self.token.get());
        }
    }

    fn wants_data(&self) -> bool {
        let inner = self.inner.borrow();
        if inner.stream.as_ref().is_some_and(|stream| !stream.is_open()) {
            // The handshake goes on whatever the protocol wants, and what it has queued with it.
            return matches!(inner.state, State::Open | State::Draining);
        }
        inner.state == State::Open && inner.reading == Reading::Flowing
    }

    fn receive_into(&self, buffer: &mut [u8]) -> io::Result<Received> {
        match self.inner.borrow_mut().stream.as_mut() {
            Some(stream) => stream.receive(buffer),
            None => Ok(Received::Blocked),
        }
    }

    /// Reads once and tells the protocol.
    fn read_once(&self, reactor: &Reactor<H>) -> Option<io::Result<Received>> {
        // In a handshake nothing comes for the protocol, so it is not asked for its buffer.
        if self.protocol.has_buffer() && !self.is_handshaking() {
            return self.protocol.fill_buffer(reactor, &mut |buffer| self.receive_into(buffer));
        }
        let mut scratch = reactor.take_scratch();
        let result = self.receive_into(&mut scratch);
        if let Ok(Received::Data { count, .. }) = result {
            self.protocol.data_received(reactor, &scratch[..count]);
        }
        reactor.return_scratch(scratch);
        Some(result)
    }

    fn read(&self, reactor: &Reactor<H>, readiness: Readiness) {
        let peer_closed = readiness.has(Readiness::PEER_CLOSED.with(Readiness::BROKEN));
        let mut taken = 0;
        while self.wants_data() {
            let Some(result) = self.read_once(reactor) else { return };
            match result {
                Ok(Received::Blocked) => return,
                Ok(Received::End) => return self.end_of_stream(reactor),
                Err(error) => return self.lose(reactor, Some(error)),
                Ok(Received::Secured) => self.secured(reactor),
                Ok(Received::Data { count, drained }) => {
                    taken += count;
                    if drained && !peer_closed {
                        return;
                    }
                    if taken >= crate::reactor::SCRATCH_SIZE {
                        return reactor.dispatch_again(self.token.get(), readiness);
                    }
                }
            }
        }
    }

    fn secured(&self, reactor: &Reactor<H>) {
        self.protocol.secured(reactor);
        // What was written before could not leave: the socket may never have been full.
        reactor.flush_later(self.token.get());
    }

    fn end_of_stream(&self, reactor: &Reactor<H>) {
        self.inner.borrow_mut().reading = Reading::Ended;
        let keep_open = self.protocol.eof_received(reactor);
        if !keep_open {
            self.close(reactor);
        }
    }
}

impl<H: Host, P: Protocol<H>> Source<H> for Transport<H, P> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let was_blocked = self.queued() > 0;
        let before = std::mem::replace(&mut self.inner.borrow_mut().cork, Cork::Dispatch);
        // Reading comes first: a peer that no longer listens may have said why, and a failed
        // write would end the connection over it.
        if readiness.has(Readiness::READABLE) {
            self.read(reactor, readiness);
        }
        self.inner.borrow_mut().cork = before;
        let may_send = !was_blocked || readiness.has(Readiness::WRITABLE);
        if before == Cork::Out && may_send && self.queued() > 0 {
            self.flush_now(reactor);
        }
    }

    fn flush(self: Rc<Self>, reactor: &Reactor<H>) {
        self.inner.borrow_mut().cork = Cork::Out;
        self.flush_now(reactor);
    }

    fn notified(self: Rc<Self>, reactor: &Reactor<H>) {
        let error = {
            let mut inner = self.inner.borrow_mut();
            if inner.state != State::Lost {
                return;
            }
            inner.rare.as_mut().and_then(|rare| rare.error.take())
        };
        self.protocol.connection_lost(reactor, error);
        let stream = {
            let mut inner = self.inner.borrow_mut();
            inner.state = State::Closed;
            inner.stream.take()
        };
        drop(stream);
        let source = reactor.remove(self.token.replace(Token::NONE));
        drop(source);
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, now: Nanos) {
        let late = self.inner.borrow().stream.as_ref().and_then(|stream| stream.late_by(now));
        match late {
            Some(fault) => self.lose(reactor, Some(fault.into())),
            None => {
                self.mind_stall(reactor, now);
                self.protocol.deadline(reactor, now);
            }
        }
    }

    fn abandoned(self: Rc<Self>, _reactor: &Reactor<H>) {
        let stream = {
            let mut inner = self.inner.borrow_mut();
            inner.state = State::Closed;
            inner.stream.take()
        };
        drop(stream);
        self.token.set(Token::NONE);
        self.protocol.abandoned();
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        self.protocol.visit(visitor);
    }
}
