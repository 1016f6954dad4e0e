//! `core.Compressor` and `core.Decompressor`: content codings as Python objects, and which one a client takes.

use std::cell::RefCell;

use pyo3_ffi as ffi;
use sennit_wire::coding::{Coding, CodingError, DecodeLimits, Decoder, Encoder, negotiate};

use crate::http::errors;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, borrowed_slice, doc, free, getter, guard,
    no_arguments, none, one_argument, positional, raise, row,
};

#[repr(C)]
struct Compressor {
    head: Head,
    encoder: RefCell<Option<Encoder>>,
}

#[repr(C)]
struct Decompressor {
    head: Head,
    decoder: RefCell<Option<Decoder>>,
}

fn ended() -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_ValueError }, "it has ended")
}

#[cold]
fn coding_error(error: CodingError) -> Raised {
    let (class, hint) = match error {
        CodingError::TooLarge(_)
        | CodingError::TooDense(_)
        | CodingError::Nested(_)
        | CodingError::TooManyParts => (c"RemoteProtocolError", 413),
        CodingError::Unknown => (c"RemoteProtocolError", 415),
        _ => (c"RemoteProtocolError", 400),
    };
    let make = || -> Outcome<Object> {
        let made = errors(class)?.call(&[Object::text(&error.to_string())?.as_ptr()])?;
        let (rule, hint) = (Object::text("RFC 9110 section 8.4")?, Object::integer(hint)?);
        for (name, value) in [(c"rule", rule), (c"hint", hint)] {
            // SAFETY: live objects, and a name that ends in zero; GIL.
            let result = unsafe {
                ffi::PyObject_SetAttrString(made.as_ptr(), name.as_ptr(), value.as_ptr())
            };
            if result < 0 {
                return Err(Raised);
            }
        }
        Ok(made)
    };
    if let Ok(error) = make() {
        // SAFETY: a live exception; GIL.
        unsafe { ffi::PyErr_SetObject(ffi::Py_TYPE(error.as_ptr()).cast(), error.as_ptr()) };
    }
    Raised
}

fn bytes_of(data: &*mut ffi::PyObject) -> Outcome<&[u8]> {
    // SAFETY: a live argument; GIL.
    unsafe { Args::new(data, 1) }.bytes(0)
}

unsafe extern "C" fn new_compressor(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: a live tuple; the allocator gives zeroed memory, which is written before anybody sees it; GIL.
        unsafe {
            let args = Args(borrowed_slice(arguments));
            args.expect("Compressor", 2, 2)?;
            let name = args.text(0)?;
            let Some(coding) = Coding::of(name) else {
                let message =
                    format!("{name:?} is no coding; there are gzip, deflate, br and zstd");
                return Err(raise(ffi::PyExc_ValueError, &message));
            };
            let encoder = Encoder::new(coding, args.integer(1)? as i32)?;
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<Compressor>();
            (&raw mut (*this).encoder).write(RefCell::new(Some(encoder)));
            Ok(object)
        }
    })
}

one_argument!(compress, Compressor, |this, data| {
    let data = bytes_of(&data)?;
    let coded = match this.encoder.borrow_mut().as_mut() {
        Some(encoder) => encoder.push(data),
        None => return Err(ended()),
    };
    Object::bytes(&coded?)
});

no_arguments!(flush, Compressor, |this| {
    let coded = match this.encoder.borrow_mut().as_mut() {
        Some(encoder) => encoder.flush(),
        None => return Err(ended()),
    };
    Object::bytes(&coded?)
});

no_arguments!(finish_compressor, Compressor, |this| {
    let encoder = this.encoder.borrow_mut().take();
    Object::bytes(&encoder.ok_or_else(ended)?.finish()?)
});

