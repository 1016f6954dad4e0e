//! `core.Stream`: what it holds, and how it is made and collected.

use std::mem::offset_of;

use pyo3_ffi as ffi;
use sennit_engine::Nanos;

use super::below::Below;
use super::inbox::Inbox;
use super::waiter::Waiter;
use super::wanted::Wanted;
use super::{events, reading, settings, writing};
use crate::kit::{Head, Object, Outcome, Raised, TypeSpec, doc, guard};

/// No deadline.
pub const NEVER: Nanos = Nanos::MAX;

/// Unread bytes beyond which the peer has to wait, unless a program says otherwise: as much as may wait to be sent.
pub const MAX_BUFFERED: usize = 64 * 1024;

/// Where a stream is in its life; the room's page has the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    New,
    Open,
    Closing,
    Lost,
    Closed,
}

/// The reading half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming {
    Flowing,
    /// Too much is unread.
    Paused,
    /// The peer has sent all.
    Ended,
}

/// The writing half.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outgoing {
    Flowing,
    /// The write queue is above its high-water mark.
    Full,
    /// `write_eof` was called.
    Ended,
}

/// Who waits for something to be read.
pub struct Reader {
    pub waiter: Waiter,
    pub wanted: Wanted,
}

/// What most streams never have.
#[derive(Default)]
pub struct Rare {
    /// Who waits for room in the write queue.
    pub writers: Vec<Waiter>,
    /// Who waits for the end of the connection.
    pub closers: Vec<Waiter>,
    /// Why the connection has ended.
    pub error: Option<Object>,
    /// Bytes that waited to be sent when the deadline for writing was set.
    pub queued: usize,
    /// Where the loop is somebody else's: its timer for the deadlines.
    pub timer: Option<Object>,
}

/// What a stream holds. Only short reads and writes are made to it: nothing is held while Python runs.
pub struct Fields {
    pub below: Option<Below>,
    pub inbox: Inbox,
    pub life: Life,
    pub incoming: Incoming,
    pub outgoing: Outgoing,
    pub reader: Option<Reader>,
    pub max_buffered: usize,
    /// Nanoseconds; 0 is none.
    pub read_timeout: Nanos,
    pub write_timeout: Nanos,
    pub read_deadline: Nanos,
    pub write_deadline: Nanos,
    /// When the wheel looks at this stream next.
    pub armed_at: Nanos,
    pub received: u64,
    pub sent: u64,
    pub rare: Option<Box<Rare>>,
}

impl Default for Fields {
    fn default() -> Self {
        Fields {
            below: None,
            inbox: Inbox::default(),
            life: Life::New,
            incoming: Incoming::Flowing,
            outgoing: Outgoing::Flowing,
            reader: None,
            max_buffered: MAX_BUFFERED,
            read_timeout: 0,
            write_timeout: 0,
            read_deadline: NEVER,
            write_deadline: NEVER,
            armed_at: NEVER,
            received: 0,
            sent: 0,
            rare: None,
        }
    }
}

impl Fields {
    /// What most streams never have.
    pub fn rare(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// Why the connection has ended.
    pub fn error(&self) -> Option<&Object> {
        self.rare.as_ref()?.error.as_ref()
    }
}

/// A stream.
#[repr(C)]
pub struct StreamObject {
    head: Head,
    weak_references: *mut ffi::PyObject,
    fields: std::cell::UnsafeCell<Fields>,
}

impl StreamObject {
    /// The stream behind an object that is known to be one.
    #[inline]
    pub fn of(object: &Object) -> &StreamObject {
        // SAFETY: whoever hands in the object has checked its type; it lives as long as the reference.
        unsafe { &*object.as_ptr().cast::<StreamObject>() }
    }

    /// The object.
    #[inline]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    /// What it holds, for one short read or write.
    #[inline]
    #[allow(clippy::mut_from_ref)] // one thread at a time has the GIL, and no two borrows overlap
    pub fn fields(&self) -> &mut Fields {
        // SAFETY: nothing that runs Python is called while a borrow lives: see the page of `Fields`.
        unsafe { &mut *self.fields.get() }
    }

    /// Another reference to what is below.
    pub fn below(&self) -> Option<Below> {
        self.fields().below.clone()
    }
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live class, whose allocator gives zeroed memory; the fields are
        // written before anybody sees the object.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<StreamObject>();
            (&raw mut (*this).fields).write(std::cell::UnsafeCell::new(Fields::default()));
            Ok(object)
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live stream whose fields are written: only then is it tracked
    // by a class that can be reached; zeroed ones hold nothing.
    unsafe {
        let fields = &*(*object.cast::<StreamObject>()).fields.get();
        let rare = fields.rare.as_ref();
        let waiters = rare.into_iter().flat_map(|rare| rare.writers.iter().chain(&rare.closers));
        let owned = fields
            .below
            .iter()
            .map(Below::object)
            .chain(fields.reader.iter().map(|reader| reader.waiter.object()))
            .chain(waiters.map(Waiter::object))
            .chain(rare.into_iter().flat_map(|rare| rare.error.iter().chain(&rare.timer)));
        for value in owned {
            let status = visit(value.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live stream that nobody can reach; what is taken out is
    // dropped afterwards.
    unsafe {
        let fields = &mut *(*object.cast::<StreamObject>()).fields.get();
        let dropped = (fields.below.take(), fields.reader.take(), fields.rare.take());
        drop(dropped);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead stream.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let this = object.cast::<StreamObject>();
        if !(*this).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        std::ptr::drop_in_place((*this).fields.get());
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.Stream`.
pub fn make_type() -> Outcome<Object> {
    let mut methods = events::methods();
    methods.extend(reading::methods());
    methods.extend(writing::methods());
    TypeSpec::new(c"sennit._native.core.Stream", size_of::<StreamObject>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_init, settings::init as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_am_aiter, reading::iterator as *mut _)
        .slot(ffi::Py_am_anext, reading::next as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A connection to be read and written with await."))
        .weak_references(offset_of!(StreamObject, weak_references))
        .attributes(settings::attributes())
        .methods(methods)
        .build()
}
