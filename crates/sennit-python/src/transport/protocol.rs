//! The Python protocol as the engine sees it, and Python's bytes in the engine's write queue.

use std::cell::Cell;
use std::io;

use pyo3_ffi as ffi;
use sennit_engine::stream::Received;
use sennit_engine::transport::Protocol;
use sennit_engine::{Nanos, Reactor};

use super::TransportObject;
use crate::globals::{globals, is_instance};
use crate::host::PythonHost;
use crate::kit::{Object, Outcome, Raised, none, raise};

/// What the protocol has heard of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// Nothing: a TLS handshake comes first.
    None,
    /// `connection_made`.
    Made,
}

/// How data reaches a protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// As bytes, by its `data_received`.
    Plain,
    /// In its own buffer.
    Buffered,
    /// A `core.Stream`, without a call or an object in between.
    Stream,
    /// A `core.FrameProtocol`, likewise.
    Frames,
}

impl Kind {
    /// The kind of a protocol.
    pub fn of(protocol: &Object) -> Outcome<Kind> {
        if crate::stream::is_native_stream(protocol)? {
            return Ok(Kind::Stream);
        }
        if crate::stream::is_native_frames(protocol)? {
            return Ok(Kind::Frames);
        }
        let is_buffered = is_instance(protocol.as_ptr(), &globals().buffered_protocol)?;
        Ok(if is_buffered { Kind::Buffered } else { Kind::Plain })
    }
}

/// The engine's view of a Python protocol.
pub struct PythonProtocol {
    /// The Python transport: owned while the connection lives, null after it.
    object: Cell<*mut ffi::PyObject>,
    kind: Cell<Kind>,
    acquaintance: Cell<Acquaintance>,
    /// Whether the last read was so large that the next one goes into a bytes object directly.
    reads_large: Cell<bool>,
}

/// A read from which on the copy out of the reactor's buffer costs more than a bytes object whose
/// end is given back.
const LARGE_READ: usize = 16 * 1024;

/// What a large read can bring: more leaves the processor's cache before it is sent on.
const LARGE_BUFFER: usize = 128 * 1024;

impl PythonProtocol {
    /// The protocol of a Python transport, which this holds until the connection's end.
    pub fn new(object: Object, kind: Kind) -> Self {
        PythonProtocol {
            object: Cell::new(object.into_ptr()),
            kind: Cell::new(kind),
            acquaintance: Cell::new(Acquaintance::None),
            reads_large: Cell::new(false),
        }
    }

    /// Tells the protocol of its connection.
    pub fn introduce(&self, reactor: &Reactor<PythonHost>) {
        let Some(object) = self.object().map(counted) else { return };
        self.acquaintance.set(Acquaintance::Made);
        self.made();
        if self.call(&globals().names.connection_made, Some(&object)).is_err() {
            self.failed(reactor, "connection_made", true);
        }
    }

    /// Tells the server that a connection is through its TLS handshake.
    fn tell_server(&self, reactor: &Reactor<PythonHost>) {
        let Some(object) = self.object() else { return };
        // SAFETY: as in `fields`.
        let Some(server) = (unsafe { (*object.fields()).server.clone() }) else { return };
        if call(&globals().names._secured, &[&server, &counted(object)]).is_err() {
            self.failed(reactor, "secured", true);
        }
    }

    /// Tells whoever waits for a TLS handshake how it has ended.
    fn tell_waiter(&self, reactor: &Reactor<PythonHost>, error: Option<&Object>) {
        let Some(object) = self.object() else { return };
        // SAFETY: as in `fields`; taken out before it is used.
        let Some(waiter) = (unsafe { (*object.fields()).take_waiter() }) else { return };
        let names = &globals().names;
        let told = Object::call_method(&names.done, &[waiter.as_ptr()])
            .and_then(|done| done.truth())
            .and_then(|done| match error {
                _ if done => Ok(none()),
                Some(error) => {
                    Object::call_method(&names.set_exception, &[waiter.as_ptr(), error.as_ptr()])
                }
                None => Object::call_method(&names.set_result, &[waiter.as_ptr(), none().as_ptr()]),
            });
        if told.is_err() {
            self.failed(reactor, "secured", true);
        }
    }

