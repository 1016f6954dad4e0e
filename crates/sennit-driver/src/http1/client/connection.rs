//! One connection of a client.
//!
//! Laws:
//! - It carries one request at a time; there is no pipelining.
//! - It goes back to the pool only if the response ended where its framing says, nothing came behind it,
//!   and both sides want to keep it.
//! - Whatever is wrong with it is told to its request once; an idle one goes without a word.
//!
//! | phase | may become | when |
//! | --- | --- | --- |
//! | Connecting | Securing, Busy | connected; the request is sent |
//! | Securing | Busy, Closed | the TLS handshake is done; or fails |
//! | Busy | Idle, Closed | the response is whole; or cannot become so |
//! | Idle | Busy, Closed | another request; closed by the peer, its time is over, its place is needed |

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sennit_engine::clock::Nanos;
use sennit_engine::reactor::{SCRATCH_SIZE, State};
use sennit_engine::socket;
use sennit_engine::stream::{Received, Stream};
use sennit_engine::{Host, Interest, Reactor, Readiness, Source, Token};
use sennit_wire::http1::{Event, Field, FieldSlots, Framing, ResponseReader};

use super::exchange::{Cause, Failure, RequestId, Response, Step};
use super::{Caller, Client, OriginId, Place, Route, Tls};

const NEVER: Nanos = Nanos::MAX;

/// Room that is made at once for a body whose length is announced; more comes as it arrives.
const TRUSTED_LENGTH: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Connecting,
    Securing,
    Busy,
    Idle,
    Closed,
}

struct Inner {
    stream: Option<Stream<Vec<u8>>>,
    phase: Phase,
    reader: ResponseReader,
    /// Received and not used up: part of a head, mostly nothing.
    input: Vec<u8>,
    /// The response as far as it is here: head, then body.
    response: Vec<u8>,
    status: u16,
    head_size: usize,
    sets_cookies: bool,
    keep_alive: bool,
    request: Option<RequestId>,
    /// Whether this connection has carried a request before.
    is_reused: bool,
    next_address: usize,
    deadline: Nanos,
    connect_deadline: Nanos,
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
    /// Makes a connection for a request.
    pub fn open(
        client: Rc<Client<H, C>>,
        reactor: &Reactor<H>,
        origin: OriginId,
        route: Route,
        request: RequestId,
    ) {
        let settings = *client.settings();
        let deadline = client.exchanges.borrow().get(request).map_or(NEVER, |e| e.deadline);
        let connection = Rc::new(Connection {
            client: client.clone(),
            origin,
            token: Cell::new(Token::NONE),
            inner: RefCell::new(Inner {
                stream: None,
                phase: Phase::Connecting,
                reader: ResponseReader::new(),
                input: Vec::new(),
                response: Vec::new(),
                status: 0,
                head_size: 0,
                sets_cookies: false,
                keep_alive: false,
                request: Some(request),
                is_reused: false,
                next_address: 0,
                deadline,
                connect_deadline: reactor.turn_time().saturating_add(settings.connect_timeout),
                armed_at: NEVER,
            }),
        });
        if let Some(exchange) = client.exchanges.borrow_mut().get_mut(request) {
            exchange.connection = Some(Rc::downgrade(&connection));
        }
        client.count(|statistics| {
            statistics.open += 1;
            statistics.connecting += 1;
        });
        connection.connect_next(reactor, &route.places, None);
    }

    /// Tries the next address; without one left, the last error is the request's.
    fn connect_next(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        places: &[Place],
        mut error: Option<io::Error>,
    ) {
        loop {
            let index = {
                let mut inner = self.inner.borrow_mut();
                let index = inner.next_address;
                inner.next_address = index + 1;
                index
            };
            let Some(place) = places.get(index) else {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the origin has no address");
                return self.fail(
                    reactor,
                    Step::Connect,
                    Cause::System(error.unwrap_or_else(none)),
                );
            };
            match self.connect(reactor, place) {
                Ok(()) => return self.arm(reactor),
                Err(failed) => error = Some(failed),
            }
        }
    }

    fn connect(self: &Rc<Self>, reactor: &Reactor<H>, place: &Place) -> io::Result<()> {
        // Connected or not: writability tells.
        let stream = Stream::new(place.connect(reactor)?);
        let token = reactor.register(stream.descriptor(), Interest::Edge, self.clone())?;
        self.token.set(token);
        let mut inner = self.inner.borrow_mut();
        inner.stream = Some(stream);
        // What the wheel knows is the name of an earlier attempt.
        inner.armed_at = NEVER;
        Ok(())
    }

