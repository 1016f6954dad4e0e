//! `core.DatagramTransport`: an `asyncio.DatagramTransport` over the engine's datagrams, and the
//! Python protocol above it.
//!
//! Who holds whom is as with stream transports: the reactor holds the engine's half while the
//! socket is open, that holds the Python transport, and that holds protocol and loop.

mod addresses;
mod methods;
mod protocol;

use std::mem::offset_of;
use std::os::fd::{AsRawFd, OwnedFd};
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::datagrams::Datagrams;

use self::protocol::PythonDatagrams;
use crate::event_loop::{LoopObject, LoopState};
use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{Head, Object, Outcome, TypeSpec, doc};

type Engine = Datagrams<PythonHost, PythonDatagrams>;

/// What a Python transport has behind the slots of its base.
#[derive(Default)]
struct Fields {
    engine: Option<Rc<Engine>>,
    event_loop: Option<Object>,
    protocol: Option<Object>,
    context: Option<Object>,
    /// The only address to talk to, if the socket is connected.
    remote: Option<Object>,
    /// A Python socket over our descriptor.
    socket: Option<Object>,
    /// What a callback of the protocol has raised: the reason for `connection_lost`.
    error: Option<Object>,
    /// Who is called when it is over, besides the protocol.
    watcher: Option<Object>,
    /// CPython's list of weak references, which it finds by its place.
    weak_references: WeakList,
}

/// A pointer that CPython reads and writes; null at first.
struct WeakList(*mut ffi::PyObject);

impl Default for WeakList {
    fn default() -> Self {
        WeakList(std::ptr::null_mut())
    }
}

/// A Python transport; its fields lie behind those of `asyncio.DatagramTransport`.
#[repr(C)]
struct DatagramObject {
    head: Head,
}

impl DatagramObject {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    /// The fields. Only short reads and writes are made through this: nothing is held while
    /// Python runs.
    #[inline]
    fn fields(&self) -> *mut Fields {
        // SAFETY: every instance was made with room for the fields behind its base.
        unsafe { self.as_ptr().cast::<u8>().add(globals().datagram_fields).cast() }
    }

    #[inline]
    fn engine(&self) -> Option<Rc<Engine>> {
        // SAFETY: the fields are valid from `open` to `dealloc`; GIL.
        unsafe { (*self.fields()).engine.clone() }
    }

    #[inline]
    fn protocol(&self) -> Option<Object> {
        // SAFETY: as above.
        unsafe { (*self.fields()).protocol.clone() }
    }

    /// Engine transport and reactor, while both live.
    #[inline]
    fn parts(&self) -> Option<(Rc<Engine>, &Reactor<PythonHost>)> {
        // SAFETY: as above; the loop outlives its transports, which hold it.
        let state: &LoopState = unsafe {
            let event_loop = (*self.fields()).event_loop.as_ref()?;
            LoopObject::known(event_loop.as_ptr())
        };
        Some((self.engine()?, state.reactor()))
    }

    /// Runs a function in the transport's context.
    #[inline]
    fn in_context<T>(&self, body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        // SAFETY: the context is a live Context of this transport alone; it is left in any case.
        unsafe {
            let Some(context) = (*self.fields()).context.clone() else { return body() };
            // A context can be entered once: inside its own callbacks it is entered already.
            if ffi::PyContext_Enter(context.as_ptr()) < 0 {
                ffi::PyErr_Clear();
                return body();
            }
            let result = body();
            ffi::PyContext_Exit(context.as_ptr());
            result
        }
    }
}

fn extra_slot(this: &DatagramObject) -> *mut *mut ffi::PyObject {
    // SAFETY: the offset is that of the slot's own member descriptor, in the class that both kinds
    // of transports have as their base.
    unsafe { this.as_ptr().cast::<u8>().add(globals().transport_extra_slot).cast() }
}

