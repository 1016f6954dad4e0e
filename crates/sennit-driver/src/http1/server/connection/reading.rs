//! Bytes in: heads and bodies, as far as the phase allows.

use std::rc::Rc;

use sennit_engine::reactor::SCRATCH_SIZE;
use sennit_engine::stream::{Received, Stream};
use sennit_engine::{Host, Reactor, Readiness};
use sennit_wire::http1::{Event, FieldSlots, Framing, RequestHead, TargetForm, Version};

use super::super::Application;
use super::super::body::{Body, BodyFailure, BodyState};
use super::{Connection, Exchange, HEAD_READ, NEVER, Offer, Phase, Serial};

/// A short read does not mean that nothing is left.
const TO_THE_END: Readiness =
    Readiness(Readiness::TO_THE_END.0 | Readiness::PEER_CLOSED.0 | Readiness::BROKEN.0);

/// A piece of a body from this size on goes to the application as it lies in the buffer; smaller ones are collected.
const DIRECT_FROM: usize = 4 * 1024;

impl<H: Host, A: Application<H>> Connection<H, A> {
    pub(super) fn may_read(&self) -> bool {
        let inner = self.inner.borrow();
        match inner.phase {
            Phase::Idle | Phase::Head => inner.has_room() && self.has_share(inner.begun),
            Phase::Handling | Phase::Answering => {
                inner.body.as_ref().is_some_and(|body| body.state == BodyState::Asked)
            }
            Phase::Leaving | Phase::Closing | Phase::Closed => false,
            Phase::Skipping | Phase::Lingering => true,
        }
    }

    /// Whether a connection that has had so many requests in this dispatch may have another one.
    fn has_share(&self, begun: u32) -> bool {
        begun < self.server.settings().max_pipelined
    }

    pub(super) fn read(self: &Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let to_the_end = readiness.has(TO_THE_END);
        let mut taken = 0;
        loop {
            self.process_input(reactor);
            if !self.may_read() {
                self.inner.borrow_mut().unread = true;
                return;
            }
            let mut scratch = reactor.take_scratch();
            let size = self.read_size();
            let received = match (scratch.get_mut(..size), &mut self.inner.borrow_mut().stream) {
                (Some(buffer), Some(stream)) => stream.receive(buffer),
                _ => Ok(Received::Blocked),
            };
            if let Ok(Received::Data { count, .. }) = received {
                self.take_in(reactor, scratch.get(..count).unwrap_or_default());
            }
            reactor.return_scratch(scratch);
            match received {
                Ok(Received::Secured) => self.secured(reactor),
                Ok(Received::Data { count, drained }) => {
                    taken += count;
                    if drained && !to_the_end {
                        self.inner.borrow_mut().unread = false;
                        return;
                    }
                    if taken >= SCRATCH_SIZE {
                        reactor.dispatch_again(self.token.get(), readiness);
                        return;
                    }
                }
                Ok(Received::Blocked) => {
                    self.inner.borrow_mut().unread = false;
                    return;
                }
                Ok(Received::End) => return self.end_of_input(reactor),
                Err(_) => {
                    self.note_handshake_failure();
                    return self.lose(reactor);
                }
            }
        }
    }

    fn is_with_application(&self, serial: Serial) -> bool {
        let inner = self.inner.borrow();
        inner.phase.is_busy() && inner.exchange.serial == serial
    }

    fn note_handshake_failure(&self) {
        let is_open = self.inner.borrow().stream.as_ref().is_none_or(Stream::is_open);
        if !is_open {
            self.server.count(|statistics| statistics.handshake_failures += 1);
        }
    }

    /// The TLS handshake is done: the time of the first head begins.
    fn secured(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        if inner.phase == Phase::Idle {
            let patience = self.server.settings().header_timeout;
            inner.phase_deadline = reactor.turn_time().saturating_add(patience);
        }
    }

    fn read_size(&self) -> usize {
        match self.inner.borrow().phase {
            Phase::Idle | Phase::Head | Phase::Skipping => HEAD_READ,
            _ => SCRATCH_SIZE,
        }
    }

    /// New bytes: straight from the scratch buffer where nothing waits, behind what waits otherwise.
    pub(super) fn take_in(self: &Rc<Self>, reactor: &Reactor<H>, data: &[u8]) {
        let waits = {
            let mut inner = self.inner.borrow_mut();
            let waits = !inner.input.is_empty();
            if waits {
                inner.input.extend_from_slice(data);
            }
            waits
        };
        if waits {
            return self.process_input(reactor);
        }
        let used = self.process(reactor, data);
        if let Some(rest) = data.get(used..).filter(|rest| !rest.is_empty()) {
            self.inner.borrow_mut().input.extend_from_slice(rest);
        }
    }

