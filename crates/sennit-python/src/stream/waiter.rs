//! What a task waits for while a stream has nothing for it: a future in all that asyncio looks at, made natively.
//!
//! A task that waits costs an `asyncio.Future` a callback in the ready queue and a handle. This one runs the task's
//! wake-up right from the dispatch that brings the data, in the task's own context: no step of another task is
//! under way then. It says only *look again*; the data stays with the stream until the task takes it, so a
//! task that is cancelled meanwhile loses nothing.
//!
//! | outcome | becomes | by |
//! | --- | --- | --- |
//! | Pending | Done | data, the end, an error: the stream knows which |
//! | Pending | Expired | a deadline of the stream |
//! | Pending | Cancelled | `cancel()`, by the task that is cancelled |

use std::cell::UnsafeCell;
use std::ffi::{c_char, c_void};
use std::mem::offset_of;
use std::sync::atomic::{AtomicUsize, Ordering};

use pyo3_ffi as ffi;
use sennit_engine::Reactor;

use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, guard, keywords, no_arguments, none,
    one_argument, raise, row,
};

/// Dead waiters kept for reuse.
const KEPT: usize = 256;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// What has become of the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pending,
    Done,
    Expired,
    Cancelled,
}

struct Callback {
    function: Object,
    context: Object,
}

struct Fields {
    fate: Fate,
    /// Nearly always there is one: the task.
    first: Option<Callback>,
    others: Vec<Callback>,
    /// What `cancel` was given.
    message: Option<Object>,
}

/// A waiter. The first two fields are read and written by asyncio where they lie. There is no `get_loop`: asyncio
/// takes `_loop` then, which costs no call.
#[repr(C)]
struct WaiterObject {
    head: Head,
    event_loop: *mut ffi::PyObject,
    blocking: c_char,
    fields: Fields,
}

/// One reference to a waiter.
#[derive(Clone)]
pub struct Waiter(Object);

impl Waiter {
    /// Something to wait for in a loop; its first reader yields it to the task.
    #[inline]
    pub fn new(event_loop: Object) -> Outcome<Waiter> {
        let class = globals().stream.waiter_type.as_ptr().cast::<ffi::PyTypeObject>();
        let fields = Fields { fate: Fate::Pending, first: None, others: Vec::new(), message: None };
        // SAFETY: a kept object is dead and untracked; every field is written before anybody sees it; GIL.
        unsafe {
            let object = match (*FREE.0.get()).pop() {
                Some(object) => {
                    ffi::PyObject_Init(object, class);
                    object
                }
                None => ffi::PyObject_GC_New::<ffi::PyObject>(class),
            };
            let this = object.cast::<WaiterObject>();
            if this.is_null() {
                return Err(Raised);
            }
            (&raw mut (*this).event_loop).write(event_loop.into_ptr());
            // A task looks at this to see that it is yielded to be waited for.
            (&raw mut (*this).blocking).write(1);
            (&raw mut (*this).fields).write(fields);
            ffi::PyObject_GC_Track(object.cast());
            Object::owned(object).map(Waiter)
        }
    }

    /// The object.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.0
    }

    #[inline]
    fn fields(&self) -> *mut Fields {
        fields(self.0.as_ptr())
    }

    /// What has become of it.
    #[inline]
    pub fn fate(&self) -> Fate {
        // SAFETY: a short read; GIL.
        unsafe { (*self.fields()).fate }
    }

    /// Ends the wait; the callbacks that are to be run. Nobody waits twice.
    #[inline]
    fn finish(&self, fate: Fate) -> (Option<Callback>, Vec<Callback>) {
        // SAFETY: values are taken out; GIL.
        unsafe {
            let fields = self.fields();
            if (*fields).fate != Fate::Pending {
                return (None, Vec::new());
            }
            (*fields).fate = fate;
            ((*fields).first.take(), std::mem::take(&mut (*fields).others))
        }
    }

    /// Ends the wait from a dispatch: who waits runs before this returns.
    #[inline]
    pub fn wake_now(&self, reactor: &Reactor<PythonHost>) {
        if reactor.host().is_debug() {
            // There each callback is timed and reported by its handle.
            if self.wake_soon(Fate::Done).is_err() {
                report(reactor, self);
            }
            return;
        }
        let (first, others) = self.finish(Fate::Done);
        for callback in first.into_iter().chain(others) {
            if callback.run(self).is_err() {
                report(reactor, self);
            }
        }
    }

    /// Ends the wait: who waits runs in its place among the loop's callbacks.
    pub fn wake_soon(&self, fate: Fate) -> Outcome<()> {
        let (first, others) = self.finish(fate);
        for callback in first.into_iter().chain(others) {
            callback.schedule(self)?;
        }
        Ok(())
    }
}

