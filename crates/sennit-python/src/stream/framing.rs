//! Framings out of Python's: each has a tuple `_native` that says what it is.

use pyo3_ffi as ffi;
use sennit_wire::framing::{ByteOrder, Framing, Separator, Width};

use crate::kit::{Args, Object, Outcome, borrowed_slice, raise};

/// Reads a framing: an object with `_native`, whose class has checked it.
pub fn of(framing: &Object) -> Outcome<Framing> {
    let Ok(native) = framing.attribute(c"_native") else {
        return Err(no_framing(framing));
    };
    // SAFETY: a live object; GIL.
    if unsafe { ffi::PyTuple_Check(native.as_ptr()) } == 0 {
        return Err(no_framing(framing));
    }
    // SAFETY: a live tuple, held for the time of the reading.
    let args = Args(unsafe { borrowed_slice(native.as_ptr()) });
    args.expect("_native", 2, 4)?;
    let size = usize::try_from(args.integer(1)?).unwrap_or(0);
    let found = match (args.text(0)?, args.0.len()) {
        ("lines", 3) if args.bytes(2)? == b"\n" => Some(Framing::Lines { max_size: size }),
        ("lines", 3) => Separator::new(args.bytes(2)?)
            .map(|separator| Framing::Separated { separator, max_size: size }),
        ("netstrings", 2) => Some(Framing::Netstrings { max_size: size }),
        ("prefixed", 4) => {
            let width = match args.integer(2)? {
                8 => Some(Width::Bits8),
                16 => Some(Width::Bits16),
                32 => Some(Width::Bits32),
                _ => None,
            };
            let order = match args.text(3)? {
                "little" => ByteOrder::Little,
                _ => ByteOrder::Big,
            };
            width.map(|width| Framing::LengthPrefixed { width, order, max_size: size })
        }
        ("fixed", 2) if size > 0 => Some(Framing::Fixed { size }),
        _ => None,
    };
    found.ok_or_else(|| no_framing(framing))
}

#[cold]
fn no_framing(framing: &Object) -> crate::kit::Raised {
    // SAFETY: GIL.
    unsafe { ffi::PyErr_Clear() };
    let text = Object::represent(framing).unwrap_or_else(|_| "it".to_owned());
    let message =
        format!("{text} is no framing; use Lines, Netstrings, LengthPrefixed or FixedSize");
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_TypeError }, &message)
}
