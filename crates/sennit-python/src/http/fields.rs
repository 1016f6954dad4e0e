//! Header fields out of Python objects: names and values as bytes, and what may not be sent.

use std::borrow::Cow;
use std::ffi::CStr;

use pyo3_ffi as ffi;
use sennit_wire::http1::{
    LocalProtocolError, check_field_value, push_any_field, push_field, push_trailer,
};

use super::application::raise_ours;
use super::headers;
use crate::kit::{Args, Object, Outcome, Raised, raise};

/// Why a field may not be sent. Raised when nothing is borrowed any more: making an error runs Python.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Wire(LocalProtocolError),
    /// `host` in a response.
    Host,
}

impl From<LocalProtocolError> for Refused {
    fn from(error: LocalProtocolError) -> Self {
        Refused::Wire(error)
    }
}

impl Refused {
    /// Sets the error; `who` sets the fields that are reserved.
    #[cold]
    pub fn raise(self, who: &str) -> Raised {
        let message = match self {
            Refused::Host => "field host belongs to requests; a response has none".to_owned(),
            Refused::Wire(LocalProtocolError::ReservedField(field)) => {
                format!("field {} is set by the {who}; leave it out", field.name())
            }
            Refused::Wire(error) => error.to_string(),
        };
        raise_ours(c"LocalProtocolError", &message)
    }
}

/// The fields of a response: its content type apart, everything else rendered.
#[derive(Default, Clone)]
pub struct FieldBlock {
    /// `None`: the body's own. Empty: none at all.
    pub content_type: Option<Cow<'static, [u8]>>,
    pub lines: Vec<u8>,
}

impl FieldBlock {
    /// Adds a field; a content type replaces the one before.
    #[inline]
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Refused> {
        match name.len() {
            12 if is_content_type(name) => self.set_content_type(value),
            4 if name.eq_ignore_ascii_case(b"host") => Err(Refused::Host),
            _ => Ok(push_field(&mut self.lines, name, value)?),
        }
    }

    /// Sets the content type; an empty one is none.
    pub fn set_content_type(&mut self, value: &[u8]) -> Result<(), Refused> {
        check_field_value(value)?;
        self.content_type = Some(Cow::Owned(value.trim_ascii().to_vec()));
        Ok(())
    }
}

/// Whether a name is that of the content type.
#[inline]
pub fn is_content_type(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"content-type")
}

/// `render_fields(headers) -> bytes`: the lines of a mapping or of pairs, each checked.
pub fn render_fields(headers: &Object) -> Outcome<Object> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_field(&mut lines, name, value).map_err(|error| Refused::from(error).raise("client"))
    })?;
    Object::bytes(&lines)
}

/// `render_trailers(headers) -> bytes`: the lines of the trailer fields of a server, each checked.
pub fn render_trailers(headers: &Object) -> Outcome<Object> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_trailer(&mut lines, name, value).map_err(|error| match error {
            LocalProtocolError::NoTrailer => {
                let name = String::from_utf8_lossy(name);
                let message = format!("field {name} has no meaning in a trailer section");
                raise_ours(c"LocalProtocolError", &format!("{message}; set it as a header"))
            }
            error => Refused::from(error).raise("server"),
        })
    })?;
    Object::bytes(&lines)
}

/// The lines of the interim fields of a server, each checked.
pub fn field_lines(headers: &Object) -> Outcome<Vec<u8>> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_field(&mut lines, name, value).map_err(|error| Refused::from(error).raise("server"))
    })?;
    Ok(lines)
}

/// The lines of a mapping or of pairs as they may have been received: reserved fields are let through.
pub fn render_any(headers: &Object) -> Outcome<Vec<u8>> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_any_field(&mut lines, name, value).map_err(|error| Refused::from(error).raise(""))
    })?;
    Ok(lines)
}

/// Renders the fields of a mapping, or of an iterable of pairs, for a response.
pub fn render(headers: &Object) -> Outcome<FieldBlock> {
    let mut block = FieldBlock::default();
    each_pair(headers, |name, value| {
        block.push(name, value).map_err(|refused| refused.raise("server"))
    })?;
    Ok(block)
}