/// What a step of a task lets through: `KeyboardInterrupt` and `SystemExit` leave the loop.
#[cold]
fn report(reactor: &Reactor<PythonHost>, waiter: &Waiter) {
    let host = reactor.host();
    if let Some(exception) = host.catch(reactor) {
        let about = [(c"future", waiter.object())];
        host.report(reactor, "Exception in callback of a stream's reader", &exception, &about);
    }
}

impl Callback {
    #[inline]
    fn run(&self, waiter: &Waiter) -> Outcome<()> {
        let context = self.context.as_ptr();
        // SAFETY: a live context, which is left in any case; GIL.
        unsafe {
            if ffi::PyContext_Enter(context) < 0 {
                // It is entered already: not a moment to run anything in it.
                ffi::PyErr_Clear();
                return self.schedule(waiter);
            }
            let argument = if is_wake_up(self.function.as_ptr()) {
                globals().stream.finished.as_ptr()
            } else {
                waiter.0.as_ptr()
            };
            let result = self.function.call(&[argument]);
            ffi::PyContext_Exit(context);
            result.map(drop)
        }
    }

    fn schedule(&self, waiter: &Waiter) -> Outcome<()> {
        // SAFETY: the waiter holds its loop for as long as it lives; GIL.
        let event_loop = unsafe { Object::from_borrowed(event_loop(waiter.0.as_ptr())) };
        call_soon_in(&event_loop, &self.function, &[&waiter.0], &self.context)
    }
}

/// `event_loop.call_soon(function, *arguments, context=context)`, with at most three arguments.
pub fn call_soon_in(
    event_loop: &Object,
    function: &Object,
    arguments: &[&Object],
    context: &Object,
) -> Outcome<()> {
    let globals = globals();
    let mut all = [event_loop.as_ptr(); 6];
    let count = 2 + arguments.len();
    all[1] = function.as_ptr();
    for (place, argument) in all[2..].iter_mut().zip(arguments) {
        *place = argument.as_ptr();
    }
    all[count] = context.as_ptr();
    // SAFETY: so many positional values and one for the keyword, all live for the call; GIL.
    unsafe {
        Object::owned(crate::kit::vectorcall_method(
            globals.stream.call_soon.as_ptr(),
            all.as_ptr(),
            count,
            globals.asyncio.context_only.as_ptr(),
        ))
        .map(drop)
    }
}

/// The C function of a task's wake-up, once one was seen.
static WAKE_UP: AtomicUsize = AtomicUsize::new(0);

/// Whether a callback is a task's wake-up. That only wants to know whether the future it is given has failed, and a
/// finished one of asyncio's own it asks without the detour through Python that costs more than
/// all else here.
#[inline]
pub fn is_wake_up(function: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object, whose type is checked before its layout is used; GIL.
    unsafe {
        if ffi::PyCFunction_CheckExact(function) == 0 {
            return false;
        }
        let Some(native) = ffi::PyCFunction_GetFunction(function) else { return false };
        native as usize == WAKE_UP.load(Ordering::Relaxed)
            || is_first_wake_up(function, native as usize)
    }
}

#[cold]
unsafe fn is_first_wake_up(function: *mut ffi::PyObject, native: usize) -> bool {
    // SAFETY: the caller vouches for a live builtin; GIL.
    unsafe {
        let task = ffi::PyCFunction_GetSelf(function);
        let task_type = globals().asyncio.task_type.as_ptr().cast();
        if task.is_null() || ffi::PyObject_TypeCheck(task, task_type) == 0 {
            return false;
        }
        let is_it = Object::from_borrowed(function).attribute(c"__name__").is_ok_and(|name| {
            ffi::PyUnicode_CompareWithASCIIString(name.as_ptr(), c"task_wakeup".as_ptr()) == 0
        });
        if is_it {
            WAKE_UP.store(native, Ordering::Relaxed);
        }
        is_it
    }
}

