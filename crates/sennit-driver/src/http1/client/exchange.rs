//! One request and what becomes of it.

use std::fmt;
use std::io;
use std::rc::Weak;

use sennit_engine::Host;
use sennit_engine::clock::Nanos;
use sennit_wire::http1::{RemoteProtocolError, RequestKind};

use super::bodies::{Download, Progress, Sending, Upload};
use super::connection::Connection;
use super::tunnel::Refusal;
use super::{Caller, OriginId};

/// A request, ready to be sent.
#[derive(Debug)]
pub struct Outgoing {
    /// Whom it is for.
    pub origin: OriginId,
    /// Head and body.
    pub bytes: Vec<u8>,
    /// What it means for the response's body.
    pub kind: RequestKind,
    /// Whether sending it twice does no harm (RFC 9110 section 9.2.2).
    pub is_idempotent: bool,
    /// For everything, from now to the last byte of the response; to its head if that is read in pieces.
    pub timeout: Nanos,
    /// How the body follows.
    pub sending: Sending,
    /// Whether the response's body is read in pieces, see [`super::Client::read_body`].
    pub is_streamed: bool,
}

impl Outgoing {
    /// A request that is whole, for a response that is read whole.
    #[must_use]
    pub fn whole(origin: OriginId, bytes: Vec<u8>, timeout: Nanos) -> Self {
        Outgoing {
            origin,
            bytes,
            kind: RequestKind::Ordinary,
            is_idempotent: true,
            timeout,
            sending: Sending::Whole,
            is_streamed: false,
        }
    }
}

/// A whole response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The status.
    pub status: u16,
    /// The head, then the body.
    pub bytes: Vec<u8>,
    /// Where the body begins.
    pub head_size: usize,
    /// Whether the head has a `set-cookie` field.
    pub sets_cookies: bool,
    /// Whether the head has a `content-encoding` field.
    pub is_coded: bool,
}

impl Response {
    /// The head with its blank line.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        self.bytes.get(..self.head_size).unwrap_or_default()
    }

    /// The body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(self.head_size..).unwrap_or_default()
    }
}

/// How far a request had come when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// It waited for a connection.
    Wait,
    /// The connection was being made.
    Connect,
    /// A proxy was asked for a tunnel.
    Tunnel,
    /// TLS was being agreed upon.
    Secure,
    /// It was being sent.
    Send,
    /// It waited for the head of the response.
    ReceiveHead,
    /// The body of the response was on its way.
    ReceiveBody,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Step::Wait => "waiting for a connection",
            Step::Connect => "connecting",
            Step::Tunnel => "asking the proxy for a tunnel",
            Step::Secure => "agreeing upon TLS",
            Step::Send => "sending the request",
            Step::ReceiveHead => "waiting for the response",
            Step::ReceiveBody => "receiving the response's body",
        })
    }
}

/// Why a request failed.
#[derive(Debug)]
pub enum Cause {
    /// The system said so.
    System(io::Error),
    /// The peer closed the connection too early.
    Closed,
    /// The peer broke the protocol.
    Protocol(RemoteProtocolError),
    /// No connection was to be had for longer than `pool_timeout`.
    PoolTimedOut,
    /// The connection took longer than `connect_timeout`.
    ConnectTimedOut,
    /// Nothing came for longer than `read_timeout`.
    ReadTimedOut,
    /// Nothing was taken for longer than `write_timeout`.
    WriteTimedOut,
    /// A proxy has refused a tunnel.
    Refused(Refusal),
    /// The request took longer than its timeout.
    TimedOut,
    /// The response is larger than this number of bytes.
    TooLarge(usize),
    /// The client was closed.
    ClientClosed,
}

/// A request that failed: where and why.
#[derive(Debug)]
pub struct Failure {
    /// How far it had come.
    pub step: Step,
    /// What happened.
    pub cause: Cause,
}

impl Failure {
    pub(super) fn new(step: Step, cause: Cause) -> Self {
        Failure { step, cause }
    }
}

/// Names one request of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestId {
    index: u32,
    generation: u32,
}

