//! What Python can do with a datagram transport: asyncio's methods.

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::socket::datagram::RawAddress;
use sennit_engine::transport::State;

use super::{DatagramObject, Engine, extra_slot};
use crate::host::PythonHost;
use crate::http::dict_of;
use crate::kit::{Object, Outcome, Raised, keywords, no_arguments, none, one_argument, raise, row};
use crate::transport::{chunk, extra_info, water_marks};

/// What a method does to the engine's half, if there still is one.
fn act(
    this: &DatagramObject,
    action: impl FnOnce(&Engine, &Reactor<PythonHost>),
) -> Outcome<Object> {
    if let Some((engine, reactor)) = this.parts() {
        action(&engine, reactor);
    }
    Ok(none())
}

/// Where a datagram goes: on a connected socket nowhere else.
fn target(
    this: &DatagramObject,
    engine: &Engine,
    given: Option<*mut ffi::PyObject>,
) -> Outcome<RawAddress> {
    // SAFETY: as in `fields`.
    let remote = unsafe { (*this.fields()).remote.clone() };
    let Some(remote) = remote else {
        let given = given.ok_or_else(|| {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_ValueError };
            raise(class, "sendto() needs an address: this socket is not connected")
        })?;
        return engine.protocol().raw_address(given);
    };
    if let Some(given) = given {
        // SAFETY: both are live; GIL.
        match unsafe { ffi::PyObject_RichCompareBool(given, remote.as_ptr(), ffi::Py_EQ) } {
            -1 => return Err(Raised),
            1 => {}
            _ => {
                let shown = Object::represent(&remote)?;
                let message = format!("Invalid address: must be None or {shown}");
                // SAFETY: reading a static of the interpreter; GIL.
                return Err(raise(unsafe { ffi::PyExc_ValueError }, &message));
            }
        }
    }
    Ok(RawAddress::none())
}

keywords!(sendto, DatagramObject, |this, args, keywords| {
    args.expect("sendto", 1, 2)?;
    let given = keywords.named("sendto", &[c"addr"])?;
    let address = args.0.get(1).copied().or(given[0]);
    // SAFETY: reading the address of a static.
    let address = address.filter(|address| *address != unsafe { ffi::Py_None() });
    let data = chunk(args.0[0])?;
    let Some((engine, reactor)) = this.parts() else { return Ok(none()) };
    let to = target(this, &engine, address)?;
    engine.send(reactor, data, to);
    Ok(none())
});

no_arguments!(close, DatagramObject, |this| act(this, |engine, reactor| engine.close(reactor)));

no_arguments!(abort, DatagramObject, |this| act(this, |engine, reactor| engine.abort(reactor)));

no_arguments!(is_closing, DatagramObject, |this| {
    let closing = this.engine().is_none_or(|engine| engine.state() != State::Open);
    Ok(Object::boolean(closing))
});

no_arguments!(get_protocol, DatagramObject, |this| { Ok(this.protocol().unwrap_or_else(none)) });

one_argument!(set_protocol, DatagramObject, |this, protocol| {
    // SAFETY: as in `fields`; the old protocol is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).protocol.replace(Object::from_borrowed(protocol)) };
    drop(old);
    Ok(none())
});

no_arguments!(get_write_buffer_size, DatagramObject, |this| {
    Object::integer(this.engine().map_or(0, |engine| engine.queued() as i64))
});

no_arguments!(get_write_buffer_limits, DatagramObject, |this| {
    let (low, high) = this.engine().map_or((0, 0), |engine| engine.water_marks());
    let (low, high) = (Object::integer(low as i64)?, Object::integer(high as i64)?);
    // SAFETY: the tuple counts its own references; GIL.
    unsafe { Object::owned(ffi::PyTuple_Pack(2, low.as_ptr(), high.as_ptr())) }
});

keywords!(set_write_buffer_limits, DatagramObject, |this, args, keywords| {
    let (low, high) = water_marks(args, keywords)?;
    act(this, |engine, reactor| engine.set_water_marks(reactor, low, high))
});

keywords!(get_extra_info, DatagramObject, |this, args, keywords| {
    // SAFETY: as in `fields`.
    let event_loop = unsafe { (*this.fields()).event_loop.clone() };
    extra_info(this.as_ptr(), event_loop, args, keywords)
});

no_arguments!(statistics, DatagramObject, |this| {
    let counters = this.engine().map(|engine| engine.statistics()).unwrap_or_default();
    dict_of([
        ("received", counters.received),
        ("bytes_received", counters.bytes_received),
        ("sent", counters.sent),
        ("bytes_sent", counters.bytes_sent),
        ("dropped_sending", counters.dropped_sending),
        ("dropped_by_kernel", counters.dropped_by_kernel),
        ("cut", counters.cut),
        ("errors", counters.errors),
    ])
});

no_arguments!(file_number, DatagramObject, |this| {
    let descriptor = this.engine().and_then(|engine| engine.descriptor());
    Object::integer(i64::from(descriptor.unwrap_or(-1)))
});

no_arguments!(peer, DatagramObject, |_this| Ok(none()));

no_arguments!(extra, DatagramObject, |this| {
    // SAFETY: the slot belongs to the base class; it is null or a live object; GIL.
    unsafe {
        if (*extra_slot(this)).is_null() {
            *extra_slot(this) = Object::owned(ffi::PyDict_New())?.into_ptr();
        }
        Ok(Object::from_borrowed(*extra_slot(this)))
    }
});

// _keep_socket(socket): a Python socket over our descriptor, detached before we close it.
one_argument!(keep_socket, DatagramObject, |this, socket| {
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).socket.replace(Object::from_borrowed(socket)) };
    drop(old);
    Ok(none())
});

// _when_lost(callback): called with the reason after the protocol has heard of the end.
one_argument!(when_lost, DatagramObject, |this, callback| {
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).watcher.replace(Object::from_borrowed(callback)) };
    drop(old);
    Ok(none())
});

/// The method table.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"sendto", sendto,
            c"sendto($self, data, addr=None)\n--\n\nQueue a datagram to be sent."),
        row!(noargs c"close", close, c"Send what is queued, then close."),
        row!(noargs c"abort", abort, c"Close at once; what is queued is lost."),
        row!(noargs c"is_closing", is_closing, c"Whether it is closing or closed."),
        row!(noargs c"get_protocol", get_protocol, c"The protocol, None after the end."),
        row!(one c"set_protocol", set_protocol, c"Put another protocol above."),
        row!(noargs c"get_write_buffer_size", get_write_buffer_size, c"Bytes that wait to be sent."),
        row!(noargs c"get_write_buffer_limits", get_write_buffer_limits, c"(low, high) in bytes."),
        row!(keywords c"set_write_buffer_limits", set_write_buffer_limits,
            c"set_write_buffer_limits($self, high=None, low=None)\n--\n\nSet the water marks, in bytes."),
        row!(keywords c"get_extra_info", get_extra_info,
            c"get_extra_info($self, name, default=None)\n--\n\nsocket, peername, sockname."),
        row!(noargs c"statistics", statistics, c"Counters of the socket, as a dict of ints."),
        row!(noargs c"_fileno", file_number, c"The descriptor, -1 after the end."),
        row!(noargs c"_peer", peer, c"None: nobody was accepted."),
        row!(noargs c"_get_extra", extra, c"What was found out of the socket so far, as a dict to add to."),
        row!(one c"_when_lost", when_lost, c"Call something with the reason when it is over."),
        row!(one c"_keep_socket", keep_socket, c"Keep a Python socket over our descriptor."),
    ]
}
