//! Where a Deferred was made and a callback added, and whose thread it belongs to.

use std::cell::Cell;
use std::sync::atomic::{AtomicU32, Ordering};

use pyo3_ffi as ffi;

use super::helpers::is_maker;
use crate::kit::{Object, none};

static THREADS: AtomicU32 = AtomicU32::new(1);

thread_local! {
    /// A number of this thread that no other has, from 1 on.
    static NUMBER: Cell<u32> = const { Cell::new(0) };
    /// How many reactors run in this thread; more than one only while one is torn out of another.
    static RUNNING: Cell<u32> = const { Cell::new(0) };
}

/// No thread: a Deferred that no loop has to do with yet.
pub const NOBODYS: u32 = 0;

/// The number of this thread.
#[inline]
pub fn this_thread() -> u32 {
    match NUMBER.get() {
        NOBODYS => {
            let number = THREADS.fetch_add(1, Ordering::Relaxed);
            NUMBER.set(number);
            number
        }
        number => number,
    }
}

/// Whose a Deferred is that is made here and now: the thread's, if a reactor runs in it.
#[inline]
pub fn owner_here() -> u32 {
    if RUNNING.get() > 0 { this_thread() } else { NOBODYS }
}

/// A reactor that runs in this thread, for as long as this lives.
pub struct Running;

impl Running {
    /// It has begun.
    pub fn begin() -> Self {
        RUNNING.set(RUNNING.get() + 1);
        Running
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        RUNNING.set(RUNNING.get().saturating_sub(1));
    }
}

/// The code that runs now, and where in it: an offset in bytes. Our own functions that make Deferreds for others are left
/// out.
#[inline]
pub fn code_here() -> (Option<Object>, i32) {
    // SAFETY: the frame lives while it runs, its code and the frame behind it are new references; GIL.
    unsafe {
        let frame = ffi::PyEval_GetFrame();
        if frame.is_null() {
            return (None, 0);
        }
        let mut frame = Object::from_borrowed(frame.cast());
        loop {
            let here = frame.as_ptr().cast();
            let code = Object::owned(ffi::PyFrame_GetCode(here).cast()).ok();
            if code.as_ref().is_some_and(is_maker)
                && let Ok(back) = Object::owned(ffi::PyFrame_GetBack(here).cast())
            {
                frame = back;
                continue;
            }
            return (code, ffi::PyFrame_GetLasti(here));
        }
    }
}

/// The same as one object: a tuple of code and offset, or None.
#[cold]
pub fn place_here() -> Object {
    let (code, offset) = code_here();
    let Some(code) = code else { return none() };
    let Ok(offset) = Object::integer(i64::from(offset)) else { return none() };
    // SAFETY: two live objects, counted by the tuple; GIL.
    unsafe { Object::owned(ffi::PyTuple_Pack(2, code.as_ptr(), offset.as_ptr())) }
        .unwrap_or_else(|_| none())
}
