//! The Future protocol: what asyncio's tasks, `gather`, `wait` and `shield` ask of what is awaited.
//!
//! A Deferred is its own iterator: awaiting one that has its result makes no object. Whoever waits for one that has none
//! is an entry of the chain, told through `call_soon` when the chain comes to it; the result is
//! looked at when the waiter runs.

use pyo3_ffi as ffi;

use super::adding::run_if_there;
use super::chain::{self, Given};
use super::entry::{Entry, Kind};
use super::helpers::{Helper, helper};
use super::object::{DeferredObject, HANDLED, RUNNING, State, entries, extract, fields, push};
use super::place;
use crate::globals::{globals, is_instance};
use crate::kit::{
    Object, Outcome, Raised, guard, keywords, no_arguments, none, one_argument, raise, row,
    take_exception,
};

/// The result, if the chain rests: nothing runs, nothing is paused, nothing is waited for.
#[inline]
fn outcome(deferred: &Object) -> Option<Given> {
    // SAFETY: a short read; GIL.
    unsafe {
        let fields = &*fields(deferred);
        if fields.pauses > 0 || fields.flags & RUNNING != 0 {
            return None;
        }
        let result = fields.result.clone()?;
        match fields.state {
            State::Waiting => None,
            State::Value => Some(Given::Value(result)),
            State::Raised => Some(Given::Raised(result)),
            State::Wrapped => Some(Given::Wrapped(result)),
        }
    }
}

fn handled(deferred: &Object) {
    // SAFETY: a short write; GIL.
    unsafe { (*fields(deferred)).flags |= HANDLED };
}

/// The exception of an error.
fn exception_of(given: &Given) -> Outcome<Option<Object>> {
    match given {
        Given::Value(_) => Ok(None),
        Given::Raised(error) => Ok(Some(error.clone())),
        Given::Wrapped(failure) => failure.attribute(c"value").map(Some),
    }
}

/// The value, or the error raised.
#[inline]
fn value(deferred: &Object, given: Given) -> Outcome<Object> {
    if let Given::Value(value) = given {
        return Ok(value);
    }
    raise_from(deferred, given)
}

/// Raises the error, with the traceback that it came with: each waiter adds its own to that, and not to those of
/// the others.
#[cold]
fn raise_from(deferred: &Object, given: Given) -> Outcome<Object> {
    let failure = match given {
        Given::Raised(error) => chain::wrap(deferred, &error)?,
        Given::Wrapped(failure) | Given::Value(failure) => failure,
    };
    handled(deferred);
    let error = failure.attribute(c"value")?;
    let traceback = failure.attribute(c"traceback")?;
    // SAFETY: a live exception and its traceback or None; GIL.
    unsafe {
        if ffi::PyException_SetTraceback(error.as_ptr(), traceback.as_ptr()) < 0 {
            return Err(Raised);
        }
        if ffi::PyErr_GivenExceptionMatches(error.as_ptr(), ffi::PyExc_StopIteration) == 0 {
            chain::set_error(&error);
            return Err(Raised);
        }
        // Raised as it is, it would end the waiter as if that had returned.
        let Raised = raise(ffi::PyExc_RuntimeError, "a Deferred has failed with StopIteration");
        let instead = take_exception();
        ffi::PyException_SetCause(instead.as_ptr(), error.into_ptr());
        chain::set_error(&instead);
        Err(Raised)
    }
}

fn not_there() -> Raised {
    let class = &globals().stream.invalid_state_error;
    raise(class.as_ptr(), "Result is not set.")
}

/// Marks it as waited for. A task takes the mark away at once; who has left it there does not know what to do with it.
/// What belongs to another thread is refused here, in the coroutine: a task that is told later hangs.
fn wait(deferred: &Object) -> Outcome<()> {
    take_over(deferred)?;
    // SAFETY: a short write; GIL.
    let before = unsafe { std::mem::replace(&mut (*fields(deferred)).blocking, 1) };
    if before == 0 {
        return Ok(());
    }
    // SAFETY: a short write, and reading a static of the interpreter; GIL.
    let class = unsafe {
        (*fields(deferred)).blocking = 0;
        ffi::PyExc_RuntimeError
    };
    Err(raise(
        class,
        "a Deferred without a result is for `await` in a task of asyncio, not for iterating",
    ))
}

/// `am_send`: the way by which a coroutine waits.
pub unsafe extern "C" fn send(
    this: *mut ffi::PyObject,
    _value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    // SAFETY: CPython calls with a live Deferred and a place for the result; GIL.
    unsafe {
        let deferred = Object::from_borrowed(this);
        let Some(given) = outcome(&deferred) else {
            if wait(&deferred).is_err() {
                *result = std::ptr::null_mut();
                return ffi::PySendResult::PYGEN_ERROR;
            }
            *result = deferred.into_ptr();
            return ffi::PySendResult::PYGEN_NEXT;
        };
        match value(&deferred, given) {
            Ok(value) => {
                *result = value.into_ptr();
                ffi::PySendResult::PYGEN_RETURN
            }
            Err(Raised) => {
                *result = std::ptr::null_mut();
                ffi::PySendResult::PYGEN_ERROR
            }
        }
    }
}

/// `tp_iternext`: the same for whoever does not know `am_send`.
pub unsafe extern "C" fn next(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live Deferred; GIL.
        let deferred = unsafe { Object::from_borrowed(this) };
        let Some(given) = outcome(&deferred) else {
            wait(&deferred)?;
            return Ok(deferred);
        };
        let value = value(&deferred, given)?;
        // A tuple would be taken for the arguments of StopIteration.
        // SAFETY: an exception class and a live value; GIL.
        unsafe {
            let class = Object::from_borrowed(ffi::PyExc_StopIteration);
            let stop = class.call(&[value.as_ptr()])?;
            ffi::PyErr_SetObject(ffi::PyExc_StopIteration, stop.as_ptr());
        }
        Err(Raised)
    })
}

