//! What Python can do with a transport: asyncio's methods.

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::stream::Chunk;
use sennit_engine::transport::{Reading, State, WriteRefused};

use super::arguments::{chunk, extra_info, water_marks};
use super::protocol::{Kind, SharedBytes};
use super::{Engine, TransportObject, extra_slot};
use crate::host::PythonHost;
use crate::kit::{
    Object, Outcome, Raised, keywords, no_arguments, none, one_argument, positional, raise, row,
};

fn queue(this: &TransportObject, data: *mut ffi::PyObject) -> Outcome<()> {
    queue_chunk(this, chunk(data)?)
}

/// Queues a piece.
#[inline]
pub(super) fn queue_chunk(this: &TransportObject, chunk: Chunk<SharedBytes>) -> Outcome<()> {
    let Some((engine, reactor)) = this.parts() else { return Ok(()) };
    match engine.write(reactor, chunk) {
        Ok(()) => Ok(()),
        Err(WriteRefused::AfterEof) => {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_RuntimeError };
            Err(raise(class, "Cannot call write() after write_eof()"))
        }
    }
}

one_argument!(write, TransportObject, |this, data| queue(this, data).map(|()| none()));

one_argument!(writelines, TransportObject, |this, pieces| {
    // SAFETY: the iterator and its items are owned while they are used; GIL.
    unsafe {
        let iterator = Object::owned(ffi::PyObject_GetIter(pieces))?;
        loop {
            let piece = ffi::PyIter_Next(iterator.as_ptr());
            if piece.is_null() {
                break if ffi::PyErr_Occurred().is_null() { Ok(none()) } else { Err(Raised) };
            }
            queue(this, Object::owned(piece)?.as_ptr())?;
        }
    }
});

/// What a method does to the engine's transport, if there still is one.
fn act(
    this: &TransportObject,
    action: impl FnOnce(&Engine, &Reactor<PythonHost>),
) -> Outcome<Object> {
    if let Some((engine, reactor)) = this.parts() {
        action(&engine, reactor);
    }
    Ok(none())
}

no_arguments!(write_eof, TransportObject, |this| act(this, |engine, reactor| {
    engine.write_eof(reactor);
}));

no_arguments!(close, TransportObject, |this| act(this, |engine, reactor| engine.close(reactor)));

no_arguments!(abort, TransportObject, |this| act(this, |engine, reactor| engine.abort(reactor)));

// _abort_for(error): closes at once; the protocol's connection_lost gets the error.
one_argument!(abort_for, TransportObject, |this, error| {
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).rare().error.replace(Object::from_borrowed(error)) };
    drop(old);
    act(this, |engine, reactor| engine.abort(reactor))
});

no_arguments!(can_write_eof, TransportObject, |_this| Ok(Object::boolean(true)));

no_arguments!(is_closing, TransportObject, |this| {
    let closing = this.engine().is_none_or(|engine| engine.state() != State::Open);
    Ok(Object::boolean(closing))
});

no_arguments!(is_reading, TransportObject, |this| {
    let reading = this
        .engine()
        .is_some_and(|engine| engine.state() == State::Open && engine.reading() != Reading::Paused);
    Ok(Object::boolean(reading))
});

no_arguments!(pause_reading, TransportObject, |this| act(this, |engine, _| {
    engine.pause_reading();
}));

no_arguments!(resume_reading, TransportObject, |this| {
    let Some((engine, reactor)) = this.parts() else { return Ok(none()) };
    engine.resume_reading(reactor);
    engine.protocol().resumed()?;
    Ok(none())
});

no_arguments!(get_protocol, TransportObject, |this| { Ok(this.protocol().unwrap_or_else(none)) });

one_argument!(set_protocol, TransportObject, |this, protocol| {
    let Some(engine) = this.engine() else { return Ok(none()) };
    // SAFETY: the argument is live; GIL.
    let kind = Kind::of(&unsafe { Object::from_borrowed(protocol) })?;
    engine.protocol().set_kind(kind);
    // SAFETY: the argument is live; the old protocol is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).protocol.replace(Object::from_borrowed(protocol)) };
    drop(old);
    Ok(none())
});

no_arguments!(get_write_buffer_size, TransportObject, |this| {
    Object::integer(this.engine().map_or(0, |engine| engine.queued() as i64))
});

no_arguments!(get_write_buffer_limits, TransportObject, |this| {
    let (low, high) = this.engine().map_or((0, 0), |engine| engine.water_marks());
    let (low, high) = (Object::integer(low as i64)?, Object::integer(high as i64)?);
    // SAFETY: the tuple counts its own references; GIL.
    unsafe { Object::owned(ffi::PyTuple_Pack(2, low.as_ptr(), high.as_ptr())) }
});

keywords!(set_write_buffer_limits, TransportObject, |this, args, keywords| {
    let (low, high) = water_marks(args, keywords)?;
    act(this, |engine, reactor| engine.set_water_marks(reactor, low, high))
});

