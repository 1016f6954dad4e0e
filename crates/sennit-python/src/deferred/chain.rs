//! The run of a chain: entry by entry, and on to the chains that waited for the result, without recursion.

use pyo3_ffi as ffi;

use super::entry::{Entry, Kind};
use super::firing;
use super::helpers::{Helper, helper, is_failure};
use super::object::{
    HANDLED, RUNNING, State, fields, is_deferred, is_waited_for, pop, push, wait_for, waits_for,
};
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised, none, raise, take_exception, vectorcall};
use crate::stream::call_soon_in;

/// A result as it was given.
pub enum Given {
    Value(Object),
    Raised(Object),
    Wrapped(Object),
}

impl Given {
    /// The object itself.
    pub fn object(&self) -> &Object {
        let (Given::Value(object) | Given::Raised(object) | Given::Wrapped(object)) = self;
        object
    }

    /// What a callback has returned, which is no Deferred.
    #[inline]
    pub fn returned(value: Object) -> Self {
        if is_failure(&value) { Given::Wrapped(value) } else { Given::Value(value) }
    }
}

/// Gives a Deferred a result, whatever it had. The old one is dropped last.
#[inline]
pub fn set(deferred: &Object, given: Given) {
    let (state, value) = match given {
        Given::Value(value) => (State::Value, value),
        Given::Raised(error) => (State::Raised, error),
        Given::Wrapped(failure) => (State::Wrapped, failure),
    };
    // SAFETY: short writes; GIL.
    let before = unsafe {
        let fields = &mut *fields(deferred);
        fields.state = state;
        fields.flags &= !HANDLED;
        fields.result.replace(value)
    };
    drop(before);
}

/// Takes the result away; `None` is left.
fn take(deferred: &Object) -> Given {
    // SAFETY: short writes; GIL.
    unsafe {
        let fields = &mut *fields(deferred);
        let state = std::mem::replace(&mut fields.state, State::Value);
        let result = fields.result.replace(none()).unwrap_or_else(none);
        match state {
            State::Raised => Given::Raised(result),
            State::Wrapped => Given::Wrapped(result),
            State::Waiting | State::Value => Given::Value(result),
        }
    }
}

/// Runs what can be run: the chain of one Deferred, and of those that have waited for it.
///
/// # Errors
/// `KeyboardInterrupt` and `SystemExit` of a callback: they are its result too, and leave.
pub fn run(first: &Object) -> Outcome<()> {
    let mut leaving = None;
    let mut waiting: Vec<Object> = Vec::new();
    let mut current = first.clone();
    loop {
        match advance(&current, &mut leaving) {
            Some(next) => waiting.push(std::mem::replace(&mut current, next)),
            None => match waiting.pop() {
                Some(before) => {
                    current = before;
                    // SAFETY: a short write; GIL.
                    unsafe { (*fields(&current)).flags &= !RUNNING };
                }
                None => break,
            },
        }
    }
    match leaving {
        None => Ok(()),
        Some(exception) => {
            set_error(&exception);
            Err(Raised)
        }
    }
}

/// Sets an exception as the error.
pub fn set_error(exception: &Object) {
    // SAFETY: a live exception; GIL.
    unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr()) };
}

