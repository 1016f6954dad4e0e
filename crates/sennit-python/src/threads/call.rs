//! One call: what is to be called in a thread, and who waits for it in the loop's.
//!
//! It is the canceller of its Deferred and the callback that brings the result, told apart by their arguments.
//!
//! | phase | becomes | when |
//! | --- | --- | --- |
//! | Waiting | Running | a thread begins with it |
//! | Waiting | Over | it is cancelled: it never runs |
//! | Waiting | Ended | its pool stops: it has failed |
//! | Running | Ended | the function has returned or raised |
//! | Ended | Over | the loop has been given the result |
//!
//! All changes are made under the GIL, so a thread that has taken a call from the queue and waits for the GIL still finds
//! out that it was cancelled.

use std::ffi::c_void;

use pyo3_ffi as ffi;
use sennit_engine::Host;
use sennit_engine::waker::Wake;

use super::CALLER;
use super::pool::PoolObject;
use crate::deferred::{self, Given};
use crate::event_loop::LoopObject;
use crate::globals::globals;
use crate::handle::Handle;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, guard, none, raise,
    take_exception, vectorcall,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Waiting,
    Running,
    Ended,
    Over,
}

/// What a call holds. Used for short reads and writes, between which no Python code runs.
pub struct Fields {
    pub phase: Phase,
    /// Its place in the queue.
    pub number: u64,
    function: Option<Object>,
    /// A tuple.
    args: Option<Object>,
    /// A dict.
    keywords: Option<Object>,
    context: Option<Object>,
    event_loop: Option<Object>,
    deferred: Option<Object>,
    pool: Option<Object>,
    outcome: Option<Given>,
}

#[repr(C)]
pub struct CallObject {
    head: Head,
    fields: Fields,
}

#[inline]
pub fn fields(call: &Object) -> *mut Fields {
    // SAFETY: only calls are given to this.
    unsafe { &raw mut (*call.as_ptr().cast::<CallObject>()).fields }
}

