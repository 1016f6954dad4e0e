//! A socket for datagrams, with manners: what asyncio calls a datagram transport.
//!
//! Laws:
//! - A datagram is handed on whole; one that was longer than there was room for is an error.
//! - Datagrams leave in the order in which they were written, with as few calls as the kernel
//!   allows: those written in a dispatch at its end, the others at the end of the turn.
//! - The queue has a size: what comes when it is full is dropped and counted.
//! - An error of one datagram (nobody listens there, it is too long) is told and ends nothing.
//! - `connection_lost` comes exactly once, and nothing after it.
//!
//! | state | may become | when |
//! | --- | --- | --- |
//! | Open | Draining | `close` |
//! | Open, Draining | Lost | nothing is left to send; `abort` |
//! | Lost | Closed | `connection_lost` has returned, in its own place of the ready queue |

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use crate::host::{Host, Source};
use crate::poller::{Interest, Readiness};
use crate::reactor::{self, Reactor};
use crate::socket::datagram::{Arrived, BATCH, Batch, RawAddress, drops, send_batch, send_to};
use crate::socket::would_block;
use crate::sources::Token;
use crate::stream::Chunk;
use crate::transport::{HIGH_WATER, State};

/// Datagrams taken in one turn.
const DATAGRAMS_PER_TURN: usize = 256;

/// Bytes that may wait to be sent, and the datagrams that they may be.
const MAX_QUEUED: usize = 16 * 1024 * 1024;
const MAX_QUEUED_DATAGRAMS: usize = 16 * 1024;

thread_local! {
    /// Room to receive into, shared by all sockets of a thread.
    static ROOM: Cell<Option<Box<Batch>>> = const { Cell::new(None) };
}

/// What stands above a socket for datagrams. No borrow is held during any of these calls.
pub trait DatagramProtocol<H: Host>: Sized + 'static {
    /// Immutable bytes of the host that can be queued without a copy. Dropping them must not run
    /// foreign code.
    type Bytes: AsRef<[u8]>;

    /// A datagram has come.
    fn datagram_received(&self, reactor: &Reactor<H>, data: &[u8], from: &RawAddress);
    /// Something went wrong with one datagram, sent or received.
    fn error_received(&self, reactor: &Reactor<H>, error: io::Error);
    /// It is over.
    fn connection_lost(&self, reactor: &Reactor<H>, error: Option<io::Error>);
    /// More than the high-water mark waits.
    fn pause_writing(&self, reactor: &Reactor<H>);
    /// No more than the low-water mark waits.
    fn resume_writing(&self, reactor: &Reactor<H>);
    /// The reactor was closed under a live socket: let go of everything.
    fn abandoned(&self) {}
    /// Shows the collector each value that this holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}
}

/// Why nothing is sent right now although the socket might take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cork {
    Out,
    Dispatch,
    Turn,
}

/// What the protocol was told last about its writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pressure {
    Low,
    High,
}

/// Counters of one socket.
#[derive(Debug, Default, Clone, Copy)]
pub struct DatagramStatistics {
    /// Datagrams that have come.
    pub received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Datagrams that the kernel has taken.
    pub sent: u64,
    /// Their bytes.
    pub bytes_sent: u64,
    /// Datagrams that found the queue full.
    pub dropped_sending: u64,
    /// Datagrams that the kernel has dropped before anybody could take them.
    pub dropped_by_kernel: u64,
    /// Datagrams that were longer than there was room for.
    pub cut: u64,
    /// Errors that the protocol was told.
    pub errors: u64,
}

struct Waiting<B> {
    data: Chunk<B>,
    to: RawAddress,
}

struct Inner<B> {
    socket: Option<OwnedFd>,
    state: State,
    queue: VecDeque<Waiting<B>>,
    queued: usize,
    pressure: Pressure,
    cork: Cork,
    high_water: usize,
    low_water: usize,
    /// Whether the first of the queue was kept after a refusal that may have been another's.
    was_refused: bool,
    /// What one call has brought and nobody has heard of yet: the host has interrupted its turn.
    unheard: VecDeque<Unheard>,
    statistics: DatagramStatistics,
}

/// A datagram out of the room that all sockets share.
struct Unheard {
    data: Vec<u8>,
    from: RawAddress,
    is_cut: bool,
}

