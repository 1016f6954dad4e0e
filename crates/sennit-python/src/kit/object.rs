//! One owned reference to a Python object.

use std::ffi::CStr;
use std::ptr::NonNull;

use pyo3_ffi as ffi;

use super::{Outcome, Raised, vectorcall, vectorcall_method};

unsafe extern "C" {
    // In CPython's documented interface, but not in these declarations of it.
    fn _PyBytes_Resize(bytes: *mut *mut ffi::PyObject, size: isize) -> std::ffi::c_int;
}

/// An owned reference. Cloning and dropping count; both need the GIL.
#[derive(Debug)]
#[repr(transparent)]
pub struct Object(NonNull<ffi::PyObject>);

// SAFETY: a reference may change threads as long as whoever uses it holds the GIL, which is this
// crate's invariant (see the kit's page).
unsafe impl Send for Object {}

impl Object {
    /// Takes over a new reference, or reports that the call which should have made it has raised.
    ///
    /// # Safety
    /// `pointer` is a new reference or null with an error set; GIL.
    #[inline]
    pub unsafe fn owned(pointer: *mut ffi::PyObject) -> Outcome<Object> {
        NonNull::new(pointer).map(Object).ok_or(Raised)
    }

    /// Counts a reference of its own.
    ///
    /// # Safety
    /// `pointer` is a live object; GIL.
    #[inline]
    pub unsafe fn from_borrowed(pointer: *mut ffi::PyObject) -> Object {
        // SAFETY: the caller vouches for the pointer.
        unsafe {
            ffi::Py_INCREF(pointer);
            Object(NonNull::new_unchecked(pointer))
        }
    }

    /// The pointer, still owned by this reference.
    #[inline]
    pub fn as_ptr(&self) -> *mut ffi::PyObject {
        self.0.as_ptr()
    }

    /// The pointer, with the reference now the caller's.
    #[inline]
    pub fn into_ptr(self) -> *mut ffi::PyObject {
        let pointer = self.0.as_ptr();
        std::mem::forget(self);
        pointer
    }

    /// How many references there are.
    #[inline]
    pub fn reference_count(&self) -> isize {
        // SAFETY: the object is live; GIL.
        unsafe { ffi::Py_REFCNT(self.as_ptr()) as isize }
    }

    /// The text of `repr()`.
    pub fn represent(object: &Object) -> Outcome<String> {
        // SAFETY: the object is live; the text is owned while it is copied; GIL.
        unsafe {
            let text = Object::owned(ffi::PyObject_Repr(object.as_ptr()))?;
            let pointer = text.as_ptr();
            super::Args::new(&pointer, 1).text(0).map(str::to_owned)
        }
    }

    /// Whether this is `None`.
    pub fn is_none(&self) -> bool {
        // SAFETY: reading the address of a static.
        self.as_ptr() == unsafe { ffi::Py_None() }
    }

    /// Calls with positional arguments.
    #[inline]
    pub fn call(&self, arguments: &[*mut ffi::PyObject]) -> Outcome<Object> {
        // SAFETY: the arguments are live for the call; GIL.
        unsafe {
            let count = arguments.len();
            let result = vectorcall(self.as_ptr(), arguments.as_ptr(), count, std::ptr::null_mut());
            Object::owned(result)
        }
    }

    /// Calls a method: `arguments[0]` is the object itself.
    #[inline]
    pub fn call_method(name: &Object, arguments: &[*mut ffi::PyObject]) -> Outcome<Object> {
        // SAFETY: the arguments are live for the call; GIL.
        unsafe {
            let result = vectorcall_method(
                name.as_ptr(),
                arguments.as_ptr(),
                arguments.len(),
                std::ptr::null_mut(),
            );
            Object::owned(result)
        }
    }

    /// Reads an attribute.
    pub fn attribute(&self, name: &CStr) -> Outcome<Object> {
        // SAFETY: the object is live and the name ends in zero; GIL.
        unsafe { Object::owned(ffi::PyObject_GetAttrString(self.as_ptr(), name.as_ptr())) }
    }

    /// Imports a module.
    pub fn import(name: &CStr) -> Outcome<Object> {
        // SAFETY: the name ends in zero; GIL.
        unsafe { Object::owned(ffi::PyImport_ImportModule(name.as_ptr())) }
    }

