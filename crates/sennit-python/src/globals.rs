//! What every native type needs to know of Python: looked up once, when the module is imported.

use std::cell::UnsafeCell;
use std::ffi::CStr;

use pyo3_ffi as ffi;

use crate::http::{AsyncioParts, HttpTypes};
use crate::kit::{Object, Outcome, Raised, intern, raise};
use crate::stream::StreamTypes;

/// Where the slots of `asyncio.Handle` and `asyncio.TimerHandle` lie in an instance, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct HandleSlots {
    pub callback: usize,
    pub args: usize,
    pub cancelled: usize,
    pub context: usize,
    pub event_loop: usize,
    pub source_traceback: usize,
    pub repr: usize,
    pub weak_references: usize,
    pub when: usize,
    pub scheduled: usize,
    pub size: usize,
    pub timer_size: usize,
}

macro_rules! names {
    ($($name:ident),* $(,)?) => {
        /// Interned names of attributes and methods.
        pub struct Names { $(pub $name: Object,)* }

        impl Names {
            fn new() -> Outcome<Self> {
                Ok(Names { $($name: intern(name_of(concat!(stringify!($name), "\0")))?,)* })
            }
        }
    };
}

fn name_of(text: &'static str) -> &'static CStr {
    CStr::from_bytes_with_nul(text.as_bytes()).unwrap_or(c"")
}

names!(
    context,
    connection_made,
    data_received,
    eof_received,
    datagram_received,
    error_received,
    connection_lost,
    pause_writing,
    resume_writing,
    get_buffer,
    buffer_updated,
    call_exception_handler,
    detach,
    _attach,
    _detach,
    _report_callback_error,
    _report_slow_callback,
    _check_call,
    _transport_extra,
    _keep_source,
    done,
    set_result,
    set_exception,
    moved,
    _handshake_failed,
    _secured,
    _drained,
    _exhausted,
    max_size,
    frame_received,
    frame_error,
    _idle,
    _open_stream,
    _manual_clock,
    _missed,
    call_soon_threadsafe,
    _result_dropped,
    _start_thread,
    _thread_ended,
);

/// Everything that was looked up.
pub struct Globals {
    pub names: Names,
    pub empty_tuple: Object,
    pub handle_slots: HandleSlots,
    pub handle_type: Object,
    pub timer_handle_type: Object,
    pub transport_type: Object,
    pub transport_fields: usize,
    pub datagram_type: Object,
    pub datagram_fields: usize,
    pub tls_server_type: Object,
    pub tls_client_type: Object,
    pub write_limits_type: Object,
    pub loop_type: Object,
    pub transport_extra_slot: usize,
    pub buffered_protocol: Object,
    pub future_type: Object,
    pub loop_keyword: Object,
    pub asyncio: AsyncioParts,
    pub http: HttpTypes,
    pub stream: StreamTypes,
    pub deferred_type: Object,
    pub thread_pool_type: Object,
    pub thread_call_type: Object,
    /// `asyncio.get_running_loop`.
    pub running_loop: Object,
    pub methods: Methods,
}

/// Names of HTTP methods that are asked for all the time.
pub struct Methods {
    pub get: Object,
    pub post: Object,
}

struct Once(UnsafeCell<Option<Globals>>);

// SAFETY: written once, under the GIL, by the module's import; read under the GIL afterwards.
unsafe impl Sync for Once {}

static GLOBALS: Once = Once(UnsafeCell::new(None));

/// What was looked up at import.
#[inline]
pub fn globals() -> &'static Globals {
    // SAFETY: no type of this module can be used before `fill` has returned.
    unsafe { (*GLOBALS.0.get()).as_ref().unwrap_unchecked() }
}

/// Where a slot of a Python class lies in its instances.
fn slot_offset(class: &Object, name: &CStr) -> Outcome<usize> {
    let descriptor = class.attribute(name)?;
    // SAFETY: the type is checked before the layout is used; member descriptors are the same in
    // CPython 3.11 to 3.13; GIL.
    unsafe {
        if ffi::Py_TYPE(descriptor.as_ptr()) != &raw mut ffi::PyMemberDescr_Type {
            let name = name.to_string_lossy();
            return Err(raise(
                ffi::PyExc_ImportError,
                &format!("asyncio's {name} is no slot on this Python; sennit cannot extend it"),
            ));
        }
        let member = (*descriptor.as_ptr().cast::<ffi::PyMemberDescrObject>()).d_member;
        Ok((*member).offset as usize)
    }
}

