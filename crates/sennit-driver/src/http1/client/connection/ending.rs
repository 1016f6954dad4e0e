//! Everything that can go wrong with a connection, and its end.

use std::rc::Rc;

use sennit_engine::{Host, Reactor, Token};

use super::super::Caller;
use super::super::exchange::Failure;
use super::{Cause, Connection, Phase, Step};

impl<H: Host, C: Caller<H>> Connection<H, C> {
    pub(super) fn end_of_input(self: &Rc<Self>, reactor: &Reactor<H>) {
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
            Phase::Tunnelling => self.fail(reactor, Step::Tunnel, Cause::Closed),
            Phase::Securing => self.fail(reactor, Step::Secure, Cause::Closed),
            Phase::Connecting | Phase::Closed => {}
        }
    }

    /// The connection has failed; a request that no byte was answered to may be sent again on another.
    pub(super) fn lost(&self, reactor: &Reactor<H>, step: Step, cause: Cause) {
        if self.is_idle() {
            // Nobody waits for it; it only has to leave the pool.
            return self.drop_idle(reactor);
        }
        let (request, may_retry, send_error) = {
            let mut inner = self.inner.borrow_mut();
            let untouched =
                inner.response.is_empty() && inner.input.is_empty() && inner.head_size == 0;
            let protocol = matches!(cause, Cause::Protocol(_));
            let may_retry = inner.is_reused && untouched && !protocol;
            (inner.request, may_retry, inner.send_error.take())
        };
        if let Some(request) = request.filter(|_| may_retry)
            && self.client.may_send_again(request)
        {
            self.inner.borrow_mut().request = None;
            self.drop_silently(reactor);
            return self.client.retry(reactor, request);
        }
        match send_error {
            // What has happened first says more.
            Some(error) => self.fail(reactor, Step::Send, Cause::System(error)),
            None => self.fail(reactor, step, cause),
        }
    }

    pub(super) fn fail(&self, reactor: &Reactor<H>, step: Step, cause: Cause) {
        let request = self.inner.borrow_mut().request.take();
        self.drop_silently(reactor);
        if let Some(request) = request {
            self.client.fail(reactor, request, Failure::new(step, cause));
        }
        self.client.pump_later(reactor);
    }

    pub(super) fn drop_idle(&self, reactor: &Reactor<H>) {
        self.client.forget_idle(self.origin, self);
        self.drop_silently(reactor);
        if self.client.has_waiting() {
            self.client.pump_later(reactor);
        }
    }

    /// Closes the connection; its request, if it has one, is somebody else's affair.
    pub fn drop_silently(&self, reactor: &Reactor<H>) {
        let (stream, was_connecting) = {
            let mut inner = self.inner.borrow_mut();
            if inner.phase == Phase::Closed {
                return;
            }
            let was_connecting = !matches!(inner.phase, Phase::Busy | Phase::Idle);
            inner.phase = Phase::Closed;
            inner.request = None;
            inner.input = Vec::new();
            inner.response = Vec::new();
            (inner.stream.take(), was_connecting)
        };
        drop(stream);
        self.end_race(reactor);
        drop(reactor.remove(self.token.replace(Token::NONE)));
        self.client.closed(self.origin, was_connecting);
    }
}
