//! What a request's body, cookies and path say: bytes here, policy in Python.

use pyo3_ffi as ffi;
use sennit_wire::http1::FieldLines;

use super::helpers::Helper;
use super::ready;
use super::request::{Request, Value, decode_path, max_size};
use crate::kit::{Args, Object, Outcome, Raised, borrowed_slice, guard, keywords, row, vectorcall};

/// A value made of the body: at once if that is there, else by a coroutine that calls the method again.
fn of_body(
    this: &Request,
    method: &std::ffi::CStr,
    max_size: Option<usize>,
    convert: impl FnOnce(&Object) -> Outcome<Object>,
) -> Outcome<Object> {
    let body = this.body(max_size)?;
    if let Some(body) = this.body_now() {
        return ready::make(convert(&body)?);
    }
    // SAFETY: a live request; GIL.
    let method = unsafe { Object::from_borrowed(this.pointer()) }.attribute(method)?;
    Helper::Later.get()?.call(&[body.as_ptr(), method.as_ptr()])
}

keywords!(json, Request, |this, args, keywords| {
    let max_size = max_size("json", args, keywords)?;
    of_body(this, c"json", max_size, |body| Helper::Loads.get()?.call(&[body.as_ptr()]))
});

keywords!(text, Request, |this, args, keywords| {
    let max_size = max_size("text", args, keywords)?;
    of_body(this, c"text", max_size, |body| decode(this, body))
});

/// The fields of a form, to be awaited; the helper gets the request, and the limits as they were given.
unsafe extern "C" fn form(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython's fast-call convention vouches for the arguments, which live as long as the call; GIL.
        unsafe {
            Args::new(arguments, count).expect("form", 0, 0)?;
            let limits = if names.is_null() { 0 } else { borrowed_slice(names).len() };
            let mut given = vec![this];
            given.extend((0..limits).map(|at| *arguments.add(at)));
            Object::owned(vectorcall(Helper::Form.get()?.as_ptr(), given.as_ptr(), 1, names))
        }
    })
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

/// The rows of these methods in the table of `core.Request`.
pub fn rows() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"text", text,
            c"text($self, *, max_size=None)\n--\n\n\
              The body as text, in the charset of its content type; to be awaited.\n\n\
              It is UTF-8 by default, and where the charset is not known. Bytes that do not fit are replaced.\n\
              max_size: as for body()."),
        row!(keywords c"json", json,
            c"json($self, *, max_size=None)\n--\n\nThe body as JSON; to be awaited.\n\n\
              max_size: as for body().\n\
              Raises RemoteProtocolError if it is no JSON: a handler that lets it pass answers 400."),
        row!(keywords c"form", form,
            c"form($self, **limits)\n--\n\nThe fields and files of a form, an http.Form; to be awaited.\n\n\
              limits: by the names of http.FormLimits; max_form_size is the server's max_body_size by default."),
    ]
}
