//! Addresses in turn, a proxy's tunnel, TLS: until a request may leave.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;

use sennit_engine::stream::Stream;
use sennit_engine::{Host, Interest, Reactor, Token, socket};
use sennit_wire::http1::ResponseReader;

use super::super::tunnel::{Asked, Failed, Proxy, Tunnel};
use super::super::{Caller, Client, OriginId, Place, Route, Tls};
use super::{Cause, Connection, Flushed, Inner, NEVER, Phase, Reading, RequestId, Step, Uploading};

impl<H: Host, C: Caller<H>> Connection<H, C> {
    /// Makes a connection for a request.
    pub fn open(
        client: Rc<Client<H, C>>,
        reactor: &Reactor<H>,
        origin: OriginId,
        route: Route,
        request: RequestId,
    ) {
        let deadline = client.exchanges.borrow().get(request).map_or(NEVER, |e| e.deadline);
        let connection = Rc::new(Connection {
            client: client.clone(),
            origin,
            token: Cell::new(Token::NONE),
            inner: RefCell::new(Inner {
                stream: None,
                phase: Phase::Connecting,
                uploading: Uploading::Done,
                reading: Reading::Flowing,
                tunnel: None,
                reader: ResponseReader::new(),
                input: Vec::new(),
                response: Vec::new(),
                status: 0,
                head_size: 0,
                sets_cookies: false,
                is_coded: false,
                keep_alive: false,
                request: Some(request),
                is_reused: false,
                next_address: 0,
                rivals: Vec::new(),
                rival_at: NEVER,
                send_error: None,
                deadline,
                connect_deadline: NEVER,
                progress_at: 0,
                armed_at: NEVER,
            }),
        });
        if let Some(exchange) = client.exchanges.borrow_mut().get_mut(request) {
            exchange.connection = Some(Rc::downgrade(&connection));
        }
        client.opened(origin);
        connection.connect_next(reactor, &route.places, None);
    }

    pub(super) fn route(&self) -> Route {
        let origins = self.client.origins.borrow();
        origins.get(self.origin.0).map(|origin| origin.route.clone()).unwrap_or_default()
    }

    /// Tries the next address; without one left, the last failure is the request's.
    fn connect_next(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        places: &[Place],
        mut failed: Option<Cause>,
    ) {
        loop {
            let index = {
                let mut inner = self.inner.borrow_mut();
                let index = inner.next_address;
                inner.next_address = index + 1;
                index
            };
            let Some(place) = places.get(index) else {
                let none = || io::Error::new(io::ErrorKind::NotFound, "the origin has no address");
                let cause = failed.unwrap_or_else(|| Cause::System(none()));
                return self.fail(reactor, Step::Connect, cause);
            };
            match self.connect(reactor, place) {
                Ok(()) => {
                    self.expect_rival(reactor, places);
                    return self.arm(reactor);
                }
                Err(error) if socket::lacks_descriptors(&error) => {
                    return self.wait_for_descriptor(reactor, error);
                }
                Err(error) => failed = Some(Cause::System(error)),
            }
        }
    }

    fn connect(self: &Rc<Self>, reactor: &Reactor<H>, place: &Place) -> io::Result<()> {
        // Connected or not: writability tells.
        let stream = Stream::new(place.connect(reactor)?);
        let token = reactor.register(stream.descriptor(), Interest::Edge, self.clone())?;
        self.token.set(token);
        let timeout = self.client.settings().connect_timeout;
        let mut inner = self.inner.borrow_mut();
        inner.stream = Some(stream);
        inner.connect_deadline = reactor.turn_time().saturating_add(timeout);
        // What the wheel knows is the name of an earlier attempt.
        inner.armed_at = NEVER;
        Ok(())
    }

    /// The process has no descriptor for this: the request waits until there is one.
    fn wait_for_descriptor(&self, reactor: &Reactor<H>, error: io::Error) {
        let request = self.inner.borrow_mut().request.take();
        self.drop_silently(reactor);
        if let Some(request) = request {
            self.client.wait_for_descriptor(reactor, request, error);
        }
    }

    fn next_address(self: &Rc<Self>, reactor: &Reactor<H>, failed: Cause) {
        if self.fall_back(reactor) {
            return;
        }
        let stream = self.inner.borrow_mut().stream.take();
        drop(stream);
        drop(reactor.remove(self.token.replace(Token::NONE)));
        self.connect_next(reactor, &self.route().places, Some(failed));
    }