/// One socket for datagrams and its protocol.
pub struct Datagrams<H: Host, P: DatagramProtocol<H>> {
    protocol: P,
    token: Cell<Token>,
    inner: RefCell<Inner<P::Bytes>>,
    host: std::marker::PhantomData<fn(H)>,
}

/// What a flush has reached.
enum Flushed {
    All,
    Blocked,
    Failed(io::Error),
}

impl<B: AsRef<[u8]>> Inner<B> {
    /// Asks the kernel, while there is a socket to ask for.
    fn count_drops(&mut self) {
        if let Some(drops) = self.socket.as_ref().and_then(|socket| drops(socket.as_raw_fd())) {
            self.statistics.dropped_by_kernel = drops;
        }
    }

    /// Sends what the kernel takes with one call.
    fn send_some(&mut self, descriptor: RawFd) -> io::Result<usize> {
        if self.queue.len() == 1 {
            let Some(first) = self.queue.front() else { return Ok(0) };
            return send_to(descriptor, first.data.as_ref(), &first.to).map(|()| 1);
        }
        let datagrams: Vec<_> = self
            .queue
            .iter()
            .take(BATCH)
            .map(|waiting| (IoSlice::new(waiting.data.as_ref()), &waiting.to))
            .collect();
        send_batch(descriptor, &datagrams)
    }

    fn drop_first(&mut self, count: usize, was_sent: bool) {
        for waiting in self.queue.drain(..count.min(self.queue.len())) {
            let size = waiting.data.as_ref().len();
            self.queued -= size;
            if was_sent {
                self.statistics.sent += 1;
                self.statistics.bytes_sent += size as u64;
            }
        }
    }

