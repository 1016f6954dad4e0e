//! The first step of a handler: in a real task, without making one.
//!
//! Making a task costs as much as a seventh of a whole request, and most handlers never suspend. So a
//! *spare* task is kept whose coroutine is an [`Adapter`]. A handler is called, and its coroutine
//! stepped once, while the spare is the current task and its context is entered. If the coroutine has
//! ended, nothing has happened to the spare and it serves again. If it has suspended, the adapter
//! takes it in, the spare's own first step is run, and from then on the spare is that handler's task
//! like any other.
//!
//! A spare serves again only if nobody can tell: no reference to it, to its adapter or its context is
//! left, and not one byte of task or context has changed. Any other is finished, as a task whose
//! handler has returned.

use std::cell::RefCell;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::Serial;

use super::adapter::{Adapter, Exchange, steps_of};
use super::application::PythonConnection;
use super::router;
use super::writing;
use crate::event_loop::LoopState;
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised, none, take_exception};

/// What the first step of a handler has led to.
pub enum Stepped {
    /// The handler has returned.
    Returned(Object),
    /// The handler has raised.
    Failed(Object),
    /// The handler waits; this is its task.
    Suspended(Object),
}

/// The bytes of an object behind its reference count.
struct Image(Box<[u8]>);

impl Image {
    fn bytes(object: &Object) -> &[u8] {
        // SAFETY: an object of a type has at least the type's basic size; GIL.
        unsafe {
            let size = (*ffi::Py_TYPE(object.as_ptr())).tp_basicsize as usize;
            let skip = size_of::<isize>();
            std::slice::from_raw_parts(object.as_ptr().cast::<u8>().add(skip), size - skip)
        }
    }

    fn of(object: &Object) -> Self {
        Image(Image::bytes(object).into())
    }

    fn matches(&self, object: &Object) -> bool {
        *self.0 == *Image::bytes(object)
    }
}

struct Spare {
    task: Object,
    adapter: Object,
    context: Object,
    /// What the task wanted `call_soon` to run.
    first_step: Object,
    task_image: Image,
    context_image: Image,
}

impl Spare {
    fn new(event_loop: &Object, state: &LoopState, base: &Object) -> Outcome<Option<Spare>> {
        let globals = globals();
        // SAFETY: a live context; GIL.
        let context = unsafe { Object::owned(ffi::PyContext_Copy(base.as_ptr()))? };
        let adapter = Adapter::make()?;
        let arguments = [adapter.as_ptr(), event_loop.as_ptr(), context.as_ptr()];
        // A finalizer of the collector's could hand a callback of its own to `call_soon`.
        let _quiet = NoCollection::new();
        let capture = state.start_capture();
        // SAFETY: one positional value, two for the two keywords; GIL.
        let task = unsafe {
            Object::owned(crate::kit::vectorcall(
                globals.asyncio.task_type.as_ptr(),
                arguments.as_ptr(),
                1,
                globals.asyncio.loop_and_context.as_ptr(),
            ))
        };
        let caught = capture.finish();
        let task = task?;
        let Some(first_step) = caught else { return Ok(None) };
        // It is nobody's task yet: not to be listed, not to be missed.
        globals.asyncio.unregister_task.call(&[task.as_ptr()])?;
        log_destroy_pending(&task, false)?;
        let (task_image, context_image) = (Image::of(&task), Image::of(&context));
        Ok(Some(Spare { task, adapter, context, first_step, task_image, context_image }))
    }

    fn is_untouched(&self) -> bool {
        // The task is held here and by its first step, the adapter here and by the task, the context here and by
        // the task.
        self.task.reference_count() == 2
            && self.adapter.reference_count() == 2
            && self.context.reference_count() == 2
            && self.task_image.matches(&self.task)
            && self.context_image.matches(&self.context)
    }

