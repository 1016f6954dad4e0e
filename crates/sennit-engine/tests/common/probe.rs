//! A source that writes down what it is told.

use std::cell::{Cell, RefCell};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::{Interest, Readiness, Source, Token};

use super::{DropGuard, Loop, TestHost};

type Reaction = Box<dyn Fn(&Loop)>;

/// The source.
#[derive(Default)]
pub struct Probe {
    pub socket: RefCell<Option<OwnedFd>>,
    pub told: RefCell<Vec<String>>,
    pub reaction: RefCell<Option<Reaction>>,
    token: Cell<Option<Token>>,
    pub guard: RefCell<Option<DropGuard>>,
}

impl Probe {
    pub fn start(reactor: &Loop, socket: OwnedFd, interest: Interest) -> Rc<Self> {
        let probe = Rc::new(Probe::default());
        let token = reactor.register(socket.as_raw_fd(), interest, probe.clone()).unwrap();
        probe.token.set(Some(token));
        *probe.socket.borrow_mut() = Some(socket);
        probe
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.borrow().as_ref().unwrap().as_raw_fd()
    }

    pub fn token(&self) -> Token {
        self.token.get().unwrap()
    }

    /// Done once, when the source hears next that it is ready or that its time has come.
    pub fn once(&self, reaction: impl Fn(&Loop) + 'static) {
        *self.reaction.borrow_mut() = Some(Box::new(reaction));
    }

    fn react(&self, reactor: &Loop) {
        let reaction = self.reaction.take();
        if let Some(reaction) = reaction {
            reaction(reactor);
        }
    }

    fn tell(&self, what: impl Into<String>) {
        self.told.borrow_mut().push(what.into());
    }

    pub fn told(&self) -> Vec<String> {
        self.told.take()
    }
}

impl Source<TestHost> for Probe {
    fn ready(self: Rc<Self>, reactor: &Loop, readiness: Readiness) {
        let bits = [
            (Readiness::READABLE, 'r'),
            (Readiness::WRITABLE, 'w'),
            (Readiness::PEER_CLOSED, 'c'),
            (Readiness::BROKEN, 'b'),
        ];
        self.tell(
            bits.iter().filter(|bit| readiness.has(bit.0)).map(|bit| bit.1).collect::<String>(),
        );
        self.react(reactor);
    }

    fn flush(self: Rc<Self>, _reactor: &Loop) {
        self.tell("flush");
    }

    fn notified(self: Rc<Self>, _reactor: &Loop) {
        self.tell("notified");
    }

    fn deadline(self: Rc<Self>, reactor: &Loop, now: Nanos) {
        self.tell(format!("deadline {}", now / MILLISECOND));
        self.react(reactor);
    }

    fn abandoned(self: Rc<Self>, _reactor: &Loop) {
        self.tell("abandoned");
    }
}
