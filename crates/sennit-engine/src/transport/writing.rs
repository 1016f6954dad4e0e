//! The writing half of a transport: queue, pressure, and what a peer that does not read may cost.

use std::io;
use std::rc::Rc;

use super::limits::{WriteFault, WriteLimits};
use super::state::{Cork, Pressure};
use super::{OFFER_AT_ONCE, Protocol, State, Transport, WriteRefused, Writing};
use crate::clock::Nanos;
use crate::host::Host;
use crate::poller::Readiness;
use crate::reactor::Reactor;
use crate::sources::Token;
use crate::stall::NEVER;
use crate::stream::{Chunk, Flushed, Stream};

impl<H: Host, P: Protocol<H>> Transport<H, P> {
    /// Queues a piece and sees to it that it leaves. Ignored after the end of the connection.
    pub fn write(&self, reactor: &Reactor<H>, chunk: Chunk<P::Bytes>) -> Result<(), WriteRefused> {
        let (over, before) = {
            let mut inner = self.inner.borrow_mut();
            if matches!(inner.writing, Writing::Ending | Writing::Ended) {
                return Err(WriteRefused::AfterEof);
            }
            let over = matches!(inner.state, State::Lost | State::Closed);
            let size = chunk.as_ref().len();
            let refused = match inner.stream.as_mut() {
                Some(stream) if !over => {
                    stream.push(chunk);
                    None
                }
                _ => Some(chunk),
            };
            if refused.is_some() {
                drop(inner);
                drop(refused);
                return Ok(());
            }
            let at_most = OFFER_AT_ONCE.min(inner.high_water());
            let queued = inner.stream.as_ref().map_or(0, Stream::queued);
            (queued > at_most, queued - size)
        };
        if over {
            if self.overflows(reactor, before) {
                return Ok(());
            }
            // Too much to wait for the end of the turn: the kernel copies it while the processor
            // still has it at hand, and nobody is told to pause for what it takes.
            self.flush_now(reactor);
            self.mind_high_water(reactor);
        } else {
            self.cork_for_turn(reactor);
        }
        Ok(())
    }

    /// Queues a piece unless more than `limit` bytes wait already: then the connection ends over it. False: it was
    /// not queued.
    pub fn write_within(
        &self,
        reactor: &Reactor<H>,
        chunk: Chunk<P::Bytes>,
        limit: usize,
    ) -> Result<bool, WriteRefused> {
        let queued = self.queued();
        if self.state() != State::Open {
            return Ok(false);
        }
        if queued > limit {
            let limits = self.inner.borrow().limits.clone();
            let fault = match limits {
                Some(limits) => limits.overflowed(queued, limit),
                None => WriteFault::Overflowed { queued, limit },
            };
            self.fail(reactor, fault.into());
            return Ok(false);
        }
        self.write(reactor, chunk).map(|()| true)
    }

    /// Sets what a peer that does not read may cost.
    pub fn set_write_limits(&self, reactor: &Reactor<H>, limits: Rc<WriteLimits>) {
        let old = self.inner.borrow_mut().limits.replace(limits);
        drop(old);
        if self.queued() > 0 && self.token.get() != Token::NONE {
            self.flush_now(reactor);
        }
    }

    /// Ends the connection if too much waited before the last write. What is written in one go may be of any size:
    /// whoever has it in memory has it there once, queued or not.
    fn overflows(&self, reactor: &Reactor<H>, before: usize) -> bool {
        let limits = self.inner.borrow().limits.clone();
        let Some(limits) = limits.filter(|limits| before > limits.max_queued) else { return false };
        self.fail(reactor, limits.overflowed(before, limits.max_queued).into());
        true
    }

    /// Remembers since when the peer takes nothing, and has the wheel look at it.
    fn note_flushed(&self, reactor: &Reactor<H>, before: usize, flushed: Flushed) {
        let mut inner = self.inner.borrow_mut();
        let inner = &mut *inner;
        let (Some(limits), Some(stream)) = (inner.limits.as_ref(), inner.stream.as_ref()) else {
            return;
        };
        // A handshake has a deadline of its own.
        if (flushed == Flushed::All && inner.rare.is_none()) || !stream.is_open() {
            return;
        }
        let rare = inner.rare.get_or_insert_default();
        rare.stall.note(stream, (reactor.turn_time(), limits.timeout), before, flushed);
        let deadline = rare.stall.next_look();
        if deadline < rare.armed_at && self.token.get() != Token::NONE {
            rare.armed_at = deadline;
            reactor.wake_source_at(deadline, self.token.get());
        }
    }

