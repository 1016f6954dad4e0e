//! A handler's coroutine as its task sees it: it hands everything through, and answers the request
//! when the handler has ended.

use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::Serial;

use super::application::{self, PythonConnection};
use super::writing;
use crate::globals::globals;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, free, guard, no_arguments, none, one_argument,
    positional, raise, row, take_exception,
};

/// The request that a coroutine is to answer.
pub struct Exchange {
    connection: Rc<PythonConnection>,
    serial: Serial,
    request: Object,
}

impl Exchange {
    /// Names one request of a connection.
    pub fn new(connection: Rc<PythonConnection>, serial: Serial, request: Object) -> Self {
        Exchange { connection, serial, request }
    }
}

#[derive(Default)]
struct Fields {
    coroutine: Option<Object>,
    /// What the coroutine has yielded before its task ran for the first time.
    yielded: Option<Object>,
    /// A handler that is still to be called.
    handler: Option<Object>,
    exchange: Option<Exchange>,
}

/// The coroutine of a handler's task.
#[repr(C)]
pub struct Adapter {
    head: Head,
    fields: Fields,
}

enum Progress {
    Waits(Object),
    Over,
}

impl Adapter {
    /// An adapter without a coroutine: it ends at its first step.
    pub fn make() -> Outcome<Object> {
        let class = globals().http.adapter_type.as_ptr().cast::<ffi::PyTypeObject>();
        // SAFETY: the allocator gives zeroed memory, into which the fields are written before anybody sees the
        // object; GIL.
        unsafe {
            let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
            let this = object.as_ptr().cast::<Adapter>();
            (&raw mut (*this).fields).write(Fields::default());
            Ok(object)
        }
    }

    fn fields(this: *mut ffi::PyObject) -> *mut Fields {
        // SAFETY: the pointer names an adapter: CPython checks it for methods, and we made the others.
        unsafe { &raw mut (*this.cast::<Adapter>()).fields }
    }

    /// Gives an adapter a coroutine, and what that has yielded already.
    pub fn take_over(adapter: &Object, coroutine: Object, yielded: Object, exchange: Exchange) {
        let fields = Adapter::fields(adapter.as_ptr());
        // SAFETY: the adapter is idle: nothing is overwritten but `None`; GIL.
        unsafe {
            (*fields).coroutine = Some(coroutine);
            (*fields).yielded = Some(yielded);
            (*fields).exchange = Some(exchange);
        }
    }

    /// Has an adapter call a handler in its first step.
    pub fn call_later(adapter: &Object, handler: Object, exchange: Exchange) {
        let fields = Adapter::fields(adapter.as_ptr());
        // SAFETY: as in `take_over`.
        unsafe {
            (*fields).handler = Some(handler);
            (*fields).exchange = Some(exchange);
        }
    }

    /// Shows a coroutine that others step while the adapter's task is the current one; gives back what was shown.
    #[inline]
    pub fn show(adapter: &Object, coroutine: Option<Object>) -> Option<Object> {
        Adapter::show_in(adapter.as_ptr(), coroutine)
    }

    #[inline]
    fn show_in(this: *mut ffi::PyObject, coroutine: Option<Object>) -> Option<Object> {
        // SAFETY: a short exchange; what was there is dropped by the caller; GIL.
        unsafe { std::mem::replace(&mut (*Adapter::fields(this)).coroutine, coroutine) }
    }

    fn coroutine(this: *mut ffi::PyObject) -> Option<Object> {
        // SAFETY: a short read; GIL.
        unsafe { (*Adapter::fields(this)).coroutine.clone() }
    }

    /// The coroutine has ended: nothing is kept of it.
    fn finish(this: *mut ffi::PyObject) -> Option<Exchange> {
        // SAFETY: values are taken out and dropped when the fields are consistent again; GIL.
        unsafe {
            let fields = Adapter::fields(this);
            let (coroutine, exchange) = ((*fields).coroutine.take(), (*fields).exchange.take());
            drop(coroutine);
            exchange
        }
    }

    fn returned(this: *mut ffi::PyObject, value: Object) -> Outcome<Progress> {
        // SAFETY: a short read; GIL.
        let request =
            unsafe { (*Adapter::fields(this)).exchange.as_ref().map(|e| e.request.clone()) };
        if let Some(request) = request {
            match writing::coroutine_for(&value, &request) {
                Ok(None) => {}
                // An answer in pieces is a coroutine of its own, in the same task.
                Ok(Some(coroutine)) => {
                    drop(Adapter::show_in(this, Some(coroutine)));
                    // SAFETY: reading the address of a static.
                    return Adapter::send(this, unsafe { ffi::Py_None() });
                }
                Err(Raised) => return Adapter::raised(this),
            }
        }
        if let Some(exchange) = Adapter::finish(this) {
            let Exchange { connection, serial, request } = exchange;
            application::respond(&connection, serial, &request, value);
        }
        Ok(Progress::Over)
    }