fn fields(this: *mut ffi::PyObject) -> *mut Fields {
    // SAFETY: the pointer names a waiter: CPython checks it for methods, and we made the others.
    unsafe { &raw mut (*this.cast::<WaiterObject>()).fields }
}

fn event_loop(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: as above; set for as long as the waiter lives.
    unsafe { (*this.cast::<WaiterObject>()).event_loop }
}

fn of(this: &WaiterObject) -> Waiter {
    // SAFETY: a live waiter; GIL.
    Waiter(unsafe { Object::from_borrowed(this.head.get()) })
}

keywords!(add_done_callback, WaiterObject, |this, args, keywords| {
    args.expect("add_done_callback", 1, 1)?;
    let context = match keywords.only("add_done_callback", &globals().names.context)? {
        // SAFETY: a live argument; GIL.
        Some(context) => unsafe { Object::from_borrowed(context) },
        // SAFETY: GIL.
        None => unsafe { Object::owned(ffi::PyContext_CopyCurrent())? },
    };
    let callback = Callback { function: args.object(0), context };
    let waiter = of(this);
    if waiter.fate() != Fate::Pending {
        callback.schedule(&waiter)?;
        return Ok(none());
    }
    // SAFETY: nothing but `None` is overwritten; GIL.
    unsafe {
        let fields = waiter.fields();
        if (*fields).first.is_none() {
            (*fields).first = Some(callback);
        } else {
            (*fields).others.push(callback);
        }
    }
    Ok(none())
});

one_argument!(remove_done_callback, WaiterObject, |this, function| {
    let waiter = of(this);
    // SAFETY: the callbacks are taken out while they are compared, which may run Python; GIL.
    let all = unsafe {
        let fields = waiter.fields();
        (*fields).first.take().into_iter().chain(std::mem::take(&mut (*fields).others))
    };
    let (mut left, mut removed) = (Vec::new(), 0);
    for callback in all {
        // SAFETY: two live objects; GIL.
        match unsafe {
            ffi::PyObject_RichCompareBool(callback.function.as_ptr(), function, ffi::Py_EQ)
        } {
            -1 => return Err(Raised),
            0 => left.push(callback),
            _ => removed += 1,
        }
    }
    // SAFETY: as above.
    unsafe { (*waiter.fields()).others.splice(0..0, left) };
    Object::integer(removed)
});

keywords!(cancel, WaiterObject, |this, args, keywords| {
    args.expect("cancel", 0, 1)?;
    let [given] = keywords.named("cancel", &[c"msg"])?;
    let message = args.0.first().copied().or(given);
    let waiter = of(this);
    if waiter.fate() != Fate::Pending {
        return Ok(Object::boolean(false));
    }
    // SAFETY: a live argument; the old value is dropped after the write; GIL.
    let old = unsafe {
        let message = message.map(|message| Object::from_borrowed(message));
        std::mem::replace(&mut (*waiter.fields()).message, message)
    };
    drop(old);
    waiter.wake_soon(Fate::Cancelled)?;
    Ok(Object::boolean(true))
});

no_arguments!(done, WaiterObject, |this| Ok(Object::boolean(of(this).fate() != Fate::Pending)));

no_arguments!(cancelled, WaiterObject, |this| {
    Ok(Object::boolean(of(this).fate() == Fate::Cancelled))
});

fn cancelled_error(this: &WaiterObject) -> Outcome<Object> {
    // SAFETY: a short read; GIL.
    let message = unsafe { (*of(this).fields()).message.clone() };
    let class = &globals().asyncio.cancelled_error;
    match message.filter(|message| !message.is_none()) {
        Some(message) => class.call(&[message.as_ptr()]),
        None => class.call(&[]),
    }
}

