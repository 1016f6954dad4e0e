//! Which request gets a connection, when, and for how long it waits.
//!
//! Laws:
//! - Each origin has a queue of its own, and those that have one take turns: an origin that is slow, or swallows
//!   connects, keeps nobody else waiting while there is room for connections.
//! - A queue is first in, first out; what a stale connection has lost goes to its front.
//! - Only an origin has a turn that its own limits let start a request; whatever lifts one lists the origin again. So
//!   each look starts a request, or takes an origin off the list: the work is that of the requests, whatever the
//!   number of origins.
//! - A request that is over counts no more, even while its name is in a queue; names of such are never most of one.

use std::collections::VecDeque;
use std::io;
use std::rc::Rc;

use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::{Host, Reactor};

use super::connection::Connection;
use super::exchange::{Cause, Exchange, Exchanges, Failure, RequestId, Step};
use super::{Caller, Client, NEVER, OriginId, Route, Settings};

/// How long a client that ran out of descriptors waits before it tries again.
const BACK_OFF: Nanos = 100 * MILLISECOND;

/// One origin: how it is reached, its connections, and who waits for one.
pub(super) struct Origin<H: Host, C: Caller<H>> {
    pub route: Route,
    /// The one that was used last comes last, and is used first: it is the least likely to be stale.
    idle: VecDeque<Rc<Connection<H, C>>>,
    waiting: VecDeque<RequestId>,
    /// How many of those that wait are over.
    gone: usize,
    /// Requests that are not over.
    pub requests: u64,
    /// Connections open, those being made included.
    pub open: u64,
    /// Connections being made.
    connecting: u64,
    /// Whether it has a turn.
    is_listed: bool,
    /// Whether it stands among those that may have idle connections.
    is_rested: bool,
}

/// What a look at an origin has found.
enum Look {
    Start(RequestId),
    /// Its own limits keep it, or it has no queue.
    Held,
    /// Nobody may have a connection.
    Full,
}

impl<H: Host, C: Caller<H>> Origin<H, C> {
    pub fn new(route: Route) -> Self {
        Origin {
            route,
            idle: VecDeque::new(),
            waiting: VecDeque::new(),
            gone: 0,
            requests: 0,
            open: 0,
            connecting: 0,
            is_listed: false,
            is_rested: false,
        }
    }

    fn has_waiting(&self) -> bool {
        self.waiting.len() > self.gone
    }

    /// The first that waits and is not over.
    fn first(&mut self, exchanges: &Exchanges<H, C>) -> Option<(RequestId, bool)> {
        while let Some(id) = self.waiting.front().copied() {
            match exchanges.get(id) {
                Some(exchange) => return Some((id, exchange.is_retried)),
                None => {
                    self.waiting.pop_front();
                    self.gone -= 1;
                }
            }
        }
        None
    }

    /// Whether its own limits allow one connection more; an idle one may have to go for it.
    fn may_connect(&self, settings: &Settings, is_retried: bool) -> bool {
        let has_place = self.open < settings.max_connections_per_origin
            || (is_retried && !self.idle.is_empty());
        has_place && self.connecting < settings.max_connecting
    }
}

impl<H: Host, C: Caller<H>> Client<H, C> {
    /// Puts a request into its origin's queue.
    pub(super) fn enqueue(&self, id: RequestId, at_front: bool) {
        let mut exchanges = self.exchanges.borrow_mut();
        let Some(exchange) = exchanges.get_mut(id) else { return };
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(exchange.origin.0) else { return };
        if at_front {
            origin.waiting.push_front(id);
        } else {
            origin.waiting.push_back(id);
        }
        exchange.is_queued = true;
        self.waiting.set(self.waiting.get() + 1);
        self.list(exchange.origin, origin);
    }

    /// Gives an origin a turn: it may be that it can start a request.
    fn list(&self, id: OriginId, origin: &mut Origin<H, C>) {
        if !origin.is_listed && origin.has_waiting() {
            origin.is_listed = true;
            self.turns.borrow_mut().push_back(id);
        }
    }

    /// Takes a request out that is over.
    pub(super) fn take_out(&self, id: RequestId) -> Option<Exchange<H, C>> {
        let mut exchanges = self.exchanges.borrow_mut();
        let exchange = exchanges.remove(id)?;
        let mut origins = self.origins.borrow_mut();
        if let Some(origin) = origins.get_mut(exchange.origin.0) {
            origin.requests -= 1;
            if exchange.is_queued {
                self.waiting.set(self.waiting.get() - 1);
                origin.gone += 1;
                if 2 * origin.gone > origin.waiting.len() {
                    origin.waiting.retain(|id| exchanges.get(*id).is_some());
                    origin.gone = 0;
                }
                // Who is first now may start where that one could not.
                self.list(exchange.origin, origin);
            }
        }
        Some(exchange)
    }

