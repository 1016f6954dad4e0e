//! `core.Loop`: the native half of `sennit.Reactor`. Its Python half subclasses it.

mod schedule;
mod sources;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::os::fd::RawFd;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::listener::Listener;
use sennit_engine::reactor::State;
use sennit_engine::watcher::{Direction, Watcher};
use sennit_engine::{EpollPoller, Host, Reactor};

use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, guard, guard_void, no_arguments, none,
    one_argument, raise, row,
};
use crate::listener::ProtocolAcceptor;
use crate::simulation::LoopClock;

/// What a loop object owns.
pub struct LoopState {
    reactor: Reactor<PythonHost>,
    watchers: RefCell<HashMap<RawFd, Rc<Watcher<PythonHost>>>>,
    listeners: RefCell<HashMap<u64, Rc<Listener<PythonHost, ProtocolAcceptor>>>>,
    capture: RefCell<Capture>,
    is_capturing: Cell<bool>,
    makes_plain_tasks: Cell<bool>,
    /// The pool of threads, once there is one.
    threads: RefCell<Option<Object>>,
    /// Calls that threads have been given and that have not come back.
    calls: Cell<i32>,
}

/// Whether the next `call_soon` is caught instead of being queued.
#[derive(Default)]
enum Capture {
    #[default]
    Off,
    Armed,
    Caught(Object),
}

/// Catches what the making of a task hands to `call_soon`.
pub struct Capturing<'a>(&'a RefCell<Capture>);

impl Capturing<'_> {
    /// What was caught.
    pub fn finish(self) -> Option<Object> {
        match std::mem::take(&mut *self.0.borrow_mut()) {
            Capture::Caught(callback) => Some(callback),
            Capture::Off | Capture::Armed => None,
        }
    }
}

impl LoopState {
    /// The reactor itself.
    #[inline]
    pub fn reactor(&self) -> &Reactor<PythonHost> {
        &self.reactor
    }

    /// Whether tasks are asyncio's own, made by nobody else's factory.
    #[inline]
    pub fn makes_plain_tasks(&self) -> bool {
        self.makes_plain_tasks.get()
    }

    /// Catches the next callback that `call_soon` is given.
    pub fn start_capture(&self) -> Capturing<'_> {
        *self.capture.borrow_mut() = Capture::Armed;
        self.is_capturing.set(true);
        Capturing(&self.capture)
    }

    /// Whether a callback was caught.
    #[cold]
    fn caught(&self, callback: &Object) -> bool {
        self.is_capturing.set(false);
        let mut capture = self.capture.borrow_mut();
        let armed = matches!(*capture, Capture::Armed);
        if armed {
            *capture = Capture::Caught(callback.clone());
        }
        armed
    }

    /// The loop's pool of threads, once there is one.
    #[inline]
    pub fn threads(&self) -> Option<Object> {
        self.threads.borrow().clone()
    }

    /// A call has left for a thread, or has come back.
    #[inline]
    pub fn count_calls(&self, change: i32) {
        self.calls.set(self.calls.get() + change);
    }

    /// Whether asyncio's debug mode is on.
    pub fn is_debug(&self) -> bool {
        self.reactor.host().is_debug()
    }

    /// Refuses work for a loop that is closed.
    #[inline]
    pub fn check_open(&self) -> Outcome<()> {
        if self.reactor.state() == State::Closed {
            // SAFETY: reading a static of the interpreter; GIL.
            return Err(raise(unsafe { ffi::PyExc_RuntimeError }, "Event loop is closed"));
        }
        Ok(())
    }

    /// As [`LoopState::check_open`], for what would touch the poller: in the child of a fork that
    /// is the parent's.
    fn check_ours(&self) -> Outcome<()> {
        self.check_open()?;
        if self.reactor.host().is_foreign() { Err(PythonHost::refuse_foreign()) } else { Ok(()) }
    }

    /// Lets go of a watcher whose descriptor was closed without `remove_reader`, because its
    /// number names another file now.
    pub fn forget_watcher(&self, descriptor: RawFd) {
        let watcher = self.watchers.borrow_mut().remove(&descriptor);
        if let Some(watcher) = watcher {
            for direction in [Direction::Read, Direction::Write] {
                // An error says that the kernel has forgotten the descriptor as well.
                drop(watcher.replace(&self.reactor, direction, None));
            }
        }
    }
}