    fn flush(&mut self) -> Flushed {
        let Some(descriptor) = self.socket.as_ref().map(AsRawFd::as_raw_fd) else {
            return Flushed::All;
        };
        while !self.queue.is_empty() {
            match self.send_some(descriptor) {
                Ok(count) => {
                    self.was_refused = false;
                    self.drop_first(count, true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => return Flushed::Blocked,
                Err(error) => {
                    // Over UDP an earlier datagram's refusal is told to the next one, which was not
                    // sent and may find somebody: it gets a second try. Any other error is this
                    // one's own, and so is a second refusal: nobody has the UNIX socket it is for.
                    let is_refusal = error.raw_os_error() == Some(libc::ECONNREFUSED);
                    if is_refusal && !self.was_refused {
                        self.was_refused = true;
                    } else {
                        self.was_refused = false;
                        self.drop_first(1, false);
                    }
                    return Flushed::Failed(error);
                }
            }
        }
        Flushed::All
    }
}

impl<H: Host, P: DatagramProtocol<H>> Datagrams<H, P> {
    /// A transport over a non-blocking datagram socket; nothing is read before
    /// [`Datagrams::start`].
    pub fn new(socket: OwnedFd, protocol: P) -> Rc<Self> {
        Rc::new(Datagrams {
            protocol,
            token: Cell::new(Token::NONE),
            inner: RefCell::new(Inner {
                socket: Some(socket),
                state: State::Open,
                queue: VecDeque::new(),
                queued: 0,
                pressure: Pressure::Low,
                cork: Cork::Out,
                high_water: HIGH_WATER,
                low_water: HIGH_WATER / 4,
                was_refused: false,
                unheard: VecDeque::new(),
                statistics: DatagramStatistics::default(),
            }),
            host: std::marker::PhantomData,
        })
    }

    /// Registers the socket: from here on the protocol hears of datagrams.
    pub fn start(self: &Rc<Self>, reactor: &Reactor<H>) -> io::Result<()> {
        let Some(descriptor) = self.descriptor() else { return Ok(()) };
        let token = reactor.register(descriptor, Interest::Edge, self.clone())?;
        self.token.set(token);
        // Whatever was done before there was a token takes effect now.
        if self.state() == State::Lost {
            reactor.notify_later(token);
        } else if self.has_queued() || self.state() == State::Draining {
            self.inner.borrow_mut().cork = Cork::Turn;
            reactor.flush_later(token);
        }
        Ok(())
    }

    /// What stands above.
    pub fn protocol(&self) -> &P {
        &self.protocol
    }

    /// The socket's descriptor while there is one.
    pub fn descriptor(&self) -> Option<RawFd> {
        self.inner.borrow().socket.as_ref().map(AsRawFd::as_raw_fd)
    }

    /// Where it is in its life.
    pub fn state(&self) -> State {
        self.inner.borrow().state
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.inner.borrow().queued
    }

    /// Whether datagrams wait to be sent: they may be empty.
    fn has_queued(&self) -> bool {
        !self.inner.borrow().queue.is_empty()
    }

    /// The counters so far.
    pub fn statistics(&self) -> DatagramStatistics {
        self.inner.borrow_mut().count_drops();
        self.inner.borrow().statistics
    }

    /// The low and high water marks, in bytes.
    pub fn water_marks(&self) -> (usize, usize) {
        let inner = self.inner.borrow();
        (inner.low_water, inner.high_water)
    }

    /// Sets the water marks, in bytes.
    pub fn set_water_marks(&self, reactor: &Reactor<H>, low: usize, high: usize) {
        {
            let mut inner = self.inner.borrow_mut();
            (inner.low_water, inner.high_water) = (low, high);
        }
        self.mind_high_water(reactor);
    }

    /// Queues a datagram and sees to it that it leaves. False: the queue is full, or it is over.
    pub fn send(&self, reactor: &Reactor<H>, data: Chunk<P::Bytes>, to: RawAddress) -> bool {
        let size = data.as_ref().len();
        let corked = {
            let mut inner = self.inner.borrow_mut();
            let is_full = inner.queue.len() >= MAX_QUEUED_DATAGRAMS || inner.queued > MAX_QUEUED;
            if inner.state != State::Open || is_full {
                inner.statistics.dropped_sending += 1;
                drop(inner);
                drop(data);
                return false;
            }
            inner.queued += size;
            inner.queue.push_back(Waiting { data, to });
            let corked = inner.cork != Cork::Out;
            if !corked && self.token.get() != Token::NONE {
                inner.cork = Cork::Turn;
            }
            corked
        };
        if self.queued() > self.water_marks().1 {
            // Too much to wait for the end of the turn: offer it to the kernel first.
            self.flush_now(reactor);
            self.mind_high_water(reactor);
        }
        if !corked && self.token.get() != Token::NONE {
            reactor.flush_later(self.token.get());
        }
        true
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
        let dropped = {
            let mut inner = self.inner.borrow_mut();
            if !matches!(inner.state, State::Open | State::Draining) {
                return;
            }
            inner.state = State::Lost;
            inner.queued = 0;
            std::mem::take(&mut inner.queue)
        };
        drop(dropped);
        if self.token.get() != Token::NONE {
            reactor.notify_later(self.token.get());
        }
    }

    fn flush_now(&self, reactor: &Reactor<H>) {
        if reactor.host().is_foreign() {
            return;
        }
        // Who answers an error with another datagram must not keep the others waiting for ever: each
        // of those that wait now may fail twice.
        let mut failures_left = 2 * self.inner.borrow().queue.len();
        loop {
            let flushed = {
                let mut inner = self.inner.borrow_mut();
                if !matches!(inner.state, State::Open | State::Draining) {
                    return;
                }
                inner.flush()
            };
            match flushed {
                Flushed::Failed(error) => {
                    self.failed(reactor, error);
                    failures_left = failures_left.saturating_sub(1);
                    if failures_left == 0 && self.has_queued() {
                        self.inner.borrow_mut().cork = Cork::Turn;
                        reactor.flush_later(self.token.get());
                        break;
                    }
                }
                Flushed::Blocked => break,
                Flushed::All if self.state() == State::Draining => return self.abort(reactor),
                Flushed::All => break,
            }
        }
        self.mind_low_water(reactor);
    }

    fn failed(&self, reactor: &Reactor<H>, error: io::Error) {
        self.inner.borrow_mut().statistics.errors += 1;
        self.protocol.error_received(reactor, error);
    }

    fn mind_high_water(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.pressure == Pressure::High || inner.queued <= inner.high_water {
                return;
            }
            inner.pressure = Pressure::High;
        }
        self.protocol.pause_writing(reactor);
    }

    fn mind_low_water(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            let is_low = inner.pressure == Pressure::Low || inner.queued > inner.low_water;
            if is_low || inner.state != State::Open {
                return;
            }
            inner.pressure = Pressure::Low;
        }
        self.protocol.resume_writing(reactor);
    }