    /// How data reaches the protocol from now on.
    pub fn set_kind(&self, kind: Kind) {
        self.kind.set(kind);
    }

    /// Reading was resumed: frames that have come already are not to wait for more data.
    pub fn resumed(&self) -> Outcome<()> {
        if self.kind.get() == Kind::Frames
            && let Some(protocol) = self.object().and_then(TransportObject::protocol)
        {
            crate::stream::deliver_frames_soon(&protocol)?;
        }
        Ok(())
    }

    /// Before a native protocol is told of its connection: it knows of it even if its methods are overridden.
    fn made(&self) {
        if self.kind.get() == Kind::Frames
            && let Some(object) = self.object()
            && let Some(protocol) = object.protocol()
        {
            crate::stream::bind_frames(&protocol, &counted(object));
        }
    }

    fn received_natively(&self, reactor: &Reactor<PythonHost>, data: &[u8], kind: Kind) {
        let Some(object) = self.object() else { return };
        let Some(protocol) = object.protocol() else { return };
        if kind == Kind::Stream {
            return crate::stream::deliver(&protocol, reactor, data);
        }
        if object.in_context(|| crate::stream::deliver_frames(&protocol, data)).is_err() {
            self.failed(reactor, "frame_received", true);
        }
    }

    /// Reads into a bytes object, and hands that on.
    fn read_large(
        &self,
        reactor: &Reactor<PythonHost>,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<Received>,
    ) -> Option<io::Result<Received>> {
        let mut received = Ok(Received::Blocked);
        let data = Object::filled_bytes(LARGE_BUFFER, |buffer| {
            received = fill(buffer);
            match received {
                Ok(Received::Data { count, .. }) => count,
                _ => 0,
            }
        });
        if let Ok(Received::Data { count, .. }) = received {
            self.reads_large.set(count >= LARGE_READ);
            let result =
                data.and_then(|data| self.call(&globals().names.data_received, Some(&data)));
            if result.is_err() {
                self.failed(reactor, "data_received", true);
                return None;
            }
        }
        Some(received)
    }

    #[inline]
    fn object(&self) -> Option<&TransportObject> {
        // SAFETY: owned until `release`; GIL.
        unsafe { self.object.get().cast::<TransportObject>().as_ref() }
    }

    /// Lets go of the Python transport and of what that holds.
    pub fn release(&self) {
        let object = self.object.replace(std::ptr::null_mut());
        if object.is_null() {
            return;
        }
        // SAFETY: the reference was owned; GIL. Nothing of this transport is used afterwards.
        unsafe {
            let fields = (*object.cast::<TransportObject>()).fields();
            let dropped = (
                (*fields).protocol.take(),
                (*fields).context.take(),
                (*fields).server.take(),
                (*fields).rare.take(),
            );
            drop(dropped);
            ffi::Py_DECREF(object);
        }
    }

    /// Calls a method of the Python protocol in the connection's context.
    #[inline]
    pub fn call(&self, name: &Object, argument: Option<&Object>) -> Outcome<Object> {
        let Some(object) = self.object() else { return Ok(none()) };
        let Some(protocol) = object.protocol() else { return Ok(none()) };
        object.in_context(|| match argument {
            Some(argument) => Object::call_method(name, &[protocol.as_ptr(), argument.as_ptr()]),
            None => Object::call_method(name, &[protocol.as_ptr()]),
        })
    }

    /// A callback has raised: it is reported, and if it was fatal the connection ends with it.
    #[cold]
    pub fn failed(&self, reactor: &Reactor<PythonHost>, method: &str, fatal: bool) {
        let Some(object) = self.object() else {
            // SAFETY: GIL.
            return unsafe { ffi::PyErr_Clear() };
        };
        // It must outlive the report, which is Python.
        let transport = counted(object);
        let host = reactor.host();
        if let Some(exception) = host.catch(reactor) {
            let protocol = object.protocol().unwrap_or_else(none);
            let prefix = if fatal { "Fatal error: " } else { "" };
            let message = format!("{prefix}protocol.{method}() call failed.");
            let about = [(c"transport", &transport), (c"protocol", &protocol)];
            host.report(reactor, &message, &exception, &about);
            if fatal {
                // SAFETY: as in `fields`; the old value is dropped after the write.
                let old = unsafe { (*object.fields()).rare().error.replace(exception) };
                drop(old);
            }
        }
        if let Some(engine) = object.engine().filter(|_| fatal) {
            engine.abort(reactor);
        }
    }
}

