//! A connection leaves HTTP: it speaks another protocol from its answer on (RFC 9110 sections 7.8 and 9.3.6).

use std::rc::Rc;

use sennit_engine::{Host, Reactor, Token};
use sennit_wire::http1::{self, ResponseParts, encode_response_head};

use super::super::Application;
use super::super::answer::AnswerHead;
use super::{Connection, NEVER, Phase, Serial};

impl<H: Host, A: Application<H>> Connection<H, A> {
    /// Answers with a head behind which HTTP ends: 101, or 2xx to CONNECT. [`Application::left`] gets the
    /// connection in the same turn, with what the client has sent behind its request. `None`: done; otherwise
    /// what was given comes back, because nobody is there or a body of the request was not read.
    pub fn leave_http(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        head: AnswerHead<'_>,
        pending: A::Pending,
    ) -> Option<A::Pending> {
        let is_unread = self.inner.borrow().body.as_ref().is_some_and(|body| !body.is_read());
        if !self.awaits_answer(serial) || is_unread {
            return Some(pending);
        }
        {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            let parts = ResponseParts {
                status: head.status,
                fields: head.fields,
                connection: (head.status == 101).then_some(http1::Connection::Upgrade),
                // RFC 9110 section 9.3.6: no framing in a 2xx to CONNECT.
                ..ResponseParts::default()
            };
            self.server.with_date(reactor, |date| {
                encode_response_head(&mut inner.out, &ResponseParts { date, ..parts });
            });
            inner.queue_out();
            inner.body = None;
            inner.exchange.is_answered = true;
            inner.phase = Phase::Leaving;
            inner.phase_deadline = NEVER;
        }
        let before = self.pending.replace(Some(pending));
        drop(before);
        reactor.notify_later(self.token.get());
        None
    }

    /// Hands the connection over.
    pub(super) fn leave(self: &Rc<Self>, reactor: &Reactor<H>) {
        let (stream, input) = {
            let mut inner = self.inner.borrow_mut();
            if inner.phase != Phase::Leaving {
                return;
            }
            inner.phase = Phase::Closed;
            (inner.stream.take(), std::mem::take(&mut inner.input))
        };
        let (Some(stream), Some(pending)) = (stream, self.pending.take()) else { return };
        let token = self.token.replace(Token::NONE);
        // The descriptor lives on under another name; that it was not watched would do no harm.
        let _ = reactor.unwatch(stream.descriptor());
        drop(reactor.remove(token));
        self.server.count(|statistics| {
            statistics.answered += 1;
            statistics.upgraded += 1;
        });
        let departed = self.server.depart(token, self.peer);
        self.server.application().left(reactor, pending, stream, input, departed);
    }
}
