//! The object: what it holds, how it is made, seen by the collector, and dies.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ffi::{c_char, c_void};
use std::mem::{ManuallyDrop, offset_of};

use pyo3_ffi as ffi;

use super::entry::{Entry, Kind};
use super::helpers::{Helper, describe, helper};
use super::{adding, awaiting, firing, place};
use crate::globals::globals;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, guard, guard_void, none,
};

/// What a Deferred has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// No result yet.
    Waiting,
    /// A value.
    Value,
    /// An exception as it was raised.
    Raised,
    /// A `Failure`.
    Wrapped,
}

/// A callback of this chain is under way.
pub const RUNNING: u8 = 1;
/// Somebody has taken the error.
pub const HANDLED: u8 = 2;
/// It was cancelled: the result that is on its way is let go by, once.
pub const SWALLOWS: u8 = 4;

/// What most Deferreds never have.
#[derive(Default)]
pub struct More {
    pub others: VecDeque<Entry>,
    pub canceller: Option<Object>,
    /// The Deferred whose result this chain waits for.
    pub waits_for: Option<Object>,
}

/// The fields behind those that CPython knows.
#[repr(C)]
pub struct Fields {
    /// `_asyncio_future_blocking`.
    pub blocking: c_char,
    pub state: State,
    pub flags: u8,
    /// Where in its code it was made.
    offset: i32,
    /// The number of its thread.
    pub owner: u32,
    /// How often it was paused, waiting for another one included.
    pub pauses: u32,
    pub result: Option<Object>,
    code: Option<Object>,
    /// The front of the queue of entries.
    pub first: Option<Entry>,
    pub more: Option<Box<More>>,
}

/// A Deferred.
#[repr(C)]
pub struct DeferredObject {
    head: Head,
    dict: *mut ffi::PyObject,
    weak_references: *mut ffi::PyObject,
    fields: Fields,
}

/// Dead ones kept for reuse.
const KEPT: usize = 512;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// The deaths under way in one thread: a chain of a hundred thousand is no recursion. What is dropped may let other
/// threads run, so each has its own.
struct Dying {
    depth: Cell<u32>,
    /// Those that are to die after the one that is dying. It is emptied before its thread can end.
    put_off: UnsafeCell<ManuallyDrop<Vec<*mut ffi::PyObject>>>,
}

thread_local! {
    static DYING: Dying = const {
        Dying { depth: Cell::new(0), put_off: UnsafeCell::new(ManuallyDrop::new(Vec::new())) }
    };
}

/// How deep one death may cause the next before it is put off.
const DEEPEST: u32 = 32;

/// The fields of a Deferred.
///
/// Used for short reads and writes, between which no Python code runs.
#[inline]
pub fn fields(object: &Object) -> *mut Fields {
    fields_at(object.as_ptr())
}

#[inline]
fn fields_at(object: *mut ffi::PyObject) -> *mut Fields {
    // SAFETY: the pointer names a Deferred: CPython checks it for methods, we for the others.
    unsafe { &raw mut (*object.cast::<DeferredObject>()).fields }
}

impl DeferredObject {
    /// A reference to this.
    #[inline]
    pub fn object(&self) -> Object {
        // SAFETY: a live Deferred; GIL.
        unsafe { Object::from_borrowed(self.head.get()) }
    }
}

/// Whether an object is a Deferred.
#[inline]
pub fn is_deferred(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object; GIL.
    unsafe { ffi::PyObject_TypeCheck(object, globals().deferred_type.as_ptr().cast()) != 0 }
}

impl Fields {
    /// The rare part, made when it is first needed.
    fn rare(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }
}

/// Puts an entry at the end of the queue.
#[inline]
pub fn push(object: &Object, entry: Entry) {
    // SAFETY: nothing is dropped and nothing runs; GIL.
    unsafe {
        let fields = &mut *fields(object);
        let is_empty = fields.more.as_ref().is_none_or(|more| more.others.is_empty());
        if is_empty && fields.first.is_none() {
            fields.first = Some(entry);
        } else {
            fields.rare().others.push_back(entry);
        }
    }
}

