//! A result given, and given up.

use pyo3_ffi as ffi;

use super::adding::{run_if_there, with_self};
use super::chain::{self, Given};
use super::helpers::{Helper, describe, helper, is_failure};
use super::object::{DeferredObject, SWALLOWS, State, fields, is_deferred, waits_for};
use super::place;
use crate::globals::globals;
use crate::kit::{
    Keywords, Object, Outcome, Raised, guard, keywords, none, one_argument, positional, raise, row,
    take_exception,
};

/// Raises what is said of a use that is not allowed.
#[cold]
fn refuse(kind: &str, deferred: &Object) -> Raised {
    let refused = helper(Helper::Refuse)
        .and_then(|refuse| refuse.call(&[Object::text(kind)?.as_ptr(), deferred.as_ptr()]));
    match refused {
        Err(raised) => raised,
        // SAFETY: reading a static of the interpreter; GIL.
        Ok(_) => raise(unsafe { ffi::PyExc_RuntimeError }, kind),
    }
}

/// Only the thread of its loop may fire, cancel or unpause it.
#[inline]
pub fn check_thread(deferred: &Object) -> Outcome<()> {
    // SAFETY: a short read; GIL.
    let owner = unsafe { (*fields(deferred)).owner };
    if owner == place::NOBODYS || owner == place::this_thread() {
        return Ok(());
    }
    Err(refuse("thread", deferred))
}

/// Gives a Deferred its result. One that was cancelled lets a result go by, once: then the answer is no.
#[inline]
pub fn accept(deferred: &Object, given: Given) -> Outcome<bool> {
    check_thread(deferred)?;
    // SAFETY: short reads and writes; GIL.
    let refused = unsafe {
        let fields = &mut *fields(deferred);
        if fields.state == State::Waiting {
            false
        } else if fields.flags & SWALLOWS != 0 {
            fields.flags &= !SWALLOWS;
            return Ok(false);
        } else {
            true
        }
    };
    if refused {
        return Err(refuse("fired", deferred));
    }
    chain::set(deferred, given);
    // What could be cancelled is over: a canceller often holds the Deferred itself.
    // SAFETY: a short write; what is taken out is dropped afterwards; GIL.
    let canceller =
        unsafe { (*fields(deferred)).more.as_mut().and_then(|more| more.canceller.take()) };
    drop(canceller);
    Ok(true)
}

#[inline]
pub fn fire(deferred: &Object, given: Given) -> Outcome<()> {
    if accept(deferred, given)? { run_if_there(deferred) } else { Ok(()) }
}

positional!(callback, DeferredObject, |this, args| {
    args.expect("callback", 0, 1)?;
    let value = if args.0.is_empty() { none() } else { args.object(0) };
    if is_deferred(value.as_ptr()) {
        return Err(refuse("deferred", &this.object()));
    }
    fire(&this.object(), Given::returned(value))?;
    Ok(none())
});

positional!(errback, DeferredObject, |this, args| {
    args.expect("errback", 0, 1)?;
    let error = if args.0.is_empty() { none() } else { args.object(0) };
    // SAFETY: a live object; GIL.
    if unsafe { ffi::PyErr_GivenExceptionMatches(error.as_ptr(), ffi::PyExc_StopIteration) } != 0 {
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_TypeError };
        return Err(raise(
            class,
            "errback() was given a StopIteration, which would look like a return to who awaits it",
        ));
    }
    let given = if is_failure(&error) {
        Given::Wrapped(error)
    } else if error.is_none() {
        Given::Raised(handled_exception()?)
    // SAFETY: a live object; GIL.
    } else if unsafe { ffi::PyExceptionInstance_Check(error.as_ptr()) } != 0 {
        Given::Raised(error)
    } else {
        let message =
            format!("errback() takes an exception or a Failure, not {}", describe(&error)?);
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_TypeError }, &message));
    };
    fire(&this.object(), given)?;
    Ok(none())
});

/// The exception that an `except` block around the call has caught.
fn handled_exception() -> Outcome<Object> {
    let information = Object::import(c"sys")?.attribute(c"exc_info")?.call(&[])?;
    // SAFETY: a tuple of three; GIL.
    let value =
        unsafe { Object::from_borrowed(crate::kit::borrowed_slice(information.as_ptr())[1]) };
    if value.is_none() {
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_TypeError };
        return Err(raise(class, "errback() without an error is for an except block"));
    }
    Ok(value)
}