    /// A Python string.
    pub fn text(text: &str) -> Outcome<Object> {
        // SAFETY: the pointer and the length name valid UTF-8; GIL.
        unsafe {
            Object::owned(ffi::PyUnicode_FromStringAndSize(
                text.as_ptr().cast(),
                text.len() as isize,
            ))
        }
    }

    /// A Python string of bytes that stand for the first 256 characters, as in HTTP fields.
    pub fn latin1(bytes: &[u8]) -> Outcome<Object> {
        // SAFETY: the pointer and the length name the slice; GIL.
        unsafe {
            Object::owned(ffi::PyUnicode_DecodeLatin1(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
                std::ptr::null(),
            ))
        }
    }

    /// Python bytes with a copy of the slice.
    #[inline]
    pub fn bytes(bytes: &[u8]) -> Outcome<Object> {
        // SAFETY: the pointer and the length name the slice; GIL.
        unsafe {
            Object::owned(ffi::PyBytes_FromStringAndSize(
                bytes.as_ptr().cast(),
                bytes.len() as isize,
            ))
        }
    }

    /// Python bytes of which a function fills the beginning; it says how much.
    pub fn filled_bytes(room: usize, fill: impl FnOnce(&mut [u8]) -> usize) -> Outcome<Object> {
        // SAFETY: a new object that nobody else knows, whose memory is written to and not read
        // before that: the system fills it, and what it has not filled is cut off; GIL.
        unsafe {
            let mut bytes = ffi::PyBytes_FromStringAndSize(std::ptr::null(), room as isize);
            if bytes.is_null() {
                return Err(Raised);
            }
            let start = ffi::PyBytes_AsString(bytes).cast::<u8>();
            let filled = fill(std::slice::from_raw_parts_mut(start, room));
            _PyBytes_Resize(&mut bytes, filled.min(room) as isize);
            Object::owned(bytes)
        }
    }

    /// A Python int.
    pub fn integer(value: i64) -> Outcome<Object> {
        // SAFETY: no pointers; GIL.
        unsafe { Object::owned(ffi::PyLong_FromLongLong(value)) }
    }

    /// A Python float.
    pub fn float(value: f64) -> Outcome<Object> {
        // SAFETY: no pointers; GIL.
        unsafe { Object::owned(ffi::PyFloat_FromDouble(value)) }
    }

    /// True or False.
    pub fn boolean(value: bool) -> Object {
        // SAFETY: both are immortal statics; GIL.
        unsafe { Object::from_borrowed(if value { ffi::Py_True() } else { ffi::Py_False() }) }
    }

    /// Whether the object counts as true.
    pub fn truth(&self) -> Outcome<bool> {
        // SAFETY: the object is live; GIL.
        match unsafe { ffi::PyObject_IsTrue(self.as_ptr()) } {
            -1 => Err(Raised),
            result => Ok(result == 1),
        }
    }
}

impl Clone for Object {
    #[inline]
    fn clone(&self) -> Self {
        // SAFETY: the object is live; GIL.
        unsafe { Object::from_borrowed(self.as_ptr()) }
    }
}

impl Drop for Object {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: this reference is owned; GIL.
        unsafe { ffi::Py_DECREF(self.as_ptr()) }
    }
}

/// What every native instance begins with. Python and we write to an instance through shared
/// references, so the compiler must not take it for unchanging.
pub type Head = std::cell::UnsafeCell<ffi::PyObject>;

/// A new reference to `None`.
pub fn none() -> Object {
    // SAFETY: None is an immortal static; GIL.
    unsafe { Object::from_borrowed(ffi::Py_None()) }
}

/// An interned string: a name that is looked up again and again.
pub fn intern(name: &CStr) -> Outcome<Object> {
    // SAFETY: the name ends in zero; GIL.
    unsafe { Object::owned(ffi::PyUnicode_InternFromString(name.as_ptr())) }
}

/// The items of a tuple, borrowed from it.
///
/// # Safety
/// `tuple` is a live tuple that outlives the slice.
#[inline]
pub unsafe fn borrowed_slice<'a>(tuple: *mut ffi::PyObject) -> &'a [*mut ffi::PyObject] {
    // SAFETY: the caller vouches that it is a tuple; its items lie in a row.
    unsafe {
        let items = (&raw const (*tuple.cast::<ffi::PyTupleObject>()).ob_item).cast();
        std::slice::from_raw_parts(items, ffi::PyTuple_GET_SIZE(tuple) as usize)
    }
}
