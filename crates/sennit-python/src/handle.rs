//! Handles: `asyncio.Handle` and `asyncio.TimerHandle`, made and run natively.
//!
//! An instance has the very slots of its Python base, so everything that asyncio's own class can
//! do with them works. Only making, cancelling and running are native; dead handles are kept for
//! reuse.

use std::cell::UnsafeCell;

use pyo3_ffi as ffi;

use crate::event_loop::LoopObject;
use crate::globals::{HandleSlots, globals};
use crate::kit::{Head, Object, Outcome, TypeSpec, no_arguments, none, raise, row};

/// Dead handles kept for reuse: a loop that is busy has this many alive at once.
const KEPT: usize = 512;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static HANDLES: FreeList = FreeList(UnsafeCell::new(Vec::new()));
static TIMERS: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// A handle; its slots lie where those of its Python base do.
#[repr(C)]
struct HandleObject {
    head: Head,
}

impl HandleObject {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }
}

#[inline]
unsafe fn slot(object: *mut ffi::PyObject, offset: usize) -> *mut *mut ffi::PyObject {
    // SAFETY: the offsets were read from the class's own member descriptors.
    unsafe { object.cast::<u8>().add(offset).cast() }
}

/// One callback to run: a handle, owned.
#[derive(Debug, Clone)]
pub struct Handle(pub Object);

impl Handle {
    /// A handle that runs `callback(*args)` in `context`.
    #[inline]
    pub fn new(
        event_loop: *mut ffi::PyObject,
        callback: Object,
        args: Object,
        context: Object,
    ) -> Outcome<Handle> {
        let globals = globals();
        let class = &globals.handle_type;
        // SAFETY: `make` returns a fresh handle whose slots are all null.
        unsafe {
            let object = make(&HANDLES, class, globals.handle_slots.size)?;
            fill(object, event_loop, callback, args, context);
            ffi::PyObject_GC_Track(object.cast());
            Ok(Handle(Object::owned(object)?))
        }
    }

    /// A timer's handle. `when` is the loop's time in seconds.
    pub fn new_timer(
        event_loop: *mut ffi::PyObject,
        when: Object,
        callback: Object,
        args: Object,
        context: Object,
    ) -> Outcome<Handle> {
        let globals = globals();
        let slots = &globals.handle_slots;
        // SAFETY: as in `new`; a timer handle has two more slots.
        unsafe {
            let object = make(&TIMERS, &globals.timer_handle_type, slots.timer_size)?;
            fill(object, event_loop, callback, args, context);
            *slot(object, slots.when) = when.into_ptr();
            *slot(object, slots.scheduled) = Object::boolean(true).into_ptr();
            ffi::PyObject_GC_Track(object.cast());
            Ok(Handle(Object::owned(object)?))
        }
    }

    #[inline]
    fn read(&self, offset: usize) -> *mut ffi::PyObject {
        // SAFETY: a handle has all slots of its base.
        unsafe { *slot(self.0.as_ptr(), offset) }
    }

    /// Whether the handle was cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        // SAFETY: comparing with the address of a static.
        self.read(globals().handle_slots.cancelled) == unsafe { ffi::Py_True() }
    }

    /// A timer has left the heap.
    #[inline]
    pub fn unschedule(&self) {
        let offset = globals().handle_slots.scheduled;
        // SAFETY: only timer handles come here; GIL.
        unsafe { store(slot(self.0.as_ptr(), offset), Object::boolean(false)) };
    }

    /// Calls the callback in its context, unless the handle was cancelled.
    #[inline]
    pub fn run(&self) -> Outcome<()> {
        if self.is_cancelled() {
            return Ok(());
        }
        let slots = &globals().handle_slots;
        // SAFETY: slots of a handle that is not cancelled hold live objects; the callback may
        // cancel its own handle and thereby clear them, so what is used is counted. GIL.
        unsafe {
            let [callback, args, context] =
                [slots.callback, slots.args, slots.context].map(|offset| self.read(offset));
            // Python can write to a handle's slots, so what must be a tuple is looked at.
            if callback.is_null() || context.is_null() || args.is_null() || !is_tuple(args) {
                return Err(raise(ffi::PyExc_TypeError, "this handle's slots were changed"));
            }
            let callback = Object::from_borrowed(callback);
            let args = Object::from_borrowed(args);
            let context = Object::from_borrowed(context);
            if ffi::PyContext_Enter(context.as_ptr()) < 0 {
                return Err(crate::kit::Raised);
            }
            let result = callback.call(crate::kit::borrowed_slice(args.as_ptr()));
            ffi::PyContext_Exit(context.as_ptr());
            result.map(drop)
        }
    }
}

