//! The only door from other threads: an eventfd, written once per sleep and not once per call.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The reactor runs and will look into its inbox by itself.
const AWAKE: u8 = 0;
/// The reactor sleeps in the poller, or is about to.
const ASLEEP: u8 = 1;
/// Somebody has asked for attention since the reactor looked last.
const CALLED: u8 = 2;

/// Wakes a reactor out of its poller.
#[derive(Debug)]
pub struct Waker {
    event: Mutex<Option<Arc<OwnedFd>>>,
    state: AtomicU8,
}

/// A reactor that is to be woken. It keeps the descriptor open, so that it may be used when the reactor
/// is gone, and by a thread that the host's lock does not keep away any more.
#[derive(Debug)]
#[must_use = "the reactor sleeps on"]
pub struct Wake(Arc<OwnedFd>);

impl Wake {
    /// Wakes it.
    pub fn send(self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: the buffer is eight readable bytes. The result cannot matter: EAGAIN would
        // mean a counter that is full, and then the reactor has been woken already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }
}

impl Waker {
    /// Opens the eventfd.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: a new descriptor that nobody else knows.
        let event = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Waker { event: Mutex::new(Some(Arc::new(event))), state: AtomicU8::new(AWAKE) })
    }

    fn event(&self) -> Option<Arc<OwnedFd>> {
        self.event.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The descriptor to watch, edge-triggered: it need never be read. -1 when it is closed.
    pub fn descriptor(&self) -> RawFd {
        self.event().map_or(-1, |event| event.as_raw_fd())
    }

    /// Called by other threads after they have left something in the inbox.
    pub fn wake(&self) {
        if let Some(wake) = self.call() {
            wake.send();
        }
    }

    /// The first half of [`Waker::wake`]: whoever gets something must send it.
    pub fn call(&self) -> Option<Wake> {
        if self.state.swap(CALLED, Ordering::AcqRel) == ASLEEP {
            return self.event().map(Wake);
        }
        None
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

    /// Gives the descriptor back to the system, as soon as nobody is about to write to it.
    pub fn close(&self) {
        let event = self.event.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_sleep_is_one_wake() {
        let waker = Waker::new().expect("an eventfd");
        assert!(waker.call().is_none());
        assert!(!waker.fall_asleep());
        assert!(waker.wake_up());
        assert!(waker.fall_asleep());
        assert!(waker.call().is_some());
        assert!(waker.call().is_none());
    }

    #[test]
    fn a_wake_that_is_under_way_keeps_the_descriptor() {
        let waker = Waker::new().expect("an eventfd");
        let descriptor = waker.descriptor();
        assert!(waker.fall_asleep());
        let wake = waker.call().expect("a wake");
        waker.close();
        assert_eq!(waker.descriptor(), -1);
        // SAFETY: no pointers; asks whether the descriptor is open.
        assert!(unsafe { libc::fcntl(descriptor, libc::F_GETFD) } >= 0);
        wake.send();
    }
}
