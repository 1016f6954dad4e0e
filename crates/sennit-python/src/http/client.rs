//! `core.HttpClient`: a driver's client as a Python object.

use std::net::SocketAddr;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::client::{
    BodyRead, Caller, Cause, Client, Failure, OriginId, Outgoing, PieceRefused, Place, Proxy,
    RequestId, Response, Room, Route, Sending, Settings, Tls,
};
use sennit_engine::Reactor;
use sennit_engine::reactor::State;
use sennit_wire::http1::{Connection, RequestKind, RequestParts, encode_request_head};
use sennit_wire::socks5;

use super::application::raise_ours;
use super::settings::{dict_of, nanos, take_settings};
use crate::event_loop::{LoopObject, LoopState};
use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, doc, free, guard, guard_void, no_arguments,
    none, one_argument, os_error, positional, raise, row, take_exception,
};

/// Who waits: futures, and how their results are made.
pub struct PythonCaller {
    event_loop: Object,
    /// `make_response(call, status, head, is_coded, body)`.
    make_response: Object,
    /// `make_head(call, status, head, is_coded)`: a response whose body is read in pieces.
    make_head: Object,
    /// `make_error(call, step, kind, detail)`.
    make_error: Object,
    /// `interfere(call, outcome)`: decides what becomes of a response that may not be the last, or of a failure.
    interfere: Object,
}

/// A request under way, for Python.
#[derive(Clone)]
pub struct PythonCall {
    future: Object,
    /// Whether every outcome goes through `interfere`.
    is_watched: bool,
}

/// Whether a response asks for more than to be handed on.
fn is_special(response: &Response) -> bool {
    response.sets_cookies || matches!(response.status, 301 | 302 | 303 | 307 | 308)
}

type PythonClient = Client<PythonHost, PythonCaller>;

impl PythonCaller {
    fn result(&self, call: &Object, response: &Response) -> Outcome<Object> {
        let status = Object::integer(i64::from(response.status))?;
        let head = Object::bytes(response.head())?;
        let is_coded = Object::boolean(response.is_coded);
        let body = Object::bytes(response.body())?;
        self.make_response.call(&[
            call.as_ptr(),
            status.as_ptr(),
            head.as_ptr(),
            is_coded.as_ptr(),
            body.as_ptr(),
        ])
    }

    fn head(&self, call: &Object, response: &Response) -> Outcome<Object> {
        let status = Object::integer(i64::from(response.status))?;
        let head = Object::bytes(response.head())?;
        let is_coded = Object::boolean(response.is_coded);
        self.make_head.call(&[call.as_ptr(), status.as_ptr(), head.as_ptr(), is_coded.as_ptr()])
    }

    fn error(&self, call: &Object, failure: &Failure) -> Outcome<Object> {
        let (kind, detail) = match &failure.cause {
            Cause::System(error) => ("system", os_error(error)?),
            Cause::Closed => ("closed", none()),
            Cause::Protocol(error) => {
                let message = Object::text(&error.to_string())?;
                let rule = Object::text(error.rule)?;
                // SAFETY: the tuple counts its own references; GIL.
                let both = unsafe {
                    Object::owned(ffi::PyTuple_Pack(2, message.as_ptr(), rule.as_ptr()))?
                };
                ("protocol", both)
            }
            Cause::ConnectTimedOut => ("connect_timeout", none()),
            Cause::PoolTimedOut => ("pool_timeout", none()),
            Cause::ReadTimedOut => ("read_timeout", none()),
            Cause::WriteTimedOut => ("write_timeout", none()),
            Cause::Refused(refusal) => ("refused", Object::text(&refusal.to_string())?),
            Cause::TimedOut => ("timeout", none()),
            Cause::TooLarge(limit) => ("too_large", Object::integer(*limit as i64)?),
            Cause::ClientClosed => ("client_closed", none()),
        };
        let step = Object::text(&failure.step.to_string())?;
        let kind = Object::text(kind)?;
        self.make_error.call(&[call.as_ptr(), step.as_ptr(), kind.as_ptr(), detail.as_ptr()])
    }

    fn settle(&self, call: &PythonCall, outcome: &Result<Response, Failure>) -> Outcome<()> {
        let future = &call.future;
        if Object::call_method(&globals().names.done, &[future.as_ptr()])?.truth()? {
            return Ok(());
        }
        let is_special = outcome.as_ref().is_ok_and(is_special);
        let made = match outcome {
            Ok(response) => self.result(future, response),
            Err(failure) => self.error(future, failure),
        };
        self.set(call, made, outcome.is_ok(), is_special)
    }