    pub(super) fn process_input(self: &Rc<Self>, reactor: &Reactor<H>) {
        let (mut input, is_busy) = {
            let mut inner = self.inner.borrow_mut();
            (std::mem::take(&mut inner.input), inner.phase.is_busy())
        };
        // The end of a body whose last byte was handed on needs no further byte to be seen.
        if input.is_empty() && !is_busy {
            return;
        }
        let used = self.process(reactor, &input);
        if used < input.len() {
            input.drain(..used);
            self.inner.borrow_mut().input = input;
        }
    }

    /// Goes through events as long as it may; how many bytes are used up.
    pub(super) fn process(self: &Rc<Self>, reactor: &Reactor<H>, input: &[u8]) -> usize {
        let mut at = 0;
        self.inner.borrow_mut().stopped = false;
        loop {
            if !self.may_read() {
                let mut inner = self.inner.borrow_mut();
                // What comes behind the last answer is nobody's.
                if matches!(inner.phase, Phase::Closing | Phase::Lingering | Phase::Closed) {
                    return input.len();
                }
                inner.stopped = at < input.len();
                let is_paused = inner.stopped && inner.phase == Phase::Idle && inner.has_room();
                if is_paused && inner.begun == self.server.settings().max_pipelined {
                    // Once for a dispatch, however often it is looked at.
                    inner.begun += 1;
                    self.server.count(|statistics| statistics.pipelines_paused += 1);
                }
                return at;
            }
            let rest = input.get(at..).unwrap_or_default();
            let mut slots = FieldSlots::new();
            let step = {
                let mut inner = self.inner.borrow_mut();
                if inner.phase == Phase::Lingering {
                    return input.len();
                }
                inner.reader.next_event(&self.server.settings().limits, rest, &mut slots)
            };
            let step = match step {
                Ok(step) => step,
                // What came before the fault is a piece as any other; the reader says the fault again to whoever asks for more.
                Err(_) if self.piece_ready(reactor) => {
                    self.inner.borrow_mut().stopped = true;
                    return at;
                }
                Err(error) => {
                    self.refuse(reactor, &error);
                    return input.len();
                }
            };
            at += step.consumed;
            match step.event {
                Event::NeedData => {
                    self.note_head_begun(reactor);
                    self.piece_ready(reactor);
                    return at;
                }
                Event::Head(head) => {
                    let rest = input.get(at..).unwrap_or_default();
                    match self.begin(reactor, &head, rest) {
                        Some(used) => at += used,
                        None => return input.len(),
                    }
                }
                Event::Data(data) => self.body_data(reactor, data),
                Event::End => self.body_end(reactor),
            }
        }
    }

    pub(super) fn note_head_begun(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        if inner.phase == Phase::Idle && !inner.reader.is_between_messages() {
            inner.phase = Phase::Head;
            let deadline = reactor.turn_time() + self.server.settings().header_timeout;
            // The first request's time runs since accept.
            inner.phase_deadline =
                if inner.exchange.serial.0 == 0 { inner.phase_deadline } else { deadline };
        }
    }

    /// A head is here: its body as far as it is here too, then the application. How many bytes of the
    /// rest are used up; `None` if nobody here serves what it asks for.
    pub(super) fn begin(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        head: &RequestHead<'_, '_>,
        rest: &[u8],
    ) -> Option<usize> {
        if head.form != TargetForm::Origin && self.refuses_target(reactor, head) {
            return None;
        }
        let mut used = 0;
        let body = if head.framing == Framing::None {
            None
        } else {
            let announced = match head.framing {
                Framing::Length(length) => Some(length),
                _ => None,
            };
            let mut body = Box::new(Body::new(head.expect_continue, announced));
            used = self.read_ahead(reactor, &mut body, rest);
            Some(body)
        };
        let serial = {
            let mut inner = self.inner.borrow_mut();
            let serial = Serial(inner.exchange.serial.0.wrapping_add(1));
            inner.exchange = Exchange {
                serial,
                keep_alive: head.keep_alive,
                is_head: head.method == "HEAD",
                is_old: head.version == Version::Http10,
                takes_trailers: head.takes_trailers,
                offer: match head.form {
                    TargetForm::Authority => Offer::Tunnel,
                    _ if head.upgrade => Offer::Upgrade,
                    _ => Offer::None,
                },
                ..Exchange::default()
            };
            inner.begun += 1;
            inner.body = body;
            inner.phase = Phase::Handling;
            inner.phase_deadline = NEVER;
            serial
        };
        self.server.count(|statistics| statistics.requests += 1);
        let pending = self.server.application().request(reactor, self, serial, head);
        match pending {
            Some(pending) if self.is_with_application(serial) => {
                let before = self.pending.replace(Some(pending));
                drop(before);
            }
            // It has cut its own branch off: nobody else will tell it.
            Some(pending) if self.inner.borrow().phase == Phase::Closed => {
                self.abandon(reactor, pending);
            }
            Some(pending) => drop(pending),
            // Neither answered nor kept: nothing will ever come.
            None if self.awaits_answer(serial) => self.lose(reactor),
            None => {}
        }
        Some(used)
    }

