//! The client's side of HTTP/1.1: requests over a pool of connections for each origin.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `settings` | the limits, with their defaults |
//! | `route` | how an origin is reached: addresses, UNIX sockets, TLS |
//! | `exchange` | one request with its deadlines, its response, and what can go wrong |
//! | `connection` | one connection: connecting, a request out, a response in, idle |
//!
//! A request takes an idle connection to its origin, or makes a new one, or waits in one queue until either is
//! allowed. At most `max_connecting` connections are being made at a time, so that no burst overflows the
//! listen queue of an origin (4,096 by default on Linux; what does not fit there waits a second).

mod connection;
mod exchange;
mod route;
mod settings;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use sennit_engine::clock::Nanos;
use sennit_engine::reactor::State;
use sennit_engine::{Host, Reactor, Source, Token};

use connection::Connection;
pub use exchange::{Cause, Failure, Outgoing, RequestId, Response, Step};
use exchange::{Exchange, Exchanges};
pub use route::{Place, Route, Tls};
pub use settings::Settings;

/// Who waits for responses. No borrow is held during these calls.
pub trait Caller<H: Host>: Sized + 'static {
    /// What is kept for each request.
    type Call;

    /// A request is over.
    fn finished(&self, reactor: &Reactor<H>, call: Self::Call, outcome: Result<Response, Failure>);

    /// Shows the collector each value that the caller itself holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}

    /// Shows the collector each value that a waiting call holds exactly once.
    fn visit_call(_call: &Self::Call, _visitor: &mut dyn FnMut(&H::Value)) {}
}

/// Names one origin of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginId(pub usize);

struct Origin<H: Host, C: Caller<H>> {
    route: Route,
    /// The one that was used last comes last, and is used first: it is the least likely to be stale.
    idle: Vec<Rc<Connection<H, C>>>,
}

/// What a client has counted since it was made.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Statistics {
    /// Requests handed in.
    pub requests: u64,
    /// Responses that came whole.
    pub responses: u64,
    /// Requests that failed.
    pub failures: u64,
    /// Requests that their caller gave up.
    pub cancelled: u64,
    /// Connections made.
    pub connected: u64,
    /// Requests that went over a connection which was there already.
    pub reused: u64,
    /// Requests sent again because the pooled connection had gone stale.
    pub retried: u64,
    /// Connections open now, those being made included.
    pub open: u64,
    /// Connections being made now.
    pub connecting: u64,
    /// Requests that wait for a connection now.
    pub waiting: u64,
}

/// A client: its origins, its connections, and the requests under way.
pub struct Client<H: Host, C: Caller<H>> {
    caller: C,
    settings: Settings,
    itself: Weak<Self>,
    token: Cell<Token>,
    is_closed: Cell<bool>,
    origins: RefCell<Vec<Origin<H, C>>>,
    /// Those that were forgotten: their places are used again.
    free_origins: RefCell<Vec<OriginId>>,
    exchanges: RefCell<Exchanges<H, C>>,
    waiting: RefCell<VecDeque<RequestId>>,
    armed_at: Cell<Nanos>,
    statistics: Cell<Statistics>,
    /// A pump that starts another would go deeper with every failing connect.
    is_pumping: Cell<bool>,
    is_notified: Cell<bool>,
}

const NEVER: Nanos = Nanos::MAX;

impl<H: Host, C: Caller<H>> Client<H, C> {
    /// A client without connections. The reactor holds it until [`Client::close`].
    pub fn new(reactor: &Reactor<H>, caller: C, settings: Settings) -> Rc<Self> {
        let client = Rc::new_cyclic(|itself| Client {
            caller,
            settings,
            itself: itself.clone(),
            token: Cell::new(Token::NONE),
            is_closed: Cell::new(false),
            origins: RefCell::default(),
            free_origins: RefCell::default(),
            exchanges: RefCell::default(),
            waiting: RefCell::default(),
            armed_at: Cell::new(NEVER),
            statistics: Cell::default(),
            is_pumping: Cell::new(false),
            is_notified: Cell::new(false),
        });
        client.token.set(reactor.attach(client.clone()));
        client
    }

    /// Whether it was closed: it takes no more requests.
    pub fn is_closed(&self) -> bool {
        self.is_closed.get()
    }

    /// The limits.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Who waits for the responses.
    pub fn caller(&self) -> &C {
        &self.caller
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        let mut statistics = self.statistics.get();
        statistics.waiting = self.waiting.borrow().len() as u64;
        statistics
    }

    fn count(&self, change: impl FnOnce(&mut Statistics)) {
        let mut statistics = self.statistics.get();
        change(&mut statistics);
        self.statistics.set(statistics);
    }

    /// A new origin, which is tried at each of its addresses in turn.
    pub fn add_origin(&self, route: Route) -> OriginId {
        let mut origins = self.origins.borrow_mut();
        if let Some(free) = self.free_origins.borrow_mut().pop()
            && let Some(slot) = origins.get_mut(free.0)
        {
            slot.route = route;
            return free;
        }
        origins.push(Origin { route, idle: Vec::new() });
        OriginId(origins.len() - 1)
    }

