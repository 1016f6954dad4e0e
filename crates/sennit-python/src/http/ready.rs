//! Something to await that is there already: `await` gets its value without suspending.

use pyo3_ffi as ffi;

use crate::globals::globals;
use crate::kit::{Head, Object, Outcome, Raised, TypeSpec, doc, free, guard, none};

#[repr(C)]
struct Ready {
    head: Head,
    value: Option<Object>,
}

/// An awaitable of a value.
pub fn make(value: Object) -> Outcome<Object> {
    let class = globals().http.ready_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the allocator gives zeroed memory; zero is `None`; GIL.
    unsafe {
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        (*object.as_ptr().cast::<Ready>()).value = Some(value);
        Ok(object)
    }
}

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

unsafe extern "C" fn am_send(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls with a live object and a place for the result; GIL.
    unsafe {
        let value = (*this.cast::<Ready>()).value.clone().unwrap_or_else(none);
        *result = value.into_ptr();
    }
    ffi::PySendResult::PYGEN_RETURN
}

unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live object; a new exception takes the value; GIL.
        unsafe {
            let value = (*this.cast::<Ready>()).value.clone().unwrap_or_else(none);
            let class = Object::from_borrowed(ffi::PyExc_StopIteration);
            let error = class.call(&[value.as_ptr()])?;
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, error.as_ptr());
        }
        Err(Raised)
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object.
    unsafe {
        if let Some(value) = &(*object.cast::<Ready>()).value {
            let status = visit(value.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the value is dropped after it was taken out; GIL.
    drop(unsafe { (*object.cast::<Ready>()).value.take() });
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || {
            clear(object);
        });
    }
}

/// `core.Ready`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Ready", size_of::<Ready>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_iter, itself as *mut _)
        .slot(ffi::Py_tp_iternext, iterate as *mut _)
        .slot(ffi::Py_am_await, itself as *mut _)
        .slot(ffi::Py_am_send, am_send as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"An awaitable whose value is there already."))
        .build()
}
