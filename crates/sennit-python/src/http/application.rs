//! A Python handler as the driver's application.

use std::cell::{Cell, RefCell};
use std::ffi::CStr;
use std::io;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{
    Answer, AnswerBody, AnswerHead, Application, BodyFailure, BodyState, Connection, Serial,
};
use sennit_engine::Reactor;
use sennit_engine::stream::Stream;
use sennit_wire::http1::{RequestHead, reason_phrase};

use super::body_stream;
use super::request::{self, Request};
use super::response::{self, BodyBytes};
use super::step::{Stepped, Stepper};
use super::writing;
use crate::event_loop::{LoopObject, LoopState};
use crate::globals::{globals, is_instance};
use crate::host::PythonHost;
use crate::kit::{Object, Outcome, Raised, os_error, raise, take_exception};
use crate::transport;

/// A connection of a Python handler.
pub type PythonConnection = Connection<PythonHost, PythonApplication>;

/// A request whose handler has suspended.
pub struct Pending {
    /// The handler's task; for a connection that leaves HTTP, the factory of its next protocol.
    task: Object,
    request: Object,
}

/// A handler, its loop, and the Python server that wants to know of the end. Nothing is held any more
/// once the server has stopped: requests that are kept do not keep the server.
pub struct PythonApplication {
    held: RefCell<Option<Rc<Held>>>,
    /// Bodies that Python has refused for their size: forms, and what was compressed.
    too_large: Cell<u64>,
}

/// What a server that has not stopped holds.
pub struct Held {
    event_loop: Object,
    owner: Object,
    stepper: Stepper,
}

impl PythonApplication {
    /// The application of a handler. `owner` has the methods `_drained()` and `_exhausted(error)`.
    pub fn new(event_loop: Object, owner: Object, handler: Object) -> Outcome<Self> {
        let held = Held { event_loop, owner, stepper: Stepper::new(handler)? };
        Ok(PythonApplication { held: RefCell::new(Some(Rc::new(held))), too_large: Cell::new(0) })
    }

    /// Python has refused a body for its size.
    pub fn count_too_large(&self) {
        self.too_large.set(self.too_large.get() + 1);
    }

    /// Bodies that Python has refused for their size.
    pub fn too_large(&self) -> u64 {
        self.too_large.get()
    }

    /// What is held; `None` once the server has stopped.
    #[inline]
    pub fn held(&self) -> Option<Rc<Held>> {
        self.held.borrow().clone()
    }
}

impl Held {
    /// The loop.
    pub fn event_loop(&self) -> &Object {
        &self.event_loop
    }

    /// The loop's state.
    #[inline]
    pub fn state(&self) -> Outcome<&LoopState> {
        // SAFETY: the loop is held, and its type was checked when the server was made; GIL.
        Ok(unsafe { LoopObject::known(self.event_loop.as_ptr()) })
    }

    fn tell_owner(
        &self,
        reactor: &Reactor<PythonHost>,
        method: &Object,
        argument: Option<&Object>,
    ) {
        let result = match argument {
            Some(argument) => {
                Object::call_method(method, &[self.owner.as_ptr(), argument.as_ptr()])
            }
            None => Object::call_method(method, &[self.owner.as_ptr()]),
        };
        if result.is_err()
            && let Some(error) = reactor.host().catch(reactor)
        {
            reactor.host().report(reactor, "HTTP server", &error, &[(c"server", &self.owner)]);
        }
    }
}

impl Application<PythonHost> for PythonApplication {
    type Bytes = BodyBytes;
    type Pending = Pending;

