//! `core.ThreadPool`: the engine's queue with calls in it, and what its threads do.

use std::ffi::c_void;
use std::sync::Arc;

use pyo3_ffi as ffi;
use sennit_engine::threads::{GivingWay, JobQueue, Refusal, State};
use sennit_engine::waker::Wake;

use super::call;
use crate::deferred::Given;
use crate::globals::globals;
use crate::host;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, guard, guard_void, keywords,
    no_arguments, none, positional, raise, row, take_exception,
};

/// A pool, whose Python half starts the threads.
#[repr(C)]
pub struct PoolObject {
    head: Head,
    fields: *mut Fields,
}

struct Fields {
    queue: Arc<JobQueue<Object>>,
    /// The process that it was made in, as the number of forks before.
    forks: u64,
}

impl PoolObject {
    /// The pool behind an object that is known to be one.
    pub fn of(object: &Object) -> &PoolObject {
        // SAFETY: only pools are given to this.
        unsafe { &*object.as_ptr().cast() }
    }

    fn fields(&self) -> &Fields {
        // SAFETY: set by `new` before anybody has the object, freed when nobody has it any more.
        unsafe { &*self.fields }
    }

    /// The calls that wait.
    pub fn queue(&self) -> &JobQueue<Object> {
        &self.fields().queue
    }

    fn object(&self) -> Object {
        // SAFETY: a live pool; GIL.
        unsafe { Object::from_borrowed(self.head.get()) }
    }

    /// After a fork the child has none of the threads, and one of them may have held the queue's lock.
    fn is_foreign(&self) -> bool {
        self.fields().forks != host::forks()
    }

    fn check_ours(&self) -> Outcome<()> {
        if !self.is_foreign() {
            return Ok(());
        }
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_RuntimeError };
        Err(raise(
            class,
            "this pool was made before a fork and its threads are in the parent process; make a new one in the child",
        ))
    }

    fn start_thread(&self) -> Outcome<()> {
        Object::call_method(&globals().names._start_thread, &[self.head.get()]).map(drop)
    }
}

/// An error of `sennit.errors`.
#[cold]
fn raise_own(name: &std::ffi::CStr, message: &str) -> Raised {
    let class = Object::import(c"sennit.errors").and_then(|errors| errors.attribute(name));
    class.map_or(Raised, |class| raise(class.as_ptr(), message))
}

#[cold]
fn refuse(refusal: Refusal) -> Raised {
    match refusal {
        Refusal::Full(limit) => raise_own(
            c"OverloadedError",
            &format!(
                "{limit} calls wait for a thread already, limit {limit} (max_waiting): try again later"
            ),
        ),
        Refusal::Closed => raise_own(c"ClosedError", "the pool of threads was stopped"),
    }
}

/// Puts a call into the queue: `args[0]` with the rest.
pub fn submit(
    pool: &Object,
    event_loop: Object,
    args: Args<'_>,
    keywords: Keywords<'_>,
    has_result: bool,
) -> Outcome<Object> {
    let this = PoolObject::of(pool);
    this.check_ours()?;
    let (call, deferred) = call::make(pool, event_loop.clone(), args, keywords, has_result)?;
    let ticket = match this.queue().put(call.clone()) {
        Ok(ticket) => ticket,
        Err((call, refusal)) => {
            call::forget(&call);
            return Err(refuse(refusal));
        }
    };
    // SAFETY: a short write. A thread may have the call already, but not the GIL.
    unsafe { (*call::fields(&call)).number = ticket.number };
    call::count(&event_loop, 1);
    if ticket.wants_thread
        && this.start_thread().is_err()
        && !this.queue().not_started()
        && let Some(call) = this.queue().take_back(ticket.number)
    {
        call::forget(&call);
        call::count(&event_loop, -1);
        return Err(Raised);
    }
    // SAFETY: no pointers; GIL. Where another thread could be started before, that one has the call.
    unsafe { ffi::PyErr_Clear() };
    Ok(deferred.unwrap_or_else(none))
}

keywords!(defer, PoolObject, |this, args, keywords| {
    super::submit("defer", Some(this.object()), args, keywords, true)
});

keywords!(call_method, PoolObject, |this, args, keywords| {
    super::submit("call", Some(this.object()), args, keywords, false)
});

/// Lets other threads have the GIL while a function runs that touches nothing of Python's.
fn without_gil<T>(function: impl FnOnce() -> T) -> T {
    // SAFETY: this thread has the GIL, and takes it back before anything of Python's is touched.
    unsafe {
        let state = ffi::PyEval_SaveThread();
        let value = function();
        crate::kit::restore_thread(state);
        value
    }
}

// _work(): the life of a thread.
no_arguments!(work, PoolObject, |this| {
    let pool = this.object();
    let queue = Arc::clone(&this.fields().queue);
    let mut wake: Option<Wake> = None;
    loop {
        let sent = wake.take();
        let (next, giving_way) = without_gil(|| {
            if let Some(wake) = sent {
                wake.send();
            }
            if let Some(next) = queue.next_nowait() {
                return (next, None);
            }
            let giving_way = GivingWay::begin();
            (queue.next(), Some(giving_way))
        });
        // Over when this thread has the GIL again.
        drop(giving_way);
        let Some(call) = next else { break };
        let has_run = call::run(&call);
        if this.is_foreign() {
            // The function has forked, and this is the child.
            return Ok(none());
        }
        if !has_run {
            queue.skipped();
            continue;
        }
        // Before the result is handed over: who has it may count.
        queue.done();
        match call::deliver(&call) {
            Ok(called) => wake = called,
            // SAFETY: an error is set; GIL.
            Err(Raised) => unsafe { ffi::PyErr_WriteUnraisable(pool.as_ptr()) },
        }
    }
    Object::call_method(&globals().names._thread_ended, &[pool.as_ptr()])?;
    Ok(none())
});