/// Takes the entry at the front.
#[inline]
pub fn pop(object: &Object) -> Option<Entry> {
    // SAFETY: nothing is dropped and nothing runs; GIL.
    unsafe {
        let fields = &mut *fields(object);
        fields.first.take().or_else(|| fields.more.as_mut()?.others.pop_front())
    }
}

/// The entries that wait, for short use between which no Python code runs.
pub fn entries(object: &Object) -> impl Iterator<Item = &Entry> {
    // SAFETY: the caller keeps to that; GIL.
    let fields = unsafe { &*fields(object) };
    fields.first.iter().chain(fields.more.iter().flat_map(|more| &more.others))
}

/// Takes some entries out; what is asked runs no Python code.
pub fn extract(object: &Object, is_wanted: impl Fn(&Entry) -> bool) -> Vec<Entry> {
    // SAFETY: nothing is dropped and nothing runs; GIL.
    unsafe {
        let fields = &mut *fields(object);
        let others = fields.more.as_mut().map(|more| std::mem::take(&mut more.others));
        let (mut wanted, mut rest) = (Vec::new(), VecDeque::new());
        for entry in fields.first.take().into_iter().chain(others.into_iter().flatten()) {
            if is_wanted(&entry) { wanted.push(entry) } else { rest.push_back(entry) }
        }
        fields.first = rest.pop_front();
        if !rest.is_empty() {
            fields.rare().others = rest;
        }
        wanted
    }
}

/// Whom a chain waits for.
pub fn waits_for(object: &Object) -> Option<Object> {
    // SAFETY: a short read; GIL.
    unsafe { (*fields(object)).more.as_ref().and_then(|more| more.waits_for.clone()) }
}

/// Says whom a chain waits for from now on, and gives back whom it has waited for.
pub fn wait_for(object: &Object, other: Option<Object>) -> Option<Object> {
    // SAFETY: nothing is dropped and nothing runs; GIL.
    unsafe {
        let fields = &mut *fields(object);
        match other {
            Some(other) => fields.rare().waits_for.replace(other),
            None => fields.more.as_mut().and_then(|more| more.waits_for.take()),
        }
    }
}

/// Whether another chain waits for this one.
pub fn is_waited_for(object: &Object) -> bool {
    entries(object).any(|entry| matches!(entry.kind(), Kind::MoveOn(_)))
}

/// A new Deferred of the exact type.
#[inline]
pub fn make(canceller: Option<Object>) -> Outcome<Object> {
    let class = globals().deferred_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: a kept object is dead, untracked and cleared; every field is written before anybody sees it; GIL.
    unsafe {
        let object = match (*FREE.0.get()).pop() {
            Some(object) => {
                ffi::PyObject_Init(object, class);
                object
            }
            None => ffi::PyObject_GC_New::<ffi::PyObject>(class),
        };
        if object.is_null() {
            return Err(Raised);
        }
        begin(object, canceller);
        ffi::PyObject_GC_Track(object.cast());
        Object::owned(object)
    }
}

unsafe fn begin(object: *mut ffi::PyObject, canceller: Option<Object>) {
    let (code, offset) = place::code_here();
    let more =
        canceller.map(|canceller| Box::new(More { canceller: Some(canceller), ..More::default() }));
    // SAFETY: the caller vouches for the memory of a Deferred whose fields nobody has read.
    unsafe {
        let this = object.cast::<DeferredObject>();
        (&raw mut (*this).dict).write(std::ptr::null_mut());
        (&raw mut (*this).weak_references).write(std::ptr::null_mut());
        (&raw mut (*this).fields).write(Fields {
            blocking: 0,
            state: State::Waiting,
            flags: 0,
            offset,
            owner: place::owner_here(),
            pauses: 0,
            result: None,
            code,
            first: None,
            more,
        });
    }
}

fn canceller_of(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Option<Object>> {
    let [canceller] = keywords.bind("Deferred", args, 1, &[c"canceller"])?;
    Ok(crate::kit::unless_none(canceller))
}

unsafe extern "C" fn vectorcall(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: the vectorcall convention vouches for the arguments.
        let (args, keywords) =
            unsafe { Keywords::split(arguments, ffi::PyVectorcall_NARGS(count), names) };
        debug_assert_eq!(class, globals().deferred_type.as_ptr());
        if args.0.is_empty() && keywords.is_empty() {
            return make(None);
        }
        make(canceller_of(args, keywords)?)
    })
}

