//! Python as the engine's host: how callbacks run, how the GIL is let go, where errors go.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use pyo3_ffi as ffi;
use sennit_engine::{Clock, EpollPoller, Host, Idle, Nanos, Reactor};

use crate::globals::globals;
use crate::handle::Handle;
use crate::kit::{Object, Outcome, Raised, raise, take_exception};
use crate::simulation::{self, LoopClock};

/// How often this process is the child of a fork since the module was imported.
static FORKS: AtomicU64 = AtomicU64::new(0);

/// How often that was; what was made before the last fork belongs to another process.
pub fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Called in the child after every fork.
pub fn note_fork() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// One Python loop as a host.
pub struct PythonHost {
    /// The loop object that owns the reactor that owns this: borrowed, never counted.
    event_loop: Cell<*mut ffi::PyObject>,
    thread_state: Cell<*mut ffi::PyThreadState>,
    /// The exception that leaves `run_forever`.
    leaving: RefCell<Option<Object>>,
    debug: Cell<bool>,
    forks: u64,
}

impl PythonHost {
    /// The host of a loop that does not run yet.
    pub fn new() -> Self {
        PythonHost {
            event_loop: Cell::new(std::ptr::null_mut()),
            thread_state: Cell::new(std::ptr::null_mut()),
            leaving: RefCell::new(None),
            debug: Cell::new(false),
            forks: FORKS.load(Ordering::Relaxed),
        }
    }

    /// Sets the loop object, which is made after its reactor.
    pub fn set_event_loop(&self, event_loop: *mut ffi::PyObject) {
        self.event_loop.set(event_loop);
    }

    /// Sets the error for a reactor that belongs to the parent of a fork.
    pub fn refuse_foreign() -> Raised {
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_RuntimeError };
        let message = "this reactor was made before a fork and still belongs to the parent \
                       process; make a new one in the child";
        raise(class, message)
    }

    /// The loop object; borrowed.
    pub fn event_loop(&self) -> *mut ffi::PyObject {
        self.event_loop.get()
    }

    /// Whether asyncio's debug mode is on.
    pub fn is_debug(&self) -> bool {
        self.debug.get()
    }

    /// Switches asyncio's debug mode.
    pub fn set_debug(&self, debug: bool) {
        self.debug.set(debug);
    }

    /// The exception that has to leave the loop, once.
    pub fn take_leaving(&self) -> Option<Object> {
        self.leaving.take()
    }

    /// Takes the exception that is set. `KeyboardInterrupt` and `SystemExit` leave the loop;
    /// another one is given back to be reported.
    pub fn catch(&self, reactor: &Reactor<Self>) -> Option<Object> {
        let exception = take_exception();
        // SAFETY: all are live classes and objects; GIL.
        let leaves = unsafe {
            let class = ffi::Py_TYPE(exception.as_ptr()).cast();
            ffi::PyErr_GivenExceptionMatches(class, ffi::PyExc_KeyboardInterrupt) != 0
                || ffi::PyErr_GivenExceptionMatches(class, ffi::PyExc_SystemExit) != 0
        };
        if !leaves {
            return Some(exception);
        }
        let before = self.leaving.replace(Some(exception));
        drop(before);
        reactor.interrupt();
        None
    }

    /// Lets the exception that is set leave the loop.
    fn leave(&self, reactor: &Reactor<Self>) {
        let before = self.leaving.replace(Some(take_exception()));
        drop(before);
        reactor.interrupt();
    }

    /// Calls a method of the loop that reports something; its own errors are caught too.
    pub fn tell(&self, reactor: &Reactor<Self>, method: &Object, arguments: &[&Object]) {
        let mut all = vec![self.event_loop()];
        all.extend(arguments.iter().map(|argument| argument.as_ptr()));
        if Object::call_method(method, &all).is_err()
            && let Some(exception) = self.catch(reactor)
        {
            // The reporter itself has failed: the interpreter's last resort.
            // SAFETY: the exception is live; GIL.
            unsafe {
                ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr());
                ffi::PyErr_WriteUnraisable(self.event_loop());
            }
        }
    }

    /// Hands an error to the loop's exception handler, with what it was about.
    pub fn report(
        &self,
        reactor: &Reactor<Self>,
        message: &str,
        exception: &Object,
        about: &[(&std::ffi::CStr, &Object)],
    ) {
        let context = || -> Outcome<Object> {
            // SAFETY: a new dict, and live values; GIL.
            unsafe {
                let context = Object::owned(ffi::PyDict_New())?;
                let message = Object::text(message)?;
                let parts = [(c"message", &message), (c"exception", exception)];
                for (key, value) in parts.iter().chain(about) {
                    if ffi::PyDict_SetItemString(context.as_ptr(), key.as_ptr(), value.as_ptr()) < 0
                    {
                        return Err(Raised);
                    }
                }
                Ok(context)
            }
        };
        match context() {
            Ok(context) => {
                self.tell(reactor, &globals().names.call_exception_handler, &[&context]);
            }
            Err(Raised) => drop(self.catch(reactor)),
        }
    }
}

