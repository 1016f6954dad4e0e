//! The settings and the counters of a stream.

use std::ffi::CStr;

use pyo3_ffi as ffi;

use super::error::raise_ours;
use super::object::StreamObject;
use crate::kit::{Args, Object, Outcome, Raised, getter, guard_status, none};

/// A number of seconds, or `None`, as nanoseconds; 0 is none.
fn timeout(name: &str, value: *mut ffi::PyObject) -> Outcome<u64> {
    // SAFETY: the argument is live for the call; GIL.
    let args = unsafe { Args::new(&value, 1) };
    if args.optional(0).is_none() {
        return Ok(0);
    }
    let seconds = args.float(0)?;
    if seconds > 0.0 && seconds.is_finite() {
        return Ok(((seconds * 1e9) as u64).max(1));
    }
    let message = format!(
        "{name} is {seconds} s; it must be more than 0 and finite, or None for no deadline"
    );
    Err(raise_ours(c"ConfigError", &message))
}

fn size(name: &str, value: *mut ffi::PyObject) -> Outcome<usize> {
    // SAFETY: the argument is live for the call; GIL.
    let number = unsafe { Args::new(&value, 1) }.integer(0)?;
    match usize::try_from(number) {
        Ok(size) if size > 0 => Ok(size),
        _ => {
            let message = format!("{name} is {number} bytes; it must be at least 1");
            Err(raise_ours(c"ConfigError", &message))
        }
    }
}

fn set(this: &StreamObject, name: &str, value: *mut ffi::PyObject) -> Outcome<()> {
    match name {
        "read_timeout" => this.fields().read_timeout = timeout(name, value)?,
        "write_timeout" => this.fields().write_timeout = timeout(name, value)?,
        "max_buffered" => this.fields().max_buffered = size(name, value)?,
        _ => {
            let message = format!("Stream() got an unexpected keyword argument '{name}'");
            // SAFETY: reading a static of the interpreter; GIL.
            return Err(crate::kit::raise(unsafe { ffi::PyExc_TypeError }, &message));
        }
    }
    Ok(())
}

/// `Stream(*, read_timeout=None, write_timeout=None, max_buffered=65536)`.
pub unsafe extern "C" fn init(
    this: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> i32 {
    guard_status(|| {
        // SAFETY: CPython calls with a live stream, a tuple, and a dict or null; GIL.
        unsafe {
            if ffi::PyTuple_GET_SIZE(args) > 0 {
                let message = "Stream() takes keyword arguments only";
                return Err(crate::kit::raise(ffi::PyExc_TypeError, message));
            }
            if keywords.is_null() {
                return Ok(());
            }
            let (mut place, mut key, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(keywords, &mut place, &mut key, &mut value) != 0 {
                set(&*this.cast(), Args::new(&key, 1).text(0)?, value)?;
            }
        }
        Ok(())
    })
}

fn seconds(nanoseconds: u64) -> Outcome<Object> {
    if nanoseconds == 0 { Ok(none()) } else { Object::float(nanoseconds as f64 / 1e9) }
}

getter!(read_timeout, StreamObject, |this| seconds(this.fields().read_timeout));
getter!(write_timeout, StreamObject, |this| seconds(this.fields().write_timeout));
getter!(max_buffered, StreamObject, |this| Object::integer(this.fields().max_buffered as i64));
getter!(buffered, StreamObject, |this| Object::integer(this.fields().inbox.len() as i64));
getter!(transport, StreamObject, |this| {
    Ok(this.fields().below.as_ref().map_or_else(none, |below| below.object().clone()))
});

/// Defines a setter.
macro_rules! setter {
    ($name:ident, $text:literal) => {
        unsafe extern "C" fn $name(
            this: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> i32 {
            guard_status(|| {
                if value.is_null() {
                    // SAFETY: reading a static of the interpreter; GIL.
                    let class = unsafe { ffi::PyExc_AttributeError };
                    return Err(crate::kit::raise(class, concat!($text, " cannot be deleted")));
                }
                // SAFETY: CPython calls a type's setters with instances of that type only.
                set(unsafe { &*this.cast::<StreamObject>() }, $text, value)
            })
        }
    };
}

setter!(set_read_timeout, "read_timeout");
setter!(set_write_timeout, "write_timeout");
setter!(set_max_buffered, "max_buffered");

type Row = (&'static CStr, ffi::getter, Option<ffi::setter>, &'static CStr);

/// The attributes.
pub fn attributes() -> &'static [Row] {
    &[
        (
            c"read_timeout",
            read_timeout,
            Some(set_read_timeout),
            c"Seconds one read may take; None: for ever.",
        ),
        (
            c"write_timeout",
            write_timeout,
            Some(set_write_timeout),
            c"Seconds the peer may take nothing of what waits to be sent; None: for ever.",
        ),
        (
            c"max_buffered",
            max_buffered,
            Some(set_max_buffered),
            c"Unread bytes beyond which the peer has to wait.",
        ),
        (c"buffered", buffered, None, c"Bytes that can be read without waiting."),
        (c"transport", transport, None, c"The transport below; None before there is one."),
    ]
}

/// The counters.
pub fn statistics(this: &StreamObject) -> Outcome<Object> {
    let queued = match this.below() {
        Some(below) => below.queued()?,
        None => 0,
    };
    let fields = this.fields();
    let values = [
        (c"bytes_received", fields.received),
        (c"bytes_sent", fields.sent.saturating_sub(queued as u64)),
        (c"buffered", fields.inbox.len() as u64),
        (c"queued", queued as u64),
    ];
    // SAFETY: a new dict; GIL.
    let table = unsafe { Object::owned(ffi::PyDict_New())? };
    for (name, value) in values {
        let value = Object::integer(value as i64)?;
        // SAFETY: live objects; GIL.
        if unsafe { ffi::PyDict_SetItemString(table.as_ptr(), name.as_ptr(), value.as_ptr()) } < 0 {
            return Err(Raised);
        }
    }
    Ok(table)
}