#[inline]
unsafe fn is_tuple(object: *mut ffi::PyObject) -> bool {
    // SAFETY: the caller vouches for a live object.
    unsafe { ffi::PyTuple_Check(object) != 0 }
}

unsafe fn make(free: &FreeList, class: &Object, size: usize) -> Outcome<*mut ffi::PyObject> {
    let class = class.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: GIL; a kept object is dead, untracked and has the right size.
    unsafe {
        if let Some(object) = (*free.0.get()).pop() {
            ffi::PyObject_Init(object, class);
            return Ok(object);
        }
        let object = ffi::PyObject_GC_New::<ffi::PyObject>(class);
        if object.is_null() {
            return Err(crate::kit::Raised);
        }
        let head = size_of::<ffi::PyObject>();
        object.cast::<u8>().add(head).write_bytes(0, size - head);
        Ok(object)
    }
}

#[inline]
unsafe fn fill(
    object: *mut ffi::PyObject,
    event_loop: *mut ffi::PyObject,
    callback: Object,
    args: Object,
    context: Object,
) {
    let slots = &globals().handle_slots;
    // SAFETY: the slots are null, so nothing is overwritten; GIL.
    unsafe {
        *slot(object, slots.callback) = callback.into_ptr();
        *slot(object, slots.args) = args.into_ptr();
        *slot(object, slots.context) = context.into_ptr();
        *slot(object, slots.event_loop) = Object::from_borrowed(event_loop).into_ptr();
        *slot(object, slots.cancelled) = Object::boolean(false).into_ptr();
        *slot(object, slots.source_traceback) = none().into_ptr();
        *slot(object, slots.repr) = none().into_ptr();
    }
}

/// Replaces what a slot holds. The old value goes last: dropping it may run anything.
unsafe fn store(place: *mut *mut ffi::PyObject, value: Object) {
    // SAFETY: the caller vouches for the slot.
    let old = unsafe { std::ptr::replace(place, value.into_ptr()) };
    if !old.is_null() {
        // SAFETY: the slot owned it.
        unsafe { ffi::Py_DECREF(old) };
    }
}

fn offsets(slots: &HandleSlots) -> [usize; 7] {
    [
        slots.callback,
        slots.args,
        slots.context,
        slots.event_loop,
        slots.cancelled,
        slots.source_traceback,
        slots.repr,
    ]
}

/// What cancelling does to the handle itself: it lets go of callback and arguments.
unsafe fn mark_cancelled(object: *mut ffi::PyObject) {
    let slots = &globals().handle_slots;
    // SAFETY: the caller vouches that it is a handle; GIL.
    unsafe {
        store(slot(object, slots.cancelled), Object::boolean(true));
        store(slot(object, slots.callback), none());
        store(slot(object, slots.args), none());
    }
}

/// The loop's debug mode keeps the text of a cancelled handle, as asyncio's own class does.
unsafe fn keep_text(object: *mut ffi::PyObject) -> Outcome<()> {
    let slots = &globals().handle_slots;
    // SAFETY: the caller vouches that it is a handle of one of our loops; GIL.
    unsafe {
        let event_loop = *slot(object, slots.event_loop);
        if LoopObject::of(event_loop).is_some_and(|state| state.is_debug()) {
            let text = Object::owned(ffi::PyObject_Repr(object))?;
            store(slot(object, slots.repr), text);
        }
    }
    Ok(())
}

