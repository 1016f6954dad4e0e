//! A response in, whole or for somebody who reads it in pieces.

use std::rc::Rc;

use sennit_engine::reactor::SCRATCH_SIZE;
use sennit_engine::stream::Received;
use sennit_engine::{Host, Reactor, Readiness};
use sennit_wire::http1::{Event, Field, FieldSlots, Framing, ResponseHead};

use super::super::Caller;
use super::super::exchange::Response;
use super::{Cause, Connection, Inner, NEVER, Phase, Reading, RequestId, Step, Uploading};

/// Room that is made at once for a body whose length is announced; more comes as it arrives.
const TRUSTED_LENGTH: usize = 64 * 1024;

/// What an event asks for once nothing is borrowed any more.
enum Next {
    GoOn,
    /// The head of a response that is read in pieces; whether no body follows.
    Headed(Response, bool),
    Whole,
    TooLarge(usize),
}

impl<H: Host, C: Caller<H>> Connection<H, C> {
    pub(super) fn read(self: &Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let to_the_end = readiness.has(Readiness::PEER_CLOSED.with(Readiness::BROKEN));
        let mut taken = 0;
        loop {
            if self.inner.borrow().reading == Reading::Paused {
                // Whoever takes the data has this asked for again.
                return;
            }
            let mut scratch = reactor.take_scratch();
            let room = self.room().min(scratch.len());
            let received = match self.inner.borrow_mut().stream.as_mut() {
                Some(stream) => stream.receive(scratch.get_mut(..room).unwrap_or_default()),
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

    /// How much may be read at once: no more than whoever reads the body in pieces has room for.
    fn room(&self) -> usize {
        let inner = self.inner.borrow();
        match inner.request {
            Some(request) if inner.head_size > 0 && inner.response.is_empty() => {
                // To read into nothing would look like the end.
                self.client.room_for_data(request).max(1)
            }
            _ => SCRATCH_SIZE,
        }
    }

    /// Reads on, once enough of what has come was taken.
    pub fn resume(self: &Rc<Self>, reactor: &Reactor<H>) {
        let request = {
            let mut inner = self.inner.borrow_mut();
            // Whoever reads has something, and does not wait.
            inner.wanted_at = NEVER;
            match inner.reading {
                Reading::Paused => inner.request,
                Reading::Flowing => return,
            }
        };
        if request.is_some_and(|request| !self.client.welcomes_data(request)) {
            return;
        }
        self.inner.borrow_mut().reading = Reading::Flowing;
        self.progress(reactor);
        self.arm(reactor);
        // Nobody has counted what came meanwhile, or whether the peer has closed.
        let readiness = Readiness::READABLE.with(Readiness::PEER_CLOSED);
        reactor.dispatch_again(self.token.get(), readiness);
    }

    fn take_in(self: &Rc<Self>, reactor: &Reactor<H>, data: &[u8]) {
        let (phase, waiting) = {
            let mut inner = self.inner.borrow_mut();
            inner.note_progress(reactor.turn_time());
            (inner.phase, std::mem::take(&mut inner.input))
        };
        if phase == Phase::Idle {
            // Bytes that nobody asked for: whatever they are, this connection is not to be trusted.
            return self.drop_idle(reactor);
        }
        if waiting.is_empty() {
            let used = self.use_up(reactor, phase, data);
            self.keep(data.get(used..).unwrap_or_default().to_vec());
        } else {
            // The same memory grows on: a head that drips costs no copy of itself for each drop.
            let mut all = waiting;
            all.extend_from_slice(data);
            let used = self.use_up(reactor, phase, &all);
            all.drain(..used);
            self.keep(all);
        }
    }

    fn use_up(self: &Rc<Self>, reactor: &Reactor<H>, phase: Phase, input: &[u8]) -> usize {
        match phase {
            Phase::Tunnelling => self.hear_proxy(reactor, input),
            _ => self.process(reactor, input),
        }
    }

    fn keep(&self, rest: Vec<u8>) {
        let mut inner = self.inner.borrow_mut();
        if matches!(inner.phase, Phase::Busy | Phase::Tunnelling) && !rest.is_empty() {
            inner.input = rest;
        }
    }

    fn process(self: &Rc<Self>, reactor: &Reactor<H>, input: &[u8]) -> usize {
        let Some(request) = self.inner.borrow().request else { return input.len() };
        let used = self.process_events(reactor, request, input);
        self.client.tell_data(reactor, request);
        used
    }

    fn process_events(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        request: RequestId,
        input: &[u8],
    ) -> usize {
        let limits = self.client.settings().limits;
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let mut slots = FieldSlots::new();
            let next = {
                let mut inner = self.inner.borrow_mut();
                // Whoever was told something may have given the request up.
                if inner.phase != Phase::Busy || inner.request != Some(request) {
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
                    Event::Head(head) if head.status < 200 => Next::GoOn,
                    Event::Head(head) => self.take_head(&mut inner, request, &head),
                    Event::Data(data) => self.take_data(&mut inner, request, data),
                    Event::End => Next::Whole,
                }
            };
            match next {
                Next::GoOn => {}
                Next::Headed(head, is_whole) => {
                    self.client.tell_head(reactor, request, head);
                    if is_whole {
                        self.finish(reactor, at == input.len());
                        return input.len();
                    }
                }
                Next::TooLarge(limit) => {
                    self.fail(reactor, Step::ReceiveBody, Cause::TooLarge(limit));
                    return input.len();
                }
                Next::Whole => {
                    // Bytes behind the response: nobody knows whose they are.
                    self.finish(reactor, at == input.len());
                    return input.len();
                }
            }
        }
    }

    fn take_head(
        &self,
        inner: &mut Inner,
        request: RequestId,
        head: &ResponseHead<'_, '_>,
    ) -> Next {
        let limit = self.client.settings().max_response_size;
        inner.status = head.status;
        inner.keep_alive = head.keep_alive;
        inner.sets_cookies = head.fields.iter().any(|field| is_field(field, "set-cookie"));
        inner.is_coded = head.fields.iter().any(|field| is_field(field, "content-encoding"));
        inner.head_size = head.bytes.len();
        if self.client.is_streamed(request) {
            // From here on the time is that of whoever reads.
            inner.deadline = NEVER;
            let response = Response {
                status: head.status,
                bytes: head.bytes.to_vec(),
                head_size: head.bytes.len(),
                sets_cookies: inner.sets_cookies,
                is_coded: inner.is_coded,
            };
            return Next::Headed(response, head.framing == Framing::None);
        }
        let body = match head.framing {
            Framing::Length(length) => usize::try_from(length).unwrap_or(usize::MAX),
            _ => 0,
        };
        if body > limit {
            return Next::TooLarge(limit);
        }
        inner.response.reserve_exact(head.bytes.len() + body.min(TRUSTED_LENGTH));
        inner.response.extend_from_slice(head.bytes);
        if head.framing == Framing::None { Next::Whole } else { Next::GoOn }
    }

    fn take_data(&self, inner: &mut Inner, request: RequestId, data: &[u8]) -> Next {
        if inner.response.is_empty() {
            if self.client.add_data(request, data) {
                inner.reading = Reading::Paused;
            }
            return Next::GoOn;
        }
        let limit = self.client.settings().max_response_size;
        if inner.response.len() - inner.head_size + data.len() > limit {
            return Next::TooLarge(limit);
        }
        inner.response.extend_from_slice(data);
        Next::GoOn
    }

    /// The response is whole.
    pub(super) fn finish(self: &Rc<Self>, reactor: &Reactor<H>, clean: bool) {
        let (request, response, reusable) = {
            let mut inner = self.inner.borrow_mut();
            let Some(request) = inner.request.take() else { return };
            let bytes = std::mem::take(&mut inner.response);
            let response = Response {
                status: inner.status,
                bytes,
                head_size: inner.head_size,
                sets_cookies: inner.sets_cookies,
                is_coded: inner.is_coded,
            };
            let unsent = inner.stream.as_ref().is_none_or(|stream| stream.queued() > 0)
                || inner.uploading == Uploading::Open
                || inner.send_error.is_some();
            let reusable = inner.keep_alive
                && self.client.settings().keep_alive
                && clean
                && !unsent
                && !self.client.is_closed.get();
            inner.reading = Reading::Flowing;
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
        self.client.finish(reactor, request, response);
        if self.client.has_waiting() {
            self.client.pump_later(reactor);
        }
    }
}

fn is_field(field: &Field<'_>, name: &str) -> bool {
    field.name.len() == name.len() && field.name.eq_ignore_ascii_case(name)
}
