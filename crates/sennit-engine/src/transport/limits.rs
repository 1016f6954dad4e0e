//! What a peer that does not read may cost: how long it may take nothing, how much may wait for it.

use std::cell::Cell;
use std::{fmt, io};

use crate::clock::{Nanos, SECOND};

/// Limits of a write queue, shared by all connections of one endpoint, and how often they were met.
#[derive(Debug)]
pub struct WriteLimits {
    /// How long the peer may take nothing of what is queued.
    pub timeout: Nanos,
    /// Bytes beyond which nothing may be added.
    pub max_queued: usize,
    timeouts: Cell<u64>,
    overflows: Cell<u64>,
}

impl WriteLimits {
    /// Limits that nobody has met yet.
    pub fn new(timeout: Nanos, max_queued: usize) -> Self {
        WriteLimits { timeout, max_queued, timeouts: Cell::new(0), overflows: Cell::new(0) }
    }

    /// Connections that were ended because their peer took nothing.
    pub fn timeouts(&self) -> u64 {
        self.timeouts.get()
    }

    /// Connections that were ended because too much waited for their peer.
    pub fn overflows(&self) -> u64 {
        self.overflows.get()
    }

    pub(super) fn stalled(&self, queued: usize) -> WriteFault {
        self.timeouts.set(self.timeouts.get() + 1);
        WriteFault::Stalled { queued, timeout: self.timeout }
    }

    pub(super) fn overflowed(&self, queued: usize, limit: usize) -> WriteFault {
        self.overflows.set(self.overflows.get() + 1);
        WriteFault::Overflowed { queued, limit }
    }
}

/// Why a connection was ended over its write queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteFault {
    /// The peer took nothing for too long.
    Stalled {
        /// Bytes that waited.
        queued: usize,
        /// How long it was waited.
        timeout: Nanos,
    },
    /// More was written while too much waited already.
    Overflowed {
        /// Bytes that waited.
        queued: usize,
        /// How many may.
        limit: usize,
    },
}

impl fmt::Display for WriteFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WriteFault::Stalled { queued, timeout } => write!(
                formatter,
                "the peer took nothing of {queued} queued bytes for {} s (write_timeout)",
                *timeout as f64 / SECOND as f64
            ),
            WriteFault::Overflowed { queued, limit } => write!(
                formatter,
                "{queued} bytes wait for the peer, limit {limit} (max_queued_bytes): write no faster \
                 than it reads, pause_writing says when to stop"
            ),
        }
    }
}

impl std::error::Error for WriteFault {}

impl From<WriteFault> for io::Error {
    fn from(fault: WriteFault) -> io::Error {
        io::Error::other(fault)
    }
}
