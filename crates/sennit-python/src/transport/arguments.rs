//! Arguments that the methods of all transports have in common.

use pyo3_ffi as ffi;
use sennit_engine::stream::Chunk;
use sennit_engine::transport::HIGH_WATER;

use super::protocol::SharedBytes;
use crate::globals::globals;
use crate::kit::{Args, Keywords, Object, Outcome, Raised, raise};

/// A piece for the write queue out of a bytes-like object.
pub fn chunk(data: *mut ffi::PyObject) -> Outcome<Chunk<SharedBytes>> {
    // SAFETY: the argument is live; a buffer is copied before it is released; GIL.
    unsafe {
        if ffi::PyBytes_CheckExact(data) != 0 {
            return Ok(Chunk::Shared(SharedBytes(Object::from_borrowed(data))));
        }
        if ffi::PyObject_CheckBuffer(data) == 0 {
            let class = std::ffi::CStr::from_ptr((*ffi::Py_TYPE(data)).tp_name).to_string_lossy();
            let message = format!("data argument must be a bytes-like object, not '{class}'");
            return Err(raise(ffi::PyExc_TypeError, &message));
        }
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(data, &mut view, ffi::PyBUF_SIMPLE) < 0 {
            return Err(Raised);
        }
        let copy = match view.len {
            // An empty buffer need not have an address.
            0 => Vec::new(),
            length => std::slice::from_raw_parts(view.buf.cast::<u8>(), length as usize).to_vec(),
        };
        ffi::PyBuffer_Release(&mut view);
        Ok(Chunk::Owned(copy))
    }
}

fn limit(value: *mut ffi::PyObject) -> Outcome<Option<i64>> {
    // SAFETY: the argument is live for the call; GIL.
    let args = unsafe { crate::kit::Args::new(&value, 1) };
    args.optional(0).map(|_| args.integer(0)).transpose()
}

/// The low and high water marks of `set_write_buffer_limits(high=None, low=None)`.
pub fn water_marks(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<(usize, usize)> {
    args.expect("set_write_buffer_limits", 0, 2)?;
    let given = keywords.named("set_write_buffer_limits", &[c"high", c"low"])?;
    let pick = |index: usize| -> Outcome<Option<i64>> {
        match args.0.get(index).copied().or(given[index]) {
            Some(value) => limit(value),
            None => Ok(None),
        }
    };
    let (high, low) = (pick(0)?, pick(1)?);
    // As asyncio: each is derived from the other where it is not given.
    let high = high.unwrap_or_else(|| low.map_or(HIGH_WATER as i64, |low| low * 4));
    let low = low.unwrap_or(high / 4);
    if !(0 <= low && low <= high) {
        let message = format!("high ({high}) must be >= low ({low}) must be >= 0");
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_ValueError }, &message));
    }
    Ok((low as usize, high as usize))
}

/// The answer of `get_extra_info(name, default=None)`, which the loop's Python half finds.
pub fn extra_info(
    transport: *mut ffi::PyObject,
    event_loop: Option<Object>,
    args: Args<'_>,
    keywords: Keywords<'_>,
) -> Outcome<Object> {
    args.expect("get_extra_info", 1, 2)?;
    let given = keywords.named("get_extra_info", &[c"name", c"default"])?;
    let default = args.0.get(1).copied().or(given[1]);
    // SAFETY: live arguments; None is immortal; GIL.
    let default = default.unwrap_or(unsafe { ffi::Py_None() });
    let Some(event_loop) = event_loop else {
        // SAFETY: a live argument; GIL.
        return Ok(unsafe { Object::from_borrowed(default) });
    };
    let arguments = [event_loop.as_ptr(), transport, args.0[0], default];
    Object::call_method(&globals().names._transport_extra, &arguments)
}
