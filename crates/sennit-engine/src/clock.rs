//! What time it is: the one thing that tests replace to make time pass by hand.

use std::cell::Cell;

/// Nanoseconds on a clock that never goes back. Zero is the system's start, or a test's.
pub type Nanos = u64;

/// Nanoseconds in one second.
pub const SECOND: Nanos = 1_000_000_000;
/// Nanoseconds in one millisecond.
pub const MILLISECOND: Nanos = 1_000_000;

/// A source of time.
pub trait Clock {
    /// The exact time. About 40 ns on a virtual machine: not for every callback.
    fn now(&self) -> Nanos;
    /// A time that is at most some milliseconds behind [`Clock::now`], for next to nothing.
    fn coarse(&self) -> Nanos;
    /// The wall clock in whole seconds since 1970, for the `date` field of HTTP.
    fn unix_seconds(&self) -> u64 {
        unix_seconds()
    }
    /// Whether time passes by itself. Where it does not, [`Host::idle`](crate::Host::idle) moves it.
    fn passes(&self) -> bool {
        true
    }
    /// Under a clock that does not pass by itself: callbacks are ready, and a poll has found
    /// nothing. True: that has happened so often at one time that the program must be waiting for
    /// time to pass, turn by turn.
    fn has_spun(&self) -> bool {
        false
    }
}

/// The system's monotonic clock: `CLOCK_MONOTONIC`, the clock of `time.monotonic` in Python.
#[derive(Debug, Default, Clone, Copy)]
pub struct MonotonicClock;

#[inline]
fn read(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec and outlives the call; the clock ids exist on Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as Nanos * SECOND + time.tv_nsec as Nanos
}

impl Clock for MonotonicClock {
    #[inline]
    fn now(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC)
    }

    #[inline]
    fn coarse(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC_COARSE)
    }
}

fn unix_seconds() -> u64 {
    read(libc::CLOCK_REALTIME_COARSE) / SECOND
}

/// 2000-01-01 00:00:00 UTC, in seconds since 1970: the day on which every manual clock starts.
const MANUAL_DAY: u64 = 946_684_800;

/// Polls without a report, at one time, after which a busy program is taken to wait for time to
/// pass. A busy reactor polls every 16 turns.
const SPINS: u32 = 1000;

/// A clock that moves only when told.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Cell<Nanos>,
    spins: Cell<u32>,
}

impl ManualClock {
    /// Moves the clock forward to a time; one that is over changes nothing.
    pub fn move_to(&self, time: Nanos) {
        self.now.set(self.now.get().max(time));
        self.spins.set(0);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        self.now.get()
    }

    fn coarse(&self) -> Nanos {
        self.now.get()
    }

    fn unix_seconds(&self) -> u64 {
        MANUAL_DAY + self.now.get() / SECOND
    }

    fn passes(&self) -> bool {
        false
    }

    fn has_spun(&self) -> bool {
        self.spins.set(self.spins.get().saturating_add(1));
        self.spins.get() > SPINS
    }
}
