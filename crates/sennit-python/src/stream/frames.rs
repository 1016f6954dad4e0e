//! `core.StreamFrames`: a stream, frame by frame.

use pyo3_ffi as ffi;
use sennit_wire::framing::Framing;

use super::framing;
use super::object::StreamObject;
use super::operation;
use super::wanted::Wanted;
use crate::globals::globals;
use crate::kit::{
    Head, Object, Outcome, TypeSpec, doc, free, getter, guard, no_arguments, none, one_argument,
    row,
};

struct Fields {
    stream: Object,
    framing: Framing,
}

#[repr(C)]
struct FramesObject {
    head: Head,
    fields: Option<Fields>,
}

/// The frames of a stream.
pub fn make(stream: &StreamObject, framing: *mut ffi::PyObject) -> Outcome<Object> {
    // SAFETY: a live argument; GIL.
    let framing = framing::of(&unsafe { Object::from_borrowed(framing) })?;
    let class = globals().stream.frames_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: zeroed memory is an object without fields, which are written before anybody sees it; GIL.
    unsafe {
        let object = Object::owned(ffi::PyType_GenericAlloc(class, 0))?;
        let stream = Object::from_borrowed(stream.as_ptr());
        (&raw mut (*object.as_ptr().cast::<FramesObject>()).fields)
            .write(Some(Fields { stream, framing }));
        Ok(object)
    }
}

/// Stream and framing of a live object; a collected one has none.
fn parts(this: &FramesObject) -> Option<(Object, Framing)> {
    this.fields.as_ref().map(|fields| (fields.stream.clone(), fields.framing))
}

fn receiving(this: &FramesObject, stops: bool) -> Outcome<Object> {
    match parts(this) {
        Some((stream, framing)) => {
            operation::make(StreamObject::of(&stream), Wanted::Frame { framing, stops })
        }
        None => Ok(none()),
    }
}

no_arguments!(receive, FramesObject, |this| receiving(this, false));

one_argument!(send, FramesObject, |this, frame| {
    let Some((stream, framing)) = parts(this) else { return Ok(none()) };
    let stream = StreamObject::of(&stream);
    let size = stream.writable()?.write_frame(&framing, frame)?;
    stream.written(size)
});

getter!(stream, FramesObject, |this| Ok(parts(this).map_or_else(none, |(stream, _)| stream)));

unsafe extern "C" fn iterator(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

unsafe extern "C" fn next(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with a live object of the type.
    guard(|| receiving(unsafe { &*this.cast::<FramesObject>() }, true))
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object whose fields are zeroed or written.
    unsafe {
        if let Some(fields) = &(*object.cast::<FramesObject>()).fields {
            let status = visit(fields.stream.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: what is taken out is dropped afterwards; GIL.
    drop(unsafe { (*object.cast::<FramesObject>()).fields.take() });
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || {
            clear(object);
        });
    }
}

/// `core.StreamFrames`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.StreamFrames", size_of::<FramesObject>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_am_aiter, iterator as *mut _)
        .slot(ffi::Py_am_anext, next as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A stream, frame by frame."))
        .getters(&[(c"stream", stream, c"The stream below.")])
        .methods(vec![
            row!(noargs c"receive", receive, c"The next frame; None at the end of the stream."),
            row!(one c"send", send,
                c"send($self, frame, /)\n--\n\nQueue a frame; await it as Stream.write."),
        ])
        .build()
}
