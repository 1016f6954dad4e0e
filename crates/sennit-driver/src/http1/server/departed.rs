//! Connections that have left HTTP: they still count, and the server's end is theirs, too.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use sennit_engine::{Host, Reactor};

use super::{Application, Server};

type Abort<H> = Rc<dyn Fn(&Reactor<H>)>;

/// What ends each of them at once, by its number.
pub(super) struct Departures<H: Host> {
    next: u64,
    aborts: HashMap<u64, Option<Abort<H>>>,
}

impl<H: Host> Default for Departures<H> {
    fn default() -> Self {
        Departures { next: 0, aborts: HashMap::new() }
    }
}

impl<H: Host> Departures<H> {
    fn add(&mut self) -> u64 {
        self.next += 1;
        self.aborts.insert(self.next, None);
        self.next
    }

    pub fn aborts(&self) -> Vec<Abort<H>> {
        self.aborts.values().flatten().cloned().collect()
    }
}

/// A connection that has left HTTP, held as long as it lives: until then it counts among those of its server and of its
/// address, and the server does not stop before it.
pub struct Departed<H: Host, A: Application<H>> {
    server: Rc<Server<H, A>>,
    number: u64,
    peer: Option<SocketAddr>,
    is_over: bool,
}

impl<H: Host, A: Application<H>> Departed<H, A> {
    pub(super) fn new(server: Rc<Server<H, A>>, peer: Option<SocketAddr>) -> Self {
        let number = server.departures.borrow_mut().add();
        Departed { server, number, peer, is_over: false }
    }

    /// The server that it has come from.
    pub fn server(&self) -> &Rc<Server<H, A>> {
        &self.server
    }

    /// What the server calls when it drops every connection at once.
    pub fn on_abort(&self, abort: impl Fn(&Reactor<H>) + 'static) {
        let abort: Option<Abort<H>> = Some(Rc::new(abort));
        let before = self.server.departures.borrow_mut().aborts.insert(self.number, abort);
        drop(before);
    }

    /// It is over. To drop this says the same where no reactor is left.
    pub fn end(mut self, reactor: &Reactor<H>) {
        self.leave();
        self.server.check_drained(reactor);
    }

    fn leave(&mut self) {
        self.is_over = true;
        let abort = self.server.departures.borrow_mut().aborts.remove(&self.number);
        drop(abort);
        self.server.addresses.borrow_mut().leave(self.peer);
        self.server.count(|statistics| statistics.open -= 1);
    }
}

impl<H: Host, A: Application<H>> Drop for Departed<H, A> {
    fn drop(&mut self) {
        if !self.is_over {
            self.leave();
            self.server.check_orphaned();
        }
    }
}
