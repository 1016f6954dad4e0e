//! Readiness of descriptors. The contract of every implementation:
//!
//! - An edge-triggered descriptor is reported once when it becomes ready, and again only after a
//!   read or write on it has met `EAGAIN` or come up short. A level-triggered one is reported at
//!   every wait while it is ready.
//! - Spurious readiness is allowed; missed readiness is not.
//! - `wait` needs no borrow of anything else of the engine, so it may run while the host has let
//!   other threads in.
//! - A closed descriptor leaves the set by itself; [`Poller::remove`] is for one that stays open.

mod epoll;

use std::io;
use std::os::fd::RawFd;
use std::time::Duration;

pub use epoll::EpollPoller;

use crate::sources::Token;

/// What a descriptor is ready for, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Readiness(pub u8);

impl Readiness {
    /// Nothing.
    pub const NONE: Readiness = Readiness(0);
    /// Bytes, a connection or the end of the stream can be read.
    pub const READABLE: Readiness = Readiness(1);
    /// There is room to write.
    pub const WRITABLE: Readiness = Readiness(2);
    /// The peer has shut its side: a short read does not mean that nothing is left.
    pub const PEER_CLOSED: Readiness = Readiness(4);
    /// Both sides are shut, or the socket has failed.
    pub const BROKEN: Readiness = Readiness(8);
    /// Nothing is reported: a source asks itself to read until nothing is left, as after `PEER_CLOSED`.
    pub const TO_THE_END: Readiness = Readiness(16);

    /// Whether any bit of `other` is set here.
    pub fn has(self, other: Readiness) -> bool {
        self.0 & other.0 != 0
    }

    /// The bits of both.
    pub fn with(self, other: Readiness) -> Readiness {
        Readiness(self.0 | other.0)
    }
}

/// How a descriptor is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Both directions, edge-triggered: registered once, never changed.
    Edge,
    /// Level-triggered, in the directions that are set.
    Level {
        /// Report readability.
        readable: bool,
        /// Report writability.
        writable: bool,
    },
}

/// One report.
#[derive(Debug, Clone, Copy)]
pub struct Event {
    /// Who asked for it.
    pub token: Token,
    /// What is ready.
    pub readiness: Readiness,
}

/// The contract is this module's page.
pub trait Poller {
    /// The place where reports of one wait are put.
    type Buffer: Default;

    /// Watches a descriptor. A descriptor is watched under one token at a time.
    fn add(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()>;
    /// Changes how a descriptor is watched.
    fn change(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()>;
    /// Watches a descriptor no longer.
    fn remove(&self, descriptor: RawFd) -> io::Result<()>;
    /// Waits for reports: `None` waits for ever, zero does not wait. Returns how many there are;
    /// an interruption by a signal is no report.
    fn wait(&self, buffer: &mut Self::Buffer, timeout: Option<Duration>) -> io::Result<usize>;
    /// Report number `index` of the last wait into `buffer`.
    fn event(buffer: &Self::Buffer, index: usize) -> Event;
    /// The descriptor behind the poller, where there is one.
    fn descriptor(&self) -> RawFd;
    /// Gives the descriptor back to the system; everything else fails from here on.
    fn close(&self) {}
}
