//! A protocol that writes down what it hears, and does what a test tells it to.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};

use sennit_engine::Nanos;
use sennit_engine::stream::{Chunk, Received};
use sennit_engine::transport::{Protocol, Transport};

use super::{DropGuard, Loop, TestHost};

pub type Connection = Transport<TestHost, Recorder>;

/// One thing that a protocol has heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    Data(Vec<u8>),
    Secured,
    Eof,
    Lost(Option<io::ErrorKind>),
    Pause,
    Resume,
    Deadline(Nanos),
    Abandoned,
}

type Hook = Rc<dyn Fn(&Connection, &Loop, &Heard)>;

/// The protocol.
#[derive(Default)]
pub struct Recorder {
    transport: RefCell<Weak<Connection>>,
    heard: RefCell<Vec<Heard>>,
    hook: RefCell<Option<Hook>>,
    /// Stay after the peer's end.
    pub keep_open: Cell<bool>,
    /// Size of the protocol's own buffer; `None`: the reactor's is used.
    pub own_buffer: Cell<Option<usize>>,
    /// How much one call has brought at most.
    pub largest: Cell<usize>,
    guard: RefCell<Option<DropGuard>>,
}

impl Recorder {
    fn hear(&self, reactor: &Loop, heard: Heard) {
        let hook = self.hook.borrow().clone();
        self.heard.borrow_mut().push(heard.clone());
        if let (Some(hook), Some(transport)) = (hook, self.transport.borrow().upgrade()) {
            hook(&transport, reactor, &heard);
        }
    }

    /// What was heard since the last time; neighbouring data is joined.
    pub fn take(&self) -> Vec<Heard> {
        let mut joined: Vec<Heard> = Vec::new();
        for heard in self.heard.take() {
            match (joined.last_mut(), heard) {
                (Some(Heard::Data(all)), Heard::Data(more)) => all.extend(more),
                (_, heard) => joined.push(heard),
            }
        }
        joined
    }

    /// Bytes heard since the last [`Recorder::take`].
    pub fn received(&self) -> usize {
        let length = |heard: &Heard| if let Heard::Data(data) = heard { data.len() } else { 0 };
        self.heard.borrow().iter().map(length).sum()
    }

    /// Whether something was heard since the last [`Recorder::take`].
    pub fn has_heard(&self, what: &Heard) -> bool {
        self.heard.borrow().contains(what)
    }

    /// Called after each thing heard.
    pub fn on_each(&self, hook: impl Fn(&Connection, &Loop, &Heard) + 'static) {
        *self.hook.borrow_mut() = Some(Rc::new(hook));
    }

    pub fn hold(&self, guard: DropGuard) {
        *self.guard.borrow_mut() = Some(guard);
    }
}

impl Protocol<TestHost> for Recorder {
    type Bytes = Rc<[u8]>;

    fn data_received(&self, reactor: &Loop, data: &[u8]) {
        self.largest.set(self.largest.get().max(data.len()));
        self.hear(reactor, Heard::Data(data.to_vec()));
    }

    fn secured(&self, reactor: &Loop) {
        self.hear(reactor, Heard::Secured);
    }

    fn has_buffer(&self) -> bool {
        self.own_buffer.get().is_some()
    }

    fn fill_buffer(
        &self,
        reactor: &Loop,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<Received>,
    ) -> Option<io::Result<Received>> {
        let mut buffer = vec![0; self.own_buffer.get()?];
        let result = fill(&mut buffer);
        if let Ok(Received::Data { count, .. }) = result {
            self.data_received(reactor, &buffer[..count]);
        }
        Some(result)
    }

    fn eof_received(&self, reactor: &Loop) -> bool {
        self.hear(reactor, Heard::Eof);
        self.keep_open.get()
    }

    fn connection_lost(&self, reactor: &Loop, error: Option<io::Error>) {
        self.hear(reactor, Heard::Lost(error.map(|error| error.kind())));
    }

    fn pause_writing(&self, reactor: &Loop) {
        self.hear(reactor, Heard::Pause);
    }

    fn resume_writing(&self, reactor: &Loop) {
        self.hear(reactor, Heard::Resume);
    }

    fn deadline(&self, reactor: &Loop, now: Nanos) {
        self.hear(reactor, Heard::Deadline(now));
    }

    fn abandoned(&self) {
        self.heard.borrow_mut().push(Heard::Abandoned);
    }
}

/// A transport over a socket, not started yet.
pub fn connection(socket: OwnedFd) -> Rc<Connection> {
    let connection = Transport::new(socket, Recorder::default());
    *connection.protocol().transport.borrow_mut() = Rc::downgrade(&connection);
    connection
}

/// A transport over a socket, started.
pub fn start(reactor: &Loop, socket: OwnedFd) -> Rc<Connection> {
    let connection = connection(socket);
    connection.start(reactor).unwrap();
    connection
}

/// Bytes to write.
pub fn copy(bytes: &[u8]) -> Chunk<Rc<[u8]>> {
    Chunk::Owned(bytes.to_vec())
}

pub fn data(bytes: &[u8]) -> Heard {
    Heard::Data(bytes.to_vec())
}
