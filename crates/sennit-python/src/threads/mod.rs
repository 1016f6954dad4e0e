//! `core.ThreadPool` and `defer_to_thread`: functions called in threads, and their results brought back.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`pool`] | the pool: the engine's queue, what its threads do, its end |
//! | [`call`] | one call: what is to be called, who waits for it |
//!
//! The threads are Python's own `threading.Thread`s, started by the Python half when the queue wants one; the target of
//! each is the native `_work`. A call belongs to the GIL like everything of Python's: the engine's lock guards nothing
//! but the queue, and who holds it never waits for the GIL.

mod call;
mod pool;

use std::cell::{Cell, UnsafeCell};

use pyo3_ffi as ffi;

use crate::event_loop::LoopObject;
use crate::globals::globals;
use crate::kit::{Args, Keywords, Object, Outcome, none, raise, row};

pub use call::make_type as make_call_type;
pub use pool::make_type as make_pool_type;

thread_local! {
    /// The loop that the call came from which runs in this thread; borrowed from the call.
    static CALLER: Cell<*mut ffi::PyObject> = const { Cell::new(std::ptr::null_mut()) };
}

/// `pool_of(loop)`: gives the pool of a loop, made if there is none.
struct Helper(UnsafeCell<Option<Object>>);

// SAFETY: read and written under the GIL only.
unsafe impl Sync for Helper {}

static POOL_OF: Helper = Helper(UnsafeCell::new(None));

/// Keeps the Python half's function that gives the pool of a loop.
pub fn set_helper(function: Object) -> Outcome<Object> {
    // SAFETY: a short write; GIL.
    let before = unsafe { (*POOL_OF.0.get()).replace(function) };
    drop(before);
    Ok(none())
}

fn pool_of(event_loop: &Object) -> Outcome<Object> {
    // SAFETY: a live object; short reads; GIL.
    let (known, helper) = unsafe {
        let known = LoopObject::of(event_loop.as_ptr()).and_then(|state| state.threads());
        (known, (*POOL_OF.0.get()).clone())
    };
    match (known, helper) {
        (Some(pool), _) => Ok(pool),
        (None, Some(helper)) => helper.call(&[event_loop.as_ptr()]),
        (None, None) => {
            // SAFETY: reading a static of the interpreter; GIL.
            let class = unsafe { ffi::PyExc_RuntimeError };
            Err(raise(class, "import sennit.reactor before a thread is used"))
        }
    }
}

unsafe extern "C" fn defer_to_thread(
    _: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    let (args, keywords) = unsafe { Keywords::split(arguments, count, names) };
    crate::kit::guard(|| submit("defer_to_thread", None, args, keywords, true))
}

unsafe extern "C" fn call_in_thread(
    _: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    let (args, keywords) = unsafe { Keywords::split(arguments, count, names) };
    crate::kit::guard(|| submit("call_in_thread", None, args, keywords, false))
}

unsafe extern "C" fn calling_loop(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    crate::kit::guard(|| {
        let event_loop = CALLER.get();
        if event_loop.is_null() {
            return Ok(none());
        }
        // SAFETY: the call that runs in this thread holds the loop; GIL.
        Ok(unsafe { Object::from_borrowed(event_loop) })
    })
}

unsafe extern "C" fn set_pool_helper(
    _: *mut ffi::PyObject,
    function: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    crate::kit::guard(|| set_helper(unsafe { Object::from_borrowed(function) }))
}

/// Puts a call into a pool, that of the running loop by default.
fn submit(
    name: &str,
    pool: Option<Object>,
    args: Args<'_>,
    keywords: Keywords<'_>,
    has_result: bool,
) -> Outcome<Object> {
    // SAFETY: live arguments; GIL.
    let is_function =
        args.0.first().is_some_and(|function| unsafe { ffi::PyCallable_Check(*function) } != 0);
    if !is_function {
        let what = match args.0.first() {
            Some(_) => Object::represent(&args.object(0))?,
            None => "nothing".to_owned(),
        };
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_TypeError };
        return Err(raise(class, &format!("{name}() needs a function, not {what}")));
    }
    let event_loop = globals().running_loop.call(&[])?;
    let pool = match pool {
        Some(pool) => pool,
        None => pool_of(&event_loop)?,
    };
    pool::submit(&pool, event_loop, args, keywords, has_result)
}

/// The functions of the module.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"defer_to_thread", defer_to_thread,
            c"defer_to_thread(function, /, *args, **kwargs)\n--\n\nCall a function in a thread of the running loop's pool; the Deferred has its result.\n\nIt runs in a copy of the caller's context. A call that is cancelled while it waits for a thread never\nruns. One that runs already cannot be stopped: it goes on to its end, and its result is dropped.\n\nArgs:\n    function: May block, and may compute where it lets go of the GIL; anything else than a coroutine function.\n    args: For the function.\n    kwargs: For the function.\n\nReturns:\n    A Deferred, to be awaited or to have callbacks, which run in the loop's thread.\n\nRaises:\n    OverloadedError: `max_waiting` calls wait for a thread already.\n    ClosedError: The pool was stopped.\n    RuntimeError: No loop runs in this thread.\n    TypeError: The function cannot be called."),
        row!(keywords c"call_in_thread", call_in_thread,
            c"call_in_thread(function, /, *args, **kwargs)\n--\n\nCall a function in a thread of the running loop's pool, for what it does.\n\nWhat it returns is dropped; what it raises goes to the loop's exception handler. Everything else is as with\n`defer_to_thread`, but that nobody can cancel it."),
        row!(noargs c"calling_loop", calling_loop,
            c"The loop that the call came from which runs in this thread; None: it runs none."),
        row!(one c"set_pool_helper", set_pool_helper,
            c"Say which function gives the pool of a loop."),
    ]
}