fn call(name: &Object, arguments: &[&Object]) -> Outcome<()> {
    let arguments: Vec<_> = arguments.iter().map(|argument| argument.as_ptr()).collect();
    Object::call_method(name, &arguments).map(drop)
}

/// The reason for a handshake that did not come to its end: without one of its own, it was we.
fn handshake_failure(reason: &Object) -> Object {
    if !reason.is_none() {
        return reason.clone();
    }
    let aborted = std::io::Error::from_raw_os_error(libc::ECONNABORTED);
    crate::kit::os_error(&aborted).unwrap_or_else(|Raised| take_or_none())
}

fn counted(object: &TransportObject) -> Object {
    // SAFETY: a live object; GIL.
    unsafe { Object::from_borrowed(object.as_ptr()) }
}

/// Immutable bytes that the write queue shares with Python: exact `bytes`, whose end runs no
/// foreign code.
pub struct SharedBytes(pub Object);

impl AsRef<[u8]> for SharedBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: an exact bytes object, which never changes and is kept alive by `self`.
        unsafe {
            let start = ffi::PyBytes_AS_STRING(self.0.as_ptr()).cast::<u8>();
            std::slice::from_raw_parts(start, ffi::PyBytes_Size(self.0.as_ptr()) as usize)
        }
    }
}

impl Protocol<PythonHost> for PythonProtocol {
    type Bytes = SharedBytes;

    #[inline]
    fn data_received(&self, reactor: &Reactor<PythonHost>, data: &[u8]) {
        let kind = self.kind.get();
        if matches!(kind, Kind::Stream | Kind::Frames) {
            return self.received_natively(reactor, data, kind);
        }
        self.reads_large.set(data.len() >= LARGE_READ);
        let result = Object::bytes(data)
            .and_then(|data| self.call(&globals().names.data_received, Some(&data)));
        if result.is_err() {
            self.failed(reactor, "data_received", true);
        }
    }

    fn secured(&self, reactor: &Reactor<PythonHost>) {
        if self.acquaintance.get() == Acquaintance::None {
            self.tell_server(reactor);
            self.introduce(reactor);
        }
        self.tell_waiter(reactor, None);
    }

    fn has_buffer(&self) -> bool {
        match self.kind.get() {
            Kind::Buffered => true,
            Kind::Plain => self.reads_large.get(),
            Kind::Stream | Kind::Frames => false,
        }
    }

    fn fill_buffer(
        &self,
        reactor: &Reactor<PythonHost>,
        fill: &mut dyn FnMut(&mut [u8]) -> io::Result<Received>,
    ) -> Option<io::Result<Received>> {
        if self.kind.get() == Kind::Plain {
            return self.read_large(reactor, fill);
        }
        let names = &globals().names;
        let received = Object::integer(-1)
            .and_then(|hint| self.call(&names.get_buffer, Some(&hint)))
            .and_then(|buffer| with_buffer(&buffer, fill));
        let Ok(received) = received else {
            self.failed(reactor, "get_buffer", true);
            return None;
        };
        if let Ok(Received::Data { count, .. }) = received {
            let result = Object::integer(count as i64)
                .and_then(|count| self.call(&names.buffer_updated, Some(&count)));
            if result.is_err() {
                self.failed(reactor, "buffer_updated", true);
                return None;
            }
        }
        Some(received)
    }

    fn eof_received(&self, reactor: &Reactor<PythonHost>) -> bool {
        let result = self.call(&globals().names.eof_received, None);
        match result.and_then(|keep_open| keep_open.truth()) {
            Ok(keep_open) => keep_open,
            Err(Raised) => {
                self.failed(reactor, "eof_received", true);
                false
            }
        }
    }