    /// An error is set: it is reported here, and the task ends well; unless it is the task's own affair.
    fn raised(this: *mut ffi::PyObject) -> Outcome<Progress> {
        let exception = take_exception();
        if let Some(exchange) = Adapter::finish(this) {
            let Exchange { connection, serial, request } = exchange;
            if application::respond_to_error(&connection, serial, &request, &exception) {
                return Ok(Progress::Over);
            }
        }
        // SAFETY: a live exception; GIL.
        unsafe {
            ffi::PyErr_SetObject(ffi::Py_TYPE(exception.as_ptr()).cast(), exception.as_ptr());
        }
        Err(Raised)
    }

    fn send(this: *mut ffi::PyObject, value: *mut ffi::PyObject) -> Outcome<Progress> {
        // SAFETY: a short take; GIL.
        if let Some(yielded) = unsafe { (*Adapter::fields(this)).yielded.take() } {
            return Ok(Progress::Waits(yielded));
        }
        // SAFETY: as above.
        if let Some(handler) = unsafe { (*Adapter::fields(this)).handler.take() } {
            return Adapter::call(this, &handler);
        }
        let Some(coroutine) = Adapter::coroutine(this) else { return Ok(Progress::Over) };
        Adapter::resume(this, &coroutine, value)
    }

    /// Calls the handler, and makes the first step of what it returns to be awaited.
    fn call(this: *mut ffi::PyObject, handler: &Object) -> Outcome<Progress> {
        // SAFETY: a short read; GIL.
        let request = unsafe {
            (*Adapter::fields(this)).exchange.as_ref().map(|exchange| exchange.request.clone())
        };
        let Some(request) = request else { return Ok(Progress::Over) };
        let called =
            handler.call(&[request.as_ptr()]).and_then(|value| Ok((steps_of(&value)?, value)));
        match called {
            Err(Raised) => Adapter::raised(this),
            Ok((None, value)) => Adapter::returned(this, value),
            Ok((Some(steps), _)) => {
                // SAFETY: nothing but `None` is overwritten; GIL.
                unsafe { (*Adapter::fields(this)).coroutine = Some(steps.clone()) };
                Adapter::resume(this, &steps, none().as_ptr())
            }
        }
    }

    fn resume(
        this: *mut ffi::PyObject,
        coroutine: &Object,
        value: *mut ffi::PyObject,
    ) -> Outcome<Progress> {
        let mut result = std::ptr::null_mut();
        // SAFETY: a live coroutine and value; the result is new unless an error is set; GIL.
        unsafe {
            match crate::kit::iterator_send(coroutine.as_ptr(), value, &mut result) {
                ffi::PySendResult::PYGEN_RETURN => Adapter::returned(this, Object::owned(result)?),
                ffi::PySendResult::PYGEN_NEXT => Ok(Progress::Waits(Object::owned(result)?)),
                ffi::PySendResult::PYGEN_ERROR => Adapter::raised(this),
            }
        }
    }

    fn throw(this: *mut ffi::PyObject, arguments: &[*mut ffi::PyObject]) -> Outcome<Progress> {
        // SAFETY: a short take; GIL.
        let (yielded, handler) = unsafe {
            let fields = Adapter::fields(this);
            ((*fields).yielded.take(), (*fields).handler.take())
        };
        drop(handler);
        // A task that is cancelled before it waits cancels what it was about to wait for, and hears of it then.
        if let Some(yielded) = yielded
            && cancel(&yielded, arguments)?
        {
            return Ok(Progress::Waits(yielded));
        }
        let Some(coroutine) = Adapter::coroutine(this) else {
            let Raised = set_exception(arguments);
            return Adapter::raised(this);
        };
        let result = coroutine.attribute(c"throw").and_then(|throw| throw.call(arguments));
        match result {
            Ok(yielded) => Ok(Progress::Waits(yielded)),
            Err(Raised) => match stop_iteration_value()? {
                Some(value) => Adapter::returned(this, value),
                None => Adapter::raised(this),
            },
        }
    }
}

/// What is to be stepped if a handler has returned something to be awaited.
pub fn steps_of(value: &Object) -> Outcome<Option<Object>> {
    // SAFETY: a live object, whose type's slots may be read; GIL.
    unsafe {
        if ffi::PyCoro_CheckExact(value.as_ptr()) != 0 {
            return Ok(Some(value.clone()));
        }
        let methods = (*ffi::Py_TYPE(value.as_ptr())).tp_as_async;
        if methods.is_null() {
            return Ok(None);
        }
        match (*methods).am_await {
            Some(_) => value.attribute(c"__await__")?.call(&[]).map(Some),
            None => Ok(None),
        }
    }
}

/// Cancels a future for a cancellation that is thrown; false if it cannot be cancelled.
fn cancel(yielded: &Object, thrown: &[*mut ffi::PyObject]) -> Outcome<bool> {
    let &[error, ..] = thrown else { return Ok(false) };
    let globals = globals();
    let cancelled = globals.asyncio.cancelled_error.as_ptr();
    // SAFETY: live objects; GIL.
    unsafe {
        if ffi::PyErr_GivenExceptionMatches(error, cancelled) == 0
            || ffi::PyObject_TypeCheck(yielded.as_ptr(), globals.future_type.as_ptr().cast()) == 0
        {
            return Ok(false);
        }
        let mut arguments = Vec::new();
        let held;
        if ffi::PyExceptionInstance_Check(error) != 0 {
            held = Object::from_borrowed(error).attribute(c"args")?;
            arguments.extend_from_slice(crate::kit::borrowed_slice(held.as_ptr()));
        }
        yielded.attribute(c"cancel")?.call(&arguments)?.truth()
    }
}