/// A loop as Python sees it.
#[repr(C)]
pub struct LoopObject {
    head: Head,
    state: *mut LoopState,
}

impl LoopObject {
    /// The state of a loop.
    #[inline]
    pub fn state(&self) -> &LoopState {
        // SAFETY: set by `new` before anybody has the object, freed when nobody has it any more.
        unsafe { &*self.state }
    }

    /// The state behind an object, if that is one of our loops.
    ///
    /// # Safety
    /// `object` is live and stays so for as long as the result is used; GIL.
    pub unsafe fn of<'a>(object: *mut ffi::PyObject) -> Option<&'a LoopState> {
        let class = globals().loop_type.as_ptr().cast();
        // SAFETY: the caller vouches for the object, and its type is checked.
        unsafe {
            (ffi::PyObject_TypeCheck(object, class) != 0)
                .then(|| (*object.cast::<LoopObject>()).state())
        }
    }

    /// The state behind an object that is known to be one of our loops.
    ///
    /// # Safety
    /// As for [`LoopObject::of`], and its type was checked before.
    #[inline]
    pub unsafe fn known<'a>(object: *mut ffi::PyObject) -> &'a LoopState {
        // SAFETY: the caller vouches for the object and its type.
        unsafe { (*object.cast::<LoopObject>()).state() }
    }

    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }
}

no_arguments!(stop, LoopObject, |this| {
    this.state().reactor().stop();
    Ok(none())
});

no_arguments!(is_closed, LoopObject, |this| {
    let closed = this.state().reactor().state() == State::Closed;
    Ok(Object::boolean(closed))
});

no_arguments!(get_debug, LoopObject, |this| Ok(Object::boolean(this.state().is_debug())));

one_argument!(set_debug, LoopObject, |this, debug| {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    let debug = unsafe { Object::from_borrowed(debug) }.truth()?;
    this.state().reactor().host().set_debug(debug);
    Ok(none())
});

// _set_plain_tasks(plain): whether tasks are asyncio's own.
one_argument!(set_plain_tasks, LoopObject, |this, plain| {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    let plain = unsafe { Object::from_borrowed(plain) }.truth()?;
    this.state().makes_plain_tasks.set(plain);
    Ok(none())
});

/// Runs the reactor. A panic ends the connection it came from, with a report, and the rest goes on; one that
/// came from nowhere else goes to the caller.
fn run_past_panics(reactor: &Reactor<PythonHost>) -> std::io::Result<()> {
    let _running = crate::deferred::Running::begin();
    loop {
        let stopping = match catch_unwind(AssertUnwindSafe(|| reactor.run())) {
            Ok(result) => return result,
            Err(panic) => {
                if !reactor.discard_failed() {
                    resume_unwind(panic);
                }
                report_panic(reactor, &panic)
            }
        };
        if stopping {
            return Ok(());
        }
    }
}

/// Tells the loop's exception handler. True: that has made the loop leave.
#[cold]
fn report_panic(reactor: &Reactor<PythonHost>, panic: &Box<dyn std::any::Any + Send>) -> bool {
    let Raised = crate::kit::raise_panic(&**panic);
    if let Some(error) = reactor.host().catch(reactor) {
        let message = "internal error in sennit: one connection was dropped, the others go on";
        reactor.host().report(reactor, message, &error, &[]);
    }
    reactor.state() == State::Interrupted
}

no_arguments!(run_turns, LoopObject, |this| {
    let state = this.state();
    state.check_open()?;
    // The loop must outlive its own run, whatever the callbacks drop.
    // SAFETY: `this` is live; GIL.
    let _alive = unsafe { Object::from_borrowed(this.as_ptr()) };
    let result = run_past_panics(state.reactor());
    if let Some(exception) = state.reactor().host().take_leaving() {
        // SAFETY: a live exception; GIL.
        unsafe {
            ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr())
        };
        return Err(Raised);
    }
    result?;
    Ok(none())
});

// _keep_threads(pool): gives back what was kept.
one_argument!(keep_threads, LoopObject, |this, pool| {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    let pool = crate::kit::unless_none(Some(unsafe { Object::from_borrowed(pool) }));
    let before = this.state().threads.replace(pool);
    Ok(before.unwrap_or_else(none))
});

