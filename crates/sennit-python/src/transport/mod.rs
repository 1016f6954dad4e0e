//! `core.Transport`: an `asyncio.Transport` over the engine's transport, and the Python protocol
//! above it.
//!
//! Who holds whom: while a connection lives, the reactor holds the engine's transport, that holds
//! (through [`PythonProtocol`]) the Python transport, and that holds protocol and loop. At the
//! end `connection_lost` lets go of the Python transport, and the circle is open.

mod above;
mod arguments;
mod limits;
mod methods;
mod protocol;

use std::io;
use std::mem::offset_of;
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::stream::Stream;
use sennit_engine::transport::{Handshake, Protocol, Transport, WriteLimits};

pub use self::above::NativeTransport;
pub use self::arguments::{chunk, extra_info, water_marks};
pub use self::limits::{make_type as make_limits_type, write_limits};
pub use self::protocol::SharedBytes;
use self::protocol::{Kind, PythonProtocol};
use crate::event_loop::{LoopObject, LoopState};
use crate::globals::globals;
use crate::host::PythonHost;
use crate::http::Guest;
use crate::kit::{Head, Object, Outcome, TypeSpec, doc};

type Engine = Transport<PythonHost, PythonProtocol>;

/// What a Python transport has behind the slots of its base.
#[derive(Default)]
struct Fields {
    engine: Option<Rc<Engine>>,
    event_loop: Option<Object>,
    protocol: Option<Object>,
    context: Option<Object>,
    server: Option<Object>,
    peer: Peer,
    rare: Option<Box<Rare>>,
    /// CPython's list of weak references, which it finds by its place.
    weak_references: WeakList,
}

/// What most connections never have.
#[derive(Default)]
struct Rare {
    /// A Python socket over our descriptor.
    socket: Option<Object>,
    /// What a callback of the protocol has raised: the reason for `connection_lost`.
    error: Option<Object>,
    /// A future that waits for a TLS handshake.
    waiter: Option<Object>,
    /// Who is called when the connection is over, besides the protocol.
    watcher: Option<Object>,
    /// What its server has counted before the connection became ours.
    guest: Option<Guest>,
}

impl Fields {
    fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    fn take_socket(&mut self) -> Option<Object> {
        self.rare.as_mut()?.socket.take()
    }

    fn take_waiter(&mut self) -> Option<Object> {
        self.rare.as_mut()?.waiter.take()
    }

    fn take_watcher(&mut self) -> Option<Object> {
        self.rare.as_mut()?.watcher.take()
    }

    fn take_error(&mut self) -> Option<Object> {
        self.rare.as_mut()?.error.take()
    }
}

/// The address of the other side. Most are IPv4, and a listener may have tens of thousands of them.
#[derive(Default)]
enum Peer {
    #[default]
    Unknown,
    V4(SocketAddrV4),
    V6(Box<SocketAddrV6>),
}

impl Peer {
    fn new(address: Option<SocketAddr>) -> Self {
        match address {
            None => Peer::Unknown,
            Some(SocketAddr::V4(address)) => Peer::V4(address),
            Some(SocketAddr::V6(address)) => Peer::V6(Box::new(address)),
        }
    }

    fn address(&self) -> Option<SocketAddr> {
        match self {
            Peer::Unknown => None,
            Peer::V4(address) => Some(SocketAddr::V4(*address)),
            Peer::V6(address) => Some(SocketAddr::V6(**address)),
        }
    }
}

/// A pointer that CPython reads and writes; null at first.
struct WeakList(*mut ffi::PyObject);

impl Default for WeakList {
    fn default() -> Self {
        WeakList(std::ptr::null_mut())
    }
}

/// A Python transport; its fields lie behind those of `asyncio.Transport`.
#[repr(C)]
struct TransportObject {
    head: Head,
}

impl TransportObject {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    /// The fields. Only short reads and writes are made through this: nothing is held while
    /// Python runs.
    #[inline]
    fn fields(&self) -> *mut Fields {
        // SAFETY: every instance was made with room for the fields behind its base.
        unsafe { self.as_ptr().cast::<u8>().add(globals().transport_fields).cast() }
    }

    #[inline]
    fn engine(&self) -> Option<Rc<Engine>> {
        // SAFETY: the fields are valid from `make` to `dealloc`; GIL.
        unsafe { (*self.fields()).engine.clone() }
    }

    #[inline]
    fn protocol(&self) -> Option<Object> {
        // SAFETY: as above.
        unsafe { (*self.fields()).protocol.clone() }
    }

