//! A request out, whole or in pieces.

use std::rc::Rc;

use sennit_engine::stream::Stream;
use sennit_engine::{Host, Reactor, Readiness};

use super::super::Caller;
use super::{Cause, Connection, Flushed, NEVER, Phase, Reading, RequestId, Step, Uploading};

impl<H: Host, C: Caller<H>> Connection<H, C> {
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

    pub(super) fn send_request(self: &Rc<Self>, reactor: &Reactor<H>) {
        let Some(request) = self.inner.borrow().request else { return };
        let sent = {
            let mut exchanges = self.client.exchanges.borrow_mut();
            let Some(exchange) = exchanges.get_mut(request) else { return };
            let mut inner = self.inner.borrow_mut();
            inner.reader.expect(exchange.kind);
            inner.reading = Reading::Flowing;
            inner.progress_at = reactor.turn_time();
            inner.wanted_at = NEVER;
            inner.uploading = match &exchange.upload {
                Some(_) => Uploading::Open,
                None => Uploading::Done,
            };
            let keeps = inner.is_reused && exchange.is_idempotent && !exchange.is_retried;
            let Some(stream) = inner.stream.as_mut() else { return };
            let result = stream.send_or_queue(&exchange.bytes);
            if !keeps {
                // Not to be sent again: the memory of ten thousand requests is worth having.
                exchange.bytes = Vec::new();
            }
            result
        };
        match sent {
            Ok(Flushed::All) => {}
            Ok(Flushed::Blocked) => {}
            Ok(Flushed::Yielded) => reactor.dispatch_again(self.token.get(), Readiness::WRITABLE),
            Err(error) => return self.lost(reactor, Step::Send, Cause::System(error)),
        }
        if self.inner.borrow().uploading == Uploading::Open {
            self.send_more(reactor);
        }
    }

    /// Sends what was handed in of a body.
    pub fn send_more(self: &Rc<Self>, reactor: &Reactor<H>) {
        let sent = {
            let mut exchanges = self.client.exchanges.borrow_mut();
            let mut inner = self.inner.borrow_mut();
            if inner.phase != Phase::Busy || inner.uploading != Uploading::Open {
                return;
            }
            let Some(request) = inner.request else { return };
            let Some(upload) = exchanges.get_mut(request).and_then(|e| e.upload.as_mut()) else {
                return;
            };
            let bytes = std::mem::take(&mut upload.queued);
            if upload.is_ended {
                // From now on it is the peer's turn.
                inner.uploading = Uploading::Done;
                inner.progress_at = reactor.turn_time();
            }
            if inner.stream.as_ref().is_none_or(|stream| stream.queued() == 0) {
                inner.progress_at = reactor.turn_time();
            }
            inner.stream.as_mut().map_or(Ok(Flushed::All), |stream| stream.send_or_queue(&bytes))
        };
        self.sent(reactor, sent);
        self.arm(reactor);
    }

    /// Sends what is queued.
    pub(super) fn send_queued(self: &Rc<Self>, reactor: &Reactor<H>) {
        let (sent, has_moved) = {
            let mut inner = self.inner.borrow_mut();
            let Some(stream) = inner.stream.as_mut() else { return };
            let before = stream.queued();
            if before == 0 {
                return;
            }
            let sent = stream.flush();
            (sent, stream.queued() < before)
        };
        if has_moved {
            self.progress(reactor);
        }
        self.sent(reactor, sent);
    }

    fn sent(self: &Rc<Self>, reactor: &Reactor<H>, sent: std::io::Result<Flushed>) {
        match sent {
            Ok(Flushed::Yielded) => reactor.dispatch_again(self.token.get(), Readiness::WRITABLE),
            Ok(_) => {}
            Err(error) if self.inner.borrow().phase == Phase::Busy => {
                return self.cannot_send(reactor, error);
            }
            Err(error) => {
                let step = self.inner.borrow().step();
                return self.lost(reactor, step, Cause::System(error));
            }
        }
        let request = self.inner.borrow().request;
        if let Some(request) = request {
            self.client.tell_room(reactor, request);
        }
    }

    /// The peer takes no more. It may have answered before it closed: what it has said is read first.
    fn cannot_send(self: &Rc<Self>, reactor: &Reactor<H>, error: std::io::Error) {
        let discarded = {
            let mut inner = self.inner.borrow_mut();
            inner.uploading = Uploading::Done;
            inner.send_error = Some(error);
            inner.stream.as_mut().map(Stream::discard)
        };
        drop(discarded);
        reactor.dispatch_again(self.token.get(), Readiness::READABLE.with(Readiness::PEER_CLOSED));
    }
}