keywords!(cancel, DeferredObject, |this, args, keywords| {
    args.expect("cancel", 0, 1)?;
    let [given] = keywords.named("cancel", &[c"msg"])?;
    let message = args.0.first().copied().or(given);
    let mut deferred = this.object();
    check_thread(&deferred)?;
    // A chain that waits for another is cancelled where the waiting began.
    while !is_waiting(&deferred) {
        match waits_for(&deferred) {
            Some(other) => deferred = other,
            None => return Ok(Object::boolean(false)),
        }
    }
    cancel_one(&deferred, message)?;
    Ok(Object::boolean(true))
});

fn cancel_one(deferred: &Object, message: Option<*mut ffi::PyObject>) -> Outcome<()> {
    // SAFETY: a short write; GIL.
    let canceller =
        unsafe { (*fields(deferred)).more.as_mut().and_then(|more| more.canceller.take()) };
    let has_canceller = canceller.is_some();
    if let Some(canceller) = canceller
        && canceller.call(&[deferred.as_ptr()]).is_err()
    {
        let exception = take_exception();
        let leaves = chain::leaves(&exception);
        if is_waiting(deferred) {
            allow_one_more(deferred);
            fire_anyway(deferred, Given::Raised(exception.clone()))?;
            if !leaves {
                return Ok(());
            }
        }
        chain::set_error(&exception);
        if leaves {
            return Err(Raised);
        }
        // It has fired the Deferred and failed afterwards: nobody else hears of that.
        // SAFETY: an error is set; GIL.
        unsafe { ffi::PyErr_WriteUnraisable(deferred.as_ptr()) };
        return Ok(());
    }
    if has_canceller && !is_waiting(deferred) {
        return Ok(());
    }
    allow_one_more(deferred);
    let class = &globals().asyncio.cancelled_error;
    let error = match message {
        // SAFETY: comparing with the address of a static.
        Some(message) if message != unsafe { ffi::Py_None() } => class.call(&[message])?,
        _ => class.call(&[])?,
    };
    fire_anyway(deferred, Given::Raised(error))
}

fn is_waiting(deferred: &Object) -> bool {
    // SAFETY: a short read; GIL.
    unsafe { (*fields(deferred)).state == State::Waiting }
}

/// Whoever was to fire it may not have heard yet that it is cancelled.
fn allow_one_more(deferred: &Object) {
    // SAFETY: a short write; GIL.
    unsafe { (*fields(deferred)).flags |= SWALLOWS };
}

fn fire_anyway(deferred: &Object, given: Given) -> Outcome<()> {
    chain::set(deferred, given);
    run_if_there(deferred)
}

one_argument!(class_getitem, ffi::PyObject, |class, item| {
    // SAFETY: a live class and item; GIL.
    unsafe { Object::owned(ffi::Py_GenericAlias(std::ptr::from_ref(class).cast_mut(), item)) }
});

/// Defines a class method that Python helps with.
macro_rules! class_method {
    ($name:ident, $helper:expr) => {
        unsafe extern "C" fn $name(
            class: *mut ffi::PyObject,
            arguments: *const *mut ffi::PyObject,
            count: isize,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject {
            guard(|| {
                // SAFETY: CPython's fast-call convention vouches for the arguments.
                let (args, keywords) = unsafe { Keywords::split(arguments, count, names) };
                with_self($helper, class, args, keywords)
            })
        }
    };
}

class_method!(from_coroutine, Helper::FromCoroutine);
class_method!(from_future, Helper::FromFuture);

keywords!(as_future, DeferredObject, |this, args, keywords| {
    with_self(Helper::AsFuture, this.object().as_ptr(), args, keywords)
});

fn of_class(mut row: ffi::PyMethodDef) -> ffi::PyMethodDef {
    row.ml_flags |= ffi::METH_CLASS;
    row
}

/// The methods.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(positional c"callback", callback,
            c"callback($self, result=None, /)\n--\n\nGive the result, once."),
        row!(positional c"errback", errback,
            c"errback($self, error=None, /)\n--\n\nFail with an exception or a Failure, once; without one, with the one being handled."),
        row!(keywords c"cancel", cancel,
            c"cancel($self, msg=None)\n--\n\nGive up; True if there was something to give up."),
        row!(keywords c"as_future", as_future,
            c"as_future($self)\n--\n\nAn asyncio.Future of the running loop with the same result."),
        of_class(row!(keywords c"from_coroutine", from_coroutine,
            c"from_coroutine($type, coroutine, /)\n--\n\nRun a coroutine as a task; the Deferred has its result.")),
        of_class(row!(keywords c"from_future", from_future,
            c"from_future($type, future, /)\n--\n\nThe result of an asyncio.Future.")),
        of_class(
            row!(one c"__class_getitem__", class_getitem, c"Deferred[int], for type checkers."),
        ),
    ]
}