    fn set(
        &self,
        call: &PythonCall,
        made: Outcome<Object>,
        is_result: bool,
        is_special: bool,
    ) -> Outcome<()> {
        let (future, names) = (&call.future, &globals().names);
        if (call.is_watched || is_special)
            && let Ok(value) = &made
        {
            return self.interfere.call(&[future.as_ptr(), value.as_ptr()]).map(drop);
        }
        let (method, value) = match made {
            Ok(value) if is_result => (&names.set_result, value),
            Ok(value) => (&names.set_exception, value),
            Err(Raised) => (&names.set_exception, take_exception()),
        };
        Object::call_method(method, &[future.as_ptr(), value.as_ptr()]).map(drop)
    }

    fn set_head(&self, call: &PythonCall, head: &Response) -> Outcome<()> {
        let future = &call.future;
        if Object::call_method(&globals().names.done, &[future.as_ptr()])?.truth()? {
            return Ok(());
        }
        self.set(call, self.head(future, head), true, is_special(head))
    }

    fn report(&self, reactor: &Reactor<PythonHost>, call: &PythonCall, told: Outcome<()>) {
        if told.is_err()
            && let Some(error) = reactor.host().catch(reactor)
        {
            reactor.host().report(reactor, "HTTP client", &error, &[(c"future", &call.future)]);
        }
    }
}

impl Caller<PythonHost> for PythonCaller {
    type Call = PythonCall;

    fn finished(
        &self,
        reactor: &Reactor<PythonHost>,
        call: PythonCall,
        outcome: Result<Response, Failure>,
    ) {
        self.report(reactor, &call, self.settle(&call, &outcome));
    }

    fn headed(&self, reactor: &Reactor<PythonHost>, call: &PythonCall, head: Response) {
        self.report(reactor, call, self.set_head(call, &head));
    }

    fn moved(&self, reactor: &Reactor<PythonHost>, call: &PythonCall) {
        let moved = &globals().names.moved;
        self.report(reactor, call, Object::call_method(moved, &[call.future.as_ptr()]).map(drop));
    }

    fn visit(&self, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&self.event_loop.as_ptr());
        visitor(&self.make_response.as_ptr());
        visitor(&self.make_head.as_ptr());
        visitor(&self.make_error.as_ptr());
        visitor(&self.interfere.as_ptr());
    }

    fn visit_call(call: &PythonCall, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&call.future.as_ptr());
    }
}

#[repr(C)]
struct HttpClient {
    head: Head,
    client: Option<Rc<PythonClient>>,
}

impl HttpClient {
    fn client(&self) -> Outcome<&Rc<PythonClient>> {
        let gone = || raise_ours(c"ClosedError", "the client is closed");
        self.client.as_ref().ok_or_else(gone)
    }
}

fn state(client: &PythonClient) -> Outcome<&LoopState> {
    let event_loop = client.caller().event_loop.as_ptr();
    // SAFETY: the loop is held by the client; its type was checked when that was made; GIL.
    unsafe { LoopObject::of(event_loop) }.ok_or(Raised)
}

