//! One connection of a client.
//!
//! | file | what it does |
//! | --- | --- |
//! | `opening` | addresses in turn, a proxy's tunnel, TLS |
//! | `racing` | an address beside one that is silent |
//! | `sending` | a request out, whole or in pieces |
//! | `receiving` | a response in, whole or for somebody who reads it in pieces |
//! | `ending` | everything that can go wrong, and the end |
//!
//! Laws:
//! - It carries one request at a time; there is no pipelining.
//! - It goes back to the pool only if the response ended where its framing says, nothing came behind it,
//!   the request was sent whole, and both sides want to keep it.
//! - Whatever is wrong with it is told to its request once; an idle one goes without a word.
//!
//! | phase | may become | when |
//! | --- | --- | --- |
//! | Connecting | Tunnelling, Securing, Busy | connected; the request is sent |
//! | Tunnelling | Securing, Busy, Closed | the proxy has made a tunnel; or has not |
//! | Securing | Busy, Closed | the TLS handshake is done; or fails |
//! | Busy | Idle, Closed | the response is whole; or cannot become so |
//! | Idle | Busy, Closed | another request; closed by the peer, its time is over, its place is needed |

mod ending;
mod opening;
mod racing;
mod receiving;
mod sending;

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sennit_engine::clock::Nanos;
use sennit_engine::reactor::State;
use sennit_engine::stream::{Flushed, Stream};
use sennit_engine::{Host, Reactor, Readiness, Source, Token};
use sennit_wire::http1::ResponseReader;

use super::exchange::{Cause, RequestId, Step};
use super::tunnel::Tunnel;
use super::{Caller, Client, OriginId, Settings};
use racing::Rival;

const NEVER: Nanos = Nanos::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Tunnelling,
    Securing,
    Busy,
    Idle,
    Closed,
}

/// How far the body of the request is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Uploading {
    /// More pieces are to come.
    Open,
    /// All of it is with the stream.
    Done,
}

/// Whether the socket is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    Flowing,
    /// Whoever reads the response has enough for now.
    Paused,
}

struct Inner {
    stream: Option<Stream<Vec<u8>>>,
    phase: Phase,
    uploading: Uploading,
    reading: Reading,
    tunnel: Option<Tunnel>,
    reader: ResponseReader,
    /// Received and not used up: part of a head, mostly nothing.
    input: Vec<u8>,
    /// The response as far as it is here: head, then body.
    response: Vec<u8>,
    status: u16,
    head_size: usize,
    sets_cookies: bool,
    is_coded: bool,
    keep_alive: bool,
    request: Option<RequestId>,
    /// Whether this connection has carried a request before.
    is_reused: bool,
    next_address: usize,
    /// Addresses that are tried beside the first one.
    rivals: Vec<Rival>,
    /// When the next address is.
    rival_at: Nanos,
    /// Why nothing can be sent any more; what the peer has said before that is still read.
    send_error: Option<io::Error>,
    deadline: Nanos,
    connect_deadline: Nanos,
    /// When a byte of the request or of the response has last made its way.
    progress_at: Nanos,
    armed_at: Nanos,
}

/// One connection, and the request it carries.
pub(super) struct Connection<H: Host, C: Caller<H>> {
    client: Rc<Client<H, C>>,
    origin: OriginId,
    token: Cell<Token>,
    inner: RefCell<Inner>,
}

impl<H: Host, C: Caller<H>> Connection<H, C> {
    /// Whether it may carry another request.
    pub fn is_idle(&self) -> bool {
        self.inner.borrow().phase == Phase::Idle
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        let inner = self.inner.try_borrow();
        inner.ok().and_then(|inner| inner.stream.as_ref().map(Stream::queued)).unwrap_or(0)
    }

    fn arm(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        let stall = inner.stalls_at(self.client.settings()).0;
        let deadline = inner.deadline.min(inner.connect_deadline).min(inner.rival_at).min(stall);
        if deadline < inner.armed_at && inner.phase != Phase::Closed {
            inner.armed_at = deadline;
            reactor.wake_source_at(deadline, self.token.get());
        }
    }