    /// Ends the connection of a peer that takes nothing any more.
    pub(super) fn mind_stall(&self, reactor: &Reactor<H>, now: Nanos) {
        let fault = {
            let mut inner = self.inner.borrow_mut();
            let inner = &mut *inner;
            let (Some(limits), Some(stream)) = (inner.limits.as_ref(), inner.stream.as_ref())
            else {
                return;
            };
            let Some(rare) = inner.rare.as_mut().filter(|rare| rare.armed_at <= now) else {
                return;
            };
            rare.armed_at = NEVER;
            if rare.stall.is_over(stream, (now, limits.timeout)) {
                Some(limits.stalled(stream.queued()))
            } else {
                let deadline = rare.stall.next_look();
                if deadline != NEVER {
                    rare.armed_at = deadline;
                    reactor.wake_source_at(deadline, self.token.get());
                }
                None
            }
        };
        if let Some(fault) = fault {
            self.fail(reactor, fault.into());
        }
    }

    pub(super) fn cork_for_turn(&self, reactor: &Reactor<H>) {
        let mut inner = self.inner.borrow_mut();
        let waiting = inner.stream.as_ref().is_some_and(|stream| stream.queued() > 0);
        if inner.cork == Cork::Out && waiting && self.token.get() != Token::NONE {
            inner.cork = Cork::Turn;
            reactor.flush_later(self.token.get());
        }
    }

    /// Sends what it can, and does what was to be done when nothing is left.
    pub(super) fn flush_now(&self, reactor: &Reactor<H>) {
        if reactor.host().is_foreign() {
            return;
        }
        let (before, result) = {
            let mut inner = self.inner.borrow_mut();
            if !matches!(inner.state, State::Open | State::Draining) {
                return;
            }
            let is_closing = inner.state == State::Draining;
            let is_ending = inner.writing == Writing::Ending;
            let Some(stream) = inner.stream.as_mut() else { return };
            let before = stream.queued();
            // The end of our half waits for the handshake, as all that is written does.
            let result = match is_ending && !is_closing && !stream.is_open() {
                true => stream.flush().map(|_| Flushed::Blocked),
                false => flush_stream(stream, is_closing || is_ending),
            };
            (before, result)
        };
        if let Ok(flushed) = result {
            self.note_flushed(reactor, before, flushed);
        }
        match result {
            Err(error) => return self.lose(reactor, Some(error)),
            Ok(Flushed::Blocked) => {}
            Ok(Flushed::Yielded) => reactor.dispatch_again(self.token.get(), Readiness::WRITABLE),
            Ok(Flushed::All) => self.flushed_all(reactor),
        }
        self.mind_low_water(reactor);
    }

    fn flushed_all(&self, reactor: &Reactor<H>) {
        let (state, shut) = {
            let mut inner = self.inner.borrow_mut();
            let shut = match inner.writing {
                Writing::Ending => {
                    inner.writing = Writing::Ended;
                    inner.stream.as_ref().map(Stream::shutdown_write)
                }
                _ => None,
            };
            if inner.state == State::Draining
                && let Some(stream) = inner.stream.as_ref()
            {
                stream.discard_input();
            }
            (inner.state, shut)
        };
        match (state, shut) {
            (State::Draining, _) => self.lose(reactor, None),
            (_, Some(Err(error))) if error.kind() != io::ErrorKind::NotConnected => {
                self.lose(reactor, Some(error));
            }
            _ => {}
        }
    }

    pub(super) fn mind_high_water(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            let queued = inner.stream.as_ref().map_or(0, Stream::queued);
            if inner.pressure == Pressure::High || queued <= inner.high_water() {
                return;
            }
            inner.pressure = Pressure::High;
        }
        self.protocol.pause_writing(reactor);
    }

    fn mind_low_water(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            let queued = inner.stream.as_ref().map_or(0, Stream::queued);
            if inner.pressure == Pressure::Low || queued > inner.low_water() {
                return;
            }
            if inner.state == State::Lost {
                return;
            }
            inner.pressure = Pressure::Low;
        }
        self.protocol.resume_writing(reactor);
    }
}

/// Sends what it can; at the very end also that it was the end.
fn flush_stream<B: AsRef<[u8]>>(stream: &mut Stream<B>, is_last: bool) -> io::Result<Flushed> {
    match stream.flush()? {
        Flushed::All if is_last && stream.has_tls() => {
            stream.end()?;
            match stream.flush() {
                // All that was to be said has left, and nobody is there to hear the goodbye.
                Err(error) if is_gone(&error) => Ok(Flushed::All),
                result => result,
            }
        }
        flushed => Ok(flushed),
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
