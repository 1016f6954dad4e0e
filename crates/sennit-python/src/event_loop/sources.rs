//! Descriptors: `add_reader` and its family, transports over sockets, listening sockets.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use pyo3_ffi as ffi;
use sennit_engine::Host;
use sennit_engine::listener::{Descriptor, Listener};
use sennit_engine::watcher::{Direction, Watcher};

use super::LoopObject;
use crate::handle::Handle;
use crate::kit::{
    Args, Object, Outcome, Raised, no_arguments, none, one_argument, positional, raise, row,
};
use crate::listener::ProtocolAcceptor;
use crate::transport::{self, Beginning};

fn descriptor(object: *mut ffi::PyObject) -> Outcome<RawFd> {
    // SAFETY: the argument is live for the call; GIL.
    match unsafe { ffi::PyObject_AsFileDescriptor(object) } {
        -1 => Err(Raised),
        descriptor => Ok(descriptor),
    }
}

fn watch(this: &LoopObject, args: Args<'_>, direction: Direction) -> Outcome<Object> {
    let name = if direction == Direction::Read { "add_reader" } else { "add_writer" };
    args.expect(name, 2, usize::MAX)?;
    let state = this.state();
    state.check_ours()?;
    let descriptor = descriptor(args.0[0])?;
    // SAFETY: a tuple of the arguments behind the callback; GIL.
    let handle = unsafe {
        let rest = Object::owned(ffi::PyTuple_New(args.0.len() as isize - 2))?;
        for index in 2..args.0.len() {
            let value = args.object(index).into_ptr();
            ffi::PyTuple_SET_ITEM(rest.as_ptr(), index as isize - 2, value);
        }
        let context = Object::owned(ffi::PyContext_CopyCurrent())?;
        Handle::new(this.as_ptr(), args.object(1), rest, context)?
    };
    let result = handle.0.clone();
    // Nothing is borrowed where handles are dropped or errors are made: both may run any Python.
    let known = state.watchers.borrow().get(&descriptor).cloned();
    if let Some(watcher) = known {
        match watcher.replace(&state.reactor, direction, Some(handle.clone())) {
            Ok(old) => return cancel(old).map(|_| result),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
        // The descriptor was closed, and its number names another file now.
        state.forget_watcher(descriptor);
    }
    match Watcher::register(&state.reactor, descriptor, direction, handle) {
        Ok(watcher) => drop(state.watchers.borrow_mut().insert(descriptor, watcher)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format!("file descriptor {descriptor} is used by a transport or server");
            // SAFETY: reading a static of the interpreter; GIL.
            return Err(raise(unsafe { ffi::PyExc_RuntimeError }, &message));
        }
        Err(error) => return Err(error.into()),
    }
    Ok(result)
}

/// A handle that was replaced or removed must not run if it is in the ready queue already.
fn cancel(handle: Option<Handle>) -> Outcome<bool> {
    let Some(handle) = handle else { return Ok(false) };
    handle.0.attribute(c"cancel")?.call(&[])?;
    Ok(true)
}

fn unwatch(this: &LoopObject, object: *mut ffi::PyObject, direction: Direction) -> Outcome<Object> {
    let state = this.state();
    if state.check_ours().is_err() {
        // SAFETY: GIL. Nothing is watched by a loop that is closed or another process's.
        unsafe { ffi::PyErr_Clear() };
        return Ok(Object::boolean(false));
    }
    let descriptor = descriptor(object)?;
    let watcher = state.watchers.borrow().get(&descriptor).cloned();
    let Some(watcher) = watcher else { return Ok(Object::boolean(false)) };
    let old = watcher.replace(&state.reactor, direction, None)?;
    if watcher.is_empty() {
        let gone = state.watchers.borrow_mut().remove(&descriptor);
        drop(gone);
    }
    Ok(Object::boolean(cancel(old)?))
}

positional!(add_reader, LoopObject, |this, args| watch(this, args, Direction::Read));
positional!(add_writer, LoopObject, |this, args| watch(this, args, Direction::Write));
one_argument!(remove_reader, LoopObject, |this, object| unwatch(this, object, Direction::Read));
one_argument!(remove_writer, LoopObject, |this, object| unwatch(this, object, Direction::Write));

// _make_transport(descriptor, protocol): takes the descriptor over, calls connection_made.
// With (..., tls, server_name, timeout, waiter) a TLS handshake comes first.
positional!(make_transport, LoopObject, |this, args| {
    args.expect("_make_transport", 2, 6)?;
    let descriptor = args.integer(0)? as RawFd;
    // SAFETY: the Python half hands over a descriptor that it has detached from its socket.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    this.state().check_ours()?;
    let mut beginning = Beginning::default();
    if let Some(settings) = args.optional(2) {
        args.expect("_make_transport with tls", 6, 6)?;
        let name = args.optional(3).map(|_| args.text(3)).transpose()?;
        beginning.handshake = Some(crate::tls::handshake(&settings, name, args.float(4)?)?);
        beginning.waiter = args.optional(5);
    }
    transport::open(this.as_ptr(), socket, args.object(1), beginning)
});

// _make_datagrams(descriptor, protocol, remote, dual=False): takes the descriptor over, calls
// connection_made. A dual socket is IPv6 and speaks IPv4 as well.
positional!(make_datagrams, LoopObject, |this, args| {
    args.expect("_make_datagrams", 3, 4)?;
    let is_dual = args.optional(3).map_or(Ok(false), |dual| dual.truth())?;
    let descriptor = args.integer(0)? as RawFd;
    // SAFETY: the Python half hands over a descriptor that it has detached from its socket.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    this.state().check_ours()?;
    crate::datagrams::open(this.as_ptr(), socket, args.object(1), args.optional(2), is_dual)
});

// _listen(descriptor, factory, server, tls=None, timeout=0, limits=None) -> token: the descriptor
// stays the caller's.
positional!(listen, LoopObject, |this, args| {
    args.expect("_listen", 3, 6)?;
    let state = this.state();
    state.check_ours()?;
    let tls = match args.optional(3) {
        Some(settings) => Some((settings, args.float(4)?)),
        None => None,
    };
    let limits =
        args.optional(5).map(|limits| transport::write_limits(limits.as_ptr())).transpose()?;
    let acceptor = ProtocolAcceptor::new(args.object(1), args.object(2), tls, limits)?;
    let descriptor = Descriptor::Lent(args.integer(0)? as RawFd);
    let listener = Listener::start(&state.reactor, descriptor, acceptor)?;
    let token = listener.token().0;
    state.listeners.borrow_mut().insert(token, listener);
    Object::integer(token as i64)
});

positional!(stop_listening, LoopObject, |this, args| {
    args.expect("_stop_listening", 1, 1)?;
    let state = this.state();
    let listener = state.listeners.borrow_mut().remove(&(args.integer(0)? as u64));
    if let Some(listener) = listener.filter(|_| !state.reactor.host().is_foreign()) {
        listener.close(&state.reactor);
    }
    Ok(none())
});

// _transports_of(server) -> list: connections that a server has accepted and that still live.
one_argument!(transports_of, LoopObject, |this, server| {
    let mut values = Vec::new();
    this.state().reactor.visit(&mut |value| values.push(*value));
    // SAFETY: what the reactor holds is live, and nothing runs between the visit and the count.
    let found = unsafe { transport::of_server(&values, server) };
    // SAFETY: a new list takes its own references; GIL.
    unsafe {
        let list = Object::owned(ffi::PyList_New(0))?;
        for transport in found {
            if ffi::PyList_Append(list.as_ptr(), transport.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
});

no_arguments!(wake, LoopObject, |this| {
    this.state().reactor.wake();
    Ok(none())
});

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(positional c"add_reader", add_reader,
            c"Call a callback whenever a descriptor can be read."),
        row!(positional c"add_writer", add_writer,
            c"Call a callback whenever a descriptor can be written."),
        row!(one c"remove_reader", remove_reader, c"Undo add_reader; whether there was one."),
        row!(one c"remove_writer", remove_writer, c"Undo add_writer; whether there was one."),
        row!(positional c"_make_transport", make_transport, c"A transport over a connected socket."),
        row!(positional c"_make_datagrams", make_datagrams, c"A transport over a datagram socket."),
        row!(positional c"_listen", listen, c"Accept connections for a protocol factory."),
        row!(positional c"_stop_listening", stop_listening, c"Undo _listen."),
        row!(one c"_transports_of", transports_of, c"The live connections of a server."),
        row!(noargs c"_wake", wake, c"Make a sleeping loop take a turn."),
    ]
}
