//! Bytes out, and how a connection ends: sent, refused, lost, too late.

use std::io;

use sennit_engine::stream::{Flushed, Stream};
use sennit_engine::{Host, Reactor, Readiness, Token};
use sennit_wire::http1::{RemoteProtocolError, RequestHead, TargetForm, encode_simple_error};

use super::super::body::{BodyFailure, Slowness};
use super::super::{Application, Statistics};
use super::{Connection, LINGER, Phase, RESUME};

impl<H: Host, A: Application<H>> Connection<H, A> {
    /// The peer broke a rule.
    #[cold]
    pub(super) fn refuse(&self, reactor: &Reactor<H>, error: &RemoteProtocolError) {
        self.server.count(|statistics| statistics.note(error.fault));
        let phase = self.inner.borrow().phase;
        if phase == Phase::Skipping {
            // Its request is answered.
            let mut inner = self.inner.borrow_mut();
            inner.close();
            inner.sends_on = true;
            return;
        }
        if phase.is_busy() {
            // The application answers; most do so with the status that the error names.
            return self.fail_body(reactor, BodyFailure::Protocol(*error));
        }
        self.dismiss(reactor, error.hint, &error.to_string());
    }

    /// Whether nobody here serves what a head asks for; then it was told.
    #[cold]
    pub(super) fn refuses_target(&self, reactor: &Reactor<H>, head: &RequestHead<'_, '_>) -> bool {
        let (status, detail) = match head.form {
            // RFC 9110 section 15.6.2. What follows belongs to the tunnel that was asked for.
            TargetForm::Authority if !self.server.settings().allow_connect => {
                (501, "CONNECT is not served here")
            }
            // RFC 9110 section 7.4.
            TargetForm::Https if !self.has_tls() => {
                (421, "target is an https URI, the connection is not secured")
            }
            _ => return false,
        };
        self.server.count(|statistics| statistics.protocol_errors += 1);
        self.dismiss(reactor, status, detail);
        true
    }

    /// A last answer, of the server's own.
    fn dismiss(&self, reactor: &Reactor<H>, status: u16, detail: &str) {
        let mut inner = self.inner.borrow_mut();
        self.server.with_date(reactor, |date| {
            encode_simple_error(&mut inner.out, status, date, detail);
        });
        inner.close();
        // Whatever follows is not understood: the peer may still be sending it.
        inner.sends_on = true;
    }

    pub(super) fn end_of_input(&self, reactor: &Reactor<H>) {
        let (phase, body_waits) = {
            let mut inner = self.inner.borrow_mut();
            inner.peer_ended = true;
            inner.unread = false;
            let waits = inner.body.as_ref().is_some_and(|body| !body.is_complete());
            (inner.phase, waits)
        };
        match phase {
            Phase::Handling | Phase::Answering if body_waits => {
                self.fail_body(reactor, BodyFailure::Lost);
            }
            // Half closed: the peer still wants its answer.
            Phase::Handling | Phase::Answering | Phase::Leaving | Phase::Closing => {}
            Phase::Idle | Phase::Head | Phase::Skipping => {
                let unsent = {
                    let mut inner = self.inner.borrow_mut();
                    let unsent = !inner.out.is_empty() || inner.queued() > 0;
                    if unsent {
                        inner.close();
                    }
                    unsent
                };
                if !unsent {
                    self.lose(reactor);
                }
            }
            Phase::Lingering | Phase::Closed => self.lose(reactor),
        }
    }

    /// Sends what is to be sent; then the connection may be over.
    pub(super) fn send(&self, reactor: &Reactor<H>) {
        let result = {
            let mut inner = self.inner.borrow_mut();
            let mut out = std::mem::take(&mut inner.out);
            let before = inner.queued() + out.len();
            let result = inner.send(&out);
            out.clear();
            self.server.out.set(out);
            if let Ok(flushed) = result {
                inner.note_sent(reactor.turn_time(), before, flushed, self.server.settings());
            }
            result
        };
        self.sent(reactor, result);
    }

    pub(super) fn flush_queue(&self, reactor: &Reactor<H>) {
        let result = {
            let mut inner = self.inner.borrow_mut();
            let Some(stream) = inner.stream.as_mut() else { return };
            let before = stream.queued();
            let result = stream.flush();
            if let Ok(flushed) = result {
                inner.note_sent(reactor.turn_time(), before, flushed, self.server.settings());
            }
            result
        };
        self.sent(reactor, result);
    }

    fn sent(&self, reactor: &Reactor<H>, result: io::Result<Flushed>) {
        match result {
            Err(_) => return self.lose(reactor),
            // Its turn comes again without anybody's word.
            Ok(Flushed::Yielded) => {
                reactor.dispatch_again(self.token.get(), Readiness::WRITABLE);
            }
            Ok(Flushed::All | Flushed::Blocked) => {}
        }
        self.tell_room(reactor);
        self.finish_if_sent(reactor);
    }

