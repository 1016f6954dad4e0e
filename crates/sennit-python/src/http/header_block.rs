//! What a view of headers looks at: lines that are borrowed, or a copy of them as Python objects.

use std::ffi::CStr;

use pyo3_ffi as ffi;
use sennit_wire::http1::FieldLines;

use super::fields::is_content_type;
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised};

/// A content type that stands apart, and lines.
#[derive(Clone, Copy)]
pub struct View<'a> {
    pub content_type: Option<&'a [u8]>,
    pub lines: &'a [u8],
}

impl<'a> View<'a> {
    /// Every value of a name.
    #[inline]
    pub fn values(self, name: &[u8]) -> impl Iterator<Item = &'a [u8]> {
        let mut lines = FieldLines::new(self.lines);
        let apart = self.content_type.filter(|_| is_content_type(name));
        apart.into_iter().chain(std::iter::from_fn(move || lines.next_of(name)))
    }

    /// The value of a name, several joined as RFC 9110 section 5.3 says.
    #[inline]
    pub fn joined(self, name: &[u8]) -> Outcome<Option<Object>> {
        let mut values = self.values(name);
        let Some(first) = values.next() else { return Ok(None) };
        let Some(second) = values.next() else { return Object::latin1(first).map(Some) };
        let between = between(name).to_bytes();
        let mut all = [first, second].join(between);
        for value in values {
            all.extend_from_slice(between);
            all.extend_from_slice(value);
        }
        Object::latin1(&all).map(Some)
    }
}

/// What stands between the values of a name. RFC 9113 section 8.2.3: cookies are joined as one field has them.
fn between(name: &[u8]) -> &'static CStr {
    if name.eq_ignore_ascii_case(b"cookie") { c"; " } else { c", " }
}

/// # Safety
/// Both are live strings; GIL.
unsafe fn join(
    first: *mut ffi::PyObject,
    name: &[u8],
    second: *mut ffi::PyObject,
) -> Outcome<Object> {
    // SAFETY: the format takes two strings, and a text that ends in zero between them; GIL.
    unsafe {
        let format = c"%U%s%U".as_ptr();
        Object::owned(ffi::PyUnicode_FromFormat(format, first, between(name).as_ptr(), second))
    }
}

/// A copy of the lines.
pub struct Block(Vec<u8>);

impl Block {
    /// The lines of a view, the content type among them.
    pub fn of(view: View<'_>) -> Self {
        let mut block = Vec::with_capacity(view.lines.len() + 64);
        if let Some(content_type) = view.content_type {
            block.extend_from_slice(b"content-type: ");
            block.extend_from_slice(content_type);
            block.extend_from_slice(b"\r\n");
        }
        block.extend_from_slice(view.lines);
        Block(block)
    }

    /// Every line: name as sent, value.
    pub fn iter(&self) -> FieldLines<'_> {
        FieldLines::new(&self.0)
    }

    /// A dict of the names in lower case, in order, each with its values joined.
    pub fn dict(&self) -> Outcome<Object> {
        // SAFETY: a new dict takes its own references; GIL.
        unsafe {
            let dict = Object::owned(ffi::PyDict_New())?;
            for (name, value) in self.iter() {
                let key = globals().http.field_names.lower(name)?;
                let mut value = Object::latin1(value)?;
                let before = ffi::PyDict_GetItemWithError(dict.as_ptr(), key.as_ptr());
                if !before.is_null() {
                    value = join(before, name, value.as_ptr())?;
                } else if !ffi::PyErr_Occurred().is_null() {
                    return Err(Raised);
                }
                if ffi::PyDict_SetItem(dict.as_ptr(), key.as_ptr(), value.as_ptr()) < 0 {
                    return Err(Raised);
                }
            }
            Ok(dict)
        }
    }

    /// A list of (name in lower case, value), one for each line.
    pub fn pairs(&self) -> Outcome<Object> {
        // SAFETY: a new list takes its own references, as the tuples do; GIL.
        unsafe {
            let list = Object::owned(ffi::PyList_New(0))?;
            for (name, value) in self.iter() {
                let name = globals().http.field_names.lower(name)?;
                let value = Object::latin1(value)?;
                let pair = Object::owned(ffi::PyTuple_Pack(2, name.as_ptr(), value.as_ptr()))?;
                if ffi::PyList_Append(list.as_ptr(), pair.as_ptr()) < 0 {
                    return Err(Raised);
                }
            }
            Ok(list)
        }
    }
}
