//! Which request gets a connection, when, and for how long it waits.
//!
//! Laws:
//! - Each origin has a queue of its own, and those that have one take turns: an origin that is slow, or swallows
//!   connects, keeps nobody else waiting while there is room for connections.
//! - A queue is first in, first out; what a stale connection has lost goes to its front.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::{Host, Reactor};

use super::connection::Connection;
use super::exchange::{Cause, Failure, RequestId, Step};
use super::{Caller, Client, NEVER, OriginId, Route};

/// How long a client that ran out of descriptors waits before it tries again.
const BACK_OFF: Nanos = 100 * MILLISECOND;

/// One origin: how it is reached, its connections, and who waits for one.
pub(super) struct Origin<H: Host, C: Caller<H>> {
    pub route: Route,
    /// The one that was used last comes last, and is used first: it is the least likely to be stale.
    pub idle: Vec<Rc<Connection<H, C>>>,
    pub waiting: VecDeque<RequestId>,
    /// Connections open, those being made included.
    pub open: u64,
    /// Connections being made.
    pub connecting: u64,
}

impl<H: Host, C: Caller<H>> Origin<H, C> {
    pub fn new(route: Route) -> Self {
        let (idle, waiting) = (Vec::new(), VecDeque::new());
        Origin { route, idle, waiting, open: 0, connecting: 0 }
    }
}

impl<H: Host, C: Caller<H>> Client<H, C> {
    /// Puts a request into its origin's queue.
    pub(super) fn enqueue(&self, id: RequestId, origin: OriginId, at_front: bool) {
        let is_first = {
            let mut origins = self.origins.borrow_mut();
            let Some(origin) = origins.get_mut(origin.0) else { return };
            if at_front {
                origin.waiting.push_front(id);
            } else {
                origin.waiting.push_back(id);
            }
            origin.waiting.len() == 1
        };
        self.waiting.set(self.waiting.get() + 1);
        if is_first {
            self.turns.borrow_mut().push_back(origin);
        }
    }