    /// Hands on what one call has brought. False: nobody wants more now.
    fn hand_on(&self, reactor: &Reactor<H>, batch: &mut Batch, count: usize) -> bool {
        for index in 0..count {
            let Some(arrived) = batch.get(index) else { return false };
            if reactor.state() == reactor::State::Interrupted {
                self.keep(&arrived);
                continue;
            }
            if !self.tell(reactor, arrived.data, arrived.from, arrived.is_cut) {
                return false;
            }
        }
        if self.inner.borrow().unheard.is_empty() {
            return true;
        }
        reactor.dispatch_again(self.token.get(), Readiness::READABLE);
        false
    }

    fn keep(&self, arrived: &Arrived<'_>) {
        let (data, from) = (arrived.data.to_vec(), *arrived.from);
        let unheard = Unheard { data, from, is_cut: arrived.is_cut };
        self.inner.borrow_mut().unheard.push_back(unheard);
    }

    /// Hands on what an interrupted turn has left. False: as above.
    fn hand_on_unheard(&self, reactor: &Reactor<H>) -> bool {
        loop {
            if reactor.state() == reactor::State::Interrupted {
                reactor.dispatch_again(self.token.get(), Readiness::READABLE);
                return false;
            }
            let next = self.inner.borrow_mut().unheard.pop_front();
            let Some(unheard) = next else { return true };
            if !self.tell(reactor, &unheard.data, &unheard.from, unheard.is_cut) {
                return false;
            }
        }
    }

    /// Tells the protocol of one datagram. False: it is over.
    fn tell(&self, reactor: &Reactor<H>, data: &[u8], from: &RawAddress, is_cut: bool) -> bool {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.state != State::Open {
                return false;
            }
            inner.statistics.received += 1;
            inner.statistics.bytes_received += data.len() as u64;
            inner.statistics.cut += u64::from(is_cut);
        }
        if is_cut {
            self.failed(reactor, io::Error::from_raw_os_error(libc::EMSGSIZE));
        } else {
            self.protocol.datagram_received(reactor, data, from);
        }
        true
    }

    fn read(&self, reactor: &Reactor<H>, readiness: Readiness) {
        if !self.hand_on_unheard(reactor) {
            return;
        }
        let mut batch = ROOM.take().unwrap_or_default();
        let mut taken = 0;
        while self.state() == State::Open {
            let Some(descriptor) = self.descriptor() else { break };
            match batch.receive(descriptor) {
                Ok(count) => {
                    taken += count;
                    if !self.hand_on(reactor, &mut batch, count) {
                        break;
                    }
                    // An error that waits behind the last datagram was reported with it.
                    if count < BATCH && !readiness.has(Readiness::BROKEN) {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if would_block(&error) => break,
                Err(error) => {
                    taken += 1;
                    self.failed(reactor, error);
                }
            }
            if taken >= DATAGRAMS_PER_TURN {
                reactor.dispatch_again(self.token.get(), readiness);
                break;
            }
        }
        ROOM.set(Some(batch));
    }
}

impl<H: Host, P: DatagramProtocol<H>> Source<H> for Datagrams<H, P> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let was_blocked = self.has_queued();
        let before = std::mem::replace(&mut self.inner.borrow_mut().cork, Cork::Dispatch);
        if readiness.has(Readiness::READABLE.with(Readiness::BROKEN)) {
            self.read(reactor, readiness);
        }
        self.inner.borrow_mut().cork = before;
        let may_send = !was_blocked || readiness.has(Readiness::WRITABLE);
        if before == Cork::Out && may_send && self.has_queued() {
            self.flush_now(reactor);
        }
    }

    fn flush(self: Rc<Self>, reactor: &Reactor<H>) {
        self.inner.borrow_mut().cork = Cork::Out;
        self.flush_now(reactor);
    }

    fn notified(self: Rc<Self>, reactor: &Reactor<H>) {
        if self.state() != State::Lost {
            return;
        }
        self.protocol.connection_lost(reactor, None);
        let socket = {
            let mut inner = self.inner.borrow_mut();
            inner.state = State::Closed;
            inner.count_drops();
            inner.socket.take()
        };
        drop(socket);
        let source = reactor.remove(self.token.replace(Token::NONE));
        drop(source);
    }

    fn abandoned(self: Rc<Self>, _reactor: &Reactor<H>) {
        let (socket, queue) = {
            let mut inner = self.inner.borrow_mut();
            inner.state = State::Closed;
            (inner.socket.take(), std::mem::take(&mut inner.queue))
        };
        drop((socket, queue));
        self.token.set(Token::NONE);
        self.protocol.abandoned();
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        self.protocol.visit(visitor);
    }
}