    #[inline]
    fn request(
        &self,
        reactor: &Reactor<PythonHost>,
        connection: &Rc<PythonConnection>,
        serial: Serial,
        head: &RequestHead<'_, '_>,
    ) -> Option<Pending> {
        // Held for the whole step: a handler may stop its own server.
        let held = self.held()?;
        let made = request::make(connection, serial, head).map(Lent);
        let stepped = made.and_then(|request| {
            let state = held.state()?;
            let stepped =
                held.stepper.step(&held.event_loop, state, &request.0, connection, serial)?;
            Ok((request, stepped))
        });
        let Ok((request, stepped)) = stepped else {
            let error = reactor.host().catch(reactor);
            if let Some(error) = error {
                let message = "HTTP request could not be handed to its handler";
                reactor.host().report(reactor, message, &error, &[]);
            }
            answer_status(connection, serial, 500);
            return None;
        };
        match stepped {
            Stepped::Returned(value) => {
                respond(connection, serial, &request.0, value);
                None
            }
            Stepped::Failed(exception) => {
                if !respond_to_error(connection, serial, &request.0, &exception) {
                    leave_with(reactor, exception);
                }
                None
            }
            Stepped::Suspended(task) => Some(Pending { task, request: request.0.clone() }),
        }
    }

    fn body_settled(&self, reactor: &Reactor<PythonHost>, pending: &Pending) {
        settle_body(reactor, &pending.request);
    }

    fn body_piece(&self, reactor: &Reactor<PythonHost>, pending: &Pending, data: &[u8]) -> bool {
        let given = body_stream::give(Request::of(&pending.request), data);
        given.unwrap_or_else(|raised| {
            report_raised(reactor, "HTTP request body", raised);
            false
        })
    }

    fn room(&self, reactor: &Reactor<PythonHost>, pending: &Pending) {
        if let Err(raised) = writing::tell_room(Request::of(&pending.request)) {
            report_raised(reactor, "HTTP answer", raised);
        }
    }

    fn left(
        &self,
        reactor: &Reactor<PythonHost>,
        pending: Pending,
        stream: Stream<BodyBytes>,
        input: Vec<u8>,
    ) {
        let Some(held) = self.held() else { return };
        let adopted = stream.hand_over().map_err(Raised::from).and_then(|stream| {
            let protocol = pending.task.call(&[])?;
            transport::adopt(held.event_loop.as_ptr(), stream, protocol, &input)
        });
        if let Err(raised) = adopted {
            report_raised(reactor, "the protocol behind an HTTP upgrade failed to start", raised);
        }
    }

    fn abandoned(&self, reactor: &Reactor<PythonHost>, pending: Pending) {
        let cancelled = pending.task.attribute(c"cancel").and_then(|cancel| cancel.call(&[]));
        if cancelled.is_err()
            && let Some(error) = reactor.host().catch(reactor)
        {
            reactor.host().report(reactor, "HTTP handler", &error, &[]);
        }
        // Others than its handler may wait for the body.
        settle_body(reactor, &pending.request);
    }

    fn drained(&self, reactor: &Reactor<PythonHost>) {
        let held = self.held.take();
        if let Some(held) = held {
            held.tell_owner(reactor, &globals().names._drained, None);
        }
    }

    fn orphaned(&self) {
        let held = self.held.take();
        drop(held);
    }

    fn exhausted(&self, reactor: &Reactor<PythonHost>, error: io::Error) {
        let Some(held) = self.held() else { return };
        match os_error(&error) {
            Ok(error) => held.tell_owner(reactor, &globals().names._exhausted, Some(&error)),
            Err(Raised) => drop(reactor.host().catch(reactor)),
        }
    }

    fn visit(&self, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        if let Ok(held) = self.held.try_borrow()
            && let Some(held) = held.as_ref()
        {
            visitor(&held.event_loop.as_ptr());
            visitor(&held.owner.as_ptr());
            held.stepper.visit(visitor);
        }
    }

    fn visit_pending(pending: &Pending, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&pending.task.as_ptr());
        visitor(&pending.request.as_ptr());
    }
}

/// A request that points into its connection's buffer: whoever still has it then gets a copy of the head.
struct Lent(Object);

impl Drop for Lent {
    #[inline]
    fn drop(&mut self) {
        if self.0.reference_count() > 1 {
            Request::keep(&self.0);
        }
    }
}