/// Makes a transport over a bound or connected socket, tells its protocol, and starts to receive.
pub fn open(
    event_loop: *mut ffi::PyObject,
    socket: OwnedFd,
    protocol: Object,
    remote: Option<Object>,
    is_dual: bool,
) -> Outcome<Object> {
    // SAFETY: the caller's loop is live; GIL.
    if let Some(state) = unsafe { LoopObject::of(event_loop) } {
        state.forget_watcher(socket.as_raw_fd());
    }
    let class = globals().datagram_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the type's allocator gives zeroed memory, in which `Fields` is written before
    // anybody sees it; GIL.
    let object = unsafe {
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        let this = &*object.as_ptr().cast::<DatagramObject>();
        let context = Object::owned(ffi::PyContext_CopyCurrent())?;
        this.fields().write(Fields {
            engine: Some(Datagrams::new(socket, PythonDatagrams::new(object.clone(), is_dual))),
            event_loop: Some(Object::from_borrowed(event_loop)),
            protocol: Some(protocol),
            context: Some(context),
            remote,
            ..Fields::default()
        });
        object
    };
    // SAFETY: the object has just been made with this layout.
    let this = unsafe { &*object.as_ptr().cast::<DatagramObject>() };
    let Some((engine, reactor)) = this.parts() else { return Ok(object) };
    let host_side = engine.protocol();
    if host_side.call(&globals().names.connection_made, &[&object]).is_err() {
        host_side.failed(reactor, "connection_made", true);
    }
    if let Err(error) = engine.start(reactor) {
        host_side.release();
        return Err(error.into());
    }
    Ok(object)
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live transport whose fields are zeroed or written.
    unsafe {
        let this = &*object.cast::<DatagramObject>();
        let fields = &*this.fields();
        let owned = [
            &fields.event_loop,
            &fields.protocol,
            &fields.context,
            &fields.remote,
            &fields.socket,
            &fields.error,
            &fields.watcher,
        ];
        let extra = *extra_slot(this);
        let extra = (!extra.is_null()).then_some(extra);
        for value in owned.into_iter().flatten().map(Object::as_ptr).chain(extra) {
            let status = visit(value, argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live transport that nobody can reach. What is taken out
    // is dropped after the fields are consistent again.
    unsafe {
        let this = &*object.cast::<DatagramObject>();
        let fields = &mut *this.fields();
        let dropped = (
            fields.protocol.take(),
            fields.context.take(),
            fields.remote.take(),
            fields.socket.take(),
            fields.error.take(),
            fields.watcher.take(),
        );
        drop(dropped);
        let extra = std::ptr::replace(extra_slot(this), std::ptr::null_mut());
        ffi::Py_XDECREF(extra);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead transport. Zeroed fields are all `None`.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let this = &*object.cast::<DatagramObject>();
        if !(*this.fields()).weak_references.0.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        std::ptr::drop_in_place(this.fields());
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn represent(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    crate::kit::guard(|| {
        // SAFETY: CPython calls with a live transport.
        let this = unsafe { &*object.cast::<DatagramObject>() };
        let text = match this.engine() {
            Some(engine) => format!(
                "<sennit.DatagramTransport fd={} {:?} write_queue={}>",
                engine.descriptor().unwrap_or(-1),
                engine.state(),
                engine.queued()
            ),
            None => "<sennit.DatagramTransport>".to_owned(),
        };
        Object::text(&text)
    })
}

/// `core.DatagramTransport`: an `asyncio.DatagramTransport` and, as asyncio's own are, an
/// `asyncio.Transport` as well.
pub fn make_type(base: &Object, also: &Object) -> Outcome<Object> {
    // SAFETY: a type object; GIL.
    let base_size = unsafe { (*base.as_ptr().cast::<ffi::PyTypeObject>()).tp_basicsize } as usize;
    // SAFETY: the tuple counts its own references; GIL.
    let bases = unsafe { Object::owned(ffi::PyTuple_Pack(2, base.as_ptr(), also.as_ptr()))? };
    TypeSpec::new(c"sennit._native.core.DatagramTransport", base_size + size_of::<Fields>())
        .base(bases)
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A datagram socket of a Reactor."))
        .weak_references(base_size + offset_of!(Fields, weak_references))
        .methods(methods::table())
        .build()
}
