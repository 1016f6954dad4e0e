//! What Python helps messages with: policy that is no matter of bytes, such as cookies, charsets and JSON.
//!
//! `sennit.http` hands its functions over when it is imported; a native method whose matter is one of them calls it.

use std::cell::UnsafeCell;
use std::ffi::CStr;

use pyo3_ffi as ffi;

use crate::kit::{Args, Keywords, Object, Outcome, none, raise};

/// Which function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Helper {
    /// `(body: bytes) -> value`: JSON read.
    Loads,
    /// `(value) -> str | bytes`: JSON written.
    Dumps,
    /// `(body: bytes, content_type: str) -> str`: text that is said to be something else than UTF-8.
    Text,
    /// `(body: Awaitable, method) -> Coroutine`: waits for a body, then for what the method of its request gives.
    Later,
    /// `(cookie: str) -> dict`: the cookie field of a request.
    Cookies,
    /// `(query: str) -> Values`: the parameters of a query.
    Query,
    /// `(name, value, ...) -> str`: the value of a set-cookie field.
    SetCookie,
    /// `(name, ...) -> str`: the same for one that is to go.
    DeleteCookie,
    /// `(request) -> Awaitable`: the fields of a form.
    Form,
    /// `(request, response) -> Coroutine`: sends a response whose body comes in pieces.
    Pieces,
}

const COUNT: usize = 10;

/// Their names, in the order of [`Helper`].
const NAMES: [&CStr; COUNT] = [
    c"loads",
    c"dumps",
    c"text",
    c"later",
    c"cookies",
    c"query",
    c"set_cookie",
    c"delete_cookie",
    c"form",
    c"pieces",
];

struct Helpers(UnsafeCell<[Option<Object>; COUNT]>);

// SAFETY: used under the GIL only.
unsafe impl Sync for Helpers {}

static HELPERS: Helpers = Helpers(UnsafeCell::new([const { None }; COUNT]));

impl Helper {
    /// The function; an error is set if there is none.
    pub fn get(self) -> Outcome<Object> {
        // SAFETY: a short read; GIL.
        match unsafe { (*HELPERS.0.get())[self as usize].clone() } {
            Some(function) => Ok(function),
            None => {
                let name = NAMES[self as usize].to_string_lossy();
                let message = format!("nothing was set for {name} (core.set_message_helpers)");
                // SAFETY: reading a static of the interpreter; GIL.
                Err(raise(unsafe { ffi::PyExc_NotImplementedError }, &message))
            }
        }
    }
}

/// `set_message_helpers(**functions)`: those that are given take the place of those before.
pub fn set_message_helpers(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Object> {
    args.expect("set_message_helpers", 0, 0)?;
    let given = keywords.named("set_message_helpers", &NAMES)?;
    for (index, function) in given.into_iter().enumerate() {
        let Some(function) = function else { continue };
        // SAFETY: a live argument; the old one is dropped after the write; GIL.
        let before = unsafe { (*HELPERS.0.get())[index].replace(Object::from_borrowed(function)) };
        drop(before);
    }
    Ok(none())
}
