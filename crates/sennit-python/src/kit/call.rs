//! Calls that run Python code or take the GIL, from which a thread may not come back.
//!
//! Until CPython 3.14 the interpreter's end stops a daemon thread that asks for the GIL with
//! `pthread_exit`, which unwinds the thread's stack. Unwinding through Rust would abort the process,
//! so the thread sleeps for ever instead, as it does in CPython 3.14. Every call that runs Python
//! code goes through here: one plain declaration of the same function elsewhere in this crate would
//! tell the compiler that it never unwinds.

use pyo3_ffi as ffi;

/// Stops the thread when it is unwound.
struct Sleeper;

impl Drop for Sleeper {
    fn drop(&mut self) {
        loop {
            // SAFETY: no pointers. It returns after a signal, hence the loop.
            unsafe { libc::pause() };
        }
    }
}

mod unwinding {
    use pyo3_ffi as ffi;

    unsafe extern "C-unwind" {
        pub fn PyObject_Vectorcall(
            callable: *mut ffi::PyObject,
            arguments: *const *mut ffi::PyObject,
            count: usize,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;

        pub fn PyObject_VectorcallMethod(
            name: *mut ffi::PyObject,
            arguments: *const *mut ffi::PyObject,
            count: usize,
            names: *mut ffi::PyObject,
        ) -> *mut ffi::PyObject;

        pub fn PyIter_Send(
            iterator: *mut ffi::PyObject,
            value: *mut ffi::PyObject,
            result: *mut *mut ffi::PyObject,
        ) -> ffi::PySendResult;

        pub fn PyEval_RestoreThread(state: *mut ffi::PyThreadState);
    }
}

/// `PyEval_RestoreThread`: takes the GIL back, if the interpreter has not ended meanwhile.
///
/// # Safety
/// The state is the one that `PyEval_SaveThread` gave in this thread.
#[inline]
pub unsafe fn restore_thread(state: *mut ffi::PyThreadState) {
    let sleeper = Sleeper;
    // SAFETY: the caller vouches for the state.
    unsafe { unwinding::PyEval_RestoreThread(state) };
    std::mem::forget(sleeper);
}

/// `PyObject_Vectorcall`.
///
/// # Safety
/// As CPython documents it; GIL.
#[inline]
pub unsafe fn vectorcall(
    callable: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let sleeper = Sleeper;
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { unwinding::PyObject_Vectorcall(callable, arguments, count, names) };
    std::mem::forget(sleeper);
    result
}

/// `PyObject_VectorcallMethod`.
///
/// # Safety
/// As CPython documents it; GIL.
#[inline]
pub unsafe fn vectorcall_method(
    name: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    let sleeper = Sleeper;
    // SAFETY: the caller vouches for the arguments.
    let result = unsafe { unwinding::PyObject_VectorcallMethod(name, arguments, count, names) };
    std::mem::forget(sleeper);
    result
}

/// `PyIter_Send`.
///
/// # Safety
/// As CPython documents it; GIL.
#[inline]
pub unsafe fn iterator_send(
    iterator: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    result: *mut *mut ffi::PyObject,
) -> ffi::PySendResult {
    let sleeper = Sleeper;
    // SAFETY: the caller vouches for the arguments.
    let status = unsafe { unwinding::PyIter_Send(iterator, value, result) };
    std::mem::forget(sleeper);
    status
}
