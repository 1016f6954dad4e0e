//! Making and changing responses: JSON, redirections, cookies, attributes that can be set.

use std::ffi::CStr;

use pyo3_ffi as ffi;

use super::application::raise_ours;
use super::fields::{FieldBlock, render, with_bytes};
use super::helpers::Helper;
use super::response::{self, Response, json_bytes, make_upgrade, make_with, status};
use crate::kit::{
    Keywords, Object, Outcome, Raised, guard, guard_status, no_arguments, none, raise, row,
    unless_none,
};

/// Statuses that send a client to another place (RFC 9110 section 15.4).
const REDIRECTIONS: [u16; 5] = [301, 302, 303, 307, 308];

/// An attribute cannot be deleted: its value, if it is to be set.
fn to_set(value: *mut ffi::PyObject) -> Outcome<Object> {
    if value.is_null() {
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_AttributeError };
        return Err(raise(class, "an attribute of a Response cannot be deleted"));
    }
    // SAFETY: a live value; GIL.
    Ok(unsafe { Object::from_borrowed(value) })
}

/// `response.status = ...`
pub unsafe extern "C" fn set_status(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut std::ffi::c_void,
) -> i32 {
    guard_status(|| {
        let status = status(&to_set(value)?)?;
        // SAFETY: CPython calls a type's setters with instances of that type only.
        unsafe { &*this.cast::<Response>() }.set_status(status);
        Ok(())
    })
}

/// `response.content_type = ...`
pub unsafe extern "C" fn set_content_type(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut std::ffi::c_void,
) -> i32 {
    guard_status(|| {
        let value = to_set(value)?;
        // SAFETY: CPython calls a type's setters with instances of that type only.
        let this = unsafe { &*this.cast::<Response>() };
        if value.is_none() {
            this.change(|block| block.content_type = None);
            return Ok(());
        }
        with_bytes(value.as_ptr(), |value| {
            this.change(|block| block.set_content_type(value))
                .map_err(|refused| refused.raise("server"))
        })
    })
}

/// `response.trailers = ...`
pub unsafe extern "C" fn set_trailers(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut std::ffi::c_void,
) -> i32 {
    guard_status(|| {
        let value = to_set(value)?;
        // SAFETY: CPython calls a type's setters with instances of that type only.
        let this = unsafe { &*this.cast::<Response>() };
        drop(this.set_trailers((!value.is_none()).then_some(value)));
        Ok(())
    })
}

/// `response.content_length = ...`
pub unsafe extern "C" fn set_content_length(
    this: *mut ffi::PyObject,
    value: *mut ffi::PyObject,
    _: *mut std::ffi::c_void,
) -> i32 {
    guard_status(|| {
        let value = to_set(value)?;
        let pointer = value.as_ptr();
        // SAFETY: a live value; GIL.
        let args = unsafe { crate::kit::Args::new(&pointer, 1) };
        let length = match value.is_none() {
            true => None,
            false => {
                let Ok(length) = u64::try_from(args.integer(0)?) else {
                    let message = "content_length is negative; it is a number of bytes";
                    return Err(raise_ours(c"LocalProtocolError", message));
                };
                Some(length)
            }
        };
        // SAFETY: CPython calls a type's setters with instances of that type only.
        if unsafe { &*this.cast::<Response>() }.set_length(length) {
            return Ok(());
        }
        let message =
            "the body is whole and has its own length; only one in pieces may be given one";
        Err(raise_ours(c"LocalProtocolError", message))
    })
}

/// `_upgrade(factory, status, headers)`: an answer behind which another protocol is spoken.
unsafe extern "C" fn upgrade(
    class: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: the calling convention vouches for the arguments.
        let args = unsafe { crate::kit::Args::new(arguments, count) };
        args.expect("_upgrade", 3, 3)?;
        let block = render(&args.object(2))?;
        make_upgrade(class.cast(), args.object(0), args.integer(1)? as u16, block)
    })
}

#[cold]
fn lacks(message: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_TypeError }, message)
}

unsafe extern "C" fn json(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython's fast-call convention vouches for the arguments.
        let (args, keywords) = unsafe { Keywords::split(arguments, count, names) };
        let parameters = [c"value", c"status", c"headers"];
        let [value, code, headers] = keywords.bind("Response.json", args, 2, &parameters)?;
        let value = value.ok_or_else(|| lacks("Response.json() needs a value"))?;
        let code = code.as_ref().map_or(Ok(200), status)?;
        let headers = unless_none(headers);
        let block = headers.as_ref().map_or_else(|| Ok(FieldBlock::default()), render)?;
        let body = json_bytes(&value)?;
        make_with(class.cast(), Some(body), code, block, response::JSON)
    })
}

