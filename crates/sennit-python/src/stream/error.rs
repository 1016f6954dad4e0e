//! The errors of streams and frames, as `sennit.errors` has them.

use std::ffi::CStr;

use pyo3_ffi as ffi;
use sennit_wire::framing::{LocalProtocolError, RemoteProtocolError};

use crate::http::errors;
use crate::kit::{Object, Outcome, Raised, intern, raise};

/// Raises one of our own errors.
#[cold]
pub fn raise_ours(name: &CStr, message: &str) -> Raised {
    match errors(name) {
        Ok(class) => raise(class.as_ptr(), message),
        Err(raised) => raised,
    }
}

/// Sets an exception that was made before.
#[cold]
pub fn set(exception: &Object) -> Raised {
    // SAFETY: a live exception; GIL.
    unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr()) };
    Raised
}

/// Raises a result that must be an exception.
pub fn raise_made(exception: Outcome<Object>) -> Raised {
    match exception {
        Ok(exception) => set(&exception),
        Err(raised) => raised,
    }
}

/// `ConnectionLostError`, caused by what the transport has said.
pub fn connection_lost(cause: Option<&Object>) -> Outcome<Object> {
    let message = match cause {
        Some(cause) => {
            // SAFETY: a live object; the text is owned; GIL.
            let text = unsafe { Object::owned(ffi::PyObject_Str(cause.as_ptr()))? };
            let pointer = text.as_ptr();
            // SAFETY: one live string.
            let text = unsafe { crate::kit::Args::new(&pointer, 1).text(0)? };
            format!("the connection is lost: {text}")
        }
        None => "the connection is gone: its loop was closed".to_owned(),
    };
    let error = errors(c"ConnectionLostError")?.call(&[Object::text(&message)?.as_ptr()])?;
    if let Some(cause) = cause {
        // SAFETY: two live exceptions; the call takes over one reference; GIL.
        unsafe { ffi::PyException_SetCause(error.as_ptr(), cause.clone().into_ptr()) };
    }
    Ok(error)
}

/// `IncompleteReadError`: the stream has ended in the middle of what was asked for.
pub fn incomplete(partial: &Object, expected: Option<usize>) -> Outcome<Object> {
    let expected = match expected {
        Some(size) => Object::integer(size as i64)?,
        None => crate::kit::none(),
    };
    errors(c"IncompleteReadError")?.call(&[partial.as_ptr(), expected.as_ptr()])
}

/// `RemoteProtocolError` with its rule.
pub fn remote(error: &RemoteProtocolError) -> Outcome<Object> {
    let exception =
        errors(c"RemoteProtocolError")?.call(&[Object::text(&error.to_string())?.as_ptr()])?;
    let (name, rule) = (intern(c"rule")?, Object::text(error.rule())?);
    // SAFETY: live objects; GIL.
    match unsafe { ffi::PyObject_SetAttr(exception.as_ptr(), name.as_ptr(), rule.as_ptr()) } {
        0 => Ok(exception),
        _ => Err(Raised),
    }
}

/// Raises `LocalProtocolError`.
#[cold]
pub fn local(error: LocalProtocolError) -> Raised {
    raise_ours(c"LocalProtocolError", &error.to_string())
}
