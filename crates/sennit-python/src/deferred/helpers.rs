//! What Python helps a Deferred with: everything that is asked for once, or that waits.

use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3_ffi as ffi;

use crate::kit::{Args, Keywords, Object, Outcome, none, raise};

const COUNT: usize = 12;

/// One of the helpers.
#[derive(Clone, Copy)]
pub enum Helper {
    /// `Failure`: the class.
    Failure,
    /// `report(error, code, offset)`: an error that nobody took.
    Report,
    /// `bind(function, args, keywords)`: a function of a result alone.
    Bind,
    /// `refuse(kind, deferred)`: raises what it means to fire twice, or from another thread.
    Refuse,
    /// `tell(error, code, offset, what, function)`: writes a step into the story of an error.
    Tell,
    AddTimeout,
    FromCoroutine,
    FromFuture,
    AsFuture,
    /// `deliver(function, deferred, context)`: a done callback whose turn has come.
    Deliver,
    /// `describe(value)`: a value in a few words, whatever its `repr()` does.
    Describe,
    /// The code of our own functions that make Deferreds for others, in a tuple.
    Makers,
}

const NAMES: [&CStr; COUNT] = [
    c"failure",
    c"report",
    c"bind",
    c"refuse",
    c"tell",
    c"add_timeout",
    c"from_coroutine",
    c"from_future",
    c"as_future",
    c"deliver",
    c"describe",
    c"makers",
];

struct Helpers(UnsafeCell<[Option<Object>; COUNT]>);

// SAFETY: read and written under the GIL only.
unsafe impl Sync for Helpers {}

static HELPERS: Helpers = Helpers(UnsafeCell::new([const { None }; COUNT]));

static DEBUG: AtomicBool = AtomicBool::new(false);

/// A helper.
pub fn helper(which: Helper) -> Outcome<Object> {
    // SAFETY: a short read; GIL.
    match unsafe { (*HELPERS.0.get())[which as usize].clone() } {
        Some(function) => Ok(function),
        None => {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_RuntimeError };
            Err(raise(class, "import sennit.deferred before a Deferred is used"))
        }
    }
}

/// Whether an object is a `Failure`.
#[inline]
pub fn is_failure(object: &Object) -> bool {
    // SAFETY: a short read, and a check of a live object's type; GIL.
    unsafe {
        match &(*HELPERS.0.get())[Helper::Failure as usize] {
            Some(class) => ffi::PyObject_TypeCheck(object.as_ptr(), class.as_ptr().cast()) != 0,
            None => false,
        }
    }
}

/// Whether a code object is one of the makers.
#[inline]
pub fn is_maker(code: &Object) -> bool {
    // SAFETY: a short read of a live object, whose type is checked; GIL.
    unsafe {
        match &(*HELPERS.0.get())[Helper::Makers as usize] {
            Some(makers) if ffi::PyTuple_CheckExact(makers.as_ptr()) != 0 => {
                crate::kit::borrowed_slice(makers.as_ptr()).contains(&code.as_ptr())
            }
            _ => false,
        }
    }
}

/// A value in a few words, for a `repr()`.
pub fn describe(value: &Object) -> Outcome<String> {
    let text = helper(Helper::Describe)?.call(&[value.as_ptr()])?;
    let pointer = text.as_ptr();
    // SAFETY: one live argument; GIL.
    unsafe { Args::new(&pointer, 1) }.text(0).map(str::to_owned)
}

/// `set_deferred_helpers(**functions)`.
pub fn set_helpers(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Object> {
    args.expect("set_deferred_helpers", 0, 0)?;
    let given = keywords.named("set_deferred_helpers", &NAMES)?;
    for (index, function) in given.into_iter().enumerate() {
        let Some(function) = function else { continue };
        // SAFETY: a live argument; the old one is dropped after the write; GIL.
        let before = unsafe { (*HELPERS.0.get())[index].replace(Object::from_borrowed(function)) };
        drop(before);
    }
    Ok(none())
}

/// Whether every place where a callback is added is kept.
#[inline]
pub fn is_debug() -> bool {
    DEBUG.load(Ordering::Relaxed)
}

/// `set_deferred_debug(enabled)`.
pub fn set_debug(enabled: &Object) -> Outcome<Object> {
    DEBUG.store(enabled.truth()?, Ordering::Relaxed);
    Ok(none())
}