    /// An address does not answer in time; another may.
    pub(super) fn give_address_up(self: &Rc<Self>, reactor: &Reactor<H>) {
        self.next_address(reactor, Cause::ConnectTimedOut);
    }

    pub(super) fn connected(self: &Rc<Self>, reactor: &Reactor<H>) {
        let error = match self.inner.borrow().stream.as_ref() {
            Some(stream) => socket::take_error(stream.descriptor()),
            None => return,
        };
        if let Some(error) = error.unwrap_or_else(Some) {
            return self.next_address(reactor, Cause::System(error));
        }
        self.end_race(reactor);
        let route = self.route();
        match route.proxy {
            Some(proxy) => self.ask_for_tunnel(reactor, &proxy),
            None => self.secure(reactor, route.tls.as_deref()),
        }
    }

    fn ask_for_tunnel(self: &Rc<Self>, reactor: &Reactor<H>, proxy: &Proxy) {
        let (tunnel, first) = Tunnel::start(proxy);
        let sent = {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Tunnelling;
            inner.tunnel = Some(tunnel);
            inner.stream.as_mut().map_or(Ok(Flushed::All), |stream| stream.send_or_queue(&first))
        };
        if let Err(error) = sent {
            self.fail(reactor, Step::Tunnel, Cause::System(error));
        }
    }

    /// The proxy has said something; how many bytes were used up.
    pub(super) fn hear_proxy(self: &Rc<Self>, reactor: &Reactor<H>, input: &[u8]) -> usize {
        let limits = self.client.settings().limits;
        let mut at = 0;
        loop {
            let rest = input.get(at..).unwrap_or_default();
            let asked = {
                let mut inner = self.inner.borrow_mut();
                let Some(tunnel) = inner.tunnel.as_mut() else { return input.len() };
                tunnel.take(&limits, rest)
            };
            match asked {
                Ok(Asked::NeedData) => return at,
                Ok(Asked::Send(used, bytes)) => {
                    at += used;
                    let mut inner = self.inner.borrow_mut();
                    let sent = inner.stream.as_mut().map(|stream| stream.send_or_queue(&bytes));
                    drop(inner);
                    if let Some(Err(error)) = sent {
                        self.fail(reactor, Step::Tunnel, Cause::System(error));
                        return input.len();
                    }
                }
                Ok(Asked::Done(used)) if at + used < input.len() => {
                    // Nobody behind the proxy was told anything yet: it cannot have an answer.
                    self.fail(reactor, Step::Tunnel, Cause::Closed);
                    return input.len();
                }
                Ok(Asked::Done(_)) => {
                    self.inner.borrow_mut().tunnel = None;
                    self.secure(reactor, self.route().tls.as_deref());
                    return input.len();
                }
                Err(Failed::Refused(refusal)) => {
                    self.fail(reactor, Step::Tunnel, Cause::Refused(refusal));
                    return input.len();
                }
                Err(Failed::Protocol(error)) => {
                    self.fail(reactor, Step::Tunnel, Cause::Protocol(error));
                    return input.len();
                }
            }
        }
    }

    fn secure(self: &Rc<Self>, reactor: &Reactor<H>, tls: Option<&Tls>) {
        let Some(tls) = tls else { return self.established(reactor) };
        if let Err(error) = self.start_tls(tls) {
            self.fail(reactor, Step::Secure, Cause::System(error));
        }
    }

    fn start_tls(&self, tls: &Tls) -> io::Result<()> {
        let session = tls.session()?;
        let mut inner = self.inner.borrow_mut();
        inner.phase = Phase::Securing;
        let Some(stream) = inner.stream.as_mut() else { return Ok(()) };
        // The deadline is that of the connection.
        stream.start_tls(session, NEVER)?;
        stream.flush().map(drop)
    }

    /// The connection is made: the request may leave.
    pub(super) fn established(self: &Rc<Self>, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            inner.phase = Phase::Busy;
            inner.connect_deadline = NEVER;
        }
        self.client.connected(self.origin);
        self.client.pump_later(reactor);
        self.send_request(reactor);
        self.arm(reactor);
    }
}
