//! `core.HttpServer`: a driver's server as a Python object.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{Application, Server, Settings, StartTls, State};
use sennit_engine::listener::Descriptor;

use super::application::PythonApplication;
use super::settings::{dict_of, nanos, take_settings};
use crate::event_loop::LoopObject;
use crate::host::PythonHost;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, free, guard, no_arguments, none, positional,
    raise, row, take_exception,
};

type PythonServer = Server<PythonHost, PythonApplication>;

#[repr(C)]
struct HttpServer {
    head: Head,
    server: Option<Rc<PythonServer>>,
}

impl HttpServer {
    fn server(&self) -> Outcome<&Rc<PythonServer>> {
        // SAFETY: reading a static of the interpreter; GIL.
        self.server
            .as_ref()
            .ok_or_else(|| raise(unsafe { ffi::PyExc_RuntimeError }, "the server is gone"))
    }
}

/// The settings in a dict, which the Python half has checked.
fn settings(given: &Object) -> Outcome<Settings> {
    let mut settings = Settings::default();
    take_settings! {
        given,
        "max_request_line" => settings.limits.max_request_line, |value| value as usize;
        "max_head_size" => settings.limits.max_head_size, |value| value as usize;
        "max_header_count" => settings.limits.max_header_count, |value| value as usize;
        "header_timeout" => settings.header_timeout, nanos;
        "keep_alive_timeout" => settings.keep_alive_timeout, nanos;
        "body_timeout" => settings.body_timeout, nanos;
        "min_body_rate" => settings.min_body_rate, |value| value as u64;
        "max_body_size" => settings.max_body_size, |value| value as usize;
        "write_timeout" => settings.write_timeout, nanos;
        "max_requests" => settings.max_requests, |value| value as u32;
        "max_connections" => settings.max_connections, |value| value as u64;
        "allow_connect" => settings.allow_connect, |value| value != 0.0;
        "max_connections_per_address" => settings.max_connections_per_address, |value| value as u32;
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
        let [event_loop, owner, handler, given] = values else {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_TypeError };
            return Err(raise(class, "HttpServer(loop, owner, handler, settings)"));
        };
        // SAFETY: live values; the loop's type is checked; the allocator gives zeroed memory; GIL.
        unsafe {
            let own = |value: &*mut ffi::PyObject| Object::from_borrowed(*value);
            if LoopObject::of(*event_loop).is_none() {
                return Err(raise(ffi::PyExc_TypeError, "the loop is no sennit.Reactor"));
            }
            let settings = settings(&own(given))?;
            let application = PythonApplication::new(own(event_loop), own(owner), own(handler))?;
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<HttpServer>();
            (&raw mut (*this).server).write(Some(Server::new(application, settings)));
            Ok(object)
        }
    })
}

// listen(descriptor, tls, handshake_timeout)
positional!(listen, HttpServer, |this, args| {
    args.expect("listen", 3, 3)?;
    // SAFETY: the caller gives the descriptor away.
    let socket = unsafe { OwnedFd::from_raw_fd(args.integer(0)? as RawFd) };
    let timeout = args.float(2)?;
    let tls = args.optional(1).map(|settings| -> StartTls {
        Box::new(move || match crate::tls::handshake(&settings, None, timeout) {
            Ok(handshake) => Ok(handshake),
            Err(Raised) => {
                drop(take_exception());
                Err(io::Error::other("TLS settings cannot be used"))
            }
        })
    });
    let server = this.server()?;
    let Some(held) = server.application().held() else {
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_RuntimeError }, "the server is closed"));
    };
    let state = held.state()?;
    state.check_open()?;
    server.listen(state.reactor(), Descriptor::Owned(socket), tls)?;
    Ok(none())
});

no_arguments!(drain, HttpServer, |this| {
    let server = this.server()?.clone();
    if let Some(held) = server.application().held() {
        server.drain(held.state()?.reactor());
    }
    Ok(none())
});

no_arguments!(abort, HttpServer, |this| {
    let server = this.server()?.clone();
    if let Some(held) = server.application().held() {
        server.abort(held.state()?.reactor());
    }
    Ok(none())
});

no_arguments!(state, HttpServer, |this| {
    Object::text(match this.server()?.state() {
        State::New => "NEW",
        State::Running => "RUNNING",
        State::Draining => "DRAINING",
        State::Stopped => "STOPPED",
    })
});

no_arguments!(statistics, HttpServer, |this| {
    let server = this.server()?;
    let counted = server.statistics();
    let values = [
        (c"accepted", counted.accepted),
        (c"refused", counted.refused),
        (c"refused_per_address", counted.refused_per_address),
        (c"open", counted.open),
        (c"requests", counted.requests),
        (c"answered", counted.answered),
        (c"protocol_errors", counted.protocol_errors),
        (c"header_timeouts", counted.header_timeouts),
        (c"keep_alive_timeouts", counted.keep_alive_timeouts),
        (c"body_timeouts", counted.body_timeouts),
        (c"bodies_too_large", counted.bodies_too_large + server.application().too_large()),
        (c"write_timeouts", counted.write_timeouts),
        (c"abandoned", counted.abandoned),
        (c"handshake_failures", counted.handshake_failures),
        (c"handshake_timeouts", counted.handshake_timeouts),
        (c"upgraded", counted.upgraded),
    ];
    dict_of(&values)
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // While listeners or connections hold the server too, the reactor shows the collector what it holds: to show it here
    // as well would count it twice.
    // SAFETY: the collector calls with a live object.
    unsafe {
        if let Some(server) = &(*object.cast::<HttpServer>()).server
            && Rc::strong_count(server) == 1
        {
            let mut status = 0;
            server.application().visit(&mut |value| {
                if status == 0 {
                    status = visit(*value, argument);
                }
            });
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live object; the server is dropped after it was taken out.
    drop(unsafe { (*object.cast::<HttpServer>()).server.take() });
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || {
            clear(object);
        });
    }
}

/// `core.HttpServer`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.HttpServer", size_of::<HttpServer>())
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"HttpServer(loop, owner, handler, settings): the driver of a server."))
        .methods(vec![
            row!(positional c"listen", listen,
                c"listen(descriptor, tls, handshake_timeout): accept connections on a descriptor, which is given away."),
            row!(noargs c"drain", drain, c"Accept no more; end each connection with its next answer."),
            row!(noargs c"abort", abort, c"Drop every connection at once."),
            row!(noargs c"state", state, c"NEW, RUNNING, DRAINING or STOPPED."),
            row!(noargs c"statistics", statistics, c"Counters, as a dict of ints."),
        ])
        .build()
}