    fn connected(self: &Rc<Self>, reactor: &Reactor<H>) {
        let error = match self.inner.borrow().stream.as_ref() {
            Some(stream) => socket::take_error(stream.descriptor()),
            None => return,
        };
        let route = self.client.origins.borrow().get(self.origin.0).map(|o| o.route.clone());
        let route = route.unwrap_or_default();
        if let Some(error) = error.unwrap_or_else(Some) {
            let stream = self.inner.borrow_mut().stream.take();
            drop(stream);
            drop(reactor.remove(self.token.replace(Token::NONE)));
            return self.connect_next(reactor, &route.places, Some(error));
        }
        match route.tls {
            None => self.established(reactor),
            Some(tls) => {
                if let Err(error) = self.start_tls(&tls) {
                    self.fail(reactor, Step::Secure, Cause::System(error));
                }
            }
        }
    }

    fn start_tls(&self, tls: &Tls) -> io::Result<()> {
        let session = tls.session()?;
        let mut inner = self.inner.borrow_mut();
        inner.phase = Phase::Securing;
        let Some(stream) = inner.stream.as_mut() else { return Ok(()) };
        // The deadline is that of the connection.
        stream.start_tls(session, NEVER)?;
        stream.flush().map(drop)
    }

    /// The connection is made: the request may leave.
    fn established(self: &Rc<Self>, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Busy;
            inner.connect_deadline = NEVER;
        }
        self.client.count(|statistics| {
            statistics.connecting -= 1;
            statistics.connected += 1;
        });
        self.client.pump_later(reactor);
        self.send_request(reactor);
    }

    /// Whether it may carry another request.
    pub fn is_idle(&self) -> bool {
        self.inner.borrow().phase == Phase::Idle
    }

    /// Carries another request.
    pub fn take_up(self: &Rc<Self>, reactor: &Reactor<H>, request: RequestId) {
        let deadline = {
            let mut exchanges = self.client.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(request) else { return };
            exchange.connection = Some(Rc::downgrade(self));
            exchange.deadline
        };
        {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Busy;
            inner.request = Some(request);
            inner.is_reused = true;
            inner.deadline = deadline;
        }
        self.send_request(reactor);
        self.arm(reactor);
    }

    fn send_request(self: &Rc<Self>, reactor: &Reactor<H>) {
        let Some(request) = self.inner.borrow().request else { return };
        let sent = {
            let mut exchanges = self.client.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(request) else { return };
            let mut inner = self.inner.borrow_mut();
            inner.reader.expect(exchange.kind);
            let keeps = inner.is_reused && exchange.is_idempotent && !exchange.is_retried;
            let Some(stream) = inner.stream.as_mut() else { return };
            let result = stream.send_or_queue(&exchange.bytes);
            if !keeps {
                // Not to be sent again: the memory of ten thousand requests is worth having.
                exchange.bytes = Vec::new();
            }
            result
        };
        if let Err(error) = sent {
            self.lost(reactor, Step::Send, Cause::System(error));
        }
    }

    // --- receiving --------------------------------------------------------------------------------

    fn read(self: &Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let to_the_end = readiness.has(Readiness::PEER_CLOSED.with(Readiness::BROKEN));
        let mut taken = 0;
        loop {
            let mut scratch = reactor.take_scratch();
            let received = match self.inner.borrow_mut().stream.as_mut() {
                Some(stream) => stream.receive(&mut scratch),
                None => Ok(Received::Blocked),
            };
            if let Ok(Received::Data { count, .. }) = received {
                self.take_in(reactor, scratch.get(..count).unwrap_or_default());
            }
            reactor.return_scratch(scratch);
            match received {
                Ok(Received::Secured) => self.established(reactor),
                Ok(Received::Data { drained: true, .. }) if !to_the_end => return,
                Ok(Received::Data { count, .. }) => {
                    taken += count;
                    if taken >= SCRATCH_SIZE {
                        // One large response must not keep the others waiting.
                        return reactor.dispatch_again(self.token.get(), readiness);
                    }
                }
                Ok(Received::Blocked) => return,
                Ok(Received::End) => return self.end_of_input(reactor),
                Err(error) => {
                    let step = self.inner.borrow().step();
                    return self.lost(reactor, step, Cause::System(error));
                }
            }
        }
    }

    fn take_in(self: &Rc<Self>, reactor: &Reactor<H>, data: &[u8]) {
        if self.inner.borrow().phase == Phase::Idle {
            // Bytes that nobody asked for: whatever they are, this connection is not to be trusted.
            return self.drop_idle(reactor);
        }
        let waiting = std::mem::take(&mut self.inner.borrow_mut().input);
        if waiting.is_empty() {
            let used = self.process(reactor, data);
            self.keep(data.get(used..).unwrap_or_default().to_vec());
        } else {
            // The same memory grows on: a head that drips costs no copy of itself for each drop.
            let mut all = waiting;
            all.extend_from_slice(data);
            let used = self.process(reactor, &all);
            all.drain(..used);
            self.keep(all);
        }
    }

    fn keep(&self, rest: Vec<u8>) {
        let mut inner = self.inner.borrow_mut();
        if inner.phase == Phase::Busy && !rest.is_empty() {
            inner.input = rest;
        }
    }

    fn process(self: &Rc<Self>, reactor: &Reactor<H>, input: &[u8]) -> usize {
        let limits = self.client.settings().limits;
        let limit = self.client.settings().max_response_size;
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let mut slots = FieldSlots::new();
            let mut whole = false;
            let mut refused = None;
            {
                let mut inner = self.inner.borrow_mut();
                if inner.phase != Phase::Busy {
                    return input.len();
                }
                let step = match inner.reader.next_event(&limits, rest, &mut slots) {
                    Ok(step) => step,
                    Err(error) => {
                        let step = inner.step();
                        drop(inner);
                        self.lost(reactor, step, Cause::Protocol(error));
                        return input.len();
                    }
                };
                at += step.consumed;
                match step.event {
                    Event::NeedData => return at,
                    // An interim response says nothing that is kept.
                    Event::Head(head) if head.status < 200 => {}
                    Event::Head(head) => {
                        inner.status = head.status;
                        inner.keep_alive = head.keep_alive;
                        inner.sets_cookies = head.fields.iter().any(is_set_cookie);
                        inner.head_size = head.bytes.len();
                        let body = match head.framing {
                            Framing::Length(length) => {
                                usize::try_from(length).unwrap_or(usize::MAX)
                            }
                            _ => 0,
                        };
                        if body > limit {
                            refused = Some(limit);
                        } else {
                            inner
                                .response
                                .reserve_exact(head.bytes.len() + body.min(TRUSTED_LENGTH));
                            inner.response.extend_from_slice(head.bytes);
                            whole = head.framing == Framing::None;
                        }
                    }
                    Event::Data(data) => {
                        if inner.response.len() - inner.head_size + data.len() > limit {
                            refused = Some(limit);
                        } else {
                            inner.response.extend_from_slice(data);
                        }
                    }
                    Event::End => whole = true,
                }
            }
            if let Some(limit) = refused {
                self.fail(reactor, Step::ReceiveBody, Cause::TooLarge(limit));
                return input.len();
            }
            if whole {
                // Bytes behind the response: nobody knows whose they are.
                let clean = at == input.len();
                self.finish(reactor, clean);
                return input.len();
            }
        }
    }

    /// The response is whole.
    fn finish(self: &Rc<Self>, reactor: &Reactor<H>, clean: bool) {
        let (request, response, reusable) = {
            let mut inner = self.inner.borrow_mut();
            let Some(request) = inner.request.take() else { return };
            let bytes = std::mem::take(&mut inner.response);
            let response = Response {
                status: inner.status,
                bytes,
                head_size: inner.head_size,
                sets_cookies: inner.sets_cookies,
            };
            let unsent = inner.stream.as_ref().is_none_or(|stream| stream.queued() > 0);
            let reusable = inner.keep_alive
                && self.client.settings().keep_alive
                && clean
                && !unsent
                && !self.client.is_closed.get();
            if reusable {
                inner.phase = Phase::Idle;
                inner.head_size = 0;
                let kept = self.client.settings().keep_alive_timeout;
                inner.deadline = reactor.turn_time().saturating_add(kept);
            }
            (request, response, reusable)
        };
        if reusable {
            self.client.put_back(self.origin, self.clone());
            self.arm(reactor);
        } else {
            self.drop_silently(reactor);
        }
        let exchange = self.client.exchanges.borrow_mut().remove(request);
        if let Some(exchange) = exchange {
            self.client.finish(reactor, exchange, Ok(response));
        }
        if !self.client.waiting.borrow().is_empty() {
            self.client.pump_later(reactor);
        }
    }

    fn end_of_input(self: &Rc<Self>, reactor: &Reactor<H>) {
        let phase = self.inner.borrow().phase;
        match phase {
            Phase::Idle => self.drop_idle(reactor),
            Phase::Busy => {
                let ended = self.inner.borrow_mut().reader.receive_eof();
                if matches!(ended, Ok(true)) {
                    self.inner.borrow_mut().keep_alive = false;
                    return self.finish(reactor, false);
                }
                let step = self.inner.borrow().step();
                self.lost(reactor, step, Cause::Closed);
            }
            Phase::Securing => self.fail(reactor, Step::Secure, Cause::Closed),
            Phase::Connecting | Phase::Closed => {}
        }
    }

    // --- the end of things ------------------------------------------------------------------------

    /// The connection has failed; a request that no byte was answered to may be sent again on another.
    fn lost(&self, reactor: &Reactor<H>, step: Step, cause: Cause) {
        if self.is_idle() {
            // Nobody waits for it; it only has to leave the pool.
            return self.drop_idle(reactor);
        }
        let (request, may_retry) = {
            let inner = self.inner.borrow();
            let untouched = inner.response.is_empty() && inner.input.is_empty();
            let protocol = matches!(cause, Cause::Protocol(_));
            (inner.request, inner.is_reused && untouched && !protocol)
        };
        if let Some(request) = request.filter(|_| may_retry) {
            let again = {
                let mut exchanges = self.client.exchanges.borrow_mut();
                match exchanges.get_mut(request) {
                    Some(exchange) if exchange.is_idempotent && !exchange.is_retried => {
                        exchange.is_retried = true;
                        exchange.connection = None;
                        true
                    }
                    _ => false,
                }
            };
            if again {
                self.inner.borrow_mut().request = None;
                self.drop_silently(reactor);
                return self.client.retry(reactor, request);
            }
        }
        self.fail(reactor, step, cause);
    }

    fn fail(&self, reactor: &Reactor<H>, step: Step, cause: Cause) {
        let request = self.inner.borrow_mut().request.take();
        self.drop_silently(reactor);
        if let Some(request) = request {
            self.client.fail(reactor, request, Failure::new(step, cause));
        }
        self.client.pump_later(reactor);
    }

    fn drop_idle(&self, reactor: &Reactor<H>) {
        self.client.forget_idle(self.origin, self);
        self.drop_silently(reactor);
    }

    /// Closes the connection; its request, if it has one, is somebody else's affair.
    pub fn drop_silently(&self, reactor: &Reactor<H>) {
        let (stream, was_connecting) = {
            let mut inner = self.inner.borrow_mut();
            if inner.phase == Phase::Closed {
                return;
            }
            let was_connecting = matches!(inner.phase, Phase::Connecting | Phase::Securing);
            inner.phase = Phase::Closed;
            inner.request = None;
            inner.input = Vec::new();
            inner.response = Vec::new();
            (inner.stream.take(), was_connecting)
        };
        drop(stream);
        drop(reactor.remove(self.token.replace(Token::NONE)));
        self.client.count(|statistics| {
            statistics.open -= 1;
            statistics.connecting -= u64::from(was_connecting);
        });
    }

    fn arm(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        let deadline = inner.deadline.min(inner.connect_deadline);
        if deadline < inner.armed_at && inner.phase != Phase::Closed {
            inner.armed_at = deadline;
            reactor.wake_source_at(deadline, self.token.get());
        }
    }
}