/// Runs a handle; what it raises goes where it belongs.
#[inline]
pub fn run_handle(reactor: &Reactor<PythonHost>, handle: &Handle) {
    let host = reactor.host();
    if host.is_debug() {
        return run_handle_timed(reactor, handle);
    }
    if handle.run().is_err() {
        report_handle(reactor, handle);
    }
}

#[cold]
fn report_handle(reactor: &Reactor<PythonHost>, handle: &Handle) {
    let host = reactor.host();
    if let Some(exception) = host.catch(reactor) {
        host.tell(reactor, &globals().names._report_callback_error, &[&exception, &handle.0]);
    }
}

#[cold]
fn run_handle_timed(reactor: &Reactor<PythonHost>, handle: &Handle) {
    let host = reactor.host();
    let start = reactor.now();
    if handle.run().is_err() {
        report_handle(reactor, handle);
    }
    let seconds = (reactor.now() - start) as f64 / 1e9;
    if let Ok(seconds) = Object::float(seconds) {
        host.tell(reactor, &globals().names._report_slow_callback, &[&handle.0, &seconds]);
    }
}

impl Host for PythonHost {
    type Poller = EpollPoller;
    type Clock = LoopClock;
    type Callback = Handle;
    type Value = *mut ffi::PyObject;

    #[inline]
    fn run(&self, reactor: &Reactor<Self>, callback: Handle) {
        run_handle(reactor, &callback);
    }

    fn is_cancelled(&self, callback: &Handle) -> bool {
        callback.is_cancelled()
    }

    fn unscheduled(&self, callback: &Handle) {
        callback.unschedule();
    }

    fn may_turn(&self) -> bool {
        if !self.is_foreign() {
            return true;
        }
        let Raised = Self::refuse_foreign();
        let before = self.leaving.replace(Some(take_exception()));
        drop(before);
        false
    }

    #[inline]
    fn is_foreign(&self) -> bool {
        FORKS.load(Ordering::Relaxed) != self.forks
    }

    fn park(&self) {
        // SAFETY: this thread holds the GIL, as always inside a turn.
        self.thread_state.set(unsafe { ffi::PyEval_SaveThread() });
    }

    fn unpark(&self) {
        let state = self.thread_state.replace(std::ptr::null_mut());
        // SAFETY: the state is the one that `park` saved in this thread.
        unsafe { crate::kit::restore_thread(state) };
    }

    fn polled(&self, reactor: &Reactor<Self>) {
        // SAFETY: GIL. Python's signal handlers run here, in the main thread.
        if unsafe { ffi::PyErr_CheckSignals() } == 0 {
            return;
        }
        // An exception of a signal handler leaves the loop, whatever it is: it has interrupted
        // no callback that it could be reported for.
        self.leave(reactor);
    }

    fn idle(&self, reactor: &Reactor<Self>, due: Option<Nanos>) -> Idle {
        simulation::idle(self.event_loop(), due).unwrap_or_else(|Raised| {
            self.leave(reactor);
            Idle::Look
        })
    }

    fn connect(&self, reactor: &Reactor<Self>, address: &SocketAddr) -> io::Result<OwnedFd> {
        if reactor.clock().passes() {
            return sennit_engine::socket::start_stream(address);
        }
        simulation::connect(self.event_loop(), address)
            .unwrap_or_else(|Raised| Err(simulation::report(reactor)))
    }

    fn visit(callback: &Handle, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&callback.0.as_ptr());
    }
}

/// The time of a loop, in seconds, as asyncio counts it.
pub fn loop_seconds(reactor: &Reactor<PythonHost>) -> f64 {
    reactor.clock().now() as f64 / 1e9
}
