//! Callbacks added: each in the context of the place where it is added.

use pyo3_ffi as ffi;

use super::chain;
use super::entry::Entry;
use super::firing;
use super::helpers::{Helper, describe, helper, is_debug};
use super::object::{DeferredObject, RUNNING, State, fields, is_deferred, push};
use super::place::place_here;
use crate::kit::{
    Args, Keywords, Object, Outcome, Raised, keywords, no_arguments, one_argument, raise, row,
    unless_none,
};

fn type_error(message: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_TypeError }, message)
}

/// Refuses what cannot be called: told here, not when the result is there.
#[inline]
fn check(function: &Object, name: &str) -> Outcome<()> {
    // SAFETY: a live object; GIL.
    if unsafe { ffi::PyCallable_Check(function.as_ptr()) } != 0 {
        return Ok(());
    }
    Err(type_error(&format!("{name}() needs a function, not {}", describe(function)?)))
}

/// What stands behind the function: nothing, a tuple, or a list: tuple, dict, and in debug mode the place.
#[inline]
fn rest(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Option<Object>> {
    let values = args.0.get(1..).unwrap_or_default();
    let is_debug = is_debug();
    if values.is_empty() && keywords.is_empty() && !is_debug {
        return Ok(None);
    }
    // SAFETY: new containers are filled with counted references before anybody sees them; GIL.
    unsafe {
        let tuple = Object::owned(ffi::PyTuple_New(values.len() as isize))?;
        for (index, value) in values.iter().enumerate() {
            let value = Object::from_borrowed(*value).into_ptr();
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as isize, value);
        }
        if keywords.is_empty() && !is_debug {
            return Ok(Some(tuple));
        }
        let named = keywords.to_dict()?;
        let list = Object::owned(ffi::PyList_New(if is_debug { 3 } else { 2 }))?;
        ffi::PyList_SET_ITEM(list.as_ptr(), 0, tuple.into_ptr());
        ffi::PyList_SET_ITEM(list.as_ptr(), 1, named.into_ptr());
        if is_debug {
            ffi::PyList_SET_ITEM(list.as_ptr(), 2, place_here().into_ptr());
        }
        Ok(Some(list))
    }
}

/// Adds a step, and runs it if the result is there.
#[inline]
fn add(
    this: &DeferredObject,
    callback: Option<Object>,
    errback: Option<Object>,
    arguments: Option<Object>,
) -> Outcome<Object> {
    let deferred = this.object();
    // SAFETY: GIL.
    let context = unsafe { Object::owned(ffi::PyContext_CopyCurrent())? };
    push(&deferred, Entry::call(callback, errback, arguments, context));
    run_if_there(&deferred)?;
    Ok(deferred)
}

/// Goes on with the chain if there is something to go on with.
#[inline]
pub fn run_if_there(deferred: &Object) -> Outcome<()> {
    // SAFETY: a short read; GIL.
    let goes_on = unsafe {
        let fields = &*fields(deferred);
        fields.state != State::Waiting && fields.pauses == 0 && fields.flags & RUNNING == 0
    };
    if goes_on { chain::run(deferred) } else { Ok(()) }
}

fn function_of(args: Args<'_>, name: &str) -> Outcome<Object> {
    if args.0.is_empty() {
        return Err(type_error(&format!("{name}() missing the function")));
    }
    let function = args.object(0);
    check(&function, name)?;
    Ok(function)
}

keywords!(add_callback, DeferredObject, |this, args, keywords| {
    let function = function_of(args, "add_callback")?;
    add(this, Some(function), None, rest(args, keywords)?)
});

keywords!(add_errback, DeferredObject, |this, args, keywords| {
    let function = function_of(args, "add_errback")?;
    add(this, None, Some(function), rest(args, keywords)?)
});

keywords!(add_both, DeferredObject, |this, args, keywords| {
    let function = function_of(args, "add_both")?;
    add(this, Some(function.clone()), Some(function), rest(args, keywords)?)
});

