//! The Python protocol as the engine's datagrams see it.

use std::cell::{Cell, RefCell};
use std::io;

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::datagrams::DatagramProtocol;
use sennit_engine::socket::datagram::RawAddress;

use super::DatagramObject;
use super::addresses::Addresses;
use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{Object, Outcome, Raised, none, os_error};
use crate::transport::SharedBytes;

/// The engine's view of a Python protocol for datagrams.
pub struct PythonDatagrams {
    /// The Python transport: owned while the socket is open, null after it.
    object: Cell<*mut ffi::PyObject>,
    addresses: RefCell<Addresses>,
}

impl PythonDatagrams {
    /// The protocol of a Python transport, which this holds until the end.
    pub fn new(object: Object, is_dual: bool) -> Self {
        let addresses = RefCell::new(Addresses::new(is_dual));
        PythonDatagrams { object: Cell::new(object.into_ptr()), addresses }
    }

    /// The address that a Python object writes.
    pub fn raw_address(&self, object: *mut ffi::PyObject) -> Outcome<RawAddress> {
        self.addresses.borrow().raw(object)
    }

    #[inline]
    fn object(&self) -> Option<&DatagramObject> {
        // SAFETY: owned until `release`; GIL.
        unsafe { self.object.get().cast::<DatagramObject>().as_ref() }
    }

    /// Lets go of the Python transport and of what that holds.
    pub fn release(&self) {
        let object = self.object.replace(std::ptr::null_mut());
        if object.is_null() {
            return;
        }
        // SAFETY: the reference was owned; GIL. Nothing of this transport is used afterwards.
        unsafe {
            let fields = (*object.cast::<DatagramObject>()).fields();
            let dropped =
                ((*fields).protocol.take(), (*fields).context.take(), (*fields).socket.take());
            drop(dropped);
            ffi::Py_DECREF(object);
        }
    }

    /// Calls a method of the Python protocol in the transport's context.
    #[inline]
    pub fn call(&self, name: &Object, arguments: &[&Object]) -> Outcome<()> {
        let Some(object) = self.object() else { return Ok(()) };
        let Some(protocol) = object.protocol() else { return Ok(()) };
        object.in_context(|| {
            let mut all = [protocol.as_ptr(); 3];
            for (place, argument) in all[1..].iter_mut().zip(arguments) {
                *place = argument.as_ptr();
            }
            Object::call_method(name, &all[..=arguments.len()]).map(drop)
        })
    }

    /// A callback has raised: it is reported; asyncio ends the transport only for a datagram's.
    #[cold]
    pub fn failed(&self, reactor: &Reactor<PythonHost>, method: &str, fatal: bool) {
        let Some(object) = self.object() else {
            // SAFETY: GIL.
            return unsafe { ffi::PyErr_Clear() };
        };
        // SAFETY: a live object, which must outlive the report; GIL.
        let transport = unsafe { Object::from_borrowed(object.as_ptr()) };
        let host = reactor.host();
        // What leaves the loop, such as Ctrl-C, is no mistake of the protocol's and ends nothing.
        let Some(exception) = host.catch(reactor) else { return };
        let protocol = object.protocol().unwrap_or_else(none);
        let message = format!("protocol.{method}() call failed.");
        let about = [(c"transport", &transport), (c"protocol", &protocol)];
        host.report(reactor, &message, &exception, &about);
        if fatal {
            // SAFETY: as in `fields`; the old value is dropped after the write.
            let old = unsafe { (*object.fields()).error.replace(exception) };
            drop(old);
            if let Some(engine) = object.engine() {
                engine.abort(reactor);
            }
        }
    }
}

impl DatagramProtocol<PythonHost> for PythonDatagrams {
    type Bytes = SharedBytes;

    #[inline]
    fn datagram_received(&self, reactor: &Reactor<PythonHost>, data: &[u8], from: &RawAddress) {
        let address = self.addresses.borrow_mut().object(from);
        let result = address.and_then(|address| {
            let data = Object::bytes(data)?;
            self.call(&globals().names.datagram_received, &[&data, &address])
        });
        if result.is_err() {
            self.failed(reactor, "datagram_received", true);
        }
    }

    fn error_received(&self, reactor: &Reactor<PythonHost>, error: io::Error) {
        let result = os_error(&error)
            .and_then(|error| self.call(&globals().names.error_received, &[&error]));
        if result.is_err() {
            self.failed(reactor, "error_received", true);
        }
    }

    fn connection_lost(&self, reactor: &Reactor<PythonHost>, _error: Option<io::Error>) {
        let Some(object) = self.object() else { return };
        // SAFETY: as in `fields`; both are taken out before they are used.
        let (raised, socket) =
            unsafe { ((*object.fields()).error.take(), (*object.fields()).socket.take()) };
        let reason = raised.unwrap_or_else(none);
        if self.call(&globals().names.connection_lost, &[&reason]).is_err() {
            self.failed(reactor, "connection_lost", false);
        }
        // A Python socket over our descriptor must not close it a second time.
        let detached =
            socket.map(|socket| Object::call_method(&globals().names.detach, &[socket.as_ptr()]));
        if let Some(Err(Raised)) = detached {
            self.failed(reactor, "connection_lost", false);
        }
        // SAFETY: as in `fields`; taken out before it is called.
        let watcher = unsafe { (*object.fields()).watcher.take() };
        if let Some(Err(Raised)) = watcher.map(|watcher| watcher.call(&[reason.as_ptr()])) {
            self.failed(reactor, "connection_lost", false);
        }
        self.release();
    }

    fn pause_writing(&self, reactor: &Reactor<PythonHost>) {
        if self.call(&globals().names.pause_writing, &[]).is_err() {
            self.failed(reactor, "pause_writing", false);
        }
    }

    fn resume_writing(&self, reactor: &Reactor<PythonHost>) {
        if self.call(&globals().names.resume_writing, &[]).is_err() {
            self.failed(reactor, "resume_writing", false);
        }
    }

    fn abandoned(&self) {
        if let Some(object) = self.object() {
            // SAFETY: as in `fields`.
            let socket = unsafe { (*object.fields()).socket.take() };
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
