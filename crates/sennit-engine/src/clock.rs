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
}

/// The system's monotonic clock: `CLOCK_MONOTONIC`, the clock of `time.monotonic` in Python.
#[derive(Debug, Default, Clone, Copy)]
pub struct MonotonicClock;

fn read(clock: libc::clockid_t) -> Nanos {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec and outlives the call; the clock ids exist on Linux.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as Nanos * SECOND + time.tv_nsec as Nanos
}

impl Clock for MonotonicClock {
    fn now(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC)
    }

    fn coarse(&self) -> Nanos {
        read(libc::CLOCK_MONOTONIC_COARSE)
    }
}

/// The wall clock in whole seconds since 1970, for the `date` field of HTTP.
pub fn unix_seconds() -> u64 {
    read(libc::CLOCK_REALTIME_COARSE) / SECOND
}

/// A clock that moves only when told.
#[derive(Debug, Default)]
pub struct ManualClock {
    now: Cell<Nanos>,
}

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Nanos) {
        self.now.set(self.now.get() + by);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Nanos {
        self.now.get()
    }

    fn coarse(&self) -> Nanos {
        self.now.get()
    }
}