fn is_set_cookie(field: &Field<'_>) -> bool {
    field.name.len() == 10 && field.name.eq_ignore_ascii_case("set-cookie")
}

impl Inner {
    fn step(&self) -> Step {
        let unsent = self.stream.as_ref().is_some_and(|stream| stream.queued() > 0);
        match self.phase {
            Phase::Connecting => Step::Connect,
            Phase::Securing => Step::Secure,
            _ if self.head_size > 0 => Step::ReceiveBody,
            _ if unsent => Step::Send,
            _ => Step::ReceiveHead,
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
            let result = match self.inner.borrow_mut().stream.as_mut() {
                Some(stream) if stream.queued() > 0 => stream.flush().map(drop),
                _ => Ok(()),
            };
            if let Err(error) = result {
                return self.lost(reactor, Step::Send, Cause::System(error));
            }
        }
        if readiness.has(Readiness::READABLE) && self.inner.borrow().phase != Phase::Connecting {
            self.read(reactor, readiness);
        }
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, now: Nanos) {
        let (due, connect_due, phase, step) = {
            let mut inner = self.inner.borrow_mut();
            if inner.armed_at > now {
                return;
            }
            inner.armed_at = NEVER;
            (inner.deadline <= now, inner.connect_deadline <= now, inner.phase, inner.step())
        };
        match phase {
            Phase::Idle if due => self.drop_idle(reactor),
            Phase::Connecting | Phase::Securing | Phase::Busy if due => {
                self.fail(reactor, step, Cause::TimedOut)
            }
            Phase::Connecting | Phase::Securing if connect_due => {
                self.fail(reactor, step, Cause::ConnectTimedOut)
            }
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
        let stream = {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Closed;
            inner.stream.take()
        };
        drop(stream);
        self.token.set(Token::NONE);
    }
}