/// Goes as far as one chain goes. `Some`: another chain has got its result, and is to go first.
#[inline]
fn advance(current: &Object, leaving: &mut Option<Object>) -> Option<Object> {
    loop {
        // SAFETY: a short read; GIL.
        let (state, pauses, flags) = unsafe {
            let fields = &*fields(current);
            (fields.state, fields.pauses, fields.flags)
        };
        if state == State::Waiting || pauses > 0 || flags & RUNNING != 0 {
            return None;
        }
        let entry = pop(current)?;
        match entry.kind() {
            Kind::Nothing => {}
            Kind::MoveOn(waiting) => {
                set(waiting, take(current));
                let before = wait_for(waiting, None);
                // SAFETY: a short write; GIL.
                unsafe { (*fields(waiting)).pauses -= 1 };
                drop(before);
                return Some(waiting.clone());
            }
            Kind::Fire(other) => match firing::accept(other, take(current)) {
                Ok(true) => {
                    // As a callback that fires another: what is added meanwhile waits.
                    // SAFETY: a short write; GIL.
                    unsafe { (*fields(current)).flags |= RUNNING };
                    return Some(other.clone());
                }
                Ok(false) => {}
                Err(Raised) => set(current, Given::Raised(take_exception())),
            },
            Kind::Wake { function, event_loop, context } => {
                if wake(current, function, event_loop, context).is_err() {
                    // The loop is closed: nobody is left to be told.
                    // SAFETY: an error is set; GIL.
                    unsafe { ffi::PyErr_WriteUnraisable(current.as_ptr()) };
                }
            }
            Kind::Call { callback, errback, arguments, context } => {
                let function = if state == State::Value { callback } else { errback };
                let Some(function) = function else {
                    if state != State::Value
                        && let Some(place) = entry.place()
                    {
                        tell(current, &place, "passed by", callback);
                    }
                    continue;
                };
                let outcome = call(current, function, arguments, context);
                if let Some(exception) = outcome {
                    if let Some(place) = entry.place() {
                        tell(current, &place, "raised by", Some(function));
                    }
                    if leaves(&exception) {
                        *leaving = Some(exception);
                    }
                }
            }
        }
    }
}

/// Calls a callback with the result, or an errback with the failure, and takes what comes of it; gives back what
/// it has raised.
#[inline]
fn call(
    current: &Object,
    function: &Object,
    arguments: Option<&Object>,
    context: &Object,
) -> Option<Object> {
    let outcome = input(current).and_then(|input| {
        // SAFETY: short writes; GIL.
        unsafe { (*fields(current)).flags |= RUNNING };
        let outcome = call_in(context, function, &input, arguments);
        // SAFETY: as above.
        unsafe { (*fields(current)).flags &= !RUNNING };
        outcome
    });
    match outcome {
        Ok(value) if is_deferred(value.as_ptr()) => adopt(current, value),
        Ok(value) => set(current, Given::returned(value)),
        Err(Raised) => {
            let exception = take_exception();
            set(current, Given::Raised(exception.clone()));
            return Some(exception);
        }
    }
    None
}

/// Whether an exception is for the whole program: it is a result, and leaves all the same.
pub fn leaves(exception: &Object) -> bool {
    // SAFETY: live objects; GIL.
    unsafe {
        let class = ffi::Py_TYPE(exception.as_ptr()).cast();
        ffi::PyErr_GivenExceptionMatches(class, ffi::PyExc_KeyboardInterrupt) != 0
            || ffi::PyErr_GivenExceptionMatches(class, ffi::PyExc_SystemExit) != 0
    }
}

/// What the next function is called with: the value, or the error as a `Failure`, made now if it is none.
#[inline]
fn input(current: &Object) -> Outcome<Object> {
    // SAFETY: a short read; GIL.
    let (state, result) = unsafe {
        let fields = &*fields(current);
        (fields.state, fields.result.clone().unwrap_or_else(none))
    };
    if state == State::Raised { wrap(current, &result) } else { Ok(result) }
}

/// Makes a `Failure` of the exception that a Deferred has.
#[cold]
pub fn wrap(deferred: &Object, exception: &Object) -> Outcome<Object> {
    let failure = helper(Helper::Failure)?.call(&[exception.as_ptr()])?;
    set(deferred, Given::Wrapped(failure.clone()));
    Ok(failure)
}

#[inline]
fn call_in(
    context: &Object,
    function: &Object,
    input: &Object,
    arguments: Option<&Object>,
) -> Outcome<Object> {
    // SAFETY: the context is this entry's own and entered by nobody else; it is left in any case; GIL.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(Raised);
        }
        let result = match arguments {
            None => function.call(&[input.as_ptr()]),
            Some(arguments) => call_with(function, input, arguments),
        };
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            ffi::PyErr_WriteUnraisable(function.as_ptr());
        }
        result
    }
}