impl RequestId {
    /// The name as one number.
    #[must_use]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The name out of its number.
    #[must_use]
    pub fn from_bits(bits: u64) -> Self {
        RequestId { index: bits as u32, generation: (bits >> 32) as u32 }
    }
}

/// A request under way.
pub(super) struct Exchange<H: Host, C: Caller<H>> {
    pub origin: OriginId,
    pub bytes: Vec<u8>,
    pub call: C::Call,
    pub deadline: Nanos,
    /// Until then it may wait for a connection.
    pub wait_deadline: Nanos,
    pub kind: RequestKind,
    pub is_idempotent: bool,
    pub upload: Option<Box<Upload>>,
    pub download: Option<Box<Download>>,
    /// Its name is in its origin's queue.
    pub is_queued: bool,
    /// It was sent again once already.
    pub is_retried: bool,
    pub connection: Option<Weak<Connection<H, C>>>,
}

impl<H: Host, C: Caller<H>> Exchange<H, C> {
    pub fn new(outgoing: Outgoing, call: C::Call, now: Nanos, pool_timeout: Nanos) -> Self {
        let deadline = now.saturating_add(outgoing.timeout);
        Exchange {
            origin: outgoing.origin,
            bytes: outgoing.bytes,
            call,
            deadline,
            wait_deadline: deadline.min(now.saturating_add(pool_timeout)),
            upload: Upload::new(outgoing.sending),
            download: outgoing.is_streamed.then(Box::default),
            kind: outgoing.kind,
            is_idempotent: outgoing.is_idempotent,
            is_queued: false,
            is_retried: false,
            connection: None,
        }
    }

    /// Whether its response is read in pieces, and its head was told.
    pub fn has_head(&self) -> bool {
        let download = self.download.as_ref();
        download.is_some_and(|download| !matches!(download.progress, Progress::Headless))
    }

    /// Bytes of the body that were handed in and have not left.
    pub fn unsent(&self) -> usize {
        let queued = self.upload.as_ref().map_or(0, |upload| upload.queued.len());
        let connection = self.connection.as_ref().and_then(Weak::upgrade);
        queued + connection.map_or(0, |connection| connection.queued())
    }
}

struct Slot<H: Host, C: Caller<H>> {
    generation: u32,
    exchange: Option<Exchange<H, C>>,
}

/// All requests of a client that are not over.
pub(super) struct Exchanges<H: Host, C: Caller<H>> {
    slots: Vec<Slot<H, C>>,
    free: Vec<u32>,
}

impl<H: Host, C: Caller<H>> Default for Exchanges<H, C> {
    fn default() -> Self {
        Exchanges { slots: Vec::new(), free: Vec::new() }
    }
}

impl<H: Host, C: Caller<H>> Exchanges<H, C> {
    pub fn insert(&mut self, exchange: Exchange<H, C>) -> RequestId {
        if let Some(index) = self.free.pop()
            && let Some(slot) = self.slots.get_mut(index as usize)
        {
            slot.exchange = Some(exchange);
            return RequestId { index, generation: slot.generation };
        }
        let index = self.slots.len() as u32;
        self.slots.push(Slot { generation: 0, exchange: Some(exchange) });
        RequestId { index, generation: 0 }
    }

    fn slot(&self, id: RequestId) -> Option<&Slot<H, C>> {
        self.slots.get(id.index as usize).filter(|slot| slot.generation == id.generation)
    }

    pub fn get(&self, id: RequestId) -> Option<&Exchange<H, C>> {
        self.slot(id)?.exchange.as_ref()
    }

    pub fn get_mut(&mut self, id: RequestId) -> Option<&mut Exchange<H, C>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation == id.generation { slot.exchange.as_mut() } else { None }
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Exchange<H, C>> {
        let slot = self.slots.get_mut(id.index as usize)?;
        if slot.generation != id.generation {
            return None;
        }
        let exchange = slot.exchange.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id.index);
        Some(exchange)
    }

    pub fn drain(&mut self) -> Vec<Exchange<H, C>> {
        self.free.clear();
        self.slots.drain(..).filter_map(|slot| slot.exchange).collect()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Exchange<H, C>> {
        self.slots.iter().filter_map(|slot| slot.exchange.as_ref())
    }
}