fn type_pointer(class: &Object) -> *mut ffi::PyTypeObject {
    class.as_ptr().cast()
}

fn find_handle_slots(asyncio: &Object) -> Outcome<HandleSlots> {
    let handle = asyncio.attribute(c"Handle")?;
    let timer = asyncio.attribute(c"TimerHandle")?;
    // SAFETY: both are type objects; GIL.
    let (size, timer_size, weak) = unsafe {
        let (handle, timer) = (type_pointer(&handle), type_pointer(&timer));
        ((*handle).tp_basicsize, (*timer).tp_basicsize, (*handle).tp_weaklistoffset)
    };
    Ok(HandleSlots {
        callback: slot_offset(&handle, c"_callback")?,
        args: slot_offset(&handle, c"_args")?,
        cancelled: slot_offset(&handle, c"_cancelled")?,
        context: slot_offset(&handle, c"_context")?,
        event_loop: slot_offset(&handle, c"_loop")?,
        source_traceback: slot_offset(&handle, c"_source_traceback")?,
        repr: slot_offset(&handle, c"_repr")?,
        weak_references: weak as usize,
        when: slot_offset(&timer, c"_when")?,
        scheduled: slot_offset(&timer, c"_scheduled")?,
        size: size as usize,
        timer_size: timer_size as usize,
    })
}

/// Looks everything up and makes the types. Called once, by the module's import.
pub fn fill() -> Outcome<()> {
    // SAFETY: GIL; nobody reads before this has returned.
    if unsafe { (*GLOBALS.0.get()).is_some() } {
        return Ok(());
    }
    let asyncio = Object::import(c"asyncio")?;
    let handle_slots = find_handle_slots(&asyncio)?;
    let transport = asyncio.attribute(c"Transport")?;
    let datagram_transport = asyncio.attribute(c"DatagramTransport")?;
    let transport_extra_slot = slot_offset(&transport, c"_extra")?;
    // SAFETY: a new empty tuple; GIL.
    let empty_tuple = unsafe { Object::owned(ffi::PyTuple_New(0))? };
    let globals = Globals {
        names: Names::new()?,
        empty_tuple,
        handle_slots,
        handle_type: crate::handle::make_type(asyncio.attribute(c"Handle")?, &handle_slots)?,
        timer_handle_type: crate::handle::make_timer_type(
            asyncio.attribute(c"TimerHandle")?,
            &handle_slots,
        )?,
        transport_type: crate::transport::make_type(&transport)?,
        // SAFETY: a type object; GIL.
        transport_fields: unsafe { (*type_pointer(&transport)).tp_basicsize as usize },
        datagram_type: crate::datagrams::make_type(&datagram_transport, &transport)?,
        // SAFETY: a type object; GIL.
        datagram_fields: unsafe { (*type_pointer(&datagram_transport)).tp_basicsize as usize },
        tls_server_type: crate::tls::make_server_type()?,
        tls_client_type: crate::tls::make_client_type()?,
        write_limits_type: crate::transport::make_limits_type()?,
        loop_type: crate::event_loop::make_type()?,
        transport_extra_slot,
        buffered_protocol: asyncio.attribute(c"BufferedProtocol")?,
        future_type: asyncio.attribute(c"Future")?,
        // SAFETY: one new string goes into a new tuple; GIL.
        loop_keyword: unsafe {
            let name = intern(c"loop")?;
            Object::owned(ffi::PyTuple_Pack(1, name.as_ptr()))?
        },
        asyncio: AsyncioParts::new()?,
        http: HttpTypes::new()?,
        stream: StreamTypes::new()?,
        deferred_type: crate::deferred::make_type()?,
        thread_pool_type: crate::threads::make_pool_type()?,
        thread_call_type: crate::threads::make_call_type()?,
        running_loop: asyncio.attribute(c"get_running_loop")?,
        methods: Methods { get: intern(c"GET")?, post: intern(c"POST")? },
    };
    // SAFETY: as above.
    unsafe { *GLOBALS.0.get() = Some(globals) };
    Ok(())
}

/// Whether an object is an instance of a class.
pub fn is_instance(object: *mut ffi::PyObject, class: &Object) -> Outcome<bool> {
    // SAFETY: both are live; GIL.
    match unsafe { ffi::PyObject_IsInstance(object, class.as_ptr()) } {
        -1 => Err(Raised),
        result => Ok(result == 1),
    }
}
