//! `core.WriteLimits`: what a peer that does not read may cost, for all connections of an endpoint.

use std::mem::ManuallyDrop;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::transport::WriteLimits;

use crate::globals::globals;
use crate::http::dict_of;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, borrowed_slice, doc, free, guard, no_arguments,
    raise, row,
};

#[repr(C)]
struct LimitsObject {
    head: Head,
    limits: ManuallyDrop<Rc<WriteLimits>>,
}

/// The engine's limits in a `core.WriteLimits`.
pub fn write_limits(object: *mut ffi::PyObject) -> Outcome<Rc<WriteLimits>> {
    // SAFETY: a live argument, whose type is checked before its layout is used; GIL.
    unsafe {
        if ffi::Py_TYPE(object).cast() != globals().write_limits_type.as_ptr() {
            return Err(raise(ffi::PyExc_TypeError, "limits are no WriteLimits"));
        }
        Ok(Rc::clone(&(*object.cast::<LimitsObject>()).limits))
    }
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple of CPython's; GIL.
        let args = Args(unsafe { borrowed_slice(arguments) });
        args.expect("WriteLimits", 2, 2)?;
        let limits = WriteLimits::new((args.float(0)? * 1e9) as u64, args.integer(1)? as usize);
        // SAFETY: the type's allocator gives zeroed memory, which is written before anybody sees
        // it; GIL.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<LimitsObject>();
            (&raw mut (*this).limits).write(ManuallyDrop::new(Rc::new(limits)));
            Ok(object)
        }
    })
}

no_arguments!(statistics, LimitsObject, |this| dict_of([
    ("write_timeouts", this.limits.timeouts()),
    ("write_overflows", this.limits.overflows()),
]));

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: a live instance, which holds no Python value but its type.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead instance; only `new` makes them, so that the limits are written.
    unsafe {
        let this = object.cast::<LimitsObject>();
        free(object, || ManuallyDrop::drop(&mut (*this).limits));
    }
}

/// `core.WriteLimits`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.WriteLimits", size_of::<LimitsObject>())
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"WriteLimits(timeout_s, max_queued_bytes)"))
        .methods(vec![row!(noargs c"statistics", statistics, c"How often each was met.")])
        .build()
}
