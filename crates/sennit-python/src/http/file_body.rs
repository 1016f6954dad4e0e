//! `core.FileBody`: a piece of an open file as the body of an answer.

use std::os::fd::{BorrowedFd, OwnedFd, RawFd};
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::file::{FilePiece, regular_size};

use crate::globals::globals;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, doc, free, getter, guard, positional, raise, row,
};

#[repr(C)]
struct FileBody {
    head: Head,
    file: Option<Rc<OwnedFd>>,
    offset: u64,
    length: usize,
}

/// The piece that a `core.FileBody` stands for; `None` if the object is none.
pub fn piece_of(value: &Object) -> Option<FilePiece> {
    let class = globals().http.file_body_type.as_ptr();
    // SAFETY: a live object, whose type is looked at before its layout is used; GIL.
    unsafe {
        if ffi::Py_TYPE(value.as_ptr()).cast() != class {
            return None;
        }
        let this = &*value.as_ptr().cast::<FileBody>();
        this.file.as_ref().map(|file| FilePiece::new(file.clone(), this.offset, this.length))
    }
}

fn wrong(message: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_ValueError }, message)
}

fn descriptor(file: &Object) -> Outcome<RawFd> {
    // SAFETY: a live object; GIL.
    match unsafe { ffi::PyObject_AsFileDescriptor(file.as_ptr()) } {
        -1 => Err(Raised),
        descriptor => Ok(descriptor),
    }
}

fn number(args: Args<'_>, index: usize, name: &str) -> Outcome<Option<u64>> {
    match args.optional(index) {
        None => Ok(None),
        Some(_) => {
            let value = args.integer(index)?;
            let number = u64::try_from(value);
            number
                .map(Some)
                .map_err(|_| wrong(&format!("{name} is {value}, it must not be negative")))
        }
    }
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: live arguments of CPython's; the allocator gives zeroed memory; GIL.
        unsafe {
            if !keywords.is_null() && ffi::PyDict_Size(keywords) > 0 {
                return Err(raise(ffi::PyExc_TypeError, "FileBody() takes no keyword arguments"));
            }
            let args = Args(crate::kit::borrowed_slice(arguments));
            args.expect("FileBody", 1, 3)?;
            let raw = descriptor(&args.object(0))?;
            // A descriptor of our own: the file may be closed before the answer is sent.
            let file = BorrowedFd::borrow_raw(raw).try_clone_to_owned()?;
            let Some(size) = regular_size(&file)? else {
                return Err(wrong(
                    "the file is no regular file; only those have a size and a position",
                ));
            };
            let offset = number(args, 1, "offset")?.unwrap_or(0);
            let left = size.saturating_sub(offset);
            let length = number(args, 2, "length")?.unwrap_or(left);
            if length > left {
                let message = format!(
                    "the file has {size} bytes, so there are not {length} from byte {offset} on"
                );
                return Err(wrong(&message));
            }
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<FileBody>();
            (&raw mut (*this).file).write(Some(Rc::new(file)));
            (*this).offset = offset;
            (*this).length = length as usize;
            Ok(object)
        }
    })
}

// part(offset, length): a part of the same open file
positional!(part, FileBody, |this, args| {
    args.expect("part", 2, 2)?;
    let offset = number(args, 0, "offset")?.unwrap_or(0);
    let length = number(args, 1, "length")?.unwrap_or(0);
    if offset.saturating_add(length) > this.length as u64 {
        let have = this.length;
        return Err(wrong(&format!("there are {have} bytes, not {length} from byte {offset} on")));
    }
    let class = globals().http.file_body_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: the allocator gives zeroed memory; GIL.
    unsafe {
        let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
        let made = object.as_ptr().cast::<FileBody>();
        (&raw mut (*made).file).write(this.file.clone());
        (*made).offset = this.offset + offset;
        (*made).length = length as usize;
        Ok(object)
    }
});

getter!(get_length, FileBody, |this| Object::integer(this.length as i64));
getter!(get_offset, FileBody, |this| Object::integer(this.offset as i64));

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || drop((*object.cast::<FileBody>()).file.take()));
    }
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

/// `core.FileBody`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.FileBody", size_of::<FileBody>())
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"FileBody(file, offset=0, length=None, /)\n--\n\n\
                A piece of a file as the body of an answer, sent by the kernel itself.\n\n\
                file: an open, regular file, or its descriptor; it may be closed afterwards.\n\
                offset: bytes to leave out at its beginning.\n\
                length: bytes to send; all that follow by default."),
        )
        .methods(vec![row!(positional c"part", part,
            c"part($self, offset, length, /)\n--\n\nA part of it, which shares the open file.")])
        .getters(&[
            (c"offset", get_offset, c"Bytes that are left out at the beginning of the file."),
            (c"length", get_length, c"Bytes that are sent."),
        ])
        .build()
}