fn size_of_argument(args: Args<'_>, index: usize) -> Outcome<usize> {
    Ok(usize::try_from(args.integer(index)?).unwrap_or(0))
}

// _set_limits(size, max_waiting): starts the threads that are wanted at once.
positional!(set_limits, PoolObject, |this, args| {
    args.expect("_set_limits", 2, 2)?;
    this.check_ours()?;
    let wanted = this.queue().set_limits(size_of_argument(args, 0)?, size_of_argument(args, 1)?);
    for started in 0..wanted {
        if this.start_thread().is_err() {
            for _ in started..wanted {
                this.queue().not_started();
            }
            return Err(Raised);
        }
    }
    Ok(none())
});

// _drain(): nothing is taken any more; what waits is run.
no_arguments!(drain, PoolObject, |this| {
    if !this.is_foreign() {
        this.queue().drain();
    }
    Ok(none())
});

// _halt(make_error, at_once): nothing is taken any more; what waits fails, in the loop, or at once if this is its
// thread and it will not run again. How many that were.
positional!(halt, PoolObject, |this, args| {
    args.expect("_halt", 2, 2)?;
    if this.is_foreign() {
        return Object::integer(0);
    }
    let (make_error, at_once) = (args.object(0), args.object(1).truth()?);
    let calls = this.queue().stop();
    let count = calls.len();
    for call in calls {
        let given = match make_error.call(&[]) {
            Ok(error) => Given::Raised(error),
            Err(Raised) => Given::Raised(take_exception()),
        };
        call::end(&call, given);
        let done = if at_once { call::finish(&call).map(|()| None) } else { call::deliver(&call) };
        match done {
            Ok(wake) => drop(wake.map(Wake::send)),
            // SAFETY: an error is set; GIL.
            Err(Raised) => unsafe { ffi::PyErr_WriteUnraisable(call.as_ptr()) },
        }
    }
    Object::integer(count as i64)
});

no_arguments!(statistics, PoolObject, |this| {
    this.check_ours()?;
    let counts = this.queue().statistics();
    let values = [
        (c"size", counts.size as u64),
        (c"max_waiting", counts.max_waiting as u64),
        (c"threads", counts.threads as u64),
        (c"running", counts.running as u64),
        (c"waiting", counts.waiting as u64),
        (c"completed", counts.completed),
        (c"cancelled", counts.cancelled),
        (c"refused", counts.refused),
        (c"most_waiting", counts.most_waiting as u64),
    ];
    // SAFETY: a new dict; GIL.
    let table = unsafe { Object::owned(ffi::PyDict_New())? };
    for (name, value) in values {
        let value = Object::integer(value as i64)?;
        // SAFETY: live objects; GIL.
        if unsafe { ffi::PyDict_SetItemString(table.as_ptr(), name.as_ptr(), value.as_ptr()) } < 0 {
            return Err(Raised);
        }
    }
    Ok(table)
});

no_arguments!(state, PoolObject, |this| {
    if this.is_foreign() {
        return Object::text("FOREIGN");
    }
    let counts = this.queue().statistics();
    Object::text(match this.queue().state() {
        State::Running if counts.threads == 0 && counts.completed == 0 => "NEW",
        State::Running => "RUNNING",
        State::Draining | State::Stopped if counts.threads > 0 => "DRAINING",
        State::Draining | State::Stopped => "STOPPED",
    })
});

/// A subclass comes this way; its arguments are for its `__init__`, which sets the limits.
unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        let fields = Fields { queue: Arc::new(JobQueue::new(1, 0)), forks: host::forks() };
        // SAFETY: CPython calls with a live class, whose allocator gives zeroed memory with our layout; GIL.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            (*object.as_ptr().cast::<PoolObject>()).fields = Box::into_raw(Box::new(fields));
            Ok(object)
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> i32 {
    // What waits in the queue is not shown: as long as something waits there is a thread, which holds the pool.
    // SAFETY: the collector calls with a live object.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead pool, which has no threads.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let this = object.cast::<PoolObject>();
        let fields = std::ptr::replace(&raw mut (*this).fields, std::ptr::null_mut());
        guard_void(|| {
            if !fields.is_null() {
                drop(Box::from_raw(fields));
            }
            Ok(())
        });
        let class = ffi::Py_TYPE(object);
        if let Some(free) = (*class).tp_free {
            free(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.ThreadPool`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.ThreadPool", size_of::<PoolObject>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The native half of sennit.ThreadPool."))
        .methods(vec![
            row!(keywords c"defer", defer,
                c"defer($self, function, /, *args, **kwargs)\n--\n\nAs sennit.defer_to_thread, in this pool."),
            row!(keywords c"call", call_method,
                c"call($self, function, /, *args, **kwargs)\n--\n\nAs sennit.call_in_thread, in this pool."),
            row!(noargs c"statistics", statistics,
                c"statistics($self)\n--\n\nLimits and counters: size, max_waiting, threads, running, waiting, completed, cancelled, refused, most_waiting."),
            row!(noargs c"_work", work, c"Run calls until there are none for this thread any more."),
            row!(positional c"_set_limits", set_limits, c"Set size and max_waiting."),
            row!(noargs c"_drain", drain, c"Take no more calls; run those that wait."),
            row!(positional c"_halt", halt, c"Take no more calls; let those that wait fail."),
            row!(noargs c"_state", state, c"NEW, RUNNING, DRAINING, STOPPED, or FOREIGN after a fork."),
        ])
        .build()
}