no_arguments!(kept_threads, LoopObject, |this| Ok(this.state().threads().unwrap_or_else(none)));

no_arguments!(calls_out, LoopObject, |this| Object::integer(this.state().calls.get().into()));

no_arguments!(close_native, LoopObject, |this| {
    close_state(this.state());
    Ok(none())
});

fn close_state(state: &LoopState) {
    let watchers = std::mem::take(&mut *state.watchers.borrow_mut());
    let listeners = std::mem::take(&mut *state.listeners.borrow_mut());
    let threads = state.threads.take();
    drop(state.reactor.close());
    drop((watchers, listeners, threads));
}

no_arguments!(statistics, LoopObject, |this| {
    let reactor = this.state().reactor();
    let counts = reactor.statistics();
    let values = [
        (c"turns", counts.turns),
        (c"polls", counts.polls),
        (c"callbacks", counts.callbacks),
        (c"dispatched", counts.dispatched),
        (c"ready", reactor.ready_len() as u64),
        (c"timers", reactor.timer_len() as u64),
        (c"descriptors", reactor.source_len() as u64),
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

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // What can fail comes first: no loop may be seen, not even by `__del__`, without its state.
        // SAFETY: CPython calls with a live class; GIL.
        let own_class = unsafe { Object::from_borrowed(class.cast()) };
        let clock = LoopClock::of_class(&own_class)?;
        let reactor = Reactor::new(PythonHost::new(), EpollPoller::new()?, clock)?;
        let state = LoopState {
            reactor,
            watchers: RefCell::default(),
            listeners: RefCell::default(),
            capture: RefCell::default(),
            is_capturing: Cell::new(false),
            makes_plain_tasks: Cell::new(true),
            threads: RefCell::default(),
            calls: Cell::new(0),
        };
        // SAFETY: CPython calls with a live class, whose allocator gives zeroed memory; the object
        // is new and has our layout.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            state.reactor.host().set_event_loop(object.as_ptr());
            (*object.as_ptr().cast::<LoopObject>()).state = Box::into_raw(Box::new(state));
            Ok(object)
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live loop, possibly before `new` has filled it in.
    unsafe {
        let state = (*object.cast::<LoopObject>()).state;
        if !state.is_null() {
            let mut status = 0;
            if let Some(threads) = &*(*state).threads.as_ptr() {
                status = visit(threads.as_ptr(), argument);
            }
            (*state).reactor.visit(&mut |value| {
                if status == 0 {
                    status = visit(*value, argument);
                }
            });
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live loop that nobody can reach.
    unsafe {
        let state = (*object.cast::<LoopObject>()).state;
        if !state.is_null() {
            close_state(&*state);
        }
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead loop.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let this = object.cast::<LoopObject>();
        let state = std::ptr::replace(&raw mut (*this).state, std::ptr::null_mut());
        guard_void(|| {
            if !state.is_null() {
                let state = Box::from_raw(state);
                close_state(&state);
                drop(state);
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

/// `core.Loop`.
pub fn make_type() -> Outcome<Object> {
    let mut methods = vec![
        row!(noargs c"stop", stop, c"Make the current turn the last."),
        row!(noargs c"is_closed", is_closed, c"Whether the loop was closed."),
        row!(noargs c"get_debug", get_debug, c"Whether debug mode is on."),
        row!(one c"set_debug", set_debug, c"Switch debug mode."),
        row!(noargs c"statistics", statistics, c"Counters of the reactor, as a dict of ints."),
        row!(one c"_set_plain_tasks", set_plain_tasks, c"Say whether tasks are asyncio's own."),
        row!(one c"_keep_threads", keep_threads, c"Keep a pool of threads; gives back the one before."),
        row!(noargs c"_kept_threads", kept_threads, c"The pool of threads that is kept, or None."),
        row!(noargs c"_calls_out", calls_out, c"How many calls threads have been given that have not come back."),
        row!(noargs c"_run_turns", run_turns, c"Take turns until stopped."),
        row!(noargs c"_close_native", close_native, c"Drop everything that is held."),
    ];
    methods.extend(schedule::methods());
    methods.extend(sources::methods());
    methods.extend(crate::simulation::methods());
    TypeSpec::new(c"sennit._native.core.Loop", size_of::<LoopObject>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The native half of sennit.Reactor."))
        .methods(methods)
        .build()
}