    pub(super) fn finish_if_sent(&self, reactor: &Reactor<H>) {
        let lingers = {
            let mut inner = self.inner.borrow_mut();
            if inner.phase != Phase::Closing || inner.queued() > 0 {
                return;
            }
            let lingers =
                !inner.peer_ended && (inner.unread || inner.sends_on || !inner.input.is_empty());
            if lingers {
                inner.phase = Phase::Lingering;
                inner.phase_deadline = reactor.turn_time() + LINGER;
                inner.input = Vec::new();
            }
            lingers
        };
        if !lingers {
            return self.lose(reactor);
        }
        let shut = self.inner.borrow_mut().stream.as_mut().map(end_of_stream);
        if matches!(shut, Some(Err(_))) {
            return self.lose(reactor);
        }
        // What the peer has sent already was reported once.
        reactor.dispatch_again(self.token.get(), RESUME);
    }

    /// Goes on with what waits, in a turn of its own.
    pub(super) fn go_on(&self, reactor: &Reactor<H>) {
        let waits = {
            let inner = self.inner.borrow();
            let may_go_on = match inner.phase {
                Phase::Idle | Phase::Head => inner.has_room(),
                phase => phase == Phase::Skipping,
            };
            may_go_on && (inner.unread || inner.stopped)
        };
        if waits {
            reactor.dispatch_again(self.token.get(), RESUME);
        }
        self.arm(reactor);
    }

    /// Ends the connection in a way that the peer cannot take for the orderly end of an answer.
    pub(super) fn reset(&self, reactor: &Reactor<H>) {
        if let Some(stream) = self.inner.borrow().stream.as_ref() {
            stream.reset_on_close();
        }
        self.lose(reactor);
    }

    /// The connection is over.
    pub(super) fn lose(&self, reactor: &Reactor<H>) {
        let stream = {
            let mut inner = self.inner.borrow_mut();
            if inner.phase == Phase::Closed {
                return;
            }
            inner.phase = Phase::Closed;
            inner.input = Vec::new();
            inner.body = None;
            inner.stream.take()
        };
        if let Some(mut stream) = stream {
            // The peer is told in the words of TLS; whether it hears them is its own affair.
            if stream.has_tls() && stream.is_open() {
                let _ = end_of_stream(&mut stream);
            }
            stream.discard_input();
        }
        let pending = self.pending.take();
        if let Some(pending) = pending {
            self.abandon(reactor, pending);
        }
        let token = self.token.replace(Token::NONE);
        drop(reactor.remove(token));
        self.server.forget(reactor, token, self.peer);
    }

    /// Nobody is there any more to hear the answer to a request.
    pub(super) fn abandon(&self, reactor: &Reactor<H>, pending: A::Pending) {
        self.server.count(|statistics| statistics.abandoned += 1);
        self.server.application().abandoned(reactor, pending);
    }

    // --- deadlines --------------------------------------------------------------------------------

    /// Has the wheel look at this connection no later than its deadline.
    pub(super) fn arm(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        let deadline = inner.deadline(self.server.settings());
        if deadline < inner.armed_at && inner.phase != Phase::Closed {
            inner.armed_at = deadline;
            reactor.wake_source_at(deadline, self.token.get());
        }
    }

    pub(super) fn deadline_passed(&self, reactor: &Reactor<H>, stalled: bool) {
        let (phase, is_open) = {
            let inner = self.inner.borrow();
            (inner.phase, inner.stream.as_ref().is_none_or(Stream::is_open))
        };
        let count = |change: fn(&mut Statistics)| self.server.count(change);
        match phase {
            _ if !is_open => count(|statistics| statistics.handshake_timeouts += 1),
            _ if stalled => count(|statistics| statistics.write_timeouts += 1),
            Phase::Idle if self.inner.borrow().exchange.serial.0 > 0 => {
                count(|statistics| statistics.keep_alive_timeouts += 1);
            }
            Phase::Idle | Phase::Head => count(|statistics| statistics.header_timeouts += 1),
            Phase::Handling | Phase::Answering => {
                let slowness = {
                    let inner = self.inner.borrow();
                    inner.body.as_ref().and_then(|body| body.deadline(self.server.settings()))
                };
                match slowness {
                    Some((_, Slowness::Rate)) => {
                        count(|statistics| statistics.bodies_too_slow += 1)
                    }
                    _ => count(|statistics| statistics.body_timeouts += 1),
                }
                return self.fail_body(reactor, BodyFailure::TooSlow);
            }
            Phase::Skipping
            | Phase::Leaving
            | Phase::Closing
            | Phase::Lingering
            | Phase::Closed => {}
        }
        self.lose(reactor);
    }
}

/// Says that nothing more will come.
fn end_of_stream<B: AsRef<[u8]>>(stream: &mut Stream<B>) -> io::Result<()> {
    if stream.has_tls() {
        stream.end()?;
        stream.flush()?;
    }
    stream.shutdown_write()
}