    /// Runs the task's own first step, in its context.
    fn start(&self) -> Outcome<()> {
        // SAFETY: the context was left before; GIL.
        unsafe {
            if ffi::PyContext_Enter(self.context.as_ptr()) < 0 {
                return Err(Raised);
            }
            let result = self.first_step.call(&[]);
            ffi::PyContext_Exit(self.context.as_ptr());
            result.map(drop)
        }
    }

    /// Somebody knows this task: for them it is a task whose handler has returned.
    #[cold]
    fn retire(self) -> Outcome<()> {
        self.start()
    }
}

/// While this lives the collector does not run.
struct NoCollection(bool);

impl NoCollection {
    fn new() -> Self {
        // SAFETY: GIL.
        NoCollection(unsafe { ffi::PyGC_Disable() } != 0)
    }
}

impl Drop for NoCollection {
    fn drop(&mut self) {
        if self.0 {
            // SAFETY: GIL.
            unsafe { ffi::PyGC_Enable() };
        }
    }
}

fn log_destroy_pending(task: &Object, log: bool) -> Outcome<()> {
    let name = &globals().asyncio.log_destroy_pending;
    let value = Object::boolean(log);
    // SAFETY: live objects; GIL.
    match unsafe { ffi::PyObject_SetAttr(task.as_ptr(), name.as_ptr(), value.as_ptr()) } {
        0 => Ok(()),
        _ => Err(Raised),
    }
}

/// Makes first steps for one handler.
pub struct Stepper {
    handler: Object,
    /// Whether the handler is a router, which is called without a detour.
    routes: bool,
    base: Object,
    spare: RefCell<Option<Spare>>,
}

impl Stepper {
    /// A stepper whose requests each get a copy of the current context.
    pub fn new(handler: Object) -> Outcome<Self> {
        // SAFETY: GIL.
        let base = unsafe { Object::owned(ffi::PyContext_CopyCurrent())? };
        Ok(Stepper {
            routes: router::is_router(&handler),
            handler,
            base,
            spare: RefCell::new(None),
        })
    }