keywords!(get_extra_info, TransportObject, |this, args, keywords| {
    // SAFETY: as in `fields`.
    let event_loop = unsafe { (*this.fields()).event_loop.clone() };
    extra_info(this.as_ptr(), event_loop, args, keywords)
});

no_arguments!(file_number, TransportObject, |this| {
    let descriptor = this.engine().and_then(|engine| engine.descriptor());
    Object::integer(i64::from(descriptor.unwrap_or(-1)))
});

no_arguments!(peer, TransportObject, |this| {
    // SAFETY: as in `fields`.
    match unsafe { (*this.fields()).peer.address() } {
        Some(address) => crate::listener::address_object(&address),
        None => Ok(none()),
    }
});

no_arguments!(extra, TransportObject, |this| {
    // SAFETY: the slot belongs to the base class; it is null or a live object; GIL.
    unsafe {
        if (*extra_slot(this)).is_null() {
            *extra_slot(this) = Object::owned(ffi::PyDict_New())?.into_ptr();
        }
        Ok(Object::from_borrowed(*extra_slot(this)))
    }
});

// _keep_socket(socket): a Python socket over our descriptor, detached before we close it.
one_argument!(keep_socket, TransportObject, |this, socket| {
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).rare().socket.replace(Object::from_borrowed(socket)) };
    drop(old);
    Ok(none())
});

// _start_tls(tls, server_name, timeout, waiter): TLS from here on; the future hears of its end.
positional!(start_tls, TransportObject, |this, args| {
    args.expect("_start_tls", 4, 4)?;
    let name = args.optional(1).map(|_| args.text(1)).transpose()?;
    let handshake = crate::tls::handshake(&args.object(0), name, args.float(2)?)?;
    let Some((engine, reactor)) = this.parts() else {
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_RuntimeError }, "the connection is over"));
    };
    // SAFETY: as in `fields`; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).rare().waiter.replace(args.object(3)) };
    drop(old);
    if let Err(error) = engine.start_tls(reactor, handshake) {
        // SAFETY: as above.
        let waiter = unsafe { (*this.fields()).take_waiter() };
        drop(waiter);
        return Err(error.into());
    }
    Ok(none())
});

no_arguments!(tls_details, TransportObject, |this| {
    match this.engine().and_then(|engine| engine.tls_details()) {
        Some(details) => crate::tls::details_object(&details),
        None => Ok(none()),
    }
});

// _when_lost(callback): called with the reason after the protocol has heard of the end.
one_argument!(when_lost, TransportObject, |this, callback| {
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe { (*this.fields()).rare().watcher.replace(Object::from_borrowed(callback)) };
    drop(old);
    Ok(none())
});

/// The method table.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(one c"write", write, c"Queue bytes to be sent."),
        row!(one c"writelines", writelines, c"Queue several pieces to be sent."),
        row!(noargs c"write_eof", write_eof, c"Send the end of the stream after what is queued."),
        row!(one c"_abort_for", abort_for, c"Close at once, and say why."),
        row!(noargs c"can_write_eof", can_write_eof, c"True: half close works."),
        row!(noargs c"close", close, c"Send what is queued, then close."),
        row!(noargs c"abort", abort, c"Close at once; what is queued is lost."),
        row!(noargs c"is_closing", is_closing, c"Whether it is closing or closed."),
        row!(noargs c"is_reading", is_reading, c"Whether data is let through to the protocol."),
        row!(noargs c"pause_reading", pause_reading, c"Let no data through."),
        row!(noargs c"resume_reading", resume_reading, c"Let data through again."),
        row!(noargs c"get_protocol", get_protocol, c"The protocol, None after the end."),
        row!(one c"set_protocol", set_protocol, c"Put another protocol above."),
        row!(noargs c"get_write_buffer_size", get_write_buffer_size, c"Bytes that wait to be sent."),
        row!(noargs c"get_write_buffer_limits", get_write_buffer_limits, c"(low, high) in bytes."),
        row!(keywords c"set_write_buffer_limits", set_write_buffer_limits,
            c"set_write_buffer_limits($self, high=None, low=None)\n--\n\nSet the water marks, in bytes."),
        row!(keywords c"get_extra_info", get_extra_info,
            c"get_extra_info($self, name, default=None)\n--\n\nsocket, peername, sockname, ..."),
        row!(noargs c"_fileno", file_number, c"The descriptor, -1 after the end."),
        row!(noargs c"_peer", peer, c"The peer's address when the connection was accepted."),
        row!(noargs c"_get_extra", extra, c"What was found out of the connection so far, as a dict to add to."),
        row!(positional c"_start_tls", start_tls, c"Speak TLS from here on."),
        row!(noargs c"_tls_details", tls_details, c"What TLS has agreed upon; None without it."),
        row!(one c"_when_lost", when_lost, c"Call something with the reason when it is over."),
        row!(one c"_keep_socket", keep_socket, c"Keep a Python socket over our descriptor."),
    ]
}