no_arguments!(cancel, HandleObject, |this| {
    let object = this.as_ptr();
    // SAFETY: `this` is a handle: CPython checks the type of a method's first argument.
    unsafe {
        let handle = Handle(Object::from_borrowed(object));
        if !handle.is_cancelled() {
            keep_text(object)?;
            mark_cancelled(object);
        }
    }
    Ok(none())
});

no_arguments!(cancel_timer, HandleObject, |this| {
    let object = this.as_ptr();
    let slots = &globals().handle_slots;
    // SAFETY: `this` is a timer handle: CPython checks the type of a method's first argument.
    unsafe {
        let handle = Handle(Object::from_borrowed(object));
        if !handle.is_cancelled() {
            keep_text(object)?;
            mark_cancelled(object);
            let scheduled = *slot(object, slots.scheduled) == ffi::Py_True();
            let event_loop = *slot(object, slots.event_loop);
            if let Some(state) = LoopObject::of(event_loop).filter(|_| scheduled) {
                drop(state.reactor().timer_cancelled());
            }
        }
    }
    Ok(none())
});

no_arguments!(run_from_python, HandleObject, |this| {
    // SAFETY: `this` is a handle: CPython checks the type of a method's first argument.
    let handle = Handle(unsafe { Object::from_borrowed(this.as_ptr()) });
    let event_loop = handle.read(globals().handle_slots.event_loop);
    // SAFETY: a handle's loop slot is never empty; GIL.
    match unsafe { LoopObject::of(event_loop) } {
        Some(state) => crate::host::run_handle(state.reactor(), &handle),
        None => handle.run()?,
    }
    Ok(none())
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live handle; slots may be null or hold live objects.
    unsafe {
        for offset in offsets(&globals().handle_slots) {
            let value = *slot(object, offset);
            if !value.is_null() {
                let status = visit(value, argument);
                if status != 0 {
                    return status;
                }
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn traverse_timer(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: as in `traverse`; floats and booleans in the two other slots form no cycles.
    unsafe { traverse(object, visit, argument) }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live handle.
    unsafe { mark_cancelled(object) };
    0
}

unsafe fn release(object: *mut ffi::PyObject, free: &FreeList, extra: &[usize]) {
    let slots = &globals().handle_slots;
    // SAFETY: the object is dead: nobody else has it. Weak references go first, then the slots;
    // the memory is kept or given back, and the type loses one reference. GIL.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        if !(*slot(object, slots.weak_references)).is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        for offset in offsets(slots).iter().chain(extra) {
            let old = std::ptr::replace(slot(object, *offset), std::ptr::null_mut());
            if !old.is_null() {
                ffi::Py_DECREF(old);
            }
        }
        let class = ffi::Py_TYPE(object);
        let free = &mut *free.0.get();
        if free.len() < KEPT {
            free.push(object);
        } else {
            ffi::PyObject_GC_Del(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead handle.
    unsafe { release(object, &HANDLES, &[]) };
}

unsafe extern "C" fn dealloc_timer(object: *mut ffi::PyObject) {
    let slots = &globals().handle_slots;
    // SAFETY: CPython calls this once, with a dead timer handle.
    unsafe { release(object, &TIMERS, &[slots.when, slots.scheduled]) };
}

/// `core.Handle`.
pub fn make_type(base: Object, slots: &HandleSlots) -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Handle", slots.size)
        .base(base)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, crate::kit::doc(c"A callback in the ready queue."))
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .methods(vec![
            row!(noargs c"cancel", cancel, c"Cancel the callback."),
            row!(noargs c"_run", run_from_python, c"Run the callback now."),
        ])
        .build()
}

/// `core.TimerHandle`.
pub fn make_timer_type(base: Object, slots: &HandleSlots) -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.TimerHandle", slots.timer_size)
        .base(base)
        .slot(ffi::Py_tp_dealloc, dealloc_timer as *mut _)
        .slot(ffi::Py_tp_traverse, traverse_timer as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, crate::kit::doc(c"A callback with a time."))
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .methods(vec![
            row!(noargs c"cancel", cancel_timer, c"Cancel the callback."),
            row!(noargs c"_run", run_from_python, c"Run the callback now."),
        ])
        .build()
}
