//! `await stream.read()` and its like: one native object that is a coroutine in all but its frame.
//!
//! Nothing is done before it is awaited. Then it looks whether the stream has what is wanted: if so, that is the
//! result, and nobody is suspended. If not, it leaves a [`Waiter`] with the stream, yields it to the task, and looks
//! again when it is resumed. So what is not taken is not lost, whoever is cancelled when.

use std::cell::UnsafeCell;
use std::ffi::c_void;

use pyo3_ffi as ffi;

use super::object::StreamObject;
use super::waiter::{Fate, Waiter};
use super::wanted::Wanted;
use crate::globals::globals;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, guard, no_arguments, none, one_argument,
    positional, raise, row,
};

/// Dead operations kept for reuse.
const KEPT: usize = 256;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

enum State {
    /// Not awaited yet.
    New,
    /// Waits.
    Waiting(Waiter),
    /// Awaited to its end.
    Over,
}

struct Fields {
    stream: Object,
    wanted: Wanted,
    state: State,
}

/// Something to await.
#[repr(C)]
struct Operation {
    head: Head,
    fields: Option<Fields>,
}

/// What a look at the stream has led to.
pub enum Progress {
    /// That is the result.
    Ready(Object),
    /// It is not there yet.
    Wait,
}

/// An operation on a stream.
#[inline]
pub fn make(stream: &StreamObject, wanted: Wanted) -> Outcome<Object> {
    let class = globals().stream.operation_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: a kept object is dead and untracked; the fields are written before anybody sees it; GIL.
    unsafe {
        let object = match (*FREE.0.get()).pop() {
            Some(object) => {
                ffi::PyObject_Init(object, class);
                object
            }
            None => ffi::PyObject_GC_New::<ffi::PyObject>(class),
        };
        if object.is_null() {
            return Err(Raised);
        }
        let stream = Object::from_borrowed(stream.as_ptr());
        let fields = Some(Fields { stream, wanted, state: State::New });
        (&raw mut (*object.cast::<Operation>()).fields).write(fields);
        ffi::PyObject_GC_Track(object.cast());
        Object::owned(object)
    }
}

/// An operation that has nothing to wait for, and may be awaited again and again.
pub fn make_done(class: &Object) -> Outcome<Object> {
    // SAFETY: zeroed memory is an operation without fields; GIL.
    unsafe {
        let class = class.as_ptr().cast::<ffi::PyTypeObject>();
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        (&raw mut (*object.as_ptr().cast::<Operation>()).fields).write(None);
        Ok(object)
    }
}

impl Operation {
    fn fields(this: *mut ffi::PyObject) -> *mut Option<Fields> {
        // SAFETY: the pointer names an operation: CPython checks it for methods, and we made the others.
        unsafe { &raw mut (*this.cast::<Operation>()).fields }
    }

    #[inline]
    fn replace(this: *mut ffi::PyObject, state: State) -> State {
        // SAFETY: a short exchange; the caller drops what was there; GIL.
        match unsafe { (*Operation::fields(this)).as_mut() } {
            Some(fields) => std::mem::replace(&mut fields.state, state),
            None => State::Over,
        }
    }

    /// Awaits on. `Wait` comes with the waiter in the state.
    #[inline]
    fn send(this: *mut ffi::PyObject) -> Outcome<Step> {
        // SAFETY: a short read; the stream is counted; GIL.
        let Some((stream, wanted)) = (unsafe {
            (*Operation::fields(this)).as_ref().map(|fields| (fields.stream.clone(), fields.wanted))
        }) else {
            return Ok(Step::Returned(none()));
        };
        let stream = StreamObject::of(&stream);
        let fate = match Operation::replace(this, State::Over) {
            State::New => {
                stream.begin(&wanted)?;
                Fate::Done
            }
            State::Waiting(waiter) => {
                let fate = waiter.fate();
                if fate == Fate::Pending {
                    drop(Operation::replace(this, State::Waiting(waiter)));
                    // SAFETY: reading a static of the interpreter; GIL.
                    let class = unsafe { ffi::PyExc_RuntimeError };
                    return Err(raise(class, "await wasn't used with future"));
                }
                stream.forget(&waiter);
                fate
            }
            State::Over => return Err(used_up()),
        };
        match stream.attempt(&wanted)? {
            Progress::Ready(value) => Ok(Step::Returned(value)),
            Progress::Wait if fate == Fate::Expired => Err(stream.raise_deadline(&wanted)),
            Progress::Wait => {
                let waiter = stream.wait(&wanted)?;
                let yielded = waiter.object().clone();
                drop(Operation::replace(this, State::Waiting(waiter)));
                Ok(Step::Yielded(yielded))
            }
        }
    }