    /// Whether somebody waits for a connection.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    pub(super) fn pump_later(&self, reactor: &Reactor<H>) {
        if !self.is_notified.replace(true) {
            reactor.notify_later(self.token.get());
        }
    }

    /// Starts what may start.
    pub(super) fn pump(&self, reactor: &Reactor<H>) {
        if self.is_pumping.replace(true) {
            return;
        }
        while let Some(id) = self.next_startable(reactor) {
            self.start(reactor, id);
        }
        self.is_pumping.set(false);
    }

    /// The first request of the next origin whose turn it is and that may have a connection now.
    fn next_startable(&self, reactor: &Reactor<H>) -> Option<RequestId> {
        let mut left = self.turns.borrow().len();
        while left > 0 {
            left -= 1;
            let turn = self.turns.borrow_mut().pop_front()?;
            let found = self.take_waiting(reactor, turn);
            let has_more =
                self.origins.borrow().get(turn.0).is_some_and(|origin| !origin.waiting.is_empty());
            if has_more {
                self.turns.borrow_mut().push_back(turn);
            }
            if found.is_some() {
                return found;
            }
        }
        None
    }

    fn take_waiting(&self, reactor: &Reactor<H>, turn: OriginId) -> Option<RequestId> {
        let exchanges = self.exchanges.borrow();
        let mut origins = self.origins.borrow_mut();
        let origin = origins.get_mut(turn.0)?;
        while let Some(id) = origin.waiting.front().copied() {
            let Some(exchange) = exchanges.get(id) else {
                origin.waiting.pop_front();
                self.waiting.set(self.waiting.get() - 1);
                continue;
            };
            // What is sent a second time needs a connection of its own.
            let has_idle = !exchange.is_retried && !origin.idle.is_empty();
            let settings = &self.settings;
            let has_place = origin.open < settings.max_connections_per_origin
                || (exchange.is_retried && !origin.idle.is_empty());
            let may_connect = origin.connecting < settings.max_connecting
                && has_place
                && self.rests_until.get() <= reactor.turn_time();
            if !has_idle && !may_connect {
                return None;
            }
            if !has_idle && self.statistics.get().open >= settings.max_connections {
                let own = !origin.idle.is_empty();
                let others = origins.iter().any(|origin| !origin.idle.is_empty());
                if !own && !others {
                    return None;
                }
            }
            let origin = origins.get_mut(turn.0)?;
            origin.waiting.pop_front();
            self.waiting.set(self.waiting.get() - 1);
            return Some(id);
        }
        None
    }

    fn start(&self, reactor: &Reactor<H>, id: RequestId) {
        // What is sent a second time goes over a new connection: others may be as stale as the first.
        let found = self.exchanges.borrow().get(id).map(|e| (e.origin, e.is_retried));
        let Some((place, is_retried)) = found else { return };
        let (idle, route) = {
            let mut origins = self.origins.borrow_mut();
            let Some(origin) = origins.get_mut(place.0) else { return };
            let idle = if is_retried { None } else { origin.idle.pop() };
            (idle.filter(|connection| connection.is_idle()), origin.route.clone())
        };
        if let Some(connection) = idle {
            self.count(|statistics| statistics.reused += 1);
            return connection.take_up(reactor, id);
        }
        self.make_room(reactor, place);
        let Some(client) = self.itself.upgrade() else { return };
        Connection::open(client, reactor, place, route, id);
    }

    /// Room for one connection more is made by one that nobody uses.
    fn make_room(&self, reactor: &Reactor<H>, place: OriginId) {
        let evicted = {
            let mut origins = self.origins.borrow_mut();
            let is_full = origins.get(place.0).is_some_and(|origin| {
                origin.open >= self.settings.max_connections_per_origin && !origin.idle.is_empty()
            });
            if is_full {
                origins.get_mut(place.0).map(|origin| origin.idle.remove(0))
            } else if self.statistics.get().open >= self.settings.max_connections {
                let mut idle = origins.iter_mut().filter(|origin| !origin.idle.is_empty());
                idle.next().map(|origin| origin.idle.remove(0))
            } else {
                None
            }
        };
        if let Some(evicted) = evicted {
            evicted.drop_silently(reactor);
        }
    }

    /// The process has no descriptor for a connection: one that nobody uses is given up, or the request waits.
    pub(super) fn wait_for_descriptor(
        &self,
        reactor: &Reactor<H>,
        id: RequestId,
        error: io::Error,
    ) {
        let idle = {
            let mut origins = self.origins.borrow_mut();
            let mut idle = origins.iter_mut().filter(|origin| !origin.idle.is_empty());
            idle.next().map(|origin| origin.idle.remove(0))
        };
        let origin = match self.exchanges.borrow_mut().get_mut(id) {
            Some(exchange) => {
                exchange.connection = None;
                exchange.origin
            }
            None => return,
        };
        if idle.is_none() && self.statistics.get().open == 0 {
            // Nothing of this client's will ever end and make room; it has to come from elsewhere.
            let now = reactor.now();
            let is_late =
                self.exchanges.borrow().get(id).is_none_or(|e| e.wait_deadline <= now + BACK_OFF);
            if is_late {
                let failure = Failure::new(Step::Connect, Cause::System(error));
                return self.fail(reactor, id, failure);
            }
        }
        match idle {
            Some(idle) => idle.drop_silently(reactor),
            None => {
                let again = reactor.now() + BACK_OFF;
                self.rests_until.set(again);
                self.look_at(reactor, again);
            }
        }
        self.enqueue(id, origin, true);
        self.pump_later(reactor);
    }

    /// A connection is being made.
    pub(super) fn opened(&self, origin: OriginId) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.open += 1;
            origin.connecting += 1;
        }
        self.count(|statistics| {
            statistics.open += 1;
            statistics.connecting += 1;
        });
    }

    /// A connection is made.
    pub(super) fn connected(&self, origin: OriginId) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.connecting -= 1;
        }
        self.count(|statistics| {
            statistics.connecting -= 1;
            statistics.connected += 1;
        });
    }

    /// A connection is gone.
    pub(super) fn closed(&self, origin: OriginId, was_connecting: bool) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.open -= 1;
            origin.connecting -= u64::from(was_connecting);
        }
        self.count(|statistics| {
            statistics.open -= 1;
            statistics.connecting -= u64::from(was_connecting);
        });
    }

    /// A connection has nothing to do any more.
    pub(super) fn put_back(&self, origin: OriginId, connection: Rc<Connection<H, C>>) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.idle.push(connection);
        }
    }

    /// An idle connection is gone.
    pub(super) fn forget_idle(&self, origin: OriginId, connection: &Connection<H, C>) {
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(origin.0) else { return };
        let place = origin.idle.iter().position(|idle| std::ptr::eq(&**idle, connection));
        let found = place.map(|place| origin.idle.swap_remove(place));
        drop(origins);
        drop(found);
    }

    /// Whether a request that was lost with a stale connection may be sent once more; it is noted as such.
    pub(super) fn may_send_again(&self, id: RequestId) -> bool {
        let mut exchanges = self.exchanges.borrow_mut();
        match exchanges.get_mut(id) {
            Some(exchange)
                if exchange.is_idempotent && !exchange.is_retried && exchange.upload.is_none() =>
            {
                exchange.is_retried = true;
                exchange.connection = None;
                true
            }
            _ => false,
        }
    }

    /// Sends a request again that a stale connection has lost.
    pub(super) fn retry(&self, reactor: &Reactor<H>, id: RequestId) {
        self.count(|statistics| statistics.retried += 1);
        let found = self.exchanges.borrow().get(id).map(|e| (e.origin, e.wait_deadline));
        if let Some((origin, deadline)) = found {
            self.enqueue(id, origin, true);
            self.look_at(reactor, deadline);
        }
        self.pump_later(reactor);
    }

    // --- deadlines of requests that have no connection --------------------------------------------

    pub(super) fn look_at(&self, reactor: &Reactor<H>, deadline: Nanos) {
        if deadline < self.armed_at.get() {
            self.armed_at.set(deadline);
            reactor.wake_source_at(deadline, self.token.get());
        }
    }

    pub(super) fn fail_late_ones(&self, reactor: &Reactor<H>, now: Nanos) {
        let (mut late, mut next) = (Vec::new(), NEVER);
        if self.rests_until.get() > now {
            next = self.rests_until.get();
        }
        {
            let exchanges = self.exchanges.borrow();
            let mut gone = 0;
            for origin in self.origins.borrow_mut().iter_mut() {
                let before = origin.waiting.len();
                origin.waiting.retain(|id| match exchanges.get(*id) {
                    Some(exchange) if exchange.wait_deadline <= now => {
                        let is_over = exchange.deadline <= now;
                        late.push((
                            *id,
                            if is_over { Cause::TimedOut } else { Cause::PoolTimedOut },
                        ));
                        false
                    }
                    Some(exchange) => {
                        next = next.min(exchange.wait_deadline);
                        true
                    }
                    None => false,
                });
                gone += before - origin.waiting.len();
            }
            self.waiting.set(self.waiting.get() - gone);
        }
        for (id, cause) in late {
            self.fail(reactor, id, Failure::new(Step::Wait, cause));
        }
        if next != NEVER {
            self.look_at(reactor, next);
        }
        self.pump_later(reactor);
    }
}