    /// Bytes have made their way: the peer is not silent.
    fn progress(&self, reactor: &Reactor<H>) {
        self.inner.borrow_mut().progress_at = reactor.turn_time();
    }
}

impl Inner {
    fn step(&self) -> Step {
        let unsent = self.stream.as_ref().is_some_and(|stream| stream.queued() > 0);
        match self.phase {
            Phase::Connecting => Step::Connect,
            Phase::Tunnelling => Step::Tunnel,
            Phase::Securing => Step::Secure,
            _ if self.head_size > 0 => Step::ReceiveBody,
            _ if unsent || self.uploading == Uploading::Open => Step::Send,
            _ => Step::ReceiveHead,
        }
    }

    /// When the peer has been silent for too long, and what that is called.
    fn stalls_at(&self, settings: &Settings) -> (Nanos, Cause) {
        let unsent = self.stream.as_ref().is_some_and(|stream| stream.queued() > 0);
        if self.phase != Phase::Busy {
            (NEVER, Cause::ReadTimedOut)
        } else if unsent {
            (self.progress_at.saturating_add(settings.write_timeout), Cause::WriteTimedOut)
        } else if self.uploading == Uploading::Open || self.reading == Reading::Paused {
            // It is this side's turn.
            (NEVER, Cause::ReadTimedOut)
        } else {
            // Only a body in pieces is without a deadline of its request's.
            let is_in_pieces = self.deadline == NEVER;
            let most =
                if is_in_pieces { settings.stream_read_timeout } else { settings.read_timeout };
            (self.progress_at.saturating_add(most), Cause::ReadTimedOut)
        }
    }
}

impl<H: Host, C: Caller<H>> Source<H> for Connection<H, C> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        if self.inner.borrow().phase == Phase::Connecting {
            if !readiness.has(Readiness::WRITABLE.with(Readiness::BROKEN)) {
                return;
            }
            self.connected(reactor);
        } else if readiness.has(Readiness::WRITABLE) {
            self.send_queued(reactor);
        }
        if readiness.has(Readiness::READABLE) && self.inner.borrow().phase != Phase::Connecting {
            self.read(reactor, readiness);
        }
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, now: Nanos) {
        let (due, connect_due, rival_due, phase, step, stall) = {
            let mut inner = self.inner.borrow_mut();
            if inner.armed_at > now {
                return;
            }
            inner.armed_at = NEVER;
            let stall = inner.stalls_at(self.client.settings());
            let (connect_due, rival_due) = (inner.connect_deadline <= now, inner.rival_at <= now);
            (inner.deadline <= now, connect_due, rival_due, inner.phase, inner.step(), stall)
        };
        match phase {
            Phase::Closed => {}
            Phase::Idle if due => self.drop_idle(reactor),
            Phase::Idle => self.arm(reactor),
            _ if due => self.fail(reactor, step, Cause::TimedOut),
            Phase::Connecting if connect_due => self.give_address_up(reactor),
            Phase::Connecting if rival_due => self.start_rival(reactor),
            Phase::Tunnelling | Phase::Securing if connect_due => {
                self.fail(reactor, step, Cause::ConnectTimedOut);
            }
            _ if stall.0 <= now => self.fail(reactor, step, stall.1),
            _ => self.arm(reactor),
        }
    }

    fn abandoned(self: Rc<Self>, reactor: &Reactor<H>) {
        if reactor.state() != State::Closed {
            // It was thrown away after a panic: its request and its place are still to be seen to.
            self.client.forget_idle(self.origin, &self);
            let step = self.inner.borrow().step();
            return self.fail(reactor, step, Cause::Closed);
        }
        let streams = {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Closed;
            (inner.stream.take(), std::mem::take(&mut inner.rivals))
        };
        drop(streams);
        self.token.set(Token::NONE);
    }
}