/// The settings in a dict, which the Python half has checked.
fn settings(given: &Object) -> Outcome<Settings> {
    let mut settings = Settings::default();
    take_settings! {
        given,
        "max_head_size" => settings.limits.max_head_size, |value| value as usize;
        "max_header_count" => settings.limits.max_header_count, |value| value as usize;
        "max_connections" => settings.max_connections, |value| value as u64;
        "max_connecting" => settings.max_connecting, |value| value as u64;
        "max_connections_per_origin" => settings.max_connections_per_origin, |value| value as u64;
        "max_waiting" => settings.max_waiting, |value| value as u64;
        "connect_timeout" => settings.connect_timeout, nanos;
        "pool_timeout" => settings.pool_timeout, nanos;
        "read_timeout" => settings.read_timeout, nanos;
        "stream_read_timeout" => settings.stream_read_timeout, nanos;
        "write_timeout" => settings.write_timeout, nanos;
        "keep_alive" => settings.keep_alive, |value| value != 0.0;
        "keep_alive_timeout" => settings.keep_alive_timeout, nanos;
        "max_response_size" => settings.max_response_size, |value| value as usize;
    }
    Ok(settings)
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple of CPython's; GIL.
        let values = unsafe { crate::kit::borrowed_slice(arguments) };
        let [event_loop, make_response, make_head, make_error, interfere, given] = values else {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_TypeError };
            let usage =
                "HttpClient(loop, make_response, make_head, make_error, interfere, settings)";
            return Err(raise(class, usage));
        };
        // SAFETY: live values; the loop's type is checked; the allocator gives zeroed memory; GIL.
        unsafe {
            let own = |value: &*mut ffi::PyObject| Object::from_borrowed(*value);
            let Some(state) = LoopObject::of(*event_loop) else {
                return Err(raise(ffi::PyExc_TypeError, "the loop is no sennit.Reactor"));
            };
            state.check_open()?;
            let settings = settings(&own(given))?;
            let caller = PythonCaller {
                event_loop: own(event_loop),
                make_response: own(make_response),
                make_head: own(make_head),
                make_error: own(make_error),
                interfere: own(interfere),
            };
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<HttpClient>();
            let client = Client::new(state.reactor(), caller, settings);
            (&raw mut (*this).client).write(Some(client));
            Ok(object)
        }
    })
}

/// Places out of a sequence of (host, port) with numeric hosts, and of bytes, each the path of a UNIX socket.
fn places(object: &Object) -> Outcome<Vec<Place>> {
    // SAFETY: a live sequence, and items that are owned while they are used; GIL.
    unsafe {
        let all = Object::owned(ffi::PySequence_Tuple(object.as_ptr()))?;
        let mut found = Vec::new();
        for pair in crate::kit::borrowed_slice(all.as_ptr()) {
            if ffi::PyBytes_Check(*pair) != 0 {
                found.push(Place::Path(Args::new(pair, 1).bytes(0)?.to_vec()));
                continue;
            }
            let pair = Object::owned(ffi::PySequence_Tuple(*pair))?;
            let pair = Args(crate::kit::borrowed_slice(pair.as_ptr()));
            pair.expect("address", 2, 2)?;
            let host: Result<std::net::IpAddr, _> = pair.text(0)?.parse();
            let port = u16::try_from(pair.integer(1)?);
            match (host, port) {
                (Ok(host), Ok(port)) => found.push(Place::Address(SocketAddr::new(host, port))),
                _ => return Err(raise(ffi::PyExc_ValueError, "no numeric address")),
            }
        }
        Ok(found)
    }
}

/// How a proxy is asked: with the bytes of a CONNECT, or by SOCKS5 for (host, port, user, password).
fn proxy(given: &Object) -> Outcome<Proxy> {
    let pointer = given.as_ptr();
    // SAFETY: a live argument; the tuple is held by the caller; GIL.
    unsafe {
        if ffi::PyBytes_Check(pointer) != 0 {
            return Ok(Proxy::Connect(Args::new(&pointer, 1).bytes(0)?.to_vec()));
        }
        let tuple = Object::owned(ffi::PySequence_Tuple(pointer))?;
        let args = Args(crate::kit::borrowed_slice(tuple.as_ptr()));
        args.expect("socks5", 4, 4)?;
        let host = match args.text(0)?.parse() {
            Ok(address) => socks5::Host::Address(address),
            Err(_) => socks5::Host::Name(args.text(0)?.as_bytes().into()),
        };
        let port = u16::try_from(args.integer(1)?).unwrap_or(0);
        let credentials = match args.optional(2) {
            Some(_) => Some((args.text(2)?.as_bytes(), args.text(3)?.as_bytes())),
            None => None,
        };
        let request = socks5::Request::new(host, port, credentials)
            .map_err(|error| raise_ours(c"ConfigError", &error.to_string()))?;
        Ok(Proxy::Socks5(request))
    }
}

// add_origin(places, proxy, tls, server_name) -> number
positional!(add_origin, HttpClient, |this, args| {
    args.expect("add_origin", 4, 4)?;
    let proxy = args.optional(1).map(|given| proxy(&given)).transpose()?;
    let tls = match args.optional(2) {
        Some(settings) => {
            let server_name = args.text(3)?.to_owned();
            Some(Tls { settings: crate::tls::client_settings(&settings)?, server_name })
        }
        None => None,
    };
    let route = Route::new(places(&args.object(0))?, proxy, tls);
    let origin = this.client()?.add_origin(route);
    Object::integer(origin.0 as i64)
});