keywords!(add_callbacks, DeferredObject, |this, args, keywords| {
    let names = [
        c"callback",
        c"errback",
        c"callback_args",
        c"callback_keywords",
        c"errback_args",
        c"errback_keywords",
    ];
    let given = keywords.bind("add_callbacks", args, 2, &names)?;
    let [callback, errback, callback_args, callback_keywords, errback_args, errback_keywords] =
        given.map(unless_none);
    if callback.is_none() && errback.is_none() {
        return Err(type_error("add_callbacks() needs a callback, an errback, or both"));
    }
    let callback = bound(callback, callback_args, callback_keywords)?;
    let errback = bound(errback, errback_args, errback_keywords)?;
    add(this, callback, errback, rest(Args(&[]), Keywords::NONE)?)
});

/// A function with arguments of its own, as a function of the result alone.
fn bound(
    function: Option<Object>,
    args: Option<Object>,
    keywords: Option<Object>,
) -> Outcome<Option<Object>> {
    let Some(function) = function else {
        return Ok(None);
    };
    check(&function, "add_callbacks")?;
    if args.is_none() && keywords.is_none() {
        return Ok(Some(function));
    }
    let args = args.unwrap_or_else(crate::kit::none);
    let keywords = keywords.unwrap_or_else(crate::kit::none);
    let bind = helper(Helper::Bind)?;
    bind.call(&[function.as_ptr(), args.as_ptr(), keywords.as_ptr()]).map(Some)
}

no_arguments!(pause, DeferredObject, |this| {
    // SAFETY: a short write; GIL.
    unsafe { (*fields(&this.object())).pauses += 1 };
    Ok(crate::kit::none())
});

no_arguments!(unpause, DeferredObject, |this| {
    let deferred = this.object();
    firing::check_thread(&deferred)?;
    // SAFETY: short reads and writes; GIL.
    unsafe {
        let fields = &mut *fields(&deferred);
        let own = fields.more.as_ref().is_some_and(|more| more.waits_for.is_some());
        if fields.pauses <= u32::from(own) {
            let class = ffi::PyExc_RuntimeError;
            return Err(raise(class, "unpause() of a Deferred that is not paused"));
        }
        fields.pauses -= 1;
    }
    run_if_there(&deferred)?;
    Ok(crate::kit::none())
});

one_argument!(chain_to, DeferredObject, |this, other| {
    // SAFETY: a live argument; GIL.
    let other = unsafe { Object::from_borrowed(other) };
    if !is_deferred(other.as_ptr()) {
        return Err(type_error(&format!("chain() takes a Deferred, not {}", describe(&other)?)));
    }
    let deferred = this.object();
    push(&deferred, Entry::fire(other));
    run_if_there(&deferred)?;
    Ok(deferred)
});

keywords!(add_timeout, DeferredObject, |this, args, keywords| {
    with_self(Helper::AddTimeout, this.object().as_ptr(), args, keywords)
});

/// A helper that gets the Deferred, or its class, before all the arguments.
pub fn with_self(
    which: Helper,
    first: *mut ffi::PyObject,
    args: Args<'_>,
    keywords: Keywords<'_>,
) -> Outcome<Object> {
    let mut all = vec![first];
    all.extend_from_slice(args.0);
    let function = helper(which)?;
    keywords.call(&function, all)
}

/// The methods.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"add_callback", add_callback,
            c"add_callback($self, function, /, *args, **kwargs)\n--\n\nCall a function with the result when it is there."),
        row!(keywords c"add_errback", add_errback,
            c"add_errback($self, function, /, *args, **kwargs)\n--\n\nCall a function with the Failure if there is one."),
        row!(keywords c"add_both", add_both,
            c"add_both($self, function, /, *args, **kwargs)\n--\n\nCall a function with the result or the Failure."),
        row!(keywords c"add_callbacks", add_callbacks,
            c"add_callbacks($self, callback=None, errback=None, *, callback_args=None, callback_keywords=None, errback_args=None, errback_keywords=None)\n--\n\nCall one of two functions, by what there is."),
        row!(noargs c"pause", pause, c"pause($self)\n--\n\nStop running callbacks until unpause()."),
        row!(noargs c"unpause", unpause, c"unpause($self)\n--\n\nUndo one pause()."),
        row!(one c"chain", chain_to,
            c"chain($self, other, /)\n--\n\nFire another Deferred with this one's result."),
        row!(keywords c"add_timeout", add_timeout,
            c"add_timeout($self, seconds, on_timeout=None, *, clock=None)\n--\n\nCancel after a time."),
    ]
}
