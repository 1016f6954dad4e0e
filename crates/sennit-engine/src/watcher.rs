//! A level-triggered descriptor with a callback for each direction: asyncio's `add_reader` and
//! `add_writer`. The descriptor belongs to the caller.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;

use crate::clock::Nanos;
use crate::host::{Host, Source};
use crate::poller::{Interest, Readiness};
use crate::reactor::Reactor;
use crate::sources::Token;

/// Reading or writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `add_reader`.
    Read,
    /// `add_writer`.
    Write,
}

/// One watched descriptor.
pub struct Watcher<H: Host> {
    descriptor: RawFd,
    token: Cell<Token>,
    callbacks: RefCell<Callbacks<H::Callback>>,
}

struct Callbacks<C> {
    read: Option<C>,
    write: Option<C>,
}

impl<C> Callbacks<C> {
    fn slot(&mut self, direction: Direction) -> &mut Option<C> {
        match direction {
            Direction::Read => &mut self.read,
            Direction::Write => &mut self.write,
        }
    }

    fn interest(&self) -> Interest {
        Interest::Level { readable: self.read.is_some(), writable: self.write.is_some() }
    }
}

impl<H: Host> Watcher<H>
where
    H::Callback: Clone,
{
    /// Watches a descriptor in one direction.
    pub fn register(
        reactor: &Reactor<H>,
        descriptor: RawFd,
        direction: Direction,
        callback: H::Callback,
    ) -> io::Result<Rc<Self>> {
        let mut callbacks = Callbacks { read: None, write: None };
        *callbacks.slot(direction) = Some(callback);
        let interest = callbacks.interest();
        let watcher = Rc::new(Watcher {
            descriptor,
            token: Cell::new(Token::NONE),
            callbacks: RefCell::new(callbacks),
        });
        watcher.token.set(reactor.register(descriptor, interest, watcher.clone())?);
        Ok(watcher)
    }

    /// Sets or clears the callback of one direction, and gives back the one before. When both are
    /// clear the descriptor is watched no longer and the caller forgets this watcher.
    pub fn replace(
        &self,
        reactor: &Reactor<H>,
        direction: Direction,
        callback: Option<H::Callback>,
    ) -> io::Result<Option<H::Callback>> {
        let removes = callback.is_none();
        let (old, interest, empty) = {
            let mut callbacks = self.callbacks.borrow_mut();
            let old = std::mem::replace(callbacks.slot(direction), callback);
            let empty = callbacks.read.is_none() && callbacks.write.is_none();
            (old, callbacks.interest(), empty)
        };
        if empty {
            // The descriptor may be closed already, and then it has left the set by itself.
            let _ = reactor.unwatch(self.descriptor);
            drop(reactor.remove(self.token.get()));
        } else if let Err(error) = reactor.change(self.descriptor, self.token.get(), interest)
            && !(removes && is_gone(&error))
        {
            return Err(error);
        }
        Ok(old)
    }

    /// Whether neither direction has a callback.
    pub fn is_empty(&self) -> bool {
        let callbacks = self.callbacks.borrow();
        callbacks.read.is_none() && callbacks.write.is_none()
    }
}

/// The descriptor was closed before, and with that it has left the set.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::EBADF))
}

impl<H: Host> Source<H> for Watcher<H>
where
    H::Callback: Clone,
{
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let (read, write) = {
            let callbacks = self.callbacks.borrow();
            (
                callbacks.read.clone().filter(|_| readiness.has(Readiness::READABLE)),
                callbacks.write.clone().filter(|_| readiness.has(Readiness::WRITABLE)),
            )
        };
        if let Some(callback) = read {
            reactor.call_soon(callback);
        }
        if let Some(callback) = write {
            reactor.call_soon(callback);
        }
    }

    fn deadline(self: Rc<Self>, _reactor: &Reactor<H>, _now: Nanos) {}

    fn abandoned(self: Rc<Self>, _reactor: &Reactor<H>) {
        let gone = {
            let mut callbacks = self.callbacks.borrow_mut();
            (callbacks.read.take(), callbacks.write.take())
        };
        drop(gone);
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        if let Ok(callbacks) = self.callbacks.try_borrow() {
            for callback in [&callbacks.read, &callbacks.write].into_iter().flatten() {
                H::visit(callback, visitor);
            }
        }
    }
}