    /// Forgets an origin. False: it has connections or requests.
    pub fn forget_origin(&self, origin: OriginId) -> bool {
        let is_used = self.exchanges.borrow().iter().any(|exchange| exchange.origin == origin);
        let mut origins = self.origins.borrow_mut();
        let Some(slot) = origins.get_mut(origin.0) else { return true };
        if is_used || !slot.idle.is_empty() {
            return false;
        }
        slot.route = Route::default();
        self.free_origins.borrow_mut().push(origin);
        true
    }

    /// The addresses of an origin from now on.
    pub fn set_places(&self, origin: OriginId, places: Vec<Place>) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.route = origin.route.over(places);
        }
    }

    /// Sends a request, now or when a connection is to be had. The outcome is told later, never from here.
    pub fn request(&self, reactor: &Reactor<H>, outgoing: Outgoing, call: C::Call) -> RequestId {
        let now = reactor.now();
        let exchange = Exchange::new(outgoing, call, now);
        let deadline = exchange.deadline;
        let id = self.exchanges.borrow_mut().insert(exchange);
        self.waiting.borrow_mut().push_back(id);
        self.count(|statistics| statistics.requests += 1);
        self.look_at(reactor, deadline);
        // The caller is in the middle of something: nothing of it is called before the next turn.
        self.pump_later(reactor);
        id
    }

    /// Gives a request up; its connection, if it has one, is closed. The call is given back.
    pub fn cancel(&self, reactor: &Reactor<H>, id: RequestId) -> Option<C::Call> {
        let exchange = self.exchanges.borrow_mut().remove(id)?;
        self.count(|statistics| statistics.cancelled += 1);
        let connection = exchange.connection.as_ref().and_then(Weak::upgrade);
        if let Some(connection) = connection {
            connection.drop_silently(reactor);
        }
        self.pump_later(reactor);
        Some(exchange.call)
    }

    /// Closes every connection; requests under way fail.
    pub fn close(&self, reactor: &Reactor<H>) {
        if self.is_closed.replace(true) {
            return;
        }
        let idle: Vec<_> =
            self.origins.borrow_mut().iter_mut().flat_map(|o| o.idle.drain(..)).collect();
        for connection in idle {
            connection.drop_silently(reactor);
        }
        self.waiting.borrow_mut().clear();
        let left = self.exchanges.borrow_mut().drain();
        for exchange in left {
            if let Some(connection) = exchange.connection.as_ref().and_then(Weak::upgrade) {
                connection.drop_silently(reactor);
            }
            self.finish(reactor, exchange, Err(Failure::new(Step::Wait, Cause::ClientClosed)));
        }
        drop(reactor.remove(self.token.get()));
    }

    // --- the pool ---------------------------------------------------------------------------------

    fn pump_later(&self, reactor: &Reactor<H>) {
        if !self.is_notified.replace(true) {
            reactor.notify_later(self.token.get());
        }
    }

    /// Starts what may start.
    fn pump(&self, reactor: &Reactor<H>) {
        if self.is_pumping.replace(true) {
            return;
        }
        while let Some(id) = self.next_startable() {
            self.start(reactor, id);
        }
        self.is_pumping.set(false);
    }

    /// The first request in the queue, if it may have a connection now.
    fn next_startable(&self) -> Option<RequestId> {
        let mut waiting = self.waiting.borrow_mut();
        loop {
            let id = *waiting.front()?;
            let Some(origin) = self.exchanges.borrow().get(id).map(|exchange| exchange.origin)
            else {
                waiting.pop_front();
                continue;
            };
            // What is sent a second time needs a connection of its own.
            let is_retried = self.exchanges.borrow().get(id).is_some_and(|e| e.is_retried);
            let has_idle = !is_retried
                && self.origins.borrow().get(origin.0).is_some_and(|o| !o.idle.is_empty());
            let statistics = self.statistics.get();
            let may_connect = statistics.connecting < self.settings.max_connecting
                && (statistics.open < self.settings.max_connections || self.has_idle());
            if !has_idle && !may_connect {
                return None;
            }
            waiting.pop_front();
            return Some(id);
        }
    }

    fn has_idle(&self) -> bool {
        self.origins.borrow().iter().any(|origin| !origin.idle.is_empty())
    }

    fn start(&self, reactor: &Reactor<H>, id: RequestId) {
        let Some(origin) = self.exchanges.borrow().get(id).map(|exchange| exchange.origin) else {
            return;
        };
        let (idle, route) = {
            let mut origins = self.origins.borrow_mut();
            let Some(origin) = origins.get_mut(origin.0) else { return };
            // What is sent a second time goes over a new connection: others may be as stale as the first.
            let is_retried = self.exchanges.borrow().get(id).is_some_and(|e| e.is_retried);
            let idle = if is_retried { None } else { origin.idle.pop() };
            (idle.filter(|connection| connection.is_idle()), origin.route.clone())
        };
        if let Some(connection) = idle {
            self.count(|statistics| statistics.reused += 1);
            return connection.take_up(reactor, id);
        }
        if self.statistics.get().open >= self.settings.max_connections {
            // Room is made by the connection of another origin that nobody uses.
            let evicted = self
                .origins
                .borrow_mut()
                .iter_mut()
                .find_map(|origin| (!origin.idle.is_empty()).then(|| origin.idle.remove(0)));
            if let Some(evicted) = evicted {
                evicted.drop_silently(reactor);
            }
        }
        let Some(client) = self.itself.upgrade() else { return };
        Connection::open(client, reactor, origin, route, id);
    }

    /// A connection has nothing to do any more.
    fn put_back(&self, origin: OriginId, connection: Rc<Connection<H, C>>) {
        if let Some(origin) = self.origins.borrow_mut().get_mut(origin.0) {
            origin.idle.push(connection);
        }
    }

    /// An idle connection is gone.
    fn forget_idle(&self, origin: OriginId, connection: &Connection<H, C>) {
        let mut origins = self.origins.borrow_mut();
        let Some(origin) = origins.get_mut(origin.0) else { return };
        let place = origin.idle.iter().position(|idle| std::ptr::eq(&**idle, connection));
        let found = place.map(|place| origin.idle.swap_remove(place));
        drop(origins);
        drop(found);
    }

    /// Sends a request again that a stale connection has lost.
    fn retry(&self, reactor: &Reactor<H>, id: RequestId) {
        self.count(|statistics| statistics.retried += 1);
        self.waiting.borrow_mut().push_front(id);
        let deadline = self.exchanges.borrow().get(id).map(|exchange| exchange.deadline);
        if let Some(deadline) = deadline {
            self.look_at(reactor, deadline);
        }
        self.pump_later(reactor);
    }

    fn fail(&self, reactor: &Reactor<H>, id: RequestId, failure: Failure) {
        let exchange = self.exchanges.borrow_mut().remove(id);
        if let Some(exchange) = exchange {
            self.finish(reactor, exchange, Err(failure));
        }
    }

    fn finish(
        &self,
        reactor: &Reactor<H>,
        exchange: Exchange<H, C>,
        outcome: Result<Response, Failure>,
    ) {
        self.count(|statistics| match outcome {
            Ok(_) => statistics.responses += 1,
            Err(_) => statistics.failures += 1,
        });
        self.caller.finished(reactor, exchange.call, outcome);
    }

    // --- deadlines of requests that have no connection --------------------------------------------

    fn look_at(&self, reactor: &Reactor<H>, deadline: Nanos) {
        if deadline < self.armed_at.get() {
            self.armed_at.set(deadline);
            reactor.wake_source_at(deadline, self.token.get());
        }
    }

    fn fail_late_ones(&self, reactor: &Reactor<H>, now: Nanos) {
        let (mut late, mut next) = (Vec::new(), NEVER);
        {
            let exchanges = self.exchanges.borrow();
            self.waiting.borrow_mut().retain(|id| match exchanges.get(*id) {
                Some(exchange) if exchange.deadline <= now => {
                    late.push(*id);
                    false
                }
                Some(exchange) => {
                    next = next.min(exchange.deadline);
                    true
                }
                None => false,
            });
        }
        for id in late {
            self.fail(reactor, id, Failure::new(Step::Wait, Cause::TimedOut));
        }
        if next != NEVER {
            self.look_at(reactor, next);
        }
        self.pump_later(reactor);
    }
}

