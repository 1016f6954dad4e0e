//! What the engine calls back: the host's own values, and the sources behind descriptors.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use crate::clock::{Clock, Nanos};
use crate::poller::{Poller, Readiness};
use crate::reactor::Reactor;
use crate::socket;

/// What a reactor does that has nothing to do, under a clock that does not pass by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Idle {
    /// Looks again: the clock was moved, or there is something to do now.
    Look,
    /// Sleeps until something comes, at most for a time by the system's clock.
    Sleep(Option<Duration>),
}

/// The program that a reactor works for: Python, or a Rust program in tests and in the lab.
///
/// The engine moves a host's values about and never drops one while its own state is borrowed:
/// dropping may run any code of the host.
pub trait Host: Sized + 'static {
    /// Where readiness comes from.
    type Poller: Poller;
    /// Where time comes from.
    type Clock: Clock;
    /// One thing to run later. It may be sent here from another thread.
    type Callback: Send + 'static;
    /// What a garbage collector is shown.
    type Value;

    /// Runs one callback. Errors are the host's business; one that must leave the loop is kept by
    /// the host, which then calls [`Reactor::interrupt`].
    fn run(&self, reactor: &Reactor<Self>, callback: Self::Callback);

    /// Whether a timer's callback was cancelled, so that it need not stay in the heap.
    fn is_cancelled(&self, callback: &Self::Callback) -> bool;

    /// A timer's callback has left the heap for the ready queue.
    fn unscheduled(&self, _callback: &Self::Callback) {}

    /// Before a turn. False: the reactor must not go on (it belongs to the parent of a fork); the
    /// host keeps the reason.
    fn may_turn(&self) -> bool {
        true
    }

    /// Whether the reactor belongs to another process, the parent of a fork: nothing may be sent.
    fn is_foreign(&self) -> bool {
        false
    }

    /// The thread is about to sleep, or gives others a chance: let go of what they may need.
    fn park(&self) {}

    /// The thread is awake again.
    fn unpark(&self) {}

    /// Once in every turn, after the poll: the place for pending signals.
    fn polled(&self, _reactor: &Reactor<Self>) {}

    /// Under a clock that does not pass by itself: nothing is ready, and nothing is due before a
    /// time; `None`: nothing is scheduled at all. Also called where [`Clock::has_spun`].
    fn idle(&self, _reactor: &Reactor<Self>, _due: Option<Nanos>) -> Idle {
        Idle::Sleep(None)
    }

    /// A stream socket whose connection to an address is being made: the place where a simulated
    /// network takes the system's.
    fn connect(&self, _reactor: &Reactor<Self>, address: &SocketAddr) -> io::Result<OwnedFd> {
        socket::start_stream(address)
    }

    /// Shows the collector what a callback holds.
    fn visit(_callback: &Self::Callback, _visitor: &mut dyn FnMut(&Self::Value)) {}
}

/// What stands behind a registered descriptor.
///
/// The reactor holds a source strongly from registration to [`Reactor::remove`]. Methods get the
/// source as an `Rc` of their own, so it lives through whatever they call.
pub trait Source<H: Host> {
    /// The descriptor is ready. Edge-triggered sources hear of it once.
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness);

    /// The end of a turn in which the source asked for [`Reactor::flush_later`].
    fn flush(self: Rc<Self>, _reactor: &Reactor<H>) {}

    /// The source's place in the ready queue has come, after [`Reactor::notify_later`].
    fn notified(self: Rc<Self>, _reactor: &Reactor<H>) {}

    /// A coarse deadline asked for with [`Reactor::wake_source_at`] may have passed.
    fn deadline(self: Rc<Self>, _reactor: &Reactor<H>, _now: Nanos) {}

    /// The reactor is being closed: close the descriptor, drop what is held.
    fn abandoned(self: Rc<Self>, reactor: &Reactor<H>);

    /// Shows the collector each value that this source holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}
}
