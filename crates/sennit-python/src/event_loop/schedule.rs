//! Scheduling: `call_soon`, `call_later`, `call_at`, `time`, `create_future`.

use pyo3_ffi as ffi;
use sennit_engine::Host;

use super::LoopObject;
use crate::globals::globals;
use crate::handle::Handle;
use crate::host::loop_seconds;
use crate::kit::{
    Args, Keywords, Object, Outcome, Raised, keywords, no_arguments, none, raise, row, vectorcall,
};

/// The arguments behind the callback, as the tuple that a handle keeps.
#[inline]
fn rest(args: Args<'_>, from: usize) -> Outcome<Object> {
    let values = &args.0[from..];
    if values.is_empty() {
        return Ok(globals().empty_tuple.clone());
    }
    // SAFETY: a new tuple is filled with counted references before anybody sees it; GIL.
    unsafe {
        let tuple = Object::owned(ffi::PyTuple_New(values.len() as isize))?;
        for (index, value) in values.iter().enumerate() {
            let value = Object::from_borrowed(*value).into_ptr();
            ffi::PyTuple_SET_ITEM(tuple.as_ptr(), index as isize, value);
        }
        Ok(tuple)
    }
}

#[inline]
fn context(function: &str, keywords: Keywords<'_>) -> Outcome<Object> {
    // SAFETY: the keyword's value lives as long as the call; GIL.
    unsafe {
        match keywords.only(function, &globals().names.context)? {
            Some(context) => Ok(Object::from_borrowed(context)),
            None => Object::owned(ffi::PyContext_CopyCurrent()),
        }
    }
}

fn missing(function: &str, what: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    let class = unsafe { ffi::PyExc_TypeError };
    raise(class, &format!("{function}() missing {what}"))
}

/// In debug mode the Python half checks the callback and the thread.
#[inline]
fn check(this: &LoopObject, callback: &Object, function: &str) -> Outcome<()> {
    this.state().check_open()?;
    if this.state().is_debug() {
        let name = Object::text(function)?;
        let arguments = [this.as_ptr(), callback.as_ptr(), name.as_ptr()];
        Object::call_method(&globals().names._check_call, &arguments)?;
    }
    Ok(())
}

/// In debug mode a handle remembers where it was made.
#[inline]
fn finish(this: &LoopObject, handle: &Handle) -> Outcome<Object> {
    if this.state().is_debug() {
        let arguments = [this.as_ptr(), handle.0.as_ptr()];
        Object::call_method(&globals().names._keep_source, &arguments)?;
    }
    Ok(handle.0.clone())
}

#[inline]
fn make_handle(
    this: &LoopObject,
    function: &str,
    args: Args<'_>,
    keywords: Keywords<'_>,
) -> Outcome<Handle> {
    if args.0.is_empty() {
        return Err(missing(function, "the callback"));
    }
    let callback = args.object(0);
    check(this, &callback, function)?;
    Handle::new(this.as_ptr(), callback, rest(args, 1)?, context(function, keywords)?)
}

keywords!(call_soon, LoopObject, |this, args, keywords| {
    if this.state().is_capturing.get() && !args.0.is_empty() && this.state().caught(&args.object(0))
    {
        return Ok(none());
    }
    let handle = make_handle(this, "call_soon", args, keywords)?;
    let result = finish(this, &handle)?;
    this.state().reactor().call_soon(handle);
    Ok(result)
});

keywords!(call_soon_threadsafe, LoopObject, |this, args, keywords| {
    let handle = make_handle(this, "call_soon_threadsafe", args, keywords)?;
    let result = finish(this, &handle)?;
    // The GIL lets one thread in at a time, so this may go behind what `call_soon` has queued, in
    // the order of the calls, as under asyncio; the engine's inbox is for hosts without a lock.
    let reactor = this.state().reactor();
    reactor.call_soon(handle);
    if !reactor.host().is_foreign() {
        reactor.wake();
    }
    Ok(result)
});

fn schedule(
    this: &LoopObject,
    function: &str,
    seconds: f64,
    args: Args<'_>,
    keywords: Keywords<'_>,
) -> Outcome<Object> {
    let callback = args.object(1);
    check(this, &callback, function)?;
    let when = Object::float(seconds)?;
    let handle = Handle::new_timer(
        this.as_ptr(),
        when,
        callback,
        rest(args, 2)?,
        context(function, keywords)?,
    )?;
    let result = finish(this, &handle)?;
    // A product that is too large by a rounding is not a nanosecond later; a float too large for the
    // clock saturates: never.
    let when = (seconds * 1e9 * (1.0 - f64::EPSILON)).ceil() as u64;
    this.state().reactor().call_at(when, handle);
    Ok(result)
}

keywords!(call_later, LoopObject, |this, args, keywords| {
    if args.0.len() < 2 {
        return Err(missing("call_later", "the delay or the callback"));
    }
    let seconds = loop_seconds(this.state().reactor()) + args.float(0)?;
    schedule(this, "call_later", seconds, args, keywords)
});

keywords!(call_at, LoopObject, |this, args, keywords| {
    if args.0.len() < 2 {
        return Err(missing("call_at", "the time or the callback"));
    }
    let seconds = args.float(0)?;
    schedule(this, "call_at", seconds, args, keywords)
});

no_arguments!(time, LoopObject, |this| Object::float(loop_seconds(this.state().reactor())));

no_arguments!(create_future, LoopObject, |this| {
    let globals = globals();
    let arguments = [this.as_ptr()];
    // SAFETY: one value for the one keyword; GIL.
    unsafe {
        Object::owned(vectorcall(
            globals.future_type.as_ptr(),
            arguments.as_ptr(),
            0,
            globals.loop_keyword.as_ptr(),
        ))
    }
});

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"call_soon", call_soon,
            c"call_soon($self, callback, *args, context=None)\n--\n\nRun a callback in the next turn."),
        row!(keywords c"call_soon_threadsafe", call_soon_threadsafe,
            c"call_soon_threadsafe($self, callback, *args, context=None)\n--\n\nAs call_soon, from any thread."),
        row!(keywords c"call_later", call_later,
            c"call_later($self, delay, callback, *args, context=None)\n--\n\nRun a callback after a delay in seconds."),
        row!(keywords c"call_at", call_at,
            c"call_at($self, when, callback, *args, context=None)\n--\n\nRun a callback at a time of this loop, in seconds."),
        row!(noargs c"time", time, c"The loop's time, in seconds."),
        row!(noargs c"create_future", create_future, c"A Future of this loop."),
    ]
}
