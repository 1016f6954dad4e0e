//! epoll behind the poller's contract.

use std::cell::Cell;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use super::{Event, Interest, Poller, Readiness};
use crate::sources::Token;

/// Reports taken in one wait. nginx takes 512, libuv 1024; more only makes one turn longer.
const MAX_EVENTS: usize = 512;

/// One epoll set.
#[derive(Debug)]
pub struct EpollPoller {
    set: Cell<RawFd>,
}

/// What stands for a set that is closed; the kernel answers EBADF to it.
const CLOSED: RawFd = -1;

/// Where the kernel writes its reports.
pub struct EpollBuffer(Vec<libc::epoll_event>);

impl Default for EpollBuffer {
    fn default() -> Self {
        EpollBuffer(vec![libc::epoll_event { events: 0, u64: 0 }; MAX_EVENTS])
    }
}

impl EpollPoller {
    /// Opens an epoll set.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers; the result is checked before it is owned.
        let descriptor = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(EpollPoller { set: Cell::new(descriptor) })
    }

    fn control(
        &self,
        operation: i32,
        descriptor: RawFd,
        events: u32,
        token: Token,
    ) -> io::Result<()> {
        let mut event = libc::epoll_event { events, u64: token.0 };
        // SAFETY: `event` is valid for the call; the kernel checks both descriptors.
        let result = unsafe { libc::epoll_ctl(self.set.get(), operation, descriptor, &mut event) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

fn bits(interest: Interest) -> u32 {
    let (input, output) = (libc::EPOLLIN as u32, libc::EPOLLOUT as u32);
    match interest {
        Interest::Edge => input | output | libc::EPOLLRDHUP as u32 | libc::EPOLLET as u32,
        Interest::Level { readable, writable } => {
            (if readable { input } else { 0 }) | (if writable { output } else { 0 })
        }
    }
}

fn milliseconds(timeout: Option<Duration>) -> i32 {
    match timeout {
        None => -1,
        // Rounded up: waking before a timer is due would only turn the loop for nothing.
        Some(wait) => wait.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i32,
    }
}

impl Poller for EpollPoller {
    type Buffer = EpollBuffer;

    fn add(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, descriptor, bits(interest), token)
    }

    fn change(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, descriptor, bits(interest), token)
    }

    fn remove(&self, descriptor: RawFd) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, descriptor, 0, Token::NONE)
    }

    fn wait(&self, buffer: &mut EpollBuffer, timeout: Option<Duration>) -> io::Result<usize> {
        let events = &mut buffer.0;
        // SAFETY: the pointer and the length name one live vector.
        let count = unsafe {
            libc::epoll_wait(
                self.set.get(),
                events.as_mut_ptr(),
                events.len() as i32,
                milliseconds(timeout),
            )
        };
        if count >= 0 {
            return Ok(count as usize);
        }
        match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            error => Err(error),
        }
    }

    fn event(buffer: &EpollBuffer, index: usize) -> Event {
        let event = buffer.0[index];
        let events = event.events as i32;
        let mut readiness = Readiness::NONE;
        if events & (libc::EPOLLIN | libc::EPOLLPRI) != 0 {
            readiness = readiness.with(Readiness::READABLE);
        }
        if events & libc::EPOLLOUT != 0 {
            readiness = readiness.with(Readiness::WRITABLE);
        }
        if events & libc::EPOLLRDHUP != 0 {
            readiness = readiness.with(Readiness::READABLE).with(Readiness::PEER_CLOSED);
        }
        if events & (libc::EPOLLHUP | libc::EPOLLERR) != 0 {
            // Whoever reads or writes now is told what happened.
            readiness = Readiness(readiness.0 | 0b1111);
        }
        Event { token: Token(event.u64), readiness }
    }

    fn descriptor(&self) -> RawFd {
        self.set.get()
    }

    fn close(&self) {
        let descriptor = self.set.replace(CLOSED);
        if descriptor != CLOSED {
            // SAFETY: the set was opened by `new` and is given up here, once.
            drop(unsafe { OwnedFd::from_raw_fd(descriptor) });
        }
    }
}

impl Drop for EpollPoller {
    fn drop(&mut self) {
        self.close();
    }
}