positional!(set_places, HttpClient, |this, args| {
    args.expect("set_places", 2, 2)?;
    let origin = OriginId(args.integer(0)? as usize);
    this.client()?.set_places(origin, places(&args.object(1))?);
    Ok(none())
});

one_argument!(forget_origin, HttpClient, |this, number| {
    let pointer = number;
    // SAFETY: a live argument; GIL.
    let number = unsafe { Args::new(&pointer, 1) }.integer(0)?;
    Ok(Object::boolean(this.client()?.forget_origin(OriginId(number as usize))))
});

/// How a body is sent: whole, in chunks (-1), or in pieces of so many bytes.
fn sending(length: Option<i64>) -> Sending {
    match length.map(u64::try_from) {
        None => Sending::Whole,
        Some(Ok(length)) => Sending::Length(length),
        Some(Err(_)) => Sending::Chunks,
    }
}

// request(call, origin, timeout, method, target, host, fields, body, is_watched, length, is_streamed) -> id
positional!(request, HttpClient, |this, args| {
    args.expect("request", 11, 11)?;
    let client = this.client()?;
    if client.is_closed() {
        return Err(raise_ours(c"ClosedError", "the client is closed"));
    }
    let (waiting, limit) = (client.statistics().waiting, client.settings().max_waiting);
    if waiting >= limit {
        let message =
            format!("{waiting} requests wait for a connection, limit {limit} (max_waiting)");
        return Err(raise_ours(c"OverloadedError", &message));
    }
    let method = args.text(3)?;
    let body = match args.optional(7) {
        Some(_) => Some(args.bytes(7)?),
        None => None,
    };
    let sending = sending(args.optional(9).map(|_| args.integer(9)).transpose()?);
    let announced = match sending {
        Sending::Length(length) => Some(length),
        // RFC 9110 section 8.6: a method that means a body says so when it has none.
        Sending::Whole => body
            .map(|body| body.len() as u64)
            .or_else(|| matches!(method, "POST" | "PUT" | "PATCH").then_some(0)),
        Sending::Chunks => None,
    };
    let parts = RequestParts {
        method,
        target: args.text(4)?,
        host: args.text(5)?,
        fields: args.bytes(6)?,
        content_length: announced,
        chunked: sending == Sending::Chunks,
        connection: (!client.settings().keep_alive).then_some(Connection::Close),
    };
    let mut bytes = Vec::new();
    encode_request_head(&mut bytes, &parts)
        .map_err(|error| raise_ours(c"LocalProtocolError", &error.to_string()))?;
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes.shrink_to_fit();
    let outgoing = Outgoing {
        origin: OriginId(args.integer(1)? as usize),
        bytes,
        kind: if method == "HEAD" { RequestKind::Head } else { RequestKind::Ordinary },
        is_idempotent: matches!(method, "GET" | "HEAD" | "OPTIONS" | "TRACE" | "PUT" | "DELETE"),
        timeout: nanos(args.float(2)?),
        sending,
        is_streamed: args.object(10).truth()?,
    };
    let state = state(client)?;
    state.check_open()?;
    let is_watched = args.object(8).truth()?;
    let call = PythonCall { future: args.object(0), is_watched };
    let id = client.request(state.reactor(), outgoing, call);
    Object::integer(id.to_bits() as i64)
});

fn number(args: Args<'_>, index: usize) -> Outcome<RequestId> {
    Ok(RequestId::from_bits(args.integer(index)? as u64))
}

/// What has become of a piece, for Python: None where nobody takes any more.
fn taken(taken: Result<Room, PieceRefused>) -> Outcome<Object> {
    match taken {
        Ok(room) => Ok(Object::boolean(room == Room::Free)),
        Err(PieceRefused::Gone) => Ok(none()),
        Err(PieceRefused::TooLong) => {
            let message = "the body is longer than its content-length";
            Err(raise_ours(c"LocalProtocolError", message))
        }
        Err(PieceRefused::TooShort(left)) => {
            let message = format!("the body ends {left} bytes before its content-length");
            Err(raise_ours(c"LocalProtocolError", &message))
        }
    }
}