    fn connection_lost(&self, reactor: &Reactor<PythonHost>, error: Option<io::Error>) {
        let Some(object) = self.object() else { return };
        // SAFETY: as in `fields`.
        let raised = unsafe { (*object.fields()).take_error() };
        let reason = match (raised, error) {
            (Some(exception), _) => exception,
            (None, Some(error)) => {
                crate::kit::os_error(&error).unwrap_or_else(|Raised| take_or_none())
            }
            (None, None) => none(),
        };
        self.tell_waiter(reactor, Some(&handshake_failure(&reason)));
        let made = self.acquaintance.get() == Acquaintance::Made;
        if made && self.call(&globals().names.connection_lost, Some(&reason)).is_err() {
            self.failed(reactor, "connection_lost", false);
        }
        // SAFETY: as in `fields`; both are taken out before they are used.
        let (socket, server) =
            unsafe { ((*object.fields()).take_socket(), (*object.fields()).server.take()) };
        // A Python socket over our descriptor must not close it a second time.
        let mut results = vec![socket.map(|socket| call(&globals().names.detach, &[&socket]))];
        if let Some(server) = server {
            let transport = counted(object);
            if !made {
                let arguments = [&server, &transport, &reason];
                results.push(Some(call(&globals().names._handshake_failed, &arguments)));
            }
            results.push(Some(call(&globals().names._detach, &[&server, &transport])));
        }
        // SAFETY: as in `fields`; taken out before it is called.
        if let Some(watcher) = unsafe { (*object.fields()).take_watcher() } {
            results.push(Some(watcher.call(&[reason.as_ptr()]).map(drop)));
        }
        for result in results.into_iter().flatten() {
            if result.is_err() {
                self.failed(reactor, "connection_lost", false);
            }
        }
        self.release();
    }

    fn pause_writing(&self, reactor: &Reactor<PythonHost>) {
        if self.call(&globals().names.pause_writing, None).is_err() {
            self.failed(reactor, "pause_writing", false);
        }
    }

    fn resume_writing(&self, reactor: &Reactor<PythonHost>) {
        if self.call(&globals().names.resume_writing, None).is_err() {
            self.failed(reactor, "resume_writing", false);
        }
    }

    fn deadline(&self, reactor: &Reactor<PythonHost>, now: Nanos) {
        if self.kind.get() == Kind::Stream
            && let Some(protocol) = self.object().and_then(TransportObject::protocol)
            && crate::stream::deadline_passed(&protocol, now).is_err()
        {
            self.failed(reactor, "deadline", false);
        }
    }

    fn abandoned(&self) {
        if let Some(object) = self.object() {
            if self.kind.get() == Kind::Stream
                && let Some(protocol) = object.protocol()
            {
                crate::stream::abandoned(&protocol);
            }
            // SAFETY: as in `fields`.
            let socket = unsafe { (*object.fields()).take_socket() };
            if let Some(socket) = socket
                && Object::call_method(&globals().names.detach, &[socket.as_ptr()]).is_err()
            {
                // SAFETY: GIL. There is no loop left to tell.
                unsafe { ffi::PyErr_Clear() };
            }
        }
        self.release();
    }

    fn visit(&self, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        let object = self.object.get();
        if !object.is_null() {
            visitor(&object);
        }
    }
}

fn take_or_none() -> Object {
    // SAFETY: GIL.
    unsafe { ffi::PyErr_Clear() };
    none()
}

/// Lends the memory of a writable buffer object.
fn with_buffer<T>(object: &Object, body: impl FnOnce(&mut [u8]) -> T) -> Outcome<T> {
    // SAFETY: all-zero is a valid Py_buffer to be filled in.
    let mut view: ffi::Py_buffer = unsafe { std::mem::zeroed() };
    // SAFETY: the view is valid from here to its release; the exporter may not resize meanwhile.
    unsafe {
        if ffi::PyObject_GetBuffer(object.as_ptr(), &mut view, ffi::PyBUF_WRITABLE) < 0 {
            return Err(Raised);
        }
        if view.len == 0 {
            ffi::PyBuffer_Release(&mut view);
            return Err(raise(ffi::PyExc_RuntimeError, "get_buffer() returned an empty buffer"));
        }
        let slice = std::slice::from_raw_parts_mut(view.buf.cast::<u8>(), view.len as usize);
        let result = body(slice);
        ffi::PyBuffer_Release(&mut view);
        Ok(result)
    }
}
