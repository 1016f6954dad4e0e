//! `request.stream()`: the body of a request, piece by piece, as fast as its handler takes it.

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{BodyFailure, BodyState, Portion};

use super::application;
use super::ready;
use super::request::Request;
use crate::globals::globals;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, free, guard, raise, take_exception,
};

#[repr(C)]
struct BodyStream {
    head: Head,
    request: Option<Object>,
    /// It has begun: the body is its own.
    has_begun: bool,
    /// A body that was taken whole has been given as one piece.
    is_over: bool,
}

/// An asynchronous iterator over the body of a request.
pub fn make(request: Object) -> Outcome<Object> {
    let class = globals().http.body_stream_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the allocator gives zeroed memory; zero is `None` and false; GIL.
    unsafe {
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        (*object.as_ptr().cast::<BodyStream>()).request = Some(request);
        Ok(object)
    }
}

fn stop() -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    unsafe { ffi::PyErr_SetNone(ffi::PyExc_StopAsyncIteration) };
    Raised
}

/// A body that was taken whole, as one piece.
fn next_of_whole(body: Object, is_over: &mut bool) -> Outcome<Object> {
    let has_bytes = body.truth()?;
    match std::mem::replace(is_over, true) || !has_bytes {
        true => Err(stop()),
        false => ready::make(body),
    }
}

fn next(this: &Request) -> Outcome<Object> {
    let lost = || application::body_error(BodyFailure::Lost);
    let (connection, serial) = this.parts().ok_or_else(lost)?;
    let piece = connection.take_body(serial);
    if !piece.is_empty() {
        return ready::make(Object::bytes(&piece)?);
    }
    let held = connection.server().application().held().ok_or_else(lost)?;
    match connection.ask_for_body(held.state()?.reactor(), serial, Portion::Piece) {
        BodyState::Complete => Err(stop()),
        BodyState::Failed(failure) => Err(application::body_error(failure)),
        BodyState::Waiting | BodyState::Asked => {
            let future = held.event_loop().attribute(c"create_future")?.call(&[])?;
            match this.wait_for_piece(Some(future.clone())) {
                Some(before) if !is_done(&before)? => {
                    drop(this.wait_for_piece(Some(before)));
                    let message = "another task is waiting for the next piece of this body";
                    // SAFETY: reading a static of the interpreter; GIL.
                    Err(raise(unsafe { ffi::PyExc_RuntimeError }, message))
                }
                _ => Ok(future),
            }
        }
    }
}

/// Whether a future is done.
pub fn is_done(future: &Object) -> Outcome<bool> {
    Object::call_method(&globals().names.done, &[future.as_ptr()])?.truth()
}

/// Gives a piece to who waits for one. False: nobody does.
pub fn give(request: &Request, data: &[u8]) -> Outcome<bool> {
    let Some(waiter) = request.wait_for_piece(None) else { return Ok(false) };
    if is_done(&waiter)? {
        return Ok(false);
    }
    let piece = Object::bytes(data)?;
    Object::call_method(&globals().names.set_result, &[waiter.as_ptr(), piece.as_ptr()])?;
    Ok(true)
}

/// Tells who waits for a piece that there is one, or that there will be none.
pub fn settle(request: &Request) -> Outcome<()> {
    let Some(waiter) = request.wait_for_piece(None) else { return Ok(()) };
    if is_done(&waiter)? {
        return Ok(());
    }
    let Some((connection, serial)) = request.parts() else { return Ok(()) };
    let names = &globals().names;
    let piece = connection.take_body(serial);
    if !piece.is_empty() {
        let piece = Object::bytes(&piece)?;
        return Object::call_method(&names.set_result, &[waiter.as_ptr(), piece.as_ptr()])
            .map(drop);
    }
    let raised = match connection.body(serial, |state, _| state) {
        BodyState::Complete => stop(),
        BodyState::Failed(failure) => application::body_error(failure),
        BodyState::Waiting | BodyState::Asked => {
            drop(request.wait_for_piece(Some(waiter)));
            return Ok(());
        }
    };
    let Raised = raised;
    let error = take_exception();
    Object::call_method(&names.set_exception, &[waiter.as_ptr(), error.as_ptr()])?;
    // Nobody has to look at it: a handler may have stopped reading.
    waiter.attribute(c"exception")?.call(&[]).map(drop)
}

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

unsafe extern "C" fn anext(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live object; flags are read and written by themselves; GIL.
        unsafe {
            let this = this.cast::<BodyStream>();
            let Some(request) = (*this).request.clone() else { return Err(stop()) };
            let request = Request::of(&request);
            if let Some(body) = request.body_now() {
                let mut is_over = (*this).is_over;
                let piece = next_of_whole(body, &mut is_over);
                (*this).is_over = is_over;
                return piece;
            }
            if !(*this).has_begun {
                request.begin_stream()?;
                (*this).has_begun = true;
            }
            next(request)
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object.
    unsafe {
        if let Some(request) = &(*object.cast::<BodyStream>()).request {
            let status = visit(request.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the request is dropped after it was taken out; GIL.
    drop(unsafe { (*object.cast::<BodyStream>()).request.take() });
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

/// `core.BodyStream`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.BodyStream", size_of::<BodyStream>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_am_aiter, itself as *mut _)
        .slot(ffi::Py_am_anext, anext as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The body of a request, piece by piece."))
        .build()
}
