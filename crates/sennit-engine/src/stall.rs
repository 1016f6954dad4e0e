//! A peer that takes nothing: since when, and whether it is for too long.
//!
//! Whoever writes notes what each flush has reached, and asks when the coarse wheel names it. That is all: a
//! connection without anything queued has no deadline, and one that is slow but takes something never meets it.

use crate::clock::Nanos;
use crate::stream::{Flushed, Stream};

/// No deadline.
pub const NEVER: Nanos = Nanos::MAX;

/// How often a peer is looked at within its time: so exact is the moment of the last byte that it took.
const LOOKS: Nanos = 8;

/// What is remembered of a write queue that did not leave.
#[derive(Debug, Clone, Copy)]
pub struct Stall {
    deadline: Nanos,
    next_look: Nanos,
    /// Bytes that the peer had not taken at the last look.
    untaken: usize,
}

impl Default for Stall {
    fn default() -> Self {
        Stall { deadline: NEVER, next_look: NEVER, untaken: 0 }
    }
}

impl Stall {
    /// When to look at the peer; [`NEVER`] while nothing is queued.
    pub fn next_look(&self) -> Nanos {
        self.next_look
    }

    fn begin(&mut self, now: Nanos, timeout: Nanos, untaken: usize) {
        self.untaken = untaken;
        self.deadline = now.saturating_add(timeout);
        self.look_later(now, timeout);
    }

    fn look_later(&mut self, now: Nanos, timeout: Nanos) {
        self.next_look = self.deadline.min(now.saturating_add(timeout / LOOKS));
    }

    /// Some bytes have left, or none. True: nothing waits any more, and something did before.
    pub fn note<B: AsRef<[u8]>>(
        &mut self,
        stream: &Stream<B>,
        (now, timeout): (Nanos, Nanos),
        before: usize,
        flushed: Flushed,
    ) -> bool {
        let was_blocked = self.deadline != NEVER;
        match flushed {
            Flushed::Blocked if was_blocked && stream.queued() >= before => false,
            Flushed::Blocked | Flushed::Yielded => {
                self.begin(now, timeout, stream.untaken().unwrap_or(0));
                false
            }
            Flushed::All => {
                *self = Stall::default();
                was_blocked
            }
        }
    }

    /// Whether the peer takes nothing any more. The kernel says that there is room again only when
    /// much of its buffer is free: a peer that reads slowly has to be seen before.
    pub fn is_over<B: AsRef<[u8]>>(
        &mut self,
        stream: &Stream<B>,
        (now, timeout): (Nanos, Nanos),
    ) -> bool {
        if self.next_look > now {
            return false;
        }
        let untaken = stream.untaken().unwrap_or(usize::MAX);
        if untaken < self.untaken {
            self.begin(now, timeout, untaken);
            return false;
        }
        self.look_later(now, timeout);
        self.deadline <= now
    }
}