no_arguments!(make_cancelled_error, WaiterObject, |this| cancelled_error(this));

/// `None`, once the wait has ended.
fn outcome(this: &WaiterObject) -> Outcome<Object> {
    match of(this).fate() {
        Fate::Done | Fate::Expired => Ok(none()),
        Fate::Cancelled => Err(super::error::raise_made(cancelled_error(this))),
        Fate::Pending => {
            let class = &globals().stream.invalid_state_error;
            Err(raise(class.as_ptr(), "Result is not set."))
        }
    }
}

no_arguments!(result, WaiterObject, |this| outcome(this));
no_arguments!(exception, WaiterObject, |this| outcome(this));

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

/// Waiting for a waiter itself, as for any future.
unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live waiter; GIL.
        let waiter = unsafe { &*this.cast::<WaiterObject>() };
        if of(waiter).fate() == Fate::Pending {
            // SAFETY: as above.
            unsafe { (*this.cast::<WaiterObject>()).blocking = 1 };
            // SAFETY: as above.
            return Ok(unsafe { Object::from_borrowed(this) });
        }
        outcome(waiter)?;
        // SAFETY: reading a static of the interpreter; GIL.
        unsafe { ffi::PyErr_SetNone(ffi::PyExc_StopIteration) };
        Err(Raised)
    })
}

unsafe extern "C" fn represent(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live waiter; GIL.
        let fate = of(unsafe { &*this.cast::<WaiterObject>() }).fate();
        Object::text(&format!("<sennit stream waiter {fate:?}>").to_lowercase())
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> i32 {
    // SAFETY: the collector calls with a live waiter whose fields are written.
    unsafe {
        let fields = &*fields(object);
        let callbacks = fields.first.iter().chain(&fields.others);
        let owned = callbacks
            .flat_map(|callback| [&callback.function, &callback.context])
            .chain(&fields.message)
            .map(Object::as_ptr)
            .chain([event_loop(object), ffi::Py_TYPE(object).cast()]);
        for value in owned {
            let status = visit(value, argument);
            if status != 0 {
                return status;
            }
        }
    }
    0
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live waiter; what is taken out is dropped afterwards.
    unsafe {
        let fields = fields(object);
        let dropped = (
            (*fields).first.take(),
            std::mem::take(&mut (*fields).others),
            (*fields).message.take(),
        );
        drop(dropped);
    }
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead waiter; its memory is kept or given back, and the
    // type loses one reference; GIL.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear(object);
        ffi::Py_DECREF(event_loop(object));
        let class = ffi::Py_TYPE(object);
        let free = &mut *FREE.0.get();
        if free.len() < KEPT {
            free.push(object);
        } else {
            ffi::PyObject_GC_Del(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.StreamWaiter`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.StreamWaiter", size_of::<WaiterObject>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_iter, itself as *mut _)
        .slot(ffi::Py_tp_iternext, iterate as *mut _)
        .slot(ffi::Py_am_await, itself as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"What a task waits for at a stream."))
        .members(&[
            (
                c"_asyncio_future_blocking",
                ffi::Py_T_BOOL,
                offset_of!(WaiterObject, blocking),
                0,
            ),
            (
                c"_loop",
                ffi::Py_T_OBJECT_EX,
                offset_of!(WaiterObject, event_loop),
                ffi::Py_READONLY,
            ),
        ])
        .methods(vec![
            row!(keywords c"add_done_callback", add_done_callback,
                c"add_done_callback($self, fn, *, context=None)\n--\n\nCall a function when the wait ends."),
            row!(one c"remove_done_callback", remove_done_callback, c"Undo add_done_callback."),
            row!(keywords c"cancel", cancel, c"cancel($self, msg=None)\n--\n\nEnd the wait."),
            row!(noargs c"cancelled", cancelled, c"Whether it was cancelled."),
            row!(noargs c"done", done, c"Whether the wait has ended."),
            row!(noargs c"exception", exception, c"None, once the wait has ended."),
            row!(noargs c"result", result, c"None, once the wait has ended."),
            row!(noargs c"_make_cancelled_error", make_cancelled_error,
                c"The error that a cancelled one raises."),
        ])
        .build()
}