    /// Counts the connection at its server, if it has one; `connection_lost` undoes it. False:
    /// the server does not want it.
    fn attach(&self) -> Outcome<bool> {
        // SAFETY: as above.
        let Some(server) = (unsafe { (*self.fields()).server.clone() }) else { return Ok(true) };
        let arguments = [server.as_ptr(), self.as_ptr()];
        let wanted = Object::call_method(&globals().names._attach, &arguments)?;
        // SAFETY: reading the address of a static.
        Ok(wanted.as_ptr() != unsafe { ffi::Py_False() })
    }

    fn loop_state(&self) -> Option<&LoopState> {
        // SAFETY: as above; the loop outlives its transports, which hold it.
        unsafe {
            let event_loop = (*self.fields()).event_loop.as_ref()?;
            Some(LoopObject::known(event_loop.as_ptr()))
        }
    }

    /// Engine transport and reactor, while both live.
    #[inline]
    fn parts(&self) -> Option<(Rc<Engine>, &Reactor<PythonHost>)> {
        Some((self.engine()?, self.loop_state()?.reactor()))
    }

    /// Runs a function in the connection's context.
    #[inline]
    fn in_context<T>(&self, body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
        // SAFETY: the context is a live Context of this transport alone; it is left in any case.
        unsafe {
            let Some(context) = (*self.fields()).context.clone() else { return body() };
            let context = context.as_ptr();
            // A context can be entered once: inside its own callbacks it is entered already.
            if ffi::PyContext_Enter(context) < 0 {
                ffi::PyErr_Clear();
                return body();
            }
            let result = body();
            ffi::PyContext_Exit(context);
            result
        }
    }
}

fn extra_slot(this: &TransportObject) -> *mut *mut ffi::PyObject {
    // SAFETY: the offset is that of the base class's own member descriptor.
    unsafe { this.as_ptr().cast::<u8>().add(globals().transport_extra_slot).cast() }
}

/// What a connection begins with.
#[derive(Default)]
pub struct Beginning {
    /// Its peer and its server, where a server has accepted it.
    pub accepted: Option<(Option<SocketAddr>, Object)>,
    /// A TLS handshake that comes before everything.
    pub handshake: Option<Handshake>,
    /// A future that waits for the handshake.
    pub waiter: Option<Object>,
    /// What a peer that does not read may cost.
    pub limits: Option<Rc<WriteLimits>>,
}

/// Makes a transport over a connection that has spoken another protocol until now; `input` is what came for this one,
/// `guest` is dropped at its end.
pub fn adopt(
    event_loop: *mut ffi::PyObject,
    stream: Stream<SharedBytes>,
    protocol: Object,
    input: &[u8],
    guest: Guest,
) -> Outcome<Object> {
    let object = open_stream(event_loop, stream, protocol.clone(), Beginning::default())?;
    // SAFETY: the object has just been made with this layout; the end of a connection is told in another turn.
    let this = unsafe { &*object.as_ptr().cast::<TransportObject>() };
    if let Some(engine) = this.engine() {
        let engine = Rc::downgrade(&engine);
        guest.on_abort(move |reactor| {
            if let Some(engine) = engine.upgrade() {
                engine.abort(reactor);
            }
        });
        // SAFETY: as in `fields`; there is none before.
        unsafe { (*this.fields()).rare().guest = Some(guest) };
    }
    if !input.is_empty() {
        let input = Object::bytes(input)?;
        protocol.attribute(c"data_received")?.call(&[input.as_ptr()])?;
    }
    if let Some((engine, reactor)) = this.parts() {
        engine.look_again(reactor);
    }
    Ok(object)
}

/// Makes a transport over a connected socket, tells its protocol, and starts to read.
pub fn open(
    event_loop: *mut ffi::PyObject,
    socket: OwnedFd,
    protocol: Object,
    beginning: Beginning,
) -> Outcome<Object> {
    open_stream(event_loop, Stream::new(socket), protocol, beginning)
}

