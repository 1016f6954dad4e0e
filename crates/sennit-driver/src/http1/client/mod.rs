//! The client's side of HTTP/1.1: requests over a pool of connections for each origin.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `settings` | the limits, with their defaults |
//! | `route` | how an origin is reached: addresses, UNIX sockets, TLS |
//! | `exchange` | one request with its deadlines, its response, and what can go wrong |
//! | `bodies`, `streaming` | bodies in pieces, both ways, with their back-pressure |
//! | `pool` | which request gets a connection, and when |
//! | `tunnel` | asking a proxy for a way to the origin |
//! | `connection` | one connection: connecting, a request out, a response in, idle |
//!
//! A request takes an idle connection to its origin, or makes a new one, or waits in its origin's queue until either
//! is allowed. At most `max_connecting` connections are being made to an origin at a time, so that no burst overflows
//! its listen queue (4,096 by default on Linux; what does not fit there waits a second).

mod bodies;
mod connection;
mod exchange;
mod pool;
mod route;
mod settings;
mod streaming;
mod tunnel;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use sennit_engine::clock::Nanos;
use sennit_engine::reactor::State;
use sennit_engine::{Host, Reactor, Source, Token};

pub use bodies::{BodyRead, PieceRefused, Room, Sending};
pub use exchange::{Cause, Failure, Outgoing, RequestId, Response, Step};
use exchange::{Exchange, Exchanges};
use pool::Origin;
pub use route::{Place, Route, Tls};
pub use settings::Settings;
pub use tunnel::{Proxy, Refusal};

/// Who waits for responses. No borrow is held during these calls.
pub trait Caller<H: Host>: Sized + 'static {
    /// What is kept for each request.
    type Call: Clone;

    /// A request is over.
    fn finished(&self, reactor: &Reactor<H>, call: Self::Call, outcome: Result<Response, Failure>);

    /// The head of a response has come whose body is to be read by [`Client::read_body`].
    fn headed(&self, _reactor: &Reactor<H>, _call: &Self::Call, _head: Response) {}

    /// There is more of a response's body, or room for more of a request's: whoever waits for either looks again.
    fn moved(&self, _reactor: &Reactor<H>, _call: &Self::Call) {}

    /// Shows the collector each value that the caller itself holds exactly once.
    fn visit(&self, _visitor: &mut dyn FnMut(&H::Value)) {}

    /// Shows the collector each value that a waiting call holds exactly once.
    fn visit_call(_call: &Self::Call, _visitor: &mut dyn FnMut(&H::Value)) {}
}

/// Names one origin of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OriginId(pub usize);

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
    /// Requests that were not taken because too many waited.
    pub refused: u64,
    /// Requests that found no connection in time.
    pub pool_timeouts: u64,
    /// Requests whose connection was not made in time.
    pub connect_timeouts: u64,
    /// Requests whose peer was silent for too long.
    pub read_timeouts: u64,
    /// Requests whose peer took nothing for too long.
    pub write_timeouts: u64,
    /// Requests that took too long as a whole.
    pub total_timeouts: u64,
    /// Responses that were too large.
    pub too_large: u64,
    /// Responses that broke the protocol, limits of a head included.
    pub protocol_errors: u64,
    /// Looks at an origin for a request that may start.
    pub looks: u64,
}