/// An exception that is no request's affair: some leave the loop, a cancellation ends here as it would in a
/// task, others are reported.
#[cold]
fn leave_with(reactor: &Reactor<PythonHost>, exception: Object) {
    // SAFETY: a live exception; GIL.
    unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr()) };
    let Some(exception) = reactor.host().catch(reactor) else { return };
    let cancelled = globals().asyncio.cancelled_error.as_ptr();
    // SAFETY: live objects; GIL.
    if unsafe { ffi::PyErr_GivenExceptionMatches(exception.as_ptr(), cancelled) } == 0 {
        reactor.host().report(reactor, "exception in an HTTP handler", &exception, &[]);
    }
}

/// Tells who waits for the body of a request what has become of it.
fn settle_body(reactor: &Reactor<PythonHost>, request: &Object) {
    if Request::settle(request).is_err()
        && let Some(error) = reactor.host().catch(reactor)
    {
        reactor.host().report(reactor, "HTTP request body", &error, &[]);
    }
}

/// Answers a request with what its handler has returned.
pub fn respond(connection: &Rc<PythonConnection>, serial: Serial, request: &Object, value: Object) {
    let Some(held) = connection.server().application().held() else { return };
    let Ok(state) = held.state() else { return };
    let reactor = state.reactor();
    if let Some(factory) = response::protocol_of(&value) {
        return upgrade(connection, serial, request, &value, factory);
    }
    if !connection.awaits_answer(serial) {
        // It was answered in pieces, or nobody is there to hear it.
        return;
    }
    let answered =
        response::with_answer(&value, |answer| connection.answer(reactor, serial, answer));
    if answered.is_err() {
        let exception = take_exception();
        respond_to_error(connection, serial, request, &exception);
    }
    if Request::is_waited_for(request) {
        settle_body(reactor, request);
    }
}

/// Answers a request for the last time in HTTP; its connection then speaks what the factory makes.
fn upgrade(
    connection: &Rc<PythonConnection>,
    serial: Serial,
    request: &Object,
    value: &Object,
    factory: Object,
) {
    let Some(held) = connection.server().application().held() else { return };
    let Ok(state) = held.state() else { return };
    let pending = Pending { task: factory, request: request.clone() };
    let refused = response::with_head(value, |head| {
        connection.leave_http(state.reactor(), serial, head, pending)
    });
    if refused.flatten().is_some() {
        // The request's body is unread: what follows it cannot be told from what belongs to the other protocol.
        answer_status(connection, serial, 400);
    }
}

#[cold]
fn report_raised(reactor: &Reactor<PythonHost>, message: &str, Raised: Raised) {
    if let Some(error) = reactor.host().catch(reactor) {
        reactor.host().report(reactor, message, &error, &[]);
    }
}

/// Answers a request whose handler has raised. False: the exception is the task's or the loop's affair,
/// and nobody is answered.
pub fn respond_to_error(
    connection: &Rc<PythonConnection>,
    serial: Serial,
    request: &Object,
    exception: &Object,
) -> bool {
    // SAFETY: live objects; GIL.
    let is_ordinary =
        unsafe { ffi::PyObject_IsInstance(exception.as_ptr(), ffi::PyExc_Exception) } == 1;
    let Some(held) = connection.server().application().held() else { return false };
    let Ok(state) = held.state() else { return false };
    let reactor = state.reactor();
    if !is_ordinary {
        connection.give_up(reactor, serial);
    } else if let Some(status) = status_of_peer_error(connection, serial, exception) {
        answer_status(connection, serial, status);
    } else if !is_lost(connection, serial, exception) {
        answer_status(connection, serial, 500);
        report_handler(reactor, request, exception);
    }
    // An answer that has begun can only break off, so that the client sees that it is not whole.
    connection.give_up(reactor, serial);
    if Request::is_waited_for(request) {
        settle_body(reactor, request);
    }
    is_ordinary
}

/// Whether an exception says only that the connection was lost, as it was.
fn is_lost(connection: &Rc<PythonConnection>, serial: Serial, exception: &Object) -> bool {
    connection.is_gone(serial)
        && errors(c"ConnectionLostError")
            .and_then(|class| is_instance(exception.as_ptr(), &class))
            .unwrap_or(false)
}