/// Raises what `throw` was called with.
fn set_exception(arguments: &[*mut ffi::PyObject]) -> Raised {
    // SAFETY: live arguments; GIL.
    unsafe {
        match arguments {
            [error, ..] if ffi::PyExceptionInstance_Check(*error) != 0 => {
                ffi::PyErr_SetObject(ffi::Py_TYPE(*error).cast(), *error);
            }
            [class, value, ..] => ffi::PyErr_SetObject(*class, *value),
            [class] => ffi::PyErr_SetNone(*class),
            [] => return raise(ffi::PyExc_TypeError, "throw() missing the exception"),
        }
    }
    Raised
}

/// The value of the `StopIteration` that is set; `None`, with the error still set, if it is another one.
fn stop_iteration_value() -> Outcome<Option<Object>> {
    // SAFETY: an error is set; GIL.
    if unsafe { ffi::PyErr_ExceptionMatches(ffi::PyExc_StopIteration) } == 0 {
        return Ok(None);
    }
    take_exception().attribute(c"value").map(Some)
}

fn stop_iteration() -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    unsafe { ffi::PyErr_SetNone(ffi::PyExc_StopIteration) };
    Raised
}

fn as_generator(progress: Outcome<Progress>) -> Outcome<Object> {
    match progress? {
        Progress::Waits(yielded) => Ok(yielded),
        Progress::Over => Err(stop_iteration()),
    }
}

unsafe extern "C" fn am_send(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let mut over = false;
    let pointer = guard(|| {
        Adapter::send(this, value).map(|progress| match progress {
            Progress::Waits(yielded) => yielded,
            Progress::Over => {
                over = true;
                none()
            }
        })
    });
    // SAFETY: CPython gives a place for the result.
    unsafe { *result = pointer };
    match (pointer.is_null(), over) {
        (true, _) => ffi::PySendResult::PYGEN_ERROR,
        (false, true) => ffi::PySendResult::PYGEN_RETURN,
        (false, false) => ffi::PySendResult::PYGEN_NEXT,
    }
}

unsafe extern "C" fn iterate(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: reading the address of a static.
    guard(|| as_generator(Adapter::send(this, unsafe { ffi::Py_None() })))
}

unsafe extern "C" fn itself(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

one_argument!(send, Adapter, |this, value| as_generator(Adapter::send(this.head.get(), value)));

positional!(throw, Adapter, |this, args| as_generator(Adapter::throw(this.head.get(), args.0)));

no_arguments!(close, Adapter, |this| {
    let this = this.head.get();
    let coroutine = Adapter::coroutine(this);
    drop(Adapter::finish(this));
    match coroutine {
        Some(coroutine) => coroutine.attribute(c"close")?.call(&[]),
        None => Ok(none()),
    }
});

/// What a task shows of its coroutine is what that shows of itself.
unsafe extern "C" fn get_attribute(
    this: *mut ffi::PyObject,
    name: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with live objects; the first error is replaced only by the second's; GIL.
    unsafe {
        let own = ffi::PyObject_GenericGetAttr(this, name);
        if !own.is_null() || ffi::PyErr_ExceptionMatches(ffi::PyExc_AttributeError) == 0 {
            return own;
        }
        match Adapter::coroutine(this) {
            Some(coroutine) => {
                ffi::PyErr_Clear();
                ffi::PyObject_GetAttr(coroutine.as_ptr(), name)
            }
            None => std::ptr::null_mut(),
        }
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live adapter whose fields are zeroed or written.
    unsafe {
        let fields = &*Adapter::fields(object);
        let request = fields.exchange.as_ref().map(|exchange| &exchange.request);
        let (yielded, handler) = (fields.yielded.as_ref(), fields.handler.as_ref());
        let owned = [fields.coroutine.as_ref(), yielded, handler, request];
        for value in owned.into_iter().flatten() {
            let status = visit(value.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live adapter; what is taken out is dropped afterwards.
    let fields = unsafe { std::mem::take(&mut *Adapter::fields(object)) };
    drop(fields);
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead adapter.
    unsafe {
        free(object, || {
            clear(object);
        });
    }
}

/// `core.HandlerCoroutine`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.HandlerCoroutine", size_of::<Adapter>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_getattro, get_attribute as *mut _)
        .slot(ffi::Py_tp_iter, itself as *mut _)
        .slot(ffi::Py_tp_iternext, iterate as *mut _)
        .slot(ffi::Py_am_await, itself as *mut _)
        .slot(ffi::Py_am_send, am_send as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"The coroutine of an HTTP handler's task."))
        .methods(vec![
            row!(one c"send", send, c"Resume the handler."),
            row!(positional c"throw", throw, c"Raise an exception in the handler."),
            row!(noargs c"close", close, c"End the handler."),
        ])
        .build()
}