    /// Takes in what of a body lies behind its head already; how many bytes that were. Where it is broken this ends: the
    /// reader says so again to whoever goes on.
    fn read_ahead(&self, reactor: &Reactor<H>, body: &mut Body, rest: &[u8]) -> usize {
        let settings = self.server.settings();
        let mut at = 0;
        loop {
            let input = rest.get(at..).unwrap_or_default();
            let mut slots = FieldSlots::new();
            let step =
                self.inner.borrow_mut().reader.next_event(&settings.limits, input, &mut slots);
            let Ok(step) = step else { return at };
            at += step.consumed;
            match step.event {
                Event::NeedData | Event::Head(_) => return at,
                Event::Data(data) => {
                    body.take_in(data, reactor.turn_time());
                }
                Event::End => {
                    body.end();
                    return at;
                }
            }
        }
    }

    // --- the body ---------------------------------------------------------------------------------

    pub(super) fn body_data(&self, reactor: &Reactor<H>, data: &[u8]) {
        if self.inner.borrow().phase == Phase::Skipping {
            return self.skip(data.len());
        }
        let now = reactor.turn_time();
        let is_direct = {
            let inner = self.inner.borrow();
            let body = inner.body.as_ref();
            data.len() >= DIRECT_FROM
                && body.is_some_and(|body| body.wants_piece() && body.bytes.is_empty())
        };
        if is_direct && self.hand_on(reactor, data) {
            if let Some(body) = self.inner.borrow_mut().body.as_mut() {
                body.note(data.len(), now);
                body.rest(now);
            }
            return;
        }
        let fits = {
            let mut inner = self.inner.borrow_mut();
            let Some(body) = inner.body.as_mut() else { return };
            body.take_in(data, now)
        };
        if !fits {
            self.server.count(|statistics| statistics.bodies_too_large += 1);
            self.settled(reactor);
        }
    }

    /// Throws away what nobody has read of the body of a request that is answered.
    #[cold]
    fn skip(&self, count: usize) {
        let mut inner = self.inner.borrow_mut();
        if !inner.body.as_mut().is_none_or(|body| body.skip_bytes(count)) {
            inner.close();
            inner.sends_on = true;
        }
    }

    /// Gives a piece to the application as it lies in the buffer.
    fn hand_on(&self, reactor: &Reactor<H>, data: &[u8]) -> bool {
        let Some(pending) = self.pending.take() else { return false };
        let taken = self.server.application().body_piece(reactor, &pending, data);
        self.put_back(reactor, pending);
        taken
    }

    /// What was received is used up: a piece that somebody waits for is as large as it will be. False: nobody does.
    fn piece_ready(&self, reactor: &Reactor<H>) -> bool {
        {
            let mut inner = self.inner.borrow_mut();
            match inner.body.as_mut() {
                Some(body) if body.wants_piece() && !body.bytes.is_empty() => {
                    body.rest(reactor.turn_time());
                }
                _ => return false,
            }
        }
        self.settled(reactor);
        true
    }

    pub(super) fn body_end(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            if inner.phase == Phase::Skipping {
                inner.body = None;
                inner.phase = Phase::Idle;
                let patience = self.server.settings().keep_alive_timeout;
                inner.phase_deadline = reactor.turn_time().saturating_add(patience);
                return;
            }
            if let Some(body) = inner.body.as_mut() {
                body.end();
            }
        }
        self.settled(reactor);
    }

    pub(super) fn fail_body(&self, reactor: &Reactor<H>, failure: BodyFailure) {
        let waited = {
            let mut inner = self.inner.borrow_mut();
            inner.exchange.keep_alive = false;
            inner.body.as_mut().is_some_and(|body| body.fail(failure))
        };
        if waited {
            self.settled(reactor);
        }
    }

    pub(super) fn settled(&self, reactor: &Reactor<H>) {
        // Taken out, so that nothing is borrowed while the application runs.
        let pending = self.pending.take();
        if let Some(pending) = pending {
            self.server.application().body_settled(reactor, &pending);
            self.put_back(reactor, pending);
        }
    }

    /// The application has heard something; its request goes on waiting, unless it is over by now.
    pub(super) fn put_back(&self, reactor: &Reactor<H>, pending: A::Pending) {
        let phase = self.inner.borrow().phase;
        let is_vacant = self.pending.borrow().is_none();
        match phase {
            Phase::Handling | Phase::Answering if is_vacant => {
                self.pending.replace(Some(pending));
            }
            Phase::Closed => self.abandon(reactor, pending),
            _ => drop(pending),
        }
    }
}