// send_piece(id, piece) -> bool | None
positional!(send_piece, HttpClient, |this, args| {
    args.expect("send_piece", 2, 2)?;
    let client = this.client()?;
    let reactor = state(client)?.reactor();
    taken(client.send_piece(reactor, number(args, 0)?, args.bytes(1)?))
});

// end_body(id) -> bool | None
one_argument!(end_body, HttpClient, |this, id| {
    let pointer = id;
    // SAFETY: a live argument; GIL.
    let id = number(unsafe { Args::new(&pointer, 1) }, 0)?;
    let client = this.client()?;
    taken(client.end_body(state(client)?.reactor(), id).map(|()| Room::Free))
});

// read_body(call, id) -> bytes | None: none are all of it, None nothing yet
positional!(read_body, HttpClient, |this, args| {
    args.expect("read_body", 2, 2)?;
    let client = this.client()?;
    match client.read_body(state(client)?.reactor(), number(args, 1)?) {
        BodyRead::Data(data) => Object::bytes(&data),
        BodyRead::Nothing => Ok(none()),
        BodyRead::End => Object::bytes(b""),
        BodyRead::Failed(failure) => {
            let error = client.caller().error(&args.object(0), &failure)?;
            // SAFETY: a live exception; GIL.
            unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(error.as_ptr()).cast(), error.as_ptr()) };
            Err(Raised)
        }
        BodyRead::Gone => Err(raise_ours(c"ClosedError", "the response, or its client, is closed")),
    }
});

one_argument!(cancel, HttpClient, |this, id| {
    let pointer = id;
    // SAFETY: a live argument; GIL.
    let id = unsafe { Args::new(&pointer, 1) }.integer(0)?;
    if let Some(client) = &this.client {
        let call = client.cancel(state(client)?.reactor(), RequestId::from_bits(id as u64));
        drop(call);
    }
    Ok(none())
});

fn shut(client: &Rc<PythonClient>) {
    let event_loop = client.caller().event_loop.as_ptr();
    // SAFETY: the loop is held by the client; its type was checked when that was made; GIL.
    let state = unsafe { LoopObject::known(event_loop) };
    // A closed loop has dropped everything that it held.
    if state.reactor().state() != State::Closed {
        client.close(state.reactor());
    }
}

no_arguments!(close, HttpClient, |this| {
    if let Some(client) = &this.client {
        shut(&client.clone());
    }
    Ok(none())
});

no_arguments!(statistics, HttpClient, |this| {
    let counted = this.client()?.statistics();
    dict_of(&[
        (c"requests", counted.requests),
        (c"responses", counted.responses),
        (c"failures", counted.failures),
        (c"cancelled", counted.cancelled),
        (c"connected", counted.connected),
        (c"reused", counted.reused),
        (c"retried", counted.retried),
        (c"open", counted.open),
        (c"connecting", counted.connecting),
        (c"waiting", counted.waiting),
    ])
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // The futures are shown by the reactor, which holds the client too. The caller's own values are those of the
    // Python client that owns this; it is closed, or dropped, before they go.
    // SAFETY: the collector calls with a live object.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || {
            let client = (*object.cast::<HttpClient>()).client.take();
            guard_void(|| {
                client.iter().for_each(shut);
                Ok(())
            });
        });
    }
}

/// `core.HttpClient`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.HttpClient", size_of::<HttpClient>())
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"HttpClient(loop, make_response, make_head, make_error, interfere, settings): a client's driver."),
        )
        .methods(vec![
            row!(positional c"add_origin", add_origin,
                c"add_origin(places, proxy, tls, server_name): a new origin; its number."),
            row!(positional c"set_places", set_places, c"Other places for an origin."),
            row!(one c"forget_origin", forget_origin, c"Forget an origin that nobody uses; whether."),
            row!(positional c"request", request,
                c"request(call, origin, timeout, method, target, host, fields, body, is_watched, length, is_streamed)."),
            row!(positional c"send_piece", send_piece,
                c"send_piece(id, piece): whether more is welcome; None if nobody takes any more."),
            row!(one c"end_body", end_body, c"The body of a request has ended."),
            row!(positional c"read_body", read_body,
                c"read_body(call, id): bytes, none at the end; None if nothing is there now."),
            row!(one c"cancel", cancel, c"Give a request up and free its connection."),
            row!(noargs c"close", close, c"Close every connection; requests under way fail."),
            row!(noargs c"statistics", statistics, c"Counters, as a dict of ints."),
        ])
        .build()
}