#[cold]
fn report_handler(reactor: &Reactor<PythonHost>, request: &Object, exception: &Object) {
    let message = match Object::represent(request) {
        Ok(text) => format!("exception in the handler of {text}"),
        Err(Raised) => "exception in an HTTP handler".to_owned(),
    };
    reactor.host().report(reactor, &message, exception, &[(c"request", request)]);
}

/// The status that says what the peer did wrong, if it is the peer's fault that a handler has raised: the body of its
/// request has failed, or is not what the handler wants, and the handler did not catch that.
fn status_of_peer_error(
    connection: &Rc<PythonConnection>,
    serial: Serial,
    exception: &Object,
) -> Option<u16> {
    let hints = match connection.body(serial, |state, _| state) {
        BodyState::Failed(BodyFailure::Lost) => {
            let class = errors(c"ConnectionLostError").ok()?;
            if is_instance(exception.as_ptr(), &class).ok()? {
                return Some(400);
            }
            400..500
        }
        BodyState::Failed(_) => 400..600,
        // A hint above 500 is a client's: what another server has done is not this peer's fault.
        _ => 400..500,
    };
    let class = errors(c"RemoteProtocolError").ok()?;
    if !is_instance(exception.as_ptr(), &class).ok()? {
        return None;
    }
    let hint = exception.attribute(c"hint").ok()?;
    let pointer = hint.as_ptr();
    // SAFETY: the value is owned here; GIL.
    let hint = unsafe { crate::kit::Args::new(&pointer, 1) }.integer(0).ok()?;
    u16::try_from(hint).ok().filter(|hint| hints.contains(hint))
}

fn answer_status(connection: &Rc<PythonConnection>, serial: Serial, status: u16) {
    let Some(held) = connection.server().application().held() else { return };
    let Ok(state) = held.state() else { return };
    let text = format!("{status} {}\n", reason_phrase(status));
    let answer = Answer {
        head: AnswerHead { status, content_type: Some(b"text/plain; charset=utf-8"), fields: b"" },
        body: AnswerBody::Borrowed(text.as_bytes()),
    };
    connection.answer(state.reactor(), serial, answer);
}

/// A class of `sennit.errors`.
pub fn errors(name: &CStr) -> Outcome<Object> {
    Object::import(c"sennit.errors")?.attribute(name)
}

/// Raises one of our own errors.
#[cold]
pub fn raise_ours(name: &CStr, message: &str) -> Raised {
    match errors(name) {
        Ok(class) => raise(class.as_ptr(), message),
        Err(raised) => raised,
    }
}

/// Raises the error of a body that will never be complete.
#[cold]
pub fn body_error(failure: BodyFailure) -> Raised {
    let (message, rule, hint) = match failure {
        BodyFailure::Protocol(error) => (error.to_string(), error.rule, error.hint),
        BodyFailure::TooLarge(limit) => (
            format!("request body is larger than {limit} bytes (max_body_size)"),
            "RFC 9110 section 15.5.14",
            413,
        ),
        BodyFailure::TooSlow => (
            "request body came too slowly (body_timeout, min_body_rate)".to_owned(),
            "RFC 9110 section 15.5.9",
            408,
        ),
        BodyFailure::Lost => {
            let message = "the connection ended before the request's body did";
            return raise_ours(c"ConnectionLostError", message);
        }
        BodyFailure::Answered => {
            return raise_ours(c"ClosedError", "the request was answered before its body was read");
        }
    };
    let make = || -> Outcome<Object> {
        let class = errors(c"RemoteProtocolError")?;
        let error = class.call(&[Object::text(&message)?.as_ptr()])?;
        let (rule, hint) = (Object::text(rule)?, Object::integer(i64::from(hint))?);
        for (name, value) in [(c"rule", rule), (c"hint", hint)] {
            // SAFETY: live objects, and a name that ends in zero; GIL.
            let result = unsafe {
                ffi::PyObject_SetAttrString(error.as_ptr(), name.as_ptr(), value.as_ptr())
            };
            if result < 0 {
                return Err(Raised);
            }
        }
        Ok(error)
    };
    if let Ok(error) = make() {
        // SAFETY: a live exception; GIL.
        unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(error.as_ptr()).cast(), error.as_ptr()) };
    }
    Raised
}