    /// Whoever awaits has given up.
    fn give_up(this: *mut ffi::PyObject) {
        // SAFETY: a short read; GIL.
        let stream =
            unsafe { (*Operation::fields(this)).as_ref().map(|fields| fields.stream.clone()) };
        if let (State::Waiting(waiter), Some(stream)) =
            (Operation::replace(this, State::Over), stream)
        {
            StreamObject::of(&stream).forget(&waiter);
        }
    }
}

enum Step {
    Yielded(Object),
    Returned(Object),
}

#[cold]
fn used_up() -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_RuntimeError }, "cannot reuse already awaited coroutine")
}

/// Raises `StopIteration` with a value.
#[cold]
fn stop_iteration(value: &Object) -> Raised {
    // SAFETY: a live class; the exception is owned; GIL.
    let class = unsafe { Object::from_borrowed(ffi::PyExc_StopIteration) };
    super::error::raise_made(class.call(&[value.as_ptr()]))
}

fn as_generator(step: Outcome<Step>) -> Outcome<Object> {
    match step? {
        Step::Yielded(waiter) => Ok(waiter),
        Step::Returned(value) => Err(stop_iteration(&value)),
    }
}

unsafe extern "C" fn am_send(
    this: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let mut status = ffi::PySendResult::PYGEN_ERROR;
    let pointer = guard(|| {
        Operation::send(this).map(|step| match step {
            Step::Yielded(waiter) => {
                status = ffi::PySendResult::PYGEN_NEXT;
                waiter
            }
            Step::Returned(value) => {
                status = ffi::PySendResult::PYGEN_RETURN;
                value
            }
        })
    });
    // SAFETY: CPython gives a place for the result.
    unsafe { *result = pointer };
    status
}

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    guard(|| as_generator(Operation::send(this)))
}

one_argument!(send, Operation, |this, _value| as_generator(Operation::send(this.head.get())));

positional!(throw, Operation, |this, args| {
    args.expect("throw", 1, 3)?;
    Operation::give_up(this.head.get());
    // SAFETY: live arguments; GIL.
    unsafe {
        let given = args.0[0];
        if ffi::PyExceptionInstance_Check(given) != 0 {
            ffi::PyErr_SetObject(ffi::Py_TYPE(given).cast(), given);
        } else {
            match args.optional(1) {
                Some(value) => ffi::PyErr_SetObject(given, value.as_ptr()),
                None => ffi::PyErr_SetNone(given),
            }
        }
    }
    Err(Raised)
});

no_arguments!(close, Operation, |this| {
    Operation::give_up(this.head.get());
    Ok(none())
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut c_void,
) -> i32 {
    // SAFETY: the collector calls with a live operation whose fields are written.
    unsafe {
        if let Some(fields) = &*Operation::fields(object) {
            let waiter = match &fields.state {
                State::Waiting(waiter) => Some(waiter.object().as_ptr()),
                State::New | State::Over => None,
            };
            for value in waiter.into_iter().chain([fields.stream.as_ptr()]) {
                let status = visit(value, argument);
                if status != 0 {
                    return status;
                }
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live operation; what is taken out is dropped afterwards.
    let fields = unsafe { (*Operation::fields(object)).take() };
    drop(fields);
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead operation; its memory is kept or given back, and
    // the type loses one reference; GIL.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        Operation::give_up(object);
        clear(object);
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

/// `core.StreamOperation`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.StreamOperation", size_of::<Operation>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_iter, itself as *mut _)
        .slot(ffi::Py_tp_iternext, iterate as *mut _)
        .slot(ffi::Py_am_await, itself as *mut _)
        .slot(ffi::Py_am_send, am_send as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"Something to await at a stream."))
        .methods(vec![
            row!(one c"send", send, c"Await on."),
            row!(positional c"throw", throw, c"Give up with an exception."),
            row!(noargs c"close", close, c"Give up."),
        ])
        .build()
}