/// `am_await`, `tp_iter`.
pub unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    unsafe { Object::from_borrowed(this).into_ptr() }
}

no_arguments!(done, DeferredObject, |this| {
    Ok(Object::boolean(outcome(&this.object()).is_some()))
});

no_arguments!(cancelled, DeferredObject, |this| {
    let Some(given) = outcome(&this.object()) else { return Ok(Object::boolean(false)) };
    let is_cancelled = match exception_of(&given)? {
        Some(error) => is_instance(error.as_ptr(), &globals().asyncio.cancelled_error)?,
        None => false,
    };
    Ok(Object::boolean(is_cancelled))
});

no_arguments!(result, DeferredObject, |this| {
    let deferred = this.object();
    let given = outcome(&deferred).ok_or_else(not_there)?;
    value(&deferred, given)
});

no_arguments!(exception, DeferredObject, |this| {
    let deferred = this.object();
    let given = outcome(&deferred).ok_or_else(not_there)?;
    let Some(error) = exception_of(&given)? else { return Ok(none()) };
    handled(&deferred);
    if is_instance(error.as_ptr(), &globals().asyncio.cancelled_error)? {
        return value(&deferred, given);
    }
    Ok(error)
});

no_arguments!(make_cancelled_error, DeferredObject, |this| {
    let given = outcome(&this.object());
    match given.as_ref().map(exception_of).transpose()?.flatten() {
        Some(error) => Ok(error),
        None => globals().asyncio.cancelled_error.call(&[]),
    }
});

/// A Deferred belongs to the thread in which somebody waits for it, unless it belongs to another one already.
fn take_over(deferred: &Object) -> Outcome<()> {
    let here = place::this_thread();
    // SAFETY: short reads and writes; GIL.
    let owner = unsafe {
        let fields = &mut *fields(deferred);
        if fields.owner == place::NOBODYS {
            fields.owner = here;
        }
        fields.owner
    };
    if owner == here {
        return Ok(());
    }
    let refuse = helper(Helper::Refuse)?;
    refuse.call(&[Object::text("await")?.as_ptr(), deferred.as_ptr()]).map(drop)
}

/// The loop that runs in this thread.
fn event_loop(deferred: &Object) -> Outcome<Object> {
    let event_loop = globals().running_loop.call(&[])?;
    take_over(deferred)?;
    Ok(event_loop)
}

no_arguments!(get_loop, DeferredObject, |this| event_loop(&this.object()));

keywords!(add_done_callback, DeferredObject, |this, args, keywords| {
    args.expect("add_done_callback", 1, 1)?;
    let context = match keywords.only("add_done_callback", &globals().names.context)? {
        // SAFETY: a live argument; GIL.
        Some(context) => unsafe { Object::from_borrowed(context) },
        // SAFETY: GIL.
        None => unsafe { Object::owned(ffi::PyContext_CopyCurrent())? },
    };
    let deferred = this.object();
    let event_loop = event_loop(&deferred)?;
    push(&deferred, Entry::wake(args.object(0), event_loop, context));
    run_if_there(&deferred)?;
    Ok(none())
});

one_argument!(remove_done_callback, DeferredObject, |this, function| {
    let deferred = this.object();
    // Comparing may run anything, so nothing is looked at meanwhile.
    let mut found = Vec::new();
    for waiter in waiters(&deferred) {
        // SAFETY: two live objects; GIL.
        match unsafe { ffi::PyObject_RichCompareBool(waiter.as_ptr(), function, ffi::Py_EQ) } {
            -1 => return Err(Raised),
            0 => {}
            _ => found.push(waiter),
        }
    }
    let removed = extract(&deferred, |entry| match entry.kind() {
        Kind::Wake { function, .. } => found.iter().any(|one| one.as_ptr() == function.as_ptr()),
        _ => false,
    });
    Object::integer(removed.len() as i64)
});

/// The done callbacks that wait.
fn waiters(deferred: &Object) -> Vec<Object> {
    let of = |entry: &Entry| match entry.kind() {
        Kind::Wake { function, .. } => Some(function.clone()),
        _ => None,
    };
    entries(deferred).filter_map(of).collect()
}

/// The methods.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(noargs c"done", done, c"done($self)\n--\n\nWhether the chain has come to its end, for now."),
        row!(noargs c"cancelled", cancelled, c"cancelled($self)\n--\n\nWhether it was cancelled."),
        row!(noargs c"result", result, c"result($self)\n--\n\nThe result; raises the error."),
        row!(noargs c"exception", exception, c"exception($self)\n--\n\nThe error, or None."),
        row!(noargs c"get_loop", get_loop, c"get_loop($self)\n--\n\nThe loop that runs."),
        row!(keywords c"add_done_callback", add_done_callback,
            c"add_done_callback($self, function, /, *, context=None)\n--\n\nHave the loop call a function with this Deferred."),
        row!(one c"remove_done_callback", remove_done_callback,
            c"remove_done_callback($self, function, /)\n--\n\nUndo add_done_callback; how often it was found."),
        row!(noargs c"_make_cancelled_error", make_cancelled_error,
            c"_make_cancelled_error($self)\n--\n\nThe error that a cancelled one raises."),
    ]
}
