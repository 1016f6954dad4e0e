//! Addresses beside each other: one that is silent does not keep the next one waiting.
//!
//! Laws:
//! - An address that has not answered after [`ATTEMPT_DELAY`] has a rival, the next address; one that fails has it at
//!   once. Whichever answers first is the connection, and the others are closed.
//! - Each has `connect_timeout` for itself. When the first one's time is over, the oldest rival takes its place.
//!
//! Source: RFC 8305 section 5.

use std::cell::Cell;
use std::io;
use std::rc::{Rc, Weak};

use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::stream::Stream;
use sennit_engine::{Host, Interest, Reactor, Readiness, Source, Token, socket};

use super::super::{Caller, Place};
use super::{Connection, NEVER};

/// How long an address may be silent before another one is tried beside it. RFC 8305 recommends this.
const ATTEMPT_DELAY: Nanos = 250 * MILLISECOND;

/// An address that is tried beside the one before it.
pub(super) struct Rival {
    token: Token,
    stream: Stream<Vec<u8>>,
    deadline: Nanos,
}

/// What the reactor knows of a rival.
struct Attempt<H: Host, C: Caller<H>> {
    connection: Weak<Connection<H, C>>,
    token: Cell<Token>,
}

impl<H: Host, C: Caller<H>> Source<H> for Attempt<H, C> {
    fn ready(self: Rc<Self>, reactor: &Reactor<H>, readiness: Readiness) {
        let connection = self.connection.upgrade();
        if let Some(connection) = connection
            && readiness.has(Readiness::WRITABLE.with(Readiness::BROKEN))
        {
            connection.rival_answers(reactor, self.token.get());
        }
    }

    fn abandoned(self: Rc<Self>, _: &Reactor<H>) {
        let connection = self.connection.upgrade();
        drop(connection.and_then(|connection| connection.take_rival(self.token.get())));
    }
}

impl<H: Host, C: Caller<H>> Connection<H, C> {
    /// When the address behind the one that was just tried has its turn.
    pub(super) fn expect_rival(&self, reactor: &Reactor<H>, places: &[Place]) {
        let mut inner = self.inner.borrow_mut();
        let has_more = inner.next_address < places.len();
        inner.rival_at =
            if has_more { reactor.turn_time().saturating_add(ATTEMPT_DELAY) } else { NEVER };
    }

    /// Tries the next address beside those that were tried already.
    pub(super) fn start_rival(self: &Rc<Self>, reactor: &Reactor<H>) {
        let places = self.route().places;
        self.inner.borrow_mut().rival_at = NEVER;
        loop {
            let index = self.inner.borrow().next_address;
            let Some(place) = places.get(index) else { break };
            match self.open_rival(reactor, place) {
                Ok(rival) => {
                    let mut inner = self.inner.borrow_mut();
                    inner.next_address = index + 1;
                    inner.rivals.push(rival);
                    drop(inner);
                    self.expect_rival(reactor, &places);
                    break;
                }
                // The one that is under way has its descriptor; should it fail, this address has its turn.
                Err(error) if socket::lacks_descriptors(&error) => break,
                Err(_) => self.inner.borrow_mut().next_address = index + 1,
            }
        }
        self.arm(reactor);
    }

    fn open_rival(self: &Rc<Self>, reactor: &Reactor<H>, place: &Place) -> io::Result<Rival> {
        let stream = Stream::new(place.connect(reactor)?);
        let connection = Rc::downgrade(self);
        let attempt = Rc::new(Attempt { connection, token: Cell::new(Token::NONE) });
        let token = reactor.register(stream.descriptor(), Interest::Edge, attempt.clone())?;
        attempt.token.set(token);
        let timeout = self.client.settings().connect_timeout;
        Ok(Rival { token, stream, deadline: reactor.turn_time().saturating_add(timeout) })
    }

    fn rival_answers(self: &Rc<Self>, reactor: &Reactor<H>, token: Token) {
        let Some(rival) = self.take_rival(token) else { return };
        let error = socket::take_error(rival.stream.descriptor()).unwrap_or_else(Some);
        if error.is_some() {
            Self::close_rival(reactor, rival);
            return self.start_rival(reactor);
        }
        self.end_race(reactor);
        self.adopt(reactor, rival);
    }

    fn take_rival(&self, token: Token) -> Option<Rival> {
        let mut inner = self.inner.borrow_mut();
        let place = inner.rivals.iter().position(|rival| rival.token == token)?;
        Some(inner.rivals.remove(place))
    }

    /// The address that was tried first has failed: the oldest rival takes its place. False: there is none.
    pub(super) fn fall_back(self: &Rc<Self>, reactor: &Reactor<H>) -> bool {
        let rival = {
            let mut inner = self.inner.borrow_mut();
            if inner.rivals.is_empty() { None } else { Some(inner.rivals.remove(0)) }
        };
        let Some(rival) = rival else { return false };
        self.adopt(reactor, rival);
        self.start_rival(reactor);
        true
    }

    /// A rival is the connection's own socket from now on.
    fn adopt(self: &Rc<Self>, reactor: &Reactor<H>, rival: Rival) {
        let descriptor = rival.stream.descriptor();
        let old = {
            let mut inner = self.inner.borrow_mut();
            inner.connect_deadline = rival.deadline;
            // What the wheel knows is the name of an earlier attempt.
            inner.armed_at = NEVER;
            inner.stream.replace(rival.stream)
        };
        drop(old);
        drop(reactor.remove(rival.token));
        drop(reactor.remove(self.token.replace(reactor.attach(self.clone()))));
        // Told anew, the poller says again what it has said to the rival.
        match reactor.change(descriptor, self.token.get(), Interest::Edge) {
            Ok(()) => self.arm(reactor),
            Err(error) => self.fail(reactor, super::Step::Connect, super::Cause::System(error)),
        }
    }

    /// Closes all rivals; there will be no more.
    pub(super) fn end_race(&self, reactor: &Reactor<H>) {
        let rivals = {
            let mut inner = self.inner.borrow_mut();
            inner.rival_at = NEVER;
            std::mem::take(&mut inner.rivals)
        };
        rivals.into_iter().for_each(|rival| Self::close_rival(reactor, rival));
    }

    fn close_rival(reactor: &Reactor<H>, rival: Rival) {
        drop(rival.stream);
        drop(reactor.remove(rival.token));
    }
}
