//! The only door from other threads: an eventfd, written once per sleep and not once per call.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

/// The reactor runs and will look into its inbox by itself.
const AWAKE: u8 = 0;
/// The reactor sleeps in the poller, or is about to.
const ASLEEP: u8 = 1;
/// Somebody has asked for attention since the reactor looked last.
const CALLED: u8 = 2;

/// What stands for a descriptor that was given back.
const CLOSED: RawFd = -1;

/// Wakes a reactor out of its poller.
#[derive(Debug)]
pub struct Waker {
    event: AtomicI32,
    state: AtomicU8,
}

impl Waker {
    /// Opens the eventfd.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Waker { event: AtomicI32::new(descriptor), state: AtomicU8::new(AWAKE) })
    }

    /// The descriptor to watch, edge-triggered: it need never be read.
    pub fn descriptor(&self) -> RawFd {
        self.event.load(Ordering::Relaxed)
    }

    /// Called by other threads after they have left something in the inbox.
    pub fn wake(&self) {
        if self.state.swap(CALLED, Ordering::AcqRel) == ASLEEP {
            let one = 1u64.to_ne_bytes();
            // SAFETY: the buffer is eight readable bytes. The result cannot matter: EAGAIN would
            // mean a counter that is full, and then the reactor has been woken already.
            unsafe { libc::write(self.descriptor(), one.as_ptr().cast(), one.len()) };
        }
    }

    /// Called by the reactor before it sleeps. False: somebody called, do not sleep.
    pub fn fall_asleep(&self) -> bool {
        self.state.compare_exchange(AWAKE, ASLEEP, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Called by the reactor after a poll and before it looks into its inbox. True: somebody called.
    pub fn wake_up(&self) -> bool {
        self.state.load(Ordering::Relaxed) != AWAKE
            && self.state.swap(AWAKE, Ordering::AcqRel) == CALLED
    }

    /// Gives the descriptor back to the system. Called by the reactor, which sleeps no more, so
    /// that nobody writes to it afterwards.
    pub fn close(&self) {
        let descriptor = self.event.swap(CLOSED, Ordering::AcqRel);
        if descriptor != CLOSED {
            // SAFETY: the descriptor was opened by `new` and is given up here, once.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
}

impl Drop for Waker {
    fn drop(&mut self) {
        self.close();
    }
}