fn open_stream(
    event_loop: *mut ffi::PyObject,
    stream: Stream<SharedBytes>,
    protocol: Object,
    beginning: Beginning,
) -> Outcome<Object> {
    let Beginning { accepted, handshake, waiter, limits } = beginning;
    let kind = Kind::of(&protocol)?;
    // SAFETY: the caller's loop is live; GIL.
    if let Some(state) = unsafe { LoopObject::of(event_loop) } {
        state.forget_watcher(stream.descriptor());
    }
    let class = globals().transport_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the type's allocator gives zeroed memory, in which `Fields` is written before
    // anybody sees it; GIL.
    let object = unsafe {
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        let this = &*object.as_ptr().cast::<TransportObject>();
        let context = Object::owned(ffi::PyContext_CopyCurrent())?;
        let host_side = PythonProtocol::new(object.clone(), kind);
        let (peer, server) = accepted.map_or((None, None), |(peer, server)| (peer, Some(server)));
        this.fields().write(Fields {
            engine: Some(Transport::over(stream, host_side)),
            event_loop: Some(Object::from_borrowed(event_loop)),
            protocol: Some(protocol),
            context: Some(context),
            server,
            peer: Peer::new(peer),
            rare: waiter.map(|waiter| Box::new(Rare { waiter: Some(waiter), ..Rare::default() })),
            ..Fields::default()
        });
        object
    };
    // SAFETY: the object has just been made with this layout.
    let this = unsafe { &*object.as_ptr().cast::<TransportObject>() };
    let Some((engine, reactor)) = this.parts() else { return Ok(object) };
    let host_side = engine.protocol();
    match this.attach() {
        Ok(true) => {}
        refused => {
            host_side.release();
            return refused.map(|_| object);
        }
    }
    if let Some(limits) = limits {
        engine.set_write_limits(reactor, limits);
    }
    let started = match handshake {
        Some(handshake) => {
            engine.start_tls(reactor, handshake).and_then(|()| engine.start(reactor))
        }
        None => {
            host_side.introduce(reactor);
            engine.start(reactor)
        }
    };
    if let Err(error) = started {
        // Whoever has heard of the beginning hears of the end, the server too.
        let reason = io::Error::from_raw_os_error(error.raw_os_error().unwrap_or(libc::EIO));
        host_side.connection_lost(reactor, Some(reason));
        return Err(error.into());
    }
    Ok(object)
}

/// Those of the values that are connections of one server.
///
/// # Safety
/// The values are live objects; GIL.
pub unsafe fn of_server(values: &[*mut ffi::PyObject], server: *mut ffi::PyObject) -> Vec<Object> {
    let class = globals().transport_type.as_ptr();
    let is_its_own = |value: &*mut ffi::PyObject| {
        // SAFETY: the caller vouches for the values; an instance of the class has the fields.
        unsafe {
            ffi::Py_TYPE(*value).cast() == class
                && (*(*value.cast::<TransportObject>()).fields())
                    .server
                    .as_ref()
                    .is_some_and(|own| own.as_ptr() == server)
        }
    };
    let found = values.iter().copied().filter(is_its_own);
    // SAFETY: as above.
    found.map(|value| unsafe { Object::from_borrowed(value) }).collect()
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live transport whose fields are zeroed or written.
    unsafe {
        let this = &*object.cast::<TransportObject>();
        let fields = &*this.fields();
        let extra = *extra_slot(this);
        let owned = [&fields.event_loop, &fields.protocol, &fields.context, &fields.server];
        let rare = fields.rare.as_ref();
        let rare = rare.map(|rare| [&rare.socket, &rare.error, &rare.waiter, &rare.watcher]);
        for value in
            owned.into_iter().chain(rare.into_iter().flatten()).flatten().map(Object::as_ptr)
        {
            let status = visit(value, argument);
            if status != 0 {
                return status;
            }
        }
        if !extra.is_null() {
            let status = visit(extra, argument);
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
        let this = &*object.cast::<TransportObject>();
        let fields = &mut *this.fields();
        let dropped = (
            fields.protocol.take(),
            fields.context.take(),
            fields.server.take(),
            fields.rare.take(),
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
        let this = &*object.cast::<TransportObject>();
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
        let this = unsafe { &*object.cast::<TransportObject>() };
        let text = match this.engine() {
            Some(engine) => format!(
                "<sennit.Transport fd={} {:?} reading={:?} write_queue={}>",
                engine.descriptor().unwrap_or(-1),
                engine.state(),
                engine.reading(),
                engine.queued()
            ),
            None => "<sennit.Transport>".to_owned(),
        };
        Object::text(&text)
    })
}

/// `core.Transport`.
pub fn make_type(base: &Object) -> Outcome<Object> {
    // SAFETY: a type object; GIL.
    let base_size = unsafe { (*base.as_ptr().cast::<ffi::PyTypeObject>()).tp_basicsize } as usize;
    TypeSpec::new(c"sennit._native.core.Transport", base_size + size_of::<Fields>())
        .base(base.clone())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A connected stream socket of a Reactor."))
        .weak_references(base_size + offset_of!(Fields, weak_references))
        .methods(methods::table())
        .build()
}