unsafe extern "C" fn redirect(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython's fast-call convention vouches for the arguments.
        let (args, keywords) = unsafe { Keywords::split(arguments, count, names) };
        let [url, code] = keywords.bind("Response.redirect", args, 2, &[c"url", c"status"])?;
        let url = url.ok_or_else(|| lacks("Response.redirect() needs a url"))?;
        let code = code.as_ref().map_or(Ok(302), status)?;
        if !REDIRECTIONS.contains(&code) {
            let message = format!("status is {code}, a redirection has one of {REDIRECTIONS:?}");
            // SAFETY: reading a static of the interpreter; GIL.
            return Err(raise(unsafe { ffi::PyExc_ValueError }, &message));
        }
        let pointer = url.as_ptr();
        // SAFETY: the value is owned here; GIL.
        let url = location(unsafe { crate::kit::Args::new(&pointer, 1) }.text(0)?);
        let mut block = FieldBlock::default();
        block.push(b"location", &url).map_err(|refused| refused.raise("server"))?;
        make_with(class.cast(), None, code, block, b"")
    })
}

/// A URL as a field may have it: what no URL has is percent-encoded (RFC 3986 section 2.1).
///
/// Browsers drop tabs and take a backslash for a slash (URL Standard section 4.4): left as they are, `/\t/host` and
/// `/\host`, which look like paths, lead to another host.
fn location(url: &str) -> Vec<u8> {
    let mut plain = Vec::with_capacity(url.len());
    for byte in url.trim_matches(' ').bytes() {
        if matches!(byte, b' ' | b'\t' | b'\\') || byte >= 0x80 {
            plain.extend_from_slice(format!("%{byte:02X}").as_bytes());
        } else {
            plain.push(byte);
        }
    }
    plain
}

/// Adds the cookie that a helper renders out of the very arguments of the method.
unsafe fn add_cookie(
    helper: Helper,
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        let helper = helper.get()?;
        // SAFETY: CPython's fast-call convention vouches for the arguments, and for the type of `this`.
        let (line, this) = unsafe {
            let line = crate::kit::vectorcall(helper.as_ptr(), arguments, count as usize, names);
            (Object::owned(line)?, &*this.cast::<Response>())
        };
        with_bytes(line.as_ptr(), |line| {
            this.change(|block| block.push(b"set-cookie", line))
                .map_err(|refused| refused.raise("server"))
        })?;
        Ok(none())
    })
}

unsafe extern "C" fn set_cookie(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention.
    unsafe { add_cookie(Helper::SetCookie, this, arguments, count, names) }
}

unsafe extern "C" fn delete_cookie(
    this: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: isize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention.
    unsafe { add_cookie(Helper::DeleteCookie, this, arguments, count, names) }
}

no_arguments!(copy, Response, |this| this.copy());

no_arguments!(leaves_http, Response, |this| Ok(Object::boolean(this.leaves_http())));

const SET_COOKIE: &CStr = c"set_cookie($self, name, value, *, max_age=None, expires=None, domain=None, path='/',\n\
    \x20          secure=False, http_only=False, same_site='lax', partitioned=False)\n--\n\n\
    Add a cookie. What a browser would not take, or take otherwise, is refused.\n\n\
    max_age: seconds; 0 or less deletes it. expires: a datetime with a timezone, or seconds since 1970. Without\n\
    either it lives as long as the browser's session.\n\
    domain: the cookie goes to its subdomains too; None: to this host only. path: None leaves it to the browser.\n\
    secure: over TLS only. http_only: not for scripts. same_site: strict, lax, none (needs secure), or None.\n\
    partitioned: one for each top-level site (needs secure).\n\n\
    Raises LocalProtocolError. Source: RFC 6265 section 4.1.";

const DELETE_COOKIE: &CStr = c"delete_cookie($self, name, *, path='/', domain=None)\n--\n\n\
    Have the browser forget a cookie; path and domain must be those that it was set with.";

const JSON: &CStr = c"json($type, value, status=200, *, headers=None)\n--\n\n\
    A response with a value as JSON, application/json unless the headers say otherwise.\n\n\
    Raises TypeError or ValueError for a value that JSON does not have.";

const REDIRECT: &CStr = c"redirect($type, url, status=302)\n--\n\n\
    A response that sends the client to another place.\n\n\
    url: absolute, or relative to the one that was asked for. What is not ASCII, spaces, tabs and backslashes\n\
    \x20   are percent-encoded, so that what begins as a path stays one.\n\
    status: 301, 302, 303, 307 or 308.";

/// The method table.
pub fn table() -> Vec<ffi::PyMethodDef> {
    let mut rows = vec![
        row!(keywords c"json", json, JSON),
        row!(keywords c"redirect", redirect, REDIRECT),
        row!(positional c"_upgrade", upgrade,
            c"_upgrade(factory, status, headers): an answer behind which another protocol is spoken."),
        row!(noargs c"_copy", copy, c"Another response of the same kind, which can be changed by itself."),
        row!(noargs c"_leaves_http", leaves_http, c"Whether another protocol is spoken behind it."),
        row!(keywords c"set_cookie", set_cookie, SET_COOKIE),
        row!(keywords c"delete_cookie", delete_cookie, DELETE_COOKIE),
    ];
    for class_method in &mut rows[..3] {
        class_method.ml_flags |= ffi::METH_CLASS;
    }
    rows
}
