//! `Headers`: a view of a block of field lines, which it scans when it is asked.
//!
//! Those of a request hold the request and read its bytes; those of a response hold the response and
//! change its lines; others have lines of their own. A message knows the view of it that is alive, but does not
//! hold it, so there is no cycle, and `message.headers is message.headers`.
//!
//! Whoever makes containers may be interrupted by the collector, and so by any Python: then a view works on a copy
//! of its lines ([`Headers::snapshot`]).

use std::cell::UnsafeCell;
use std::ffi::CStr;

use pyo3_ffi as ffi;

use super::fields::render_any;
use super::header_block::{Block, View};
use super::header_methods;
use super::request::Request;
use super::response::Response;
use crate::globals::globals;
use crate::kit::{Args, Head, Object, Outcome, Raised, TypeSpec, doc, guard, guard_status, raise};

/// Dead views kept for reuse.
const KEPT: usize = 64;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// Where the lines are.
enum Source {
    Own(Box<[u8]>),
    Request(Object),
    Response(Object),
    /// The collector has taken it.
    Gone,
}

/// The header fields of a message.
#[repr(C)]
pub struct Headers {
    head: Head,
    source: Source,
}

impl Headers {
    /// The object itself.
    pub fn pointer(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    fn source(&self) -> *mut Source {
        let this: *mut Headers = self.head.get().cast();
        // SAFETY: the object begins with its head; only short reads and writes are made through this.
        unsafe { &raw mut (*this).source }
    }

    /// Looks at the lines. No Python may run inside: it could change them.
    #[inline]
    fn view<T>(&self, look: impl FnOnce(View<'_>) -> T) -> T {
        // SAFETY: nothing runs Python inside; a message's type is known from how the view was made; GIL.
        unsafe {
            let plain = |lines| View { content_type: None, lines };
            match &*self.source() {
                Source::Own(lines) => look(plain(lines)),
                Source::Request(request) => {
                    look(plain((*request.as_ptr().cast::<Request>()).field_lines()))
                }
                Source::Response(response) => {
                    let (content_type, lines) = Response::of(response).all_fields();
                    look(View { content_type, lines })
                }
                Source::Gone => look(plain(b"")),
            }
        }
    }

    /// A copy of the lines, for those who run Python while they look.
    pub fn snapshot(&self) -> Block {
        self.view(Block::of)
    }

    /// The value of a name, several joined.
    #[inline]
    pub fn value(&self, name: *mut ffi::PyObject) -> Outcome<Option<Object>> {
        // Making a string runs no Python.
        match name_bytes(name) {
            Some(name) => self.view(|view| view.joined(name)),
            None => Ok(None),
        }
    }

    /// The values of a name, each for itself.
    pub fn values_of(&self, name: *mut ffi::PyObject) -> Vec<Vec<u8>> {
        let name = name_bytes(name).unwrap_or_default();
        self.view(|view| view.values(name).map(<[u8]>::to_vec).collect())
    }

    fn contains(&self, name: *mut ffi::PyObject) -> bool {
        name_bytes(name).is_some_and(|name| self.view(|view| view.values(name).next().is_some()))
    }

    /// The response whose fields these are; an error is set if they cannot be changed.
    pub fn response(&self) -> Outcome<Object> {
        // SAFETY: a short read; GIL.
        match unsafe { &*self.source() } {
            Source::Response(response) => Ok(response.clone()),
            _ => {
                let message =
                    "these headers are read-only: only those of a Response can be changed";
                // SAFETY: reading a static of the interpreter; GIL.
                Err(raise(unsafe { ffi::PyExc_TypeError }, message))
            }
        }
    }
}

/// The bytes of a name that is looked for; `None` if it is nothing that could be found.
#[inline]
fn name_bytes<'a>(name: *mut ffi::PyObject) -> Option<&'a [u8]> {
    // SAFETY: the caller of the native function keeps its argument alive; GIL.
    unsafe {
        if ffi::PyUnicode_Check(name) == 0 {
            return None;
        }
        match Args::new(&name, 1).text(0) {
            Ok(text) => Some(text.as_bytes()),
            Err(Raised) => {
                ffi::PyErr_Clear();
                None
            }
        }
    }
}

/// A copy of the lines of an object that is a `Headers`.
pub fn block_of(object: &Object) -> Option<Block> {
    let class = globals().http.headers_type.as_ptr();
    // SAFETY: a live object, whose type is looked at before its layout is used; GIL.
    unsafe {
        (ffi::Py_TYPE(object.as_ptr()).cast() == class)
            .then(|| (*object.as_ptr().cast::<Headers>()).snapshot())
    }
}

/// Lines as they were received.
pub fn of_block(block: &[u8]) -> Outcome<Object> {
    make(Source::Own(block.into()))
}

/// The view of a request.
#[inline]
pub fn of_request(request: Object) -> Outcome<Object> {
    make(Source::Request(request))
}

/// The view of a response.
pub fn of_response(response: Object) -> Outcome<Object> {
    make(Source::Response(response))
}

#[inline]
fn make(source: Source) -> Outcome<Object> {
    let class = globals().http.headers_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: a kept object is dead and untracked; the source is written before anybody sees the object; GIL.
    unsafe {
        let object = match (*FREE.0.get()).pop() {
            Some(object) => ffi::PyObject_Init(object, class),
            None => ffi::PyObject_GC_New::<ffi::PyObject>(class),
        };
        if object.is_null() {
            return Err(Raised);
        }
        (&raw mut (*object.cast::<Headers>()).source).write(source);
        ffi::PyObject_GC_Track(object.cast());
        Object::owned(object)
    }
}

unsafe extern "C" fn new(
    _: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple of CPython's, and a dict or null; GIL.
        let (args, has_keywords) = unsafe {
            let has_keywords = !keywords.is_null() && ffi::PyDict_Size(keywords) > 0;
            (Args(crate::kit::borrowed_slice(arguments)), has_keywords)
        };
        if has_keywords {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_TypeError };
            return Err(raise(class, "Headers() takes no keyword arguments"));
        }
        args.expect("Headers", 0, 1)?;
        let lines = if args.0.is_empty() { Vec::new() } else { render_any(&args.object(0))? };
        make(Source::Own(lines.into()))
    })
}