fn tuple(values: &[*mut ffi::PyObject]) -> Outcome<Object> {
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

/// A call of `args[0]` with the rest, and its Deferred if somebody wants the result.
pub fn make(
    pool: &Object,
    event_loop: Object,
    args: Args<'_>,
    keywords: Keywords<'_>,
    has_result: bool,
) -> Outcome<(Object, Option<Object>)> {
    let rest = tuple(&args.0[1..])?;
    let named = if keywords.is_empty() { None } else { Some(keywords.to_dict()?) };
    // SAFETY: every field of the new object is written before anybody sees it; GIL.
    let call = unsafe {
        let context = Object::owned(ffi::PyContext_CopyCurrent())?;
        let class = globals().thread_call_type.as_ptr().cast();
        let object = ffi::PyObject_GC_New::<CallObject>(class);
        if object.is_null() {
            return Err(Raised);
        }
        (&raw mut (*object).fields).write(Fields {
            phase: Phase::Waiting,
            number: 0,
            function: Some(args.object(0)),
            args: Some(rest),
            keywords: named,
            context: Some(context),
            event_loop: Some(event_loop),
            deferred: None,
            pool: Some(pool.clone()),
            outcome: None,
        });
        ffi::PyObject_GC_Track(object.cast());
        Object::owned(object.cast())?
    };
    let deferred = if has_result { Some(deferred::make(Some(call.clone()))?) } else { None };
    // SAFETY: a short write; GIL.
    unsafe { (*fields(&call)).deferred.clone_from(&deferred) };
    Ok((call, deferred))
}

/// Lets go of everything. What is dropped may run anything, so it is dropped when the fields are empty.
pub fn forget(call: &Object) {
    // SAFETY: short writes; GIL.
    let dropped = unsafe {
        let fields = &mut *fields(call);
        fields.phase = Phase::Over;
        take_all(fields)
    };
    drop(dropped);
}

type Dropped = ([Option<Object>; 7], Option<Given>);

fn take_all(fields: &mut Fields) -> Dropped {
    let objects = [
        fields.function.take(),
        fields.args.take(),
        fields.keywords.take(),
        fields.context.take(),
        fields.event_loop.take(),
        fields.deferred.take(),
        fields.pool.take(),
    ];
    (objects, fields.outcome.take())
}

/// Tells the loop, if it is one of ours, that a call has left it or come back.
pub fn count(event_loop: &Object, change: i32) {
    // SAFETY: a live loop; GIL.
    if let Some(state) = unsafe { LoopObject::of(event_loop.as_ptr()) } {
        state.count_calls(change);
    }
}

/// Runs the function, in a thread of the pool. False: it was given up before.
pub fn run(call: &Object) -> bool {
    // SAFETY: short reads and writes; GIL.
    let (function, args, keywords, context, event_loop) = unsafe {
        let fields = &mut *fields(call);
        if fields.phase != Phase::Waiting {
            return false;
        }
        fields.phase = Phase::Running;
        let (Some(function), Some(args), Some(context), Some(event_loop)) = (
            fields.function.clone(),
            fields.args.take(),
            fields.context.clone(),
            fields.event_loop.clone(),
        ) else {
            return false;
        };
        (function, args, fields.keywords.take(), context, event_loop)
    };
    let before = CALLER.replace(event_loop.as_ptr());
    let outcome = call_in(&context, &function, &args, keywords.as_ref());
    CALLER.set(before);
    let given = match outcome.and_then(|value| check(&function, value)) {
        Ok(value) => Given::returned(value),
        Err(Raised) => Given::Raised(take_exception()),
    };
    end(call, given);
    true
}

/// Gives a call its outcome, whether it has run or not.
pub fn end(call: &Object, given: Given) {
    // SAFETY: short writes; GIL.
    unsafe {
        let fields = &mut *fields(call);
        fields.phase = Phase::Ended;
        fields.outcome = Some(given);
    }
}

fn call_in(
    context: &Object,
    function: &Object,
    args: &Object,
    keywords: Option<&Object>,
) -> Outcome<Object> {
    // SAFETY: the context is this call's own and entered by nobody else; it is left in any case; the values live as long
    // as tuple and dict; GIL.
    unsafe {
        if ffi::PyContext_Enter(context.as_ptr()) < 0 {
            return Err(Raised);
        }
        let values = crate::kit::borrowed_slice(args.as_ptr());
        let result = match keywords {
            None => function.call(values),
            Some(named) => call_named(function, values, named),
        };
        if ffi::PyContext_Exit(context.as_ptr()) < 0 {
            ffi::PyErr_WriteUnraisable(function.as_ptr());
        }
        result
    }
}

unsafe fn call_named(
    function: &Object,
    values: &[*mut ffi::PyObject],
    named: &Object,
) -> Outcome<Object> {
    // SAFETY: the dict is ours alone, its keys are strings; GIL.
    unsafe {
        let names = Object::owned(ffi::PySequence_Tuple(named.as_ptr()))?;
        let mut all = values.to_vec();
        for name in crate::kit::borrowed_slice(names.as_ptr()) {
            all.push(ffi::PyDict_GetItem(named.as_ptr(), *name));
        }
        let count = values.len();
        Object::owned(vectorcall(function.as_ptr(), all.as_ptr(), count, names.as_ptr()))
    }
}

/// What has to be awaited in a loop is no result of a thread.
fn check(function: &Object, value: Object) -> Outcome<Object> {
    // SAFETY: a live object; GIL.
    let is_coroutine = unsafe { ffi::PyCoro_CheckExact(value.as_ptr()) } != 0;
    if !is_coroutine && !deferred::is_deferred(value.as_ptr()) {
        return Ok(value);
    }
    if is_coroutine {
        // Nobody is to hear that it was never awaited.
        drop(value.attribute(c"close")?.call(&[])?);
    }
    let what = if is_coroutine { "a coroutine" } else { "a Deferred" };
    let message = format!(
        "{} has returned {what}, which belongs into the loop: await it there, without a thread",
        Object::represent(function)?
    );
    // SAFETY: reading a static of the interpreter; GIL.
    Err(raise(unsafe { ffi::PyExc_TypeError }, &message))
}

/// Hands a call that has ended to its loop, which is woken when what this gives is sent: best without the GIL, which
/// the loop will ask for at once. A loop that is closed has dropped all its work; that is said.
pub fn deliver(call: &Object) -> Outcome<Option<Wake>> {
    // SAFETY: short reads; GIL.
    let (event_loop, context) = unsafe {
        let fields = &*fields(call);
        (fields.event_loop.clone(), fields.context.clone())
    };
    let (Some(event_loop), Some(context)) = (event_loop, context) else { return Ok(None) };
    // SAFETY: a live loop; GIL.
    let Some(state) = (unsafe { LoopObject::of(event_loop.as_ptr()) }) else {
        let name = &globals().names.call_soon_threadsafe;
        let handed = Object::call_method(name, &[event_loop.as_ptr(), call.as_ptr()]);
        if handed.is_err() {
            drop(take_exception());
            tell_dropped(call)?;
        }
        return Ok(None);
    };
    if state.check_open().is_err() {
        drop(take_exception());
        tell_dropped(call)?;
        return Ok(None);
    }
    let reactor = state.reactor();
    let empty = globals().empty_tuple.clone();
    let handle = Handle::new(event_loop.as_ptr(), call.clone(), empty, context)?;
    // As in `call_soon_threadsafe`: the GIL lets one thread in at a time.
    reactor.call_soon(handle);
    Ok(if reactor.host().is_foreign() { None } else { reactor.call_to_wake() })
}

#[cold]
fn tell_dropped(call: &Object) -> Outcome<()> {
    // SAFETY: short reads; GIL.
    let (pool, function) = unsafe {
        let fields = &*fields(call);
        (fields.pool.clone(), fields.function.clone())
    };
    forget(call);
    let (Some(pool), Some(function)) = (pool, function) else { return Ok(()) };
    let name = &globals().names._result_dropped;
    Object::call_method(name, &[pool.as_ptr(), function.as_ptr()]).map(drop)
}

/// In the loop's thread: the result goes to who waits for it.
pub fn finish(call: &Object) -> Outcome<()> {
    // SAFETY: short reads and writes; GIL.
    let dropped = unsafe {
        let fields = &mut *fields(call);
        fields.phase = Phase::Over;
        take_all(fields)
    };
    let ([function, args, keywords, context, event_loop, deferred, pool], outcome) = dropped;
    drop((args, keywords, context, pool));
    let (Some(event_loop), Some(given)) = (event_loop, outcome) else { return Ok(()) };
    count(&event_loop, -1);
    match (deferred, given) {
        (Some(deferred), given) => deferred::fire(&deferred, given),
        (None, Given::Raised(error)) => {
            let name = match function {
                Some(function) => Object::represent(&function)?,
                None => "a function".to_owned(),
            };
            report(&event_loop, &format!("{name}, called in a thread, has failed"), &error)
        }
        (None, _) => Ok(()),
    }
}

fn report(event_loop: &Object, message: &str, error: &Object) -> Outcome<()> {
    // SAFETY: a new dict, and live values; GIL.
    unsafe {
        let context = Object::owned(ffi::PyDict_New())?;
        let message = Object::text(message)?;
        for (key, value) in [(c"message", &message), (c"exception", error)] {
            if ffi::PyDict_SetItemString(context.as_ptr(), key.as_ptr(), value.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        let name = &globals().names.call_exception_handler;
        Object::call_method(name, &[event_loop.as_ptr(), context.as_ptr()]).map(drop)
    }
}

/// Given up by whoever waits for it: it leaves the queue if it is still there.
fn cancel(call: &Object) {
    // SAFETY: short reads; GIL.
    let (phase, number, pool, event_loop) = unsafe {
        let fields = &*fields(call);
        (fields.phase, fields.number, fields.pool.clone(), fields.event_loop.clone())
    };
    let (Phase::Waiting, Some(pool), Some(event_loop)) = (phase, pool, event_loop) else { return };
    let taken = PoolObject::of(&pool).queue().take_back(number);
    forget(call);
    count(&event_loop, -1);
    drop(taken);
}

/// With the Deferred as its argument it is the canceller, without one the callback.
unsafe extern "C" fn called(
    this: *mut ffi::PyObject,
    args: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live call and a tuple; GIL.
        let (call, count) = unsafe { (Object::from_borrowed(this), ffi::PyTuple_GET_SIZE(args)) };
        if count == 0 {
            finish(&call)?;
        } else {
            cancel(&call);
        }
        Ok(none())
    })
}

unsafe extern "C" fn represent(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live call; a short read; GIL.
        let (phase, function) = unsafe {
            let fields = &*fields(&Object::from_borrowed(this));
            (fields.phase, fields.function.clone())
        };
        let what = match function {
            Some(function) => Object::represent(&function)?,
            None => "a function".to_owned(),
        };
        Object::text(&format!("<call of {what} in a thread: {phase:?}>"))
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> i32 {
    // SAFETY: the collector calls with a live call whose fields are written.
    unsafe {
        let fields = &(*object.cast::<CallObject>()).fields;
        let outcome = fields.outcome.as_ref().map(Given::object);
        let held = [
            &fields.function,
            &fields.args,
            &fields.keywords,
            &fields.context,
            &fields.event_loop,
            &fields.deferred,
            &fields.pool,
        ];
        for value in held.into_iter().flatten().chain(outcome) {
            let status = visit(value.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live call that nobody can reach.
    forget(&unsafe { Object::from_borrowed(object) });
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead call; what it holds is taken out first.
    unsafe {
        crate::kit::free(object, || {
            drop(take_all(&mut (*object.cast::<CallObject>()).fields));
        });
    }
}

/// The type of calls; nobody makes one but a pool.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.ThreadCall", size_of::<CallObject>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_call, called as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A call that a thread of a pool makes."))
        .build()
}
