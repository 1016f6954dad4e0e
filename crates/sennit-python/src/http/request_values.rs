//! What a request's body, cookies and path say: bytes here, policy in Python.

use pyo3_ffi as ffi;
use sennit_wire::http1::FieldLines;

use super::helpers::Helper;
use super::ready;
use super::request::{Request, Value, decode_path};
use crate::kit::{Args, Object, Outcome, Raised};

/// A value made of the body: at once if that is there, else by a coroutine that calls the method again.
fn of_body(
    this: &Request,
    method: &std::ffi::CStr,
    convert: impl FnOnce(&Object) -> Outcome<Object>,
) -> Outcome<Object> {
    let body = this.body(None)?;
    if let Some(body) = this.body_now() {
        return ready::make(convert(&body)?);
    }
    // SAFETY: a live request; GIL.
    let method = unsafe { Object::from_borrowed(this.pointer()) }.attribute(method)?;
    Helper::Later.get()?.call(&[body.as_ptr(), method.as_ptr()])
}

/// The body as JSON, to be awaited.
pub fn json(this: &Request) -> Outcome<Object> {
    of_body(this, c"json", |body| Helper::Loads.get()?.call(&[body.as_ptr()]))
}

/// The body as text, to be awaited.
pub fn text(this: &Request) -> Outcome<Object> {
    of_body(this, c"text", |body| decode(this, body))
}

/// The fields of a form, to be awaited.
pub fn form(this: &Request) -> Outcome<Object> {
    Helper::Form.get()?.call(&[this.pointer()])
}

/// A body as text.
fn decode(this: &Request, body: &Object) -> Outcome<Object> {
    let pointer = body.as_ptr();
    let content_type = FieldLines::new(this.field_lines()).next_of(b"content-type");
    if let Some(content_type) = content_type
        && content_type.windows(7).any(|word| word.eq_ignore_ascii_case(b"charset"))
    {
        let content_type = Object::latin1(content_type)?;
        return Helper::Text.get()?.call(&[pointer, content_type.as_ptr()]);
    }
    // SAFETY: a live object, whose bytes do not change; GIL.
    unsafe {
        let bytes = Args::new(&pointer, 1).bytes(0)?;
        let (start, length) = (bytes.as_ptr().cast(), bytes.len() as isize);
        Object::owned(ffi::PyUnicode_DecodeUTF8(start, length, c"replace".as_ptr()))
    }
}

/// The cookies, read when they are first asked for.
pub fn cookies(this: &Request) -> Outcome<Object> {
    if let Some(cookies) = this.value(Value::Cookies) {
        return Ok(cookies);
    }
    let sent: Vec<u8> = {
        let mut lines = FieldLines::new(this.field_lines());
        let lines: Vec<&[u8]> = std::iter::from_fn(|| lines.next_of(b"cookie")).collect();
        lines.join(&b"; "[..])
    };
    let cookies = if sent.is_empty() {
        // SAFETY: a new dict; GIL.
        unsafe { Object::owned(ffi::PyDict_New())? }
    } else {
        Helper::Cookies.get()?.call(&[Object::latin1(&sent)?.as_ptr()])?
    };
    this.remember(Value::Cookies, cookies.clone());
    Ok(cookies)
}

/// What the path has for the parameters of its route, read when it is first asked for.
pub fn path_params(this: &Request) -> Outcome<Object> {
    if let Some(path_params) = this.value(Value::PathParams) {
        return Ok(path_params);
    }
    // SAFETY: a new dict; GIL.
    let path_params = unsafe { Object::owned(ffi::PyDict_New())? };
    if let Some(pattern) = this.pattern() {
        for (name, value) in pattern.parameters(this.path_and_query().0) {
            let (name, value) = (Object::text(name)?, decode_path(value)?);
            // SAFETY: a live dict, key and value; GIL.
            let status =
                unsafe { ffi::PyDict_SetItem(path_params.as_ptr(), name.as_ptr(), value.as_ptr()) };
            if status < 0 {
                return Err(Raised);
            }
        }
    }
    this.remember(Value::PathParams, path_params.clone());
    Ok(path_params)
}

/// The query's parameters, read when they are first asked for.
pub fn query_params(this: &Request) -> Outcome<Object> {
    if let Some(query_params) = this.value(Value::QueryParams) {
        return Ok(query_params);
    }
    let query = Object::latin1(this.path_and_query().1)?;
    let query_params = Helper::Query.get()?.call(&[query.as_ptr()])?;
    this.remember(Value::QueryParams, query_params.clone());
    Ok(query_params)
}