impl Statistics {
    fn count_failure(&mut self, cause: &Cause) {
        self.failures += 1;
        let counter = match cause {
            Cause::PoolTimedOut => &mut self.pool_timeouts,
            Cause::ConnectTimedOut => &mut self.connect_timeouts,
            Cause::ReadTimedOut => &mut self.read_timeouts,
            Cause::WriteTimedOut => &mut self.write_timeouts,
            Cause::TimedOut => &mut self.total_timeouts,
            Cause::TooLarge(_) => &mut self.too_large,
            Cause::Protocol(_) => &mut self.protocol_errors,
            Cause::System(_) | Cause::Closed | Cause::Refused(_) | Cause::ClientClosed => return,
        };
        *counter += 1;
    }
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
    /// Requests in the queues of all origins.
    waiting: Cell<usize>,
    /// The origins whose own limits may let them start a request, in the order of their turns.
    turns: RefCell<VecDeque<OriginId>>,
    /// Idle connections of all origins.
    idle: Cell<usize>,
    /// The origins that may have some.
    rested: RefCell<VecDeque<OriginId>>,
    /// No connection is made before: the process ran out of descriptors.
    rests_until: Cell<Nanos>,
    armed_at: Cell<Nanos>,
    statistics: RefCell<Statistics>,
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
            waiting: Cell::new(0),
            turns: RefCell::default(),
            idle: Cell::new(0),
            rested: RefCell::default(),
            rests_until: Cell::new(0),
            armed_at: Cell::new(NEVER),
            statistics: RefCell::default(),
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
        Statistics { waiting: self.waiting.get() as u64, ..*self.statistics.borrow() }
    }

    fn count(&self, change: impl FnOnce(&mut Statistics)) {
        change(&mut self.statistics.borrow_mut());
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
        origins.push(Origin::new(route));
        OriginId(origins.len() - 1)
    }

    /// Forgets an origin. False: it has connections or requests.
    pub fn forget_origin(&self, origin: OriginId) -> bool {
        let mut origins = self.origins.borrow_mut();
        let Some(slot) = origins.get_mut(origin.0) else { return true };
        if slot.requests > 0 || slot.open > 0 {
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

    /// Whether another request may wait for a connection; if not, that is counted, and how many wait is told.
    ///
    /// # Errors
    ///
    /// As many as [`Settings::max_waiting`] wait already.
    pub fn admit(&self) -> Result<(), u64> {
        let waiting = self.waiting.get() as u64;
        if waiting < self.settings.max_waiting {
            return Ok(());
        }
        self.count(|statistics| statistics.refused += 1);
        Err(waiting)
    }

    /// Sends a request, now or when a connection is to be had. The outcome is told later, never from here.
    pub fn request(&self, reactor: &Reactor<H>, outgoing: Outgoing, call: C::Call) -> RequestId {
        let now = reactor.now();
        let exchange = Exchange::new(outgoing, call, now, self.settings.pool_timeout);
        let deadline = exchange.wait_deadline;
        if let Some(origin) = self.origins.borrow_mut().get_mut(exchange.origin.0) {
            origin.requests += 1;
        }
        let id = self.exchanges.borrow_mut().insert(exchange);
        self.enqueue(id, false);
        self.count(|statistics| statistics.requests += 1);
        self.look_at(reactor, deadline);
        // The caller is in the middle of something: nothing of it is called before the next turn.
        self.pump_later(reactor);
        id
    }

    /// Gives a request up; its connection, if it has one, is closed. The call is given back.
    pub fn cancel(&self, reactor: &Reactor<H>, id: RequestId) -> Option<C::Call> {
        let exchange = self.take_out(id)?;
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
        for connection in self.forget_queues() {
            connection.drop_silently(reactor);
        }
        let left = self.exchanges.borrow_mut().drain();
        for exchange in left {
            if let Some(connection) = exchange.connection.as_ref().and_then(Weak::upgrade) {
                connection.drop_silently(reactor);
            }
            self.count(|statistics| statistics.failures += 1);
            if exchange.has_head() {
                // Its reader finds the client closed.
                self.caller.moved(reactor, &exchange.call);
            } else {
                let failure = Failure::new(Step::Wait, Cause::ClientClosed);
                self.caller.finished(reactor, exchange.call, Err(failure));
            }
        }
        drop(reactor.remove(self.token.get()));
    }

    /// A request is over that has failed.
    fn fail(&self, reactor: &Reactor<H>, id: RequestId, failure: Failure) {
        if let Some(Err(failure)) = self.end_download(reactor, id, Err(failure)) {
            self.settle(reactor, id, Err(failure));
        }
    }

    /// A response is whole.
    fn finish(&self, reactor: &Reactor<H>, id: RequestId, response: Response) {
        if self.end_download(reactor, id, Ok(())).is_some() {
            self.settle(reactor, id, Ok(response));
        }
    }

    fn settle(&self, reactor: &Reactor<H>, id: RequestId, outcome: Result<Response, Failure>) {
        if let Some(exchange) = self.take_out(id) {
            self.count(|statistics| match &outcome {
                Ok(_) => statistics.responses += 1,
                Err(failure) => statistics.count_failure(&failure.cause),
            });
            self.caller.finished(reactor, exchange.call, outcome);
        }
    }

    /// Whether a request's response is read in pieces.
    fn is_streamed(&self, id: RequestId) -> bool {
        self.exchanges.borrow().get(id).is_some_and(|exchange| exchange.download.is_some())
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
        let idle = self.forget_queues();
        let origins = std::mem::take(&mut *self.origins.borrow_mut());
        let left = self.exchanges.borrow_mut().drain();
        drop(idle);
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