/// With arguments behind the input: a tuple, or a list that begins with tuple and dict.
fn call_with(function: &Object, input: &Object, arguments: &Object) -> Outcome<Object> {
    // SAFETY: both shapes are ours alone; all values live as long as they do; GIL.
    unsafe {
        if ffi::PyTuple_CheckExact(arguments.as_ptr()) != 0 {
            let rest = crate::kit::borrowed_slice(arguments.as_ptr());
            let mut all = Vec::with_capacity(1 + rest.len());
            all.push(input.as_ptr());
            all.extend_from_slice(rest);
            return function.call(&all);
        }
        let values = ffi::PyList_GetItem(arguments.as_ptr(), 0);
        let named = ffi::PyList_GetItem(arguments.as_ptr(), 1);
        let rest = crate::kit::borrowed_slice(values);
        let mut all = Vec::with_capacity(1 + rest.len() + ffi::PyDict_Size(named) as usize);
        all.push(input.as_ptr());
        all.extend_from_slice(rest);
        let count = all.len();
        let names = Object::owned(ffi::PySequence_Tuple(named))?;
        for name in crate::kit::borrowed_slice(names.as_ptr()) {
            all.push(ffi::PyDict_GetItem(named, *name));
        }
        Object::owned(vectorcall(function.as_ptr(), all.as_ptr(), count, names.as_ptr()))
    }
}

/// A callback has returned a Deferred: its result is taken, or waited for.
#[cold]
fn adopt(current: &Object, inner: Object) {
    if is_circle(current, &inner) {
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_RuntimeError };
        let Raised = raise(
            class,
            "a callback has returned the Deferred it was called for, or one that waits for that: it would wait for itself for ever",
        );
        return set(current, Given::Raised(take_exception()));
    }
    // SAFETY: a short read; GIL.
    let is_there = unsafe {
        let fields = &*fields(&inner);
        fields.state != State::Waiting && fields.pauses == 0 && fields.flags & RUNNING == 0
    };
    if is_there {
        return set(current, take(&inner));
    }
    set(current, Given::Value(none()));
    push(&inner, Entry::move_on(current.clone()));
    // SAFETY: short writes; GIL.
    unsafe { (*fields(current)).pauses += 1 };
    let before = wait_for(current, Some(inner));
    drop(before);
}

/// Whether the one waits, over any number of others, for the other.
fn is_circle(current: &Object, inner: &Object) -> bool {
    if inner.as_ptr() == current.as_ptr() {
        return true;
    }
    let mut next = waits_for(inner);
    // Whom nobody waits for is in no circle; so a long chain that is put together from its end is walked through never.
    if next.is_none() || !is_waited_for(current) {
        return false;
    }
    while let Some(other) = next {
        if other.as_ptr() == current.as_ptr() {
            return true;
        }
        next = waits_for(&other);
    }
    false
}

/// Has a loop run a done callback. A task's wake-up is given a future that is done: what has become of this Deferred it
/// asks when it runs. Others are called if the Deferred is still done by then, and wait again if not.
fn wake(
    deferred: &Object,
    function: &Object,
    event_loop: &Object,
    context: &Object,
) -> Outcome<()> {
    if crate::stream::is_wake_up(function.as_ptr()) {
        return call_soon_in(event_loop, function, &[&globals().stream.finished], context);
    }
    let deliver = helper(Helper::Deliver)?;
    call_soon_in(event_loop, &deliver, &[function, deferred, context], context)
}

/// In debug mode: writes a step into the story of the error.
#[cold]
fn tell(current: &Object, place: &Object, what: &str, function: Option<&Object>) {
    // SAFETY: a short read; GIL.
    let Some(error) = (unsafe { (*fields(current)).result.clone() }) else { return };
    let told = helper(Helper::Tell).and_then(|tell| {
        let what = Object::text(what)?;
        let function = function.cloned().unwrap_or_else(none);
        tell.call(&[error.as_ptr(), place.as_ptr(), what.as_ptr(), function.as_ptr()]).map(drop)
    });
    if told.is_err() {
        // SAFETY: an error is set; GIL.
        unsafe { ffi::PyErr_WriteUnraisable(current.as_ptr()) };
    }
}
