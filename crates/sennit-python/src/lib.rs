//! The one crate that knows Python: it converts, it does not decide.
//!
//! | room | what it is |
//! | --- | --- |
//! | [`kit`] | owned references, errors, arguments, type objects |
//! | [`globals`] | what is looked up once, at import |
//! | [`host`] | Python as the engine's host |
//! | [`event_loop`] | `Loop`, the native half of `sennit.Reactor` |
//! | [`handle`] | `Handle` and `TimerHandle` |
//! | [`transport`], [`listener`] | asyncio's transports and servers |
//! | [`datagrams`] | asyncio's datagram transports |
//! | [`tls`] | the two ends of TLS |
//! | [`deferred`] | results that are not there yet |
//! | [`threads`] | functions called in threads |
//! | [`stream`] | streams with `await`, and frames |
//! | [`http`] | handlers and clients above the driver |

mod coding;
mod datagrams;
mod deferred;
mod event_loop;
mod globals;
mod handle;
mod host;
mod http;
mod kit;
mod listener;
mod simulation;
mod stream;
mod threads;
mod tls;
mod transport;

use std::ffi::c_void;

use pyo3_ffi as ffi;

use crate::kit::{Object, Outcome, Raised, guard, guard_status, none, row};

unsafe extern "C" fn note_fork(_: *mut ffi::PyObject, _: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        host::note_fork();
        Ok(none())
    })
}

unsafe extern "C" fn raise_descriptor_limit(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        let limit = sennit_engine::limits::raise_descriptor_limit()?;
        Object::integer(limit.soft as i64)
    })
}

unsafe extern "C" fn render_fields(
    _: *mut ffi::PyObject,
    headers: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    guard(|| http::render_fields(&unsafe { Object::from_borrowed(headers) }))
}

unsafe extern "C" fn render_trailers(
    _: *mut ffi::PyObject,
    headers: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    guard(|| http::render_trailers(&unsafe { Object::from_borrowed(headers) }))
}

unsafe extern "C" fn fixed_limits(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(http::fixed_limits)
}

unsafe extern "C" fn set_message_helpers(
    _: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    let (args, keywords) = unsafe { kit::Keywords::split(arguments, count, names) };
    guard(|| http::set_message_helpers(args, keywords))
}

unsafe extern "C" fn set_deferred_helpers(
    _: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    let (args, keywords) = unsafe { kit::Keywords::split(arguments, count, names) };
    guard(|| deferred::set_helpers(args, keywords))
}

unsafe extern "C" fn set_deferred_debug(
    _: *mut ffi::PyObject,
    enabled: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    guard(|| deferred::set_debug(&unsafe { Object::from_borrowed(enabled) }))
}

unsafe extern "C" fn negotiate_coding(
    _: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    guard(|| coding::negotiate_coding(unsafe { kit::Args::new(arguments, count) }))
}

unsafe extern "C" fn read_certificate(
    _: *mut ffi::PyObject,
    der: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    guard(|| tls::read_certificate(unsafe { kit::Args::new(&der, 1) }))
}

fn add(module: *mut ffi::PyObject, name: &std::ffi::CStr, value: &Object) -> Outcome<()> {
    // SAFETY: a live module and a live value, which the module counts; GIL.
    match unsafe { ffi::PyModule_AddObjectRef(module, name.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised),
    }
}

unsafe extern "C" fn execute(module: *mut ffi::PyObject) -> i32 {
    guard_status(|| {
        globals::fill()?;
        let globals = globals::globals();
        add(module, c"Loop", &globals.loop_type)?;
        add(module, c"Handle", &globals.handle_type)?;
        add(module, c"TimerHandle", &globals.timer_handle_type)?;
        add(module, c"Transport", &globals.transport_type)?;
        add(module, c"DatagramTransport", &globals.datagram_type)?;
        add(module, c"TlsServer", &globals.tls_server_type)?;
        add(module, c"TlsClient", &globals.tls_client_type)?;
        add(module, c"WriteLimits", &globals.write_limits_type)?;
        add(module, c"Deferred", &globals.deferred_type)?;
        add(module, c"ThreadPool", &globals.thread_pool_type)?;
        add(module, c"Request", &globals.http.request_type)?;
        add(module, c"Response", &globals.http.response_type)?;
        add(module, c"FileBody", &globals.http.file_body_type)?;
        add(module, c"Headers", &globals.http.headers_type)?;
        add(module, c"Router", &globals.http.router_type)?;
        add(module, c"HttpServer", &globals.http.server_type)?;
        add(module, c"HttpClient", &globals.http.client_type)?;
        add(module, c"Compressor", &coding::make_compressor_type()?)?;
        add(module, c"Decompressor", &coding::make_decompressor_type()?)?;
        add(module, c"Stream", &globals.stream.stream_type)?;
        add(module, c"StreamFrames", &globals.stream.frames_type)?;
        add(module, c"FrameProtocol", &globals.stream.frame_protocol_type)?;
        Ok(())
    })
}

/// The module's entry, called by the import of `sennit._native.core`.
#[unsafe(no_mangle)]
pub extern "C" fn PyInit_core() -> *mut ffi::PyObject {
    let mut methods = vec![
        row!(noargs c"note_fork", note_fork, c"To be called in the child after a fork."),
        row!(noargs c"raise_descriptor_limit", raise_descriptor_limit,
            c"Raise the soft descriptor limit to the hard one; returns it."),
    ];
    methods.push(row!(one c"render_trailers", render_trailers,
        c"The lines of trailer fields, checked, as bytes."));
    methods.push(row!(noargs c"fixed_limits", fixed_limits,
        c"The limits of an HTTP server that cannot be set, by name."));
    methods.push(row!(one c"render_fields", render_fields,
        c"Header fields, a mapping or pairs, as checked lines of bytes."));
    methods.push(row!(keywords c"set_deferred_helpers", set_deferred_helpers,
        c"Say which functions help Deferreds: failure, report, bind, refuse, tell, and what waits."));
    methods.push(row!(one c"set_deferred_debug", set_deferred_debug,
        c"Whether every place where a callback is added is kept."));
    methods.push(row!(keywords c"set_message_helpers", set_message_helpers,
        c"Say which functions help messages: loads, dumps, text, later, cookies, set_cookie, delete_cookie, form, pieces."));
    methods.push(row!(positional c"negotiate_coding", negotiate_coding,
        c"negotiate_coding(accept_encoding, offered): the coding that a client likes best, or None."));
    methods.push(row!(one c"read_certificate", read_certificate,
        c"What a certificate in DER says of its owner; use sennit.net.PeerCertificate."));
    methods.extend(http::native::table());
    methods.extend(threads::table());
    methods.push(ffi::PyMethodDef::zeroed());
    let slots = vec![
        ffi::PyModuleDef_Slot { slot: ffi::Py_mod_exec, value: execute as *mut c_void },
        ffi::PyModuleDef_Slot { slot: 0, value: std::ptr::null_mut() },
    ];
    let definition = Box::leak(Box::new(ffi::PyModuleDef {
        m_base: ffi::PyModuleDef_HEAD_INIT,
        m_name: c"core".as_ptr(),
        m_doc: c"Sennit's native core; use it through the package.".as_ptr(),
        m_size: 0,
        m_methods: methods.leak().as_mut_ptr(),
        m_slots: slots.leak().as_mut_ptr(),
        m_traverse: None,
        m_clear: None,
        m_free: None,
    }));
    // SAFETY: the definition lives for ever; GIL.
    unsafe { ffi::PyModuleDef_Init(definition) }
}