    /// Shows the collector what is held here; a spare that is in use looks like somebody else's.
    pub fn visit(&self, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&self.handler.as_ptr());
        visitor(&self.base.as_ptr());
        if let Ok(spare) = self.spare.try_borrow()
            && let Some(spare) = spare.as_ref()
        {
            for held in [&spare.task, &spare.adapter, &spare.context, &spare.first_step] {
                visitor(&held.as_ptr());
            }
        }
    }

    /// Calls the handler with a request, and makes the first step of its coroutine.
    pub fn step(
        &self,
        event_loop: &Object,
        state: &LoopState,
        request: &Object,
        connection: &Rc<PythonConnection>,
        serial: Serial,
    ) -> Outcome<Stepped> {
        if state.is_debug() || !state.makes_plain_tasks() {
            return self.step_in_own_task(event_loop, request, connection, serial);
        }
        let spare = match self.spare.take() {
            Some(spare) => spare,
            None => match Spare::new(event_loop, state, &self.base)? {
                Some(spare) => spare,
                None => return self.step_in_own_task(event_loop, request, connection, serial),
            },
        };
        let result = self.run(event_loop, &spare, request);
        match result? {
            Progress::Over(stepped) => {
                if spare.is_untouched() {
                    let before = self.spare.replace(Some(spare));
                    drop(before);
                } else {
                    spare.retire()?;
                }
                Ok(stepped)
            }
            Progress::Waits(coroutine, yielded) => {
                let exchange = Exchange::new(connection.clone(), serial, request.clone());
                Adapter::take_over(&spare.adapter, coroutine, yielded, exchange);
                log_destroy_pending(&spare.task, true)?;
                globals().asyncio.register_task.call(&[spare.task.as_ptr()])?;
                spare.start()?;
                Ok(Stepped::Suspended(spare.task))
            }
        }
    }

    /// Calls handler and coroutine while the spare is the current task.
    #[inline]
    fn run(&self, event_loop: &Object, spare: &Spare, request: &Object) -> Outcome<Progress> {
        let asyncio = &globals().asyncio;
        asyncio.enter_task(event_loop, &spare.task)?;
        // SAFETY: the context is entered by nobody else and left below; GIL.
        let progress = unsafe {
            if ffi::PyContext_Enter(spare.context.as_ptr()) < 0 {
                asyncio.leave_task(event_loop, &spare.task)?;
                return Err(Raised);
            }
            let progress = self.call(&spare.adapter, request);
            ffi::PyContext_Exit(spare.context.as_ptr());
            progress
        };
        asyncio.leave_task(event_loop, &spare.task)?;
        Ok(progress)
    }

    #[inline]
    fn call(&self, adapter: &Object, request: &Object) -> Progress {
        let called = if self.routes {
            // SAFETY: it is a router, and the request is live.
            unsafe { router::route(&self.handler, request.as_ptr()) }
        } else {
            self.handler.call(&[request.as_ptr()])
        };
        let steps = match called.and_then(|result| Ok((steps_of(&result)?, result))) {
            Ok((Some(steps), _)) => steps,
            Ok((None, result)) => match writing::coroutine_for(&result, request) {
                Ok(Some(steps)) => steps,
                Ok(None) => return Progress::Over(Stepped::Returned(result)),
                Err(Raised) => return Progress::Over(Stepped::Failed(take_exception())),
            },
            Err(Raised) => return Progress::Over(Stepped::Failed(take_exception())),
        };
        let progress = make_step(adapter, steps);
        if let Progress::Over(Stepped::Returned(value)) = &progress {
            // An answer in pieces is a coroutine of its own, in the same task.
            return match writing::coroutine_for(value, request) {
                Ok(None) => progress,
                Ok(Some(steps)) => make_step(adapter, steps),
                Err(Raised) => Progress::Over(Stepped::Failed(take_exception())),
            };
        }
        progress
    }

    /// A task for this request alone, made as the loop makes tasks: in debug mode, or by a task factory.
    #[cold]
    fn step_in_own_task(
        &self,
        event_loop: &Object,
        request: &Object,
        connection: &Rc<PythonConnection>,
        serial: Serial,
    ) -> Outcome<Stepped> {
        let adapter = Adapter::make()?;
        let exchange = Exchange::new(connection.clone(), serial, request.clone());
        Adapter::call_later(&adapter, self.handler.clone(), exchange);
        let name = &globals().asyncio.create_task;
        // SAFETY: a live context; GIL.
        let context = unsafe { Object::owned(ffi::PyContext_Copy(self.base.as_ptr()))? };
        let arguments = [event_loop.as_ptr(), adapter.as_ptr(), context.as_ptr()];
        // SAFETY: two positional values and one for the keyword; GIL.
        let task = unsafe {
            Object::owned(crate::kit::vectorcall_method(
                name.as_ptr(),
                arguments.as_ptr(),
                2,
                globals().asyncio.context_only.as_ptr(),
            ))?
        };
        Ok(Stepped::Suspended(task))
    }
}

/// Steps a coroutine for the first time, as the one that the adapter shows.
#[inline]
fn make_step(adapter: &Object, steps: Object) -> Progress {
    let before = Adapter::show(adapter, Some(steps.clone()));
    let mut value = std::ptr::null_mut();
    // SAFETY: something to step; the value is a new reference unless an error is set; GIL.
    let progress = unsafe {
        match crate::kit::iterator_send(steps.as_ptr(), ffi::Py_None(), &mut value) {
            ffi::PySendResult::PYGEN_RETURN => {
                let value = Object::owned(value).unwrap_or_else(|Raised| none());
                Progress::Over(Stepped::Returned(value))
            }
            ffi::PySendResult::PYGEN_NEXT => {
                let value = Object::owned(value).unwrap_or_else(|Raised| none());
                Progress::Waits(steps, value)
            }
            ffi::PySendResult::PYGEN_ERROR => Progress::Over(Stepped::Failed(take_exception())),
        }
    };
    drop(Adapter::show(adapter, before));
    progress
}

enum Progress {
    Over(Stepped),
    Waits(Object, Object),
}