unsafe extern "C" fn new_decompressor(
    class: *mut ffi::PyTypeObject,
    arguments: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: as in `new_compressor`.
        unsafe {
            let args = Args(borrowed_slice(arguments));
            args.expect("Decompressor", 3, 3)?;
            let limits = DecodeLimits {
                max_size: u64::try_from(args.integer(1)?).unwrap_or(0),
                max_ratio: u32::try_from(args.integer(2)?).unwrap_or(u32::MAX),
            };
            let decoder = Decoder::new(args.text(0)?, limits).map_err(coding_error)?;
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<Decompressor>();
            (&raw mut (*this).decoder).write(RefCell::new(Some(decoder)));
            Ok(object)
        }
    })
}

// decompress(data, max_output=None) -> bytes
positional!(decompress, Decompressor, |this, args| {
    args.expect("decompress", 1, 2)?;
    let data = args.bytes(0)?;
    let most = match args.optional(1) {
        // None at all would never come to an end.
        Some(_) => usize::try_from(args.integer(1)?).unwrap_or(0).max(1),
        None => usize::MAX,
    };
    let mut plain = Vec::new();
    let result = match this.decoder.borrow_mut().as_mut() {
        Some(decoder) => decoder.push_some(data, most, &mut plain),
        None => return Err(ended()),
    };
    if let Err(error) = result {
        drop(this.decoder.borrow_mut().take());
        return Err(coding_error(error));
    }
    Object::bytes(&plain)
});

getter!(is_pending, Decompressor, |this| {
    let decoder = this.decoder.borrow();
    Ok(Object::boolean(decoder.as_ref().is_some_and(Decoder::is_pending)))
});

no_arguments!(finish_decompressor, Decompressor, |this| {
    let decoder = this.decoder.borrow_mut().take();
    let mut plain = Vec::new();
    decoder.ok_or_else(ended)?.finish(&mut plain).map_err(coding_error)?;
    Object::bytes(&plain)
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object.
    unsafe { visit(ffi::Py_TYPE(object).cast(), argument) }
}

unsafe extern "C" fn dealloc_compressor(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || drop((*object.cast::<Compressor>()).encoder.take()));
    }
}

unsafe extern "C" fn dealloc_decompressor(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || drop((*object.cast::<Decompressor>()).decoder.take()));
    }
}

/// `negotiate_coding(accept_encoding, offered)`: the coding that a client likes best, of those that are offered.
pub fn negotiate_coding(args: Args<'_>) -> Outcome<Object> {
    args.expect("negotiate_coding", 2, 2)?;
    let field = args.text(0)?;
    let offered = args.object(1);
    // SAFETY: the tuple is owned while its items are looked at; GIL.
    unsafe {
        let offered = Object::owned(ffi::PySequence_Tuple(offered.as_ptr()))?;
        let items = Args(borrowed_slice(offered.as_ptr()));
        let names: Vec<&str> =
            (0..items.0.len()).map(|at| items.text(at)).collect::<Outcome<_>>()?;
        match negotiate(field, &names) {
            Some(name) => Object::text(name),
            None => Ok(none()),
        }
    }
}

/// `core.Compressor`.
pub fn make_compressor_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Compressor", size_of::<Compressor>())
        .slot(ffi::Py_tp_new, new_compressor as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc_compressor as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"Compressor(coding, level, /)\n--\n\nA body into gzip, deflate, br or zstd."),
        )
        .methods(vec![
            row!(one c"compress", compress, c"Encode bytes; what comes of them may come later."),
            row!(noargs c"flush", flush, c"All that can be decoded of what was given."),
            row!(noargs c"finish", finish_compressor, c"The end of the body."),
        ])
        .build()
}

/// `core.Decompressor`.
pub fn make_decompressor_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Decompressor", size_of::<Decompressor>())
        .slot(ffi::Py_tp_new, new_decompressor as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc_decompressor as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"Decompressor(content_encoding, max_size, max_ratio, /)\n--\n\nA body out of its codings."),
        )
        .methods(vec![
            row!(positional c"decompress", decompress,
                c"decompress(data, max_output=None): decode bytes, as many as are asked for."),
            row!(noargs c"finish", finish_decompressor, c"The body has ended."),
        ])
        .getters(&[(
            c"is_pending",
            is_pending,
            c"Whether decompress(b\"\") may give more of what it was given.",
        )])
        .build()
}