/// As a method's `self`: CPython calls a type's slots with instances of that type only.
unsafe fn this<'a>(object: *mut ffi::PyObject) -> &'a Headers {
    // SAFETY: the caller vouches for the object.
    unsafe { &*object.cast::<Headers>() }
}

unsafe extern "C" fn subscript(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with live objects; GIL.
    guard(|| match unsafe { this(object) }.value(name)? {
        Some(value) => Ok(value),
        None => Err(missing(name)),
    })
}

/// Raises `KeyError` with a name.
#[cold]
pub fn missing(name: *mut ffi::PyObject) -> Raised {
    // SAFETY: a live name; GIL.
    unsafe { ffi::PyErr_SetObject(ffi::PyExc_KeyError, name) };
    Raised
}

unsafe extern "C" fn assign(
    object: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
) -> i32 {
    // SAFETY: CPython calls with live objects, null for a deletion; GIL.
    guard_status(|| header_methods::assign(unsafe { this(object) }, name, value))
}

unsafe extern "C" fn contains(object: *mut ffi::PyObject, name: *mut ffi::PyObject) -> i32 {
    // SAFETY: CPython calls with live objects; GIL.
    i32::from(unsafe { this(object) }.contains(name))
}

unsafe extern "C" fn length(object: *mut ffi::PyObject) -> isize {
    let mut length = -1;
    // SAFETY: CPython calls with a live object; GIL.
    guard_status(|| unsafe {
        length = ffi::PyDict_Size(this(object).snapshot().dict()?.as_ptr());
        Ok(())
    });
    length
}

unsafe extern "C" fn iterate(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with a live object; GIL.
    guard(|| unsafe {
        Object::owned(ffi::PyObject_GetIter(this(object).snapshot().dict()?.as_ptr()))
    })
}

unsafe extern "C" fn represent(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live object; GIL.
        let pairs = unsafe { this(object) }.snapshot().pairs()?;
        Object::text(&format!("Headers({})", Object::represent(&pairs)?))
    })
}

unsafe extern "C" fn compare(
    object: *mut ffi::PyObject,
    other: *mut ffi::PyObject,
    operation: i32,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with live objects; GIL.
    guard(|| unsafe {
        let not_implemented = || Ok(Object::from_borrowed(ffi::Py_NotImplemented()));
        if operation != ffi::Py_EQ && operation != ffi::Py_NE {
            return not_implemented();
        }
        match header_methods::dict_of(&Object::from_borrowed(other))? {
            None => not_implemented(),
            Some(theirs) => {
                let own = this(object).snapshot().dict()?;
                Object::owned(ffi::PyObject_RichCompare(own.as_ptr(), theirs.as_ptr(), operation))
            }
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live view.
    unsafe {
        if let Source::Request(held) | Source::Response(held) = &(*object.cast::<Headers>()).source
        {
            let status = visit(held.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the source is dropped after it was taken out, and after its message has forgotten the view; GIL.
    unsafe {
        let source = std::mem::replace(&mut (*object.cast::<Headers>()).source, Source::Gone);
        match &source {
            Source::Request(request) => {
                (*request.as_ptr().cast::<Request>()).forget_headers(object);
            }
            Source::Response(response) => Response::of(response).forget_headers(object),
            Source::Own(_) | Source::Gone => {}
        }
        drop(source);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead view, whose memory is kept.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        let class = ffi::Py_TYPE(object);
        let free = &mut *FREE.0.get();
        if free.len() < KEPT {
            free.push(object);
        } else {
            ffi::PyObject_GC_Del(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.Headers`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Headers", size_of::<Headers>())
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_iter, iterate as *mut _)
        .slot(ffi::Py_tp_richcompare, compare as *mut _)
        .slot(ffi::Py_mp_subscript, subscript as *mut _)
        .slot(ffi::Py_mp_ass_subscript, assign as *mut _)
        .slot(ffi::Py_mp_length, length as *mut _)
        .slot(ffi::Py_sq_contains, contains as *mut _)
        .slot(ffi::Py_tp_doc, doc(DOC))
        .methods(header_methods::table())
        .build()
}

const DOC: &CStr = c"Headers(fields=(), /)\n--\n\n\
    The header fields of a message, in the order of arrival: a mapping without regard to case.\n\n\
    `headers[\"name\"]` gives the value of a field, several of one name joined by a comma and a space (cookie:\n\
    by a semicolon and a space); `get_all` gives them apart, `items` gives every line. Names are shown in lower\n\
    case. Values are text of the characters up to U+00FF, one for each byte.\n\n\
    Those of a Response can be changed; each write is checked, and a field that the server sets is refused.\n\
    Others are read-only.\n\n\
    fields: a mapping, or pairs of name and value.\n\n\
    Source: RFC 9110 section 5.";