    /// Whether somebody waits for a connection.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.get() > 0
    }

    /// Everything that waits and rests is forgotten; the connections that rested are given back.
    pub(super) fn forget_queues(&self) -> Vec<Rc<Connection<H, C>>> {
        let mut idle = Vec::new();
        for origin in self.origins.borrow_mut().iter_mut() {
            idle.extend(origin.idle.drain(..));
            origin.waiting.clear();
            (origin.gone, origin.is_listed, origin.is_rested) = (0, false, false);
        }
        self.turns.borrow_mut().clear();
        self.rested.borrow_mut().clear();
        self.waiting.set(0);
        self.idle.set(0);
        idle
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
        loop {
            let turn = self.turns.borrow().front().copied()?;
            self.count(|statistics| statistics.looks += 1);
            let look = self.look_at_turn(reactor, turn);
            if matches!(look, Look::Full) {
                return None;
            }
            self.turns.borrow_mut().pop_front();
            if let Some(origin) = self.origins.borrow_mut().get_mut(turn.0) {
                origin.is_listed = false;
                if let Look::Start(id) = look {
                    self.list(turn, origin);
                    return Some(id);
                }
            }
        }
    }

    fn look_at_turn(&self, reactor: &Reactor<H>, turn: OriginId) -> Look {
        let mut exchanges = self.exchanges.borrow_mut();
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(turn.0) else { return Look::Held };
        let Some((id, is_retried)) = origin.first(&exchanges) else { return Look::Held };
        // What is sent a second time needs a connection of its own.
        if is_retried || origin.idle.is_empty() {
            let rests = self.rests_until.get() > reactor.turn_time();
            if rests || !origin.may_connect(&self.settings, is_retried) {
                return Look::Held;
            }
            let is_full = self.statistics.borrow().open >= self.settings.max_connections;
            if is_full && self.idle.get() == 0 {
                return Look::Full;
            }
        }
        origin.waiting.pop_front();
        self.waiting.set(self.waiting.get() - 1);
        if let Some(exchange) = exchanges.get_mut(id) {
            exchange.is_queued = false;
        }
        Look::Start(id)
    }

    fn start(&self, reactor: &Reactor<H>, id: RequestId) {
        // What is sent a second time goes over a new connection: others may be as stale as the first.
        let found = self.exchanges.borrow().get(id).map(|e| (e.origin, e.is_retried));
        let Some((place, is_retried)) = found else { return };
        let (idle, route) = {
            let mut origins = self.origins.borrow_mut();
            let Some(origin) = origins.get_mut(place.0) else { return };
            let idle = if is_retried { None } else { origin.idle.pop_back() };
            self.idle.set(self.idle.get() - usize::from(idle.is_some()));
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
        let own = {
            let mut origins = self.origins.borrow_mut();
            let limit = self.settings.max_connections_per_origin;
            let full = origins.get_mut(place.0).filter(|origin| origin.open >= limit);
            full.and_then(|origin| origin.idle.pop_front())
        };
        let evicted = if own.is_some() {
            self.idle.set(self.idle.get() - 1);
            own
        } else if self.statistics.borrow().open >= self.settings.max_connections {
            self.take_rested()
        } else {
            None
        };
        if let Some(evicted) = evicted {
            evicted.drop_silently(reactor);
        }
    }

    /// A connection that nobody uses; the origins that have some take turns in losing one.
    fn take_rested(&self) -> Option<Rc<Connection<H, C>>> {
        let mut origins = self.origins.borrow_mut();
        let mut rested = self.rested.borrow_mut();
        while let Some(id) = rested.pop_front() {
            let Some(origin) = origins.get_mut(id.0) else { continue };
            let oldest = origin.idle.pop_front();
            origin.is_rested = !origin.idle.is_empty();
            if origin.is_rested {
                rested.push_back(id);
            }
            if oldest.is_some() {
                self.idle.set(self.idle.get() - 1);
                return oldest;
            }
        }
        None
    }

    /// The process has no descriptor for a connection: one that nobody uses is given up, or the request waits.
    pub(super) fn wait_for_descriptor(
        &self,
        reactor: &Reactor<H>,
        id: RequestId,
        error: io::Error,
    ) {
        match self.exchanges.borrow_mut().get_mut(id) {
            Some(exchange) => exchange.connection = None,
            None => return,
        }
        let idle = self.take_rested();
        if idle.is_none() && self.statistics.borrow().open == 0 {
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
        self.enqueue(id, true);
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
    pub(super) fn connected(&self, id: OriginId) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(id.0) {
            origin.connecting -= 1;
            self.list(id, origin);
        }
        self.count(|statistics| {
            statistics.connecting -= 1;
            statistics.connected += 1;
        });
    }

    /// A connection is gone.
    pub(super) fn closed(&self, id: OriginId, was_connecting: bool) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(id.0) {
            origin.open -= 1;
            origin.connecting -= u64::from(was_connecting);
            self.list(id, origin);
        }
        self.count(|statistics| {
            statistics.open -= 1;
            statistics.connecting -= u64::from(was_connecting);
        });
    }

    /// A connection has nothing to do any more.
    pub(super) fn put_back(&self, id: OriginId, connection: Rc<Connection<H, C>>) {
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(id.0) else { return };
        origin.idle.push_back(connection);
        self.idle.set(self.idle.get() + 1);
        if !origin.is_rested {
            origin.is_rested = true;
            self.rested.borrow_mut().push_back(id);
        }
        self.list(id, origin);
    }

    /// An idle connection is gone.
    pub(super) fn forget_idle(&self, origin: OriginId, connection: &Connection<H, C>) {
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(origin.0) else { return };
        // Those whose time is over are the oldest, which stand in front.
        let place = origin.idle.iter().position(|idle| std::ptr::eq(&**idle, connection));
        let found = place.and_then(|place| origin.idle.remove(place));
        drop(origins);
        self.idle.set(self.idle.get() - usize::from(found.is_some()));
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
        let deadline = self.exchanges.borrow().get(id).map(|exchange| exchange.wait_deadline);
        if let Some(deadline) = deadline {
            self.enqueue(id, true);
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
            let mut exchanges = self.exchanges.borrow_mut();
            let mut origins = self.origins.borrow_mut();
            for (index, origin) in origins.iter_mut().enumerate() {
                origin.waiting.retain(|id| match exchanges.get_mut(*id) {
                    Some(exchange) if exchange.wait_deadline <= now => {
                        let is_over = exchange.deadline <= now;
                        exchange.is_queued = false;
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
                origin.gone = 0;
                // Those that the lack of descriptors has kept, too.
                self.list(OriginId(index), origin);
            }
            self.waiting.set(self.waiting.get() - late.len());
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