/// A subclass comes this way; its arguments are for its `__init__`.
unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _args: *mut ffi::PyObject,
    _keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a subtype; allocation of a type that may be larger than ours, zeroed behind
        // our fields and tracked by its allocator; GIL.
        unsafe {
            let object = ((*class).tp_alloc.unwrap_or(ffi::PyType_GenericAlloc))(class, 0);
            if object.is_null() {
                return Err(Raised);
            }
            begin(object, None);
            Object::owned(object)
        }
    })
}

unsafe extern "C" fn initialise(
    this: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> i32 {
    crate::kit::guard_status(|| {
        // SAFETY: live arguments of CPython's, owned while they are used; GIL.
        unsafe {
            let values = crate::kit::borrowed_slice(args);
            let mut canceller = values.first().map(|value| Object::from_borrowed(*value));
            let mut known = 0;
            if !keywords.is_null() {
                let given = ffi::PyDict_GetItemString(keywords, c"canceller".as_ptr());
                if !given.is_null() {
                    known = 1;
                    canceller = Some(Object::from_borrowed(given));
                }
                known = ffi::PyDict_Size(keywords) - known;
            }
            if values.len() > 1 || known > 0 {
                let class = ffi::PyExc_TypeError;
                return Err(crate::kit::raise(class, "Deferred() takes one argument: canceller"));
            }
            let this = Object::from_borrowed(this);
            if let Some(canceller) = crate::kit::unless_none(canceller) {
                let before = (*fields(&this)).rare().canceller.replace(canceller);
                drop(before);
            }
            Ok(())
        }
    })
}

// --- the end ---------------------------------------------------------------------------------------

/// Reports an error that nobody took, once: before a cycle is broken up, or in the end.
unsafe extern "C" fn finalize(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls with a live Deferred; the error that is set is put back; GIL.
    unsafe {
        let fields = &mut *fields_at(object);
        if !matches!(fields.state, State::Raised | State::Wrapped) || fields.flags & HANDLED != 0 {
            return;
        }
        fields.flags |= HANDLED;
        let Some(error) = fields.result.clone() else { return };
        let (code, offset) = (fields.code.clone().unwrap_or_else(none), fields.offset);
        let (mut class, mut value, mut traceback) =
            (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
        ffi::PyErr_Fetch(&mut class, &mut value, &mut traceback);
        guard_void(|| {
            let offset = Object::integer(i64::from(offset))?;
            let report = helper(Helper::Report)?;
            report.call(&[error.as_ptr(), code.as_ptr(), offset.as_ptr()]).map(drop)
        });
        ffi::PyErr_Restore(class, value, traceback);
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> i32 {
    // SAFETY: the collector calls with a live Deferred whose fields are written.
    unsafe {
        let this = &*object.cast::<DeferredObject>();
        let fields = &this.fields;
        let more = fields.more.iter().flat_map(|more| {
            let entries = more.others.iter().flat_map(Entry::held);
            entries.chain(&more.canceller).chain(&more.waits_for)
        });
        let owned = fields
            .result
            .iter()
            .chain(&fields.code)
            .chain(fields.first.iter().flat_map(Entry::held))
            .chain(more)
            .map(Object::as_ptr)
            .chain([this.dict, ffi::Py_TYPE(object).cast()]);
        for value in owned {
            if value.is_null() {
                continue;
            }
            let status = visit(value, argument);
            if status != 0 {
                return status;
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live Deferred; what is taken out is dropped afterwards.
    unsafe {
        let this = object.cast::<DeferredObject>();
        let dict = std::mem::replace(&mut (*this).dict, std::ptr::null_mut());
        let fields = &raw mut (*this).fields;
        let dropped = (
            (*fields).result.take(),
            (*fields).code.take(),
            (*fields).first.take(),
            (*fields).more.take(),
        );
        drop(dropped);
        if !dict.is_null() {
            ffi::Py_DECREF(dict);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead Deferred, which nobody is shown. What the collector has finalized may
    // hold what it has cleared, and is not looked at. The list is touched between drops only; GIL.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        if ffi::PyObject_GC_IsFinalized(object) == 0 {
            finalize(object);
        }
        DYING.with(|dying| {
            let depth = dying.depth.get();
            if depth >= DEEPEST {
                return (*dying.put_off.get()).push(object);
            }
            dying.depth.set(depth + 1);
            release(object);
            if depth == 0 {
                // One death at a time from here on: what each of them causes is put off.
                dying.depth.set(DEEPEST);
                while let Some(next) = (*dying.put_off.get()).pop() {
                    release(next);
                }
                drop(std::mem::take(&mut **dying.put_off.get()));
            }
            dying.depth.set(depth);
        });
    }
}

unsafe fn release(object: *mut ffi::PyObject) {
    // SAFETY: the caller has the one dead Deferred; weak references go first, then what it holds, then its memory, and
    // its type loses one reference; GIL.
    unsafe {
        let this = object.cast::<DeferredObject>();
        if !(*this).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        let class = ffi::Py_TYPE(object);
        let free = &mut *FREE.0.get();
        // The collector finalizes an object once, and remembers that in the object's memory.
        let is_fresh = class.cast() == globals().deferred_type.as_ptr()
            && ffi::PyObject_GC_IsFinalized(object) == 0;
        if is_fresh && free.len() < KEPT {
            free.push(object);
        } else {
            match (*class).tp_free {
                Some(free) => free(object.cast()),
                None => ffi::PyObject_GC_Del(object.cast()),
            }
        }
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn represent(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live Deferred; GIL.
        let (this, name) = unsafe {
            let name = Object::owned(ffi::PyType_GetQualName(ffi::Py_TYPE(this)))?;
            (Object::from_borrowed(this), name)
        };
        let name = Object::represent(&name)?;
        let name = name.trim_matches('\'');
        let waits_for = waits_for(&this);
        // SAFETY: a short read; GIL.
        let (state, result, pauses) = unsafe {
            let fields = &*fields(&this);
            (fields.state, fields.result.clone(), fields.pauses)
        };
        let what = match (state, &result, &waits_for) {
            (_, _, Some(other)) => format!("waits for the one at {:p}", other.as_ptr()),
            (State::Waiting, ..) => "has no result yet".to_owned(),
            (State::Value, Some(result), _) => format!("has {}", describe(result)?),
            (_, Some(error), _) => format!("has failed: {}", describe(error)?),
            _ => "has nothing".to_owned(),
        };
        let paused = if pauses > 0 && waits_for.is_none() { ", paused" } else { "" };
        Object::text(&format!("<{name} at {:p} {what}{paused}>", this.as_ptr()))
    })
}

/// `core.Deferred`.
pub fn make_type() -> Outcome<Object> {
    let mut methods = adding::table();
    methods.extend(firing::table());
    methods.extend(awaiting::table());
    let class = TypeSpec::new(c"sennit._native.core.Deferred", size_of::<DeferredObject>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_init, initialise as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_finalize, finalize as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_iternext, awaiting::next as *mut _)
        .slot(ffi::Py_am_await, awaiting::itself as *mut _)
        .slot(ffi::Py_am_send, awaiting::send as *mut _)
        .slot(ffi::Py_tp_iter, awaiting::itself as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"Deferred(canceller=None)\n--\n\nA result that is not there yet: a chain of callbacks, and something to await."),
        )
        .members(&[
            (
                c"_asyncio_future_blocking",
                ffi::Py_T_BOOL,
                offset_of!(DeferredObject, fields.blocking),
                0,
            ),
            (
                c"__dictoffset__",
                ffi::Py_T_PYSSIZET,
                offset_of!(DeferredObject, dict),
                ffi::Py_READONLY,
            ),
            (
                c"__weaklistoffset__",
                ffi::Py_T_PYSSIZET,
                offset_of!(DeferredObject, weak_references),
                ffi::Py_READONLY,
            ),
        ])
        .attributes(&[(
            c"__dict__",
            ffi::PyObject_GenericGetDict,
            Some(ffi::PyObject_GenericSetDict),
            c"Attributes of one's own.",
        )])
        .methods(methods)
        .build()?;
    // SAFETY: the type is new; an exact call does not go through tuple and dict; GIL.
    unsafe {
        (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_vectorcall = Some(vectorcall);
    }
    Ok(class)
}