/// The bytes of a name or value: `str` up to U+00FF, one byte a character, or `bytes`.
#[inline]
pub fn with_bytes<T>(
    object: *mut ffi::PyObject,
    take: impl FnOnce(&[u8]) -> Outcome<T>,
) -> Outcome<T> {
    // SAFETY: a live object that the caller holds; a string's UTF-8 form and bytes lie still; GIL.
    unsafe {
        if ffi::PyUnicode_Check(object) != 0 {
            let mut length = 0;
            let start = ffi::PyUnicode_AsUTF8AndSize(object, &mut length);
            if !start.is_null() {
                let bytes = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
                if bytes.is_ascii() {
                    return take(bytes);
                }
            }
        }
        take(&wide_bytes(object)?)
    }
}

/// # Safety
/// A live object that the caller holds.
#[cold]
unsafe fn wide_bytes(object: *mut ffi::PyObject) -> Outcome<Vec<u8>> {
    // SAFETY: the caller vouches for the object; the bytes are copied; GIL.
    unsafe {
        ffi::PyErr_Clear();
        if ffi::PyBytes_Check(object) != 0 {
            return Ok(Args::new(&object, 1).bytes(0)?.to_vec());
        }
        if ffi::PyUnicode_Check(object) == 0 {
            let name = CStr::from_ptr((*ffi::Py_TYPE(object)).tp_name).to_string_lossy();
            let message = format!("field names and values are str or bytes, not {name}");
            return Err(raise(ffi::PyExc_TypeError, &message));
        }
        let latin = ffi::PyUnicode_AsLatin1String(object);
        if latin.is_null() {
            ffi::PyErr_Clear();
            let text = Object::represent(&Object::from_borrowed(object))?;
            let message = format!("field has {text}; only characters up to U+00FF can be sent");
            return Err(raise_ours(c"LocalProtocolError", &message));
        }
        let latin = Object::owned(latin)?;
        let pointer = latin.as_ptr();
        Ok(Args::new(&pointer, 1).bytes(0)?.to_vec())
    }
}

/// Calls `take` with each name and value of a mapping, or of an iterable of pairs.
pub fn each_pair(given: &Object, mut take: impl FnMut(&[u8], &[u8]) -> Outcome<()>) -> Outcome<()> {
    let mut take_pair = |name: *mut ffi::PyObject, value: *mut ffi::PyObject| {
        with_bytes(name, |name| with_bytes(value, |value| take(name, value)))
    };
    // SAFETY: a live object, whose type is looked at before its layout is used; GIL.
    unsafe {
        if ffi::PyDict_CheckExact(given.as_ptr()) != 0 {
            let (mut place, mut name, mut value) = (0, std::ptr::null_mut(), std::ptr::null_mut());
            while ffi::PyDict_Next(given.as_ptr(), &mut place, &mut name, &mut value) != 0 {
                // The dict holds both: no Python runs in between but to make an error, which ends this.
                take_pair(name, value)?;
            }
            return Ok(());
        }
    }
    if let Some(block) = headers::block_of(given) {
        return block.iter().try_for_each(|(name, value)| take(name, value));
    }
    let items = match given.attribute(c"items") {
        Ok(items) => items.call(&[])?,
        Err(Raised) => {
            // SAFETY: GIL.
            unsafe { ffi::PyErr_Clear() };
            given.clone()
        }
    };
    // SAFETY: the iterator and its items are owned while they are used; GIL.
    unsafe {
        let iterator = Object::owned(ffi::PyObject_GetIter(items.as_ptr()))?;
        loop {
            let item = ffi::PyIter_Next(iterator.as_ptr());
            if item.is_null() {
                return if ffi::PyErr_Occurred().is_null() { Ok(()) } else { Err(Raised) };
            }
            let pair = Object::owned(ffi::PySequence_Tuple(Object::owned(item)?.as_ptr()))?;
            let items = crate::kit::borrowed_slice(pair.as_ptr());
            let [name, value] = items else {
                return Err(raise(ffi::PyExc_ValueError, "headers are pairs of name and value"));
            };
            take_pair(*name, *value)?;
        }
    }
}