impl<H: Host, C: Caller<H>> Source<H> for Client<H, C> {
    fn ready(self: Rc<Self>, _reactor: &Reactor<H>, _readiness: sennit_engine::Readiness) {}

    fn notified(self: Rc<Self>, reactor: &Reactor<H>) {
        self.is_notified.set(false);
        self.pump(reactor);
    }

    fn deadline(self: Rc<Self>, reactor: &Reactor<H>, now: Nanos) {
        if self.armed_at.get() > now {
            return;
        }
        self.armed_at.set(NEVER);
        self.fail_late_ones(reactor, now);
    }

    fn abandoned(self: Rc<Self>, reactor: &Reactor<H>) {
        if reactor.state() != State::Closed {
            // It was thrown away after a panic: whoever waits is told.
            return self.close(reactor);
        }
        self.is_closed.set(true);
        let origins = std::mem::take(&mut *self.origins.borrow_mut());
        let left = self.exchanges.borrow_mut().drain();
        self.waiting.borrow_mut().clear();
        drop(origins);
        drop(left);
    }

    fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        self.caller.visit(visitor);
        if let Ok(exchanges) = self.exchanges.try_borrow() {
            exchanges.iter().for_each(|exchange| C::visit_call(&exchange.call, visitor));
        }
    }
}
