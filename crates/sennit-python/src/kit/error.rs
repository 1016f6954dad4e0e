//! Errors between Python and Rust: the one file that turns one into the other.

use std::ffi::CString;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pyo3_ffi as ffi;
use sennit_engine::tls::{Fault, FaultKind};
use sennit_engine::transport::WriteFault;

use super::Object;

/// A Python error is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Raised;

/// A value, or a Python error that is set.
pub type Outcome<T> = Result<T, Raised>;

impl From<io::Error> for Raised {
    /// Sets `OSError` with the system's number, which picks the right subclass.
    fn from(error: io::Error) -> Raised {
        match os_error(&error) {
            // SAFETY: both are live objects; GIL.
            Ok(value) => unsafe {
                ffi::PyErr_SetObject(ffi::Py_TYPE(value.as_ptr()).cast(), value.as_ptr());
                Raised
            },
            Err(raised) => raised,
        }
    }
}

/// An error of `sennit.errors` for what has gone wrong with TLS.
fn tls_error(fault: &Fault) -> Outcome<Object> {
    let name = match fault.kind {
        FaultKind::Settings => c"ConfigError",
        FaultKind::Certificate => c"CertificateError",
        FaultKind::Protocol => c"RemoteProtocolError",
        FaultKind::Truncated => c"ConnectionLostError",
        FaultKind::Deadline => c"DeadlineError",
        FaultKind::Internal => c"InternalError",
    };
    ours(name, &fault.message)
}

/// An error of `sennit.errors`.
fn ours(name: &std::ffi::CStr, message: &str) -> Outcome<Object> {
    let class = Object::import(c"sennit.errors")?.attribute(name)?;
    class.call(&[Object::text(message)?.as_ptr()])
}

/// An exception object for an error of the engine: an `OSError` where the system has said it.
pub fn os_error(error: &io::Error) -> Outcome<Object> {
    if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Fault>()) {
        return tls_error(fault);
    }
    if let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<WriteFault>()) {
        let name = match fault {
            WriteFault::Stalled { .. } => c"DeadlineError",
            WriteFault::Overflowed { .. } => c"OverloadedError",
        };
        return ours(name, &fault.to_string());
    }
    let text = error.to_string();
    // The number stands in the exception's own text already.
    let text = text.split(" (os error").next().unwrap_or(&text);
    let number = Object::integer(i64::from(error.raw_os_error().unwrap_or(0)))?;
    let text = Object::text(text)?;
    // SAFETY: reading a static of the interpreter; GIL.
    let class = unsafe { Object::from_borrowed(ffi::PyExc_OSError) };
    class.call(&[number.as_ptr(), text.as_ptr()])
}

/// Sets an error with a message.
///
/// # Safety of use
/// `class` is an exception class, in practice one of the interpreter's statics.
pub fn raise(class: *mut ffi::PyObject, message: &str) -> Raised {
    let message = CString::new(message.replace('\0', "\\0")).unwrap_or_default();
    // SAFETY: the class is live and the message ends in zero; GIL.
    unsafe { ffi::PyErr_SetString(class, message.as_ptr()) };
    Raised
}

/// Takes the error that is set, as an exception object with its traceback.
pub fn take_exception() -> Object {
    let (mut class, mut value, mut traceback) =
        (std::ptr::null_mut(), std::ptr::null_mut(), std::ptr::null_mut());
    // SAFETY: the three pointers are ours to fill; a null value is impossible after
    // normalisation of an error that is set, and the caller has just been told that one is.
    unsafe {
        ffi::PyErr_Fetch(&mut class, &mut value, &mut traceback);
        ffi::PyErr_NormalizeException(&mut class, &mut value, &mut traceback);
        if !traceback.is_null() {
            ffi::PyException_SetTraceback(value, traceback);
        }
        ffi::Py_XDECREF(class);
        ffi::Py_XDECREF(traceback);
        if value.is_null() {
            return super::none();
        }
        Object::owned(value).unwrap_or_else(|Raised| super::none())
    }
}

fn run<T>(body: impl FnOnce() -> Outcome<T>) -> Outcome<T> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(outcome) => outcome,
        Err(panic) => Err(raise_panic(&*panic)),
    }
}

/// Sets the error that a panic becomes.
#[cold]
pub fn raise_panic(panic: &(dyn std::any::Any + Send)) -> Raised {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message");
    // SAFETY: reading a static of the interpreter; GIL.
    let class = unsafe { ffi::PyExc_SystemError };
    raise(class, &format!("internal error in sennit, please report: {text}"))
}

/// The door of every function that Python calls: a panic becomes an exception.
#[inline]
pub fn guard(body: impl FnOnce() -> Outcome<Object>) -> *mut ffi::PyObject {
    run(body).map_or(std::ptr::null_mut(), Object::into_ptr)
}

/// As [`guard`], for functions that answer 0 or -1.
pub fn guard_status(body: impl FnOnce() -> Outcome<()>) -> i32 {
    run(body).map_or(-1, |()| 0)
}

/// As [`guard`], where nobody can be told: the error is written to `sys.unraisablehook`.
pub fn guard_void(body: impl FnOnce() -> Outcome<()>) {
    if run(body).is_err() {
        // SAFETY: an error is set; null is allowed; GIL.
        unsafe { ffi::PyErr_WriteUnraisable(std::ptr::null_mut()) };
    }
}
