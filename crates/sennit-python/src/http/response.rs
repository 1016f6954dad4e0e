//! `Response`: what a handler answers with, checked and half rendered when it is made.

use std::borrow::Cow;
use std::cell::UnsafeCell;
use std::ffi::CStr;
use std::ptr::NonNull;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{Answer, AnswerBody, AnswerHead};

use super::fields::{FieldBlock, render, with_bytes};
use super::helpers::Helper;
use super::{file_body, headers, response_methods};
use crate::globals::globals;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, getter, guard, none, raise,
    unless_none,
};

/// What text is unless somebody says otherwise.
pub const TEXT: &[u8] = b"text/plain; charset=utf-8";
/// RFC 8259 section 11: it has no charset parameter.
pub const JSON: &[u8] = b"application/json";
const BYTES: &[u8] = b"application/octet-stream";

/// Dead responses kept for reuse.
const KEPT: usize = 64;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// A `str` or `bytes` whose UTF-8 form lies still as long as it is held.
#[derive(Debug)]
pub struct BodyBytes {
    /// Exactly `str` or `bytes`: dropping it runs no Python.
    object: Object,
    start: *const u8,
    length: usize,
}

impl BodyBytes {
    /// The bytes of a body; `None` if the object is neither `str` nor `bytes`-like.
    pub fn new(object: Object) -> Outcome<Option<Self>> {
        let mut length = 0;
        // SAFETY: a live object; CPython keeps the UTF-8 form with the string, and bytes never change; GIL.
        unsafe {
            let pointer = object.as_ptr();
            if ffi::PyUnicode_Check(pointer) != 0 {
                if ffi::PyUnicode_CheckExact(pointer) == 0 {
                    return BodyBytes::new(Object::owned(ffi::PyUnicode_FromObject(pointer))?);
                }
                let start = ffi::PyUnicode_AsUTF8AndSize(pointer, &mut length);
                if start.is_null() {
                    return Err(Raised);
                }
                let (start, length) = (start.cast(), length as usize);
                return Ok(Some(BodyBytes { object, start, length }));
            }
            if ffi::PyBytes_CheckExact(pointer) != 0 {
                let start = ffi::PyBytes_AS_STRING(pointer).cast();
                let length = ffi::PyBytes_Size(pointer) as usize;
                return Ok(Some(BodyBytes { object, start, length }));
            }
            if ffi::PyObject_CheckBuffer(pointer) == 0 {
                return Ok(None);
            }
            // Memory that may change or move is copied now.
            let copy = Object::owned(ffi::PyBytes_FromObject(pointer))?;
            BodyBytes::new(copy)
        }
    }

    fn is_text(&self) -> bool {
        // SAFETY: a live object; GIL.
        unsafe { ffi::PyUnicode_Check(self.object.as_ptr()) != 0 }
    }

    /// The object that holds the bytes.
    pub fn object(&self) -> &Object {
        &self.object
    }
}

impl Clone for BodyBytes {
    fn clone(&self) -> Self {
        BodyBytes { object: self.object.clone(), start: self.start, length: self.length }
    }
}

impl AsRef<[u8]> for BodyBytes {
    #[inline]
    fn as_ref(&self) -> &[u8] {
        // SAFETY: the object is held, and its bytes lie still.
        unsafe { std::slice::from_raw_parts(self.start, self.length) }
    }
}

/// What stands behind the head.
#[derive(Default, Clone)]
enum Body {
    #[default]
    None,
    Bytes(BodyBytes),
    /// A `core.FileBody`.
    File(Object),
    /// An iterable or an async iterable of pieces.
    Pieces(Object),
    /// Another protocol: a factory of its `asyncio.Protocol`.
    Protocol(Object),
}

impl Body {
    /// A body out of what a user gives.
    fn new(given: Object) -> Outcome<Self> {
        if let Some(bytes) = BodyBytes::new(given.clone())? {
            return Ok(Body::Bytes(bytes));
        }
        if file_body::piece_of(&given).is_some() {
            return Ok(Body::File(given));
        }
        // SAFETY: a live object, whose type's slots may be read; GIL.
        let is_iterable = unsafe {
            let class = ffi::Py_TYPE(given.as_ptr());
            let methods = (*class).tp_as_async;
            (*class).tp_iter.is_some() || (!methods.is_null() && (*methods).am_aiter.is_some())
        };
        // A dict is iterable too, and never meant so.
        // SAFETY: a live object; GIL.
        if is_iterable && unsafe { ffi::PyDict_Check(given.as_ptr()) } == 0 {
            return Ok(Body::Pieces(given));
        }
        // SAFETY: reading a static of the interpreter; GIL.
        let class = unsafe { ffi::PyExc_TypeError };
        let message = "body must be str, bytes, another buffer, an http.FileBody, an iterable or \
                       async iterable of str or bytes, or None";
        Err(raise(class, message))
    }

    fn object(&self) -> Option<&Object> {
        match self {
            Body::None => None,
            Body::Bytes(bytes) => Some(bytes.object()),
            Body::File(object) | Body::Pieces(object) | Body::Protocol(object) => Some(object),
        }
    }
}

#[derive(Default)]
struct Fields {
    body: Body,
    /// A mapping, or what gives one when the body has ended: fields behind a body that comes in pieces.
    trailers: Option<Object>,
    /// Bytes of a body that comes in pieces, where they are known.
    length: Option<u64>,
    status: u16,
    block: FieldBlock,
    /// The view of the fields that is alive; it holds the response, not the other way round.
    headers: Option<NonNull<ffi::PyObject>>,
}

/// A response.
#[repr(C)]
pub struct Response {
    head: Head,
    fields: Fields,
}

impl Response {
    /// The response that an object is known to be.
    pub fn of(object: &Object) -> &Response {
        // SAFETY: the caller knows the type; the reference lives no longer than the object's.
        unsafe { &*object.as_ptr().cast::<Response>() }
    }

    fn fields(&self) -> *mut Fields {
        let this: *mut Response = self.head.get().cast();
        // SAFETY: the object begins with its head; only short reads and writes are made through this.
        unsafe { &raw mut (*this).fields }
    }

    /// Content type and lines, to be looked at before any Python runs.
    pub fn all_fields(&self) -> (Option<&[u8]>, &[u8]) {
        // SAFETY: a short read; GIL.
        let fields = unsafe { &*self.fields() };
        (content_type(fields), &fields.block.lines)
    }

    /// Changes the fields; no Python may run inside.
    pub fn change<T>(&self, body: impl FnOnce(&mut FieldBlock) -> T) -> T {
        // SAFETY: nothing else looks at the fields meanwhile; GIL.
        body(unsafe { &mut (*self.fields()).block })
    }

    /// Another response with the same status, fields and body.
    pub fn copy(&self) -> Outcome<Object> {
        // SAFETY: a short read; GIL.
        let fields = unsafe {
            let fields = &*self.fields();
            Fields {
                body: fields.body.clone(),
                trailers: fields.trailers.clone(),
                length: fields.length,
                status: fields.status,
                block: fields.block.clone(),
                headers: None,
            }
        };
        make(globals().http.response_type.as_ptr().cast(), fields)
    }

    /// Sets the trailer fields; gives back what was there.
    pub fn set_trailers(&self, trailers: Option<Object>) -> Option<Object> {
        // SAFETY: a short write; GIL.
        unsafe { std::mem::replace(&mut (*self.fields()).trailers, trailers) }
    }

    /// Says how long a body in pieces is. False: the body is whole and has its own length.
    pub fn set_length(&self, length: Option<u64>) -> bool {
        // SAFETY: short reads and writes; GIL.
        let fields = unsafe { &mut *self.fields() };
        fields.length = length;
        matches!(fields.body, Body::Pieces(_))
    }

    /// Whether another protocol is spoken behind it.
    pub fn leaves_http(&self) -> bool {
        matches!(self.fields.body, Body::Protocol(_))
    }

    /// Changes the status.
    pub fn set_status(&self, status: u16) {
        // SAFETY: a short write; GIL.
        unsafe { (*self.fields()).status = status };
    }

    /// A view of the fields is gone.
    pub fn forget_headers(&self, headers: *mut ffi::PyObject) {
        // SAFETY: a short write; GIL.
        unsafe {
            let known = &mut (*self.fields()).headers;
            known.take_if(|known| known.as_ptr() == headers);
        }
    }
}

/// Sets the content type, which may not end its line.
fn set_content_type(block: &mut FieldBlock, given: &Object) -> Outcome<()> {
    with_bytes(given.as_ptr(), |value| {
        block.set_content_type(value).map_err(|refused| refused.raise("server"))
    })
}

/// What a handler has returned, as an answer; an error is set if it is nothing that can be one.
pub fn with_answer<T>(value: &Object, body: impl FnOnce(Answer<'_, BodyBytes>) -> T) -> Outcome<T> {
    if let Some(fields) = fields_of(value) {
        return Ok(body(answer(fields)));
    }
    // SAFETY: a live object; GIL.
    let (is_body, is_json) = unsafe {
        let pointer = value.as_ptr();
        (
            ffi::PyUnicode_Check(pointer) != 0 || ffi::PyBytes_Check(pointer) != 0,
            ffi::PyDict_Check(pointer) != 0 || ffi::PyList_Check(pointer) != 0,
        )
    };
    let mut fields = Fields { status: 200, ..Fields::default() };
    if is_body {
        fields.body = BodyBytes::new(value.clone())?.map_or(Body::None, Body::Bytes);
    } else if is_json {
        fields.body = Body::Bytes(json_bytes(value)?);
        fields.block.content_type = Some(Cow::Borrowed(JSON));
    } else {
        // SAFETY: a live object's type has a name; GIL.
        let name = unsafe { CStr::from_ptr((*ffi::Py_TYPE(value.as_ptr())).tp_name) };
        let message = format!(
            "the handler returned {}; return an http.Response, str, bytes, dict or list",
            name.to_string_lossy()
        );
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_TypeError }, &message));
    }
    Ok(body(answer(&fields)))
}

/// A value as JSON.
pub fn json_bytes(value: &Object) -> Outcome<BodyBytes> {
    match BodyBytes::new(Helper::Dumps.get()?.call(&[value.as_ptr()])?)? {
        Some(bytes) => Ok(bytes),
        None => {
            let message = "what writes JSON (http.use_json) must return str or bytes";
            // SAFETY: reading a static of the interpreter; GIL.
            Err(raise(unsafe { ffi::PyExc_TypeError }, message))
        }
    }
}

/// The content type that is sent: the one that was given, else the body's own.
fn content_type(fields: &Fields) -> Option<&[u8]> {
    match (&fields.block.content_type, &fields.body) {
        (Some(given), _) => (!given.is_empty()).then_some(given),
        (None, Body::None | Body::Protocol(_)) => None,
        (None, Body::Bytes(body)) if body.is_text() => Some(TEXT),
        (None, _) => Some(BYTES),
    }
}

/// Above this, the body is handed over rather than copied; the driver copies what is smaller.
const SHARE_FROM: usize = 16 * 1024;

fn head(fields: &Fields) -> AnswerHead<'_> {
    let content_type = content_type(fields);
    AnswerHead { status: fields.status, content_type, fields: &fields.block.lines }
}

fn answer(fields: &Fields) -> Answer<'_, BodyBytes> {
    let body = match &fields.body {
        Body::Bytes(body) if body.length > SHARE_FROM => AnswerBody::Shared(body.clone()),
        Body::Bytes(body) => AnswerBody::Borrowed(body.as_ref()),
        Body::File(file) => match file_body::piece_of(file) {
            Some(piece) => AnswerBody::File(piece),
            None => AnswerBody::Borrowed(b""),
        },
        Body::None | Body::Pieces(_) | Body::Protocol(_) => AnswerBody::Borrowed(b""),
    };
    Answer { head: head(fields), body }
}

/// Calls a function with the head of a response; `None` if the object is none.
pub fn with_head<T>(value: &Object, body: impl FnOnce(AnswerHead<'_>) -> T) -> Option<T> {
    fields_of(value).map(|fields| body(head(fields)))
}

/// The body of a response that comes in pieces.
#[inline]
pub fn pieces_of(value: &Object) -> Option<Object> {
    match &fields_of(value)?.body {
        Body::Pieces(pieces) => Some(pieces.clone()),
        _ => None,
    }
}

/// The factory of the protocol that a connection is to speak after a response.
#[inline]
pub fn protocol_of(value: &Object) -> Option<Object> {
    match &fields_of(value)?.body {
        Body::Protocol(factory) => Some(factory.clone()),
        _ => None,
    }
}

#[inline]
fn fields_of(value: &Object) -> Option<&Fields> {
    let class = globals().http.response_type.as_ptr();
    // SAFETY: a live object, whose type is looked at before its layout is used; GIL.
    unsafe {
        let is_response = ffi::Py_TYPE(value.as_ptr()).cast() == class
            || ffi::PyObject_TypeCheck(value.as_ptr(), class.cast()) != 0;
        is_response.then(|| &(*value.as_ptr().cast::<Response>()).fields)
    }
}

/// A status of a final response.
pub fn status(given: &Object) -> Outcome<u16> {
    let pointer = given.as_ptr();
    // SAFETY: the value is held by the caller; GIL.
    let status = unsafe { Args::new(&pointer, 1) }.integer(0)?;
    if !(200..=599).contains(&status) {
        let message = format!("status is {status}, a final response has 200 to 599");
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_ValueError }, &message));
    }
    Ok(status as u16)
}

fn fill(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Fields> {
    let names = [c"body", c"status", c"headers", c"content_type"];
    let given = keywords.bind("Response", args, 2, &names)?.map(unless_none);
    let [body, code, headers, content_type] = given;
    let mut fields = Fields { status: 200, ..Fields::default() };
    if let Some(body) = body {
        fields.body = Body::new(body)?;
    }
    if let Some(code) = code {
        fields.status = status(&code)?;
    }
    if let Some(headers) = headers {
        fields.block = render(&headers)?;
    }
    if let Some(content_type) = content_type {
        set_content_type(&mut fields.block, &content_type)?;
    }
    Ok(fields)
}

/// A response with a body of its own making; its content type stands unless the headers have one.
pub fn make_with(
    class: *mut ffi::PyTypeObject,
    body: Option<BodyBytes>,
    status: u16,
    mut block: FieldBlock,
    content_type: &'static [u8],
) -> Outcome<Object> {
    block.content_type.get_or_insert(Cow::Borrowed(content_type));
    let body = body.map_or(Body::None, Body::Bytes);
    make(class, Fields { body, status, block, ..Fields::default() })
}

/// A response behind which another protocol is spoken.
pub fn make_upgrade(
    class: *mut ffi::PyTypeObject,
    factory: Object,
    status: u16,
    block: FieldBlock,
) -> Outcome<Object> {
    make(class, Fields { body: Body::Protocol(factory), status, block, ..Fields::default() })
}

unsafe extern "C" fn vectorcall(
    class: *mut ffi::PyObject,
    arguments: *const *mut ffi::PyObject,
    count: usize,
    names: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: the vectorcall convention vouches for the arguments.
        let (args, keywords) = unsafe {
            let count = ffi::PyVectorcall_NARGS(count);
            Keywords::split(arguments, count, names)
        };
        make(class.cast(), fill(args, keywords)?)
    })
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    args: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // A subclass comes this way: its arguments in a tuple and a dict.
        // SAFETY: live arguments of CPython's; names and values are owned while they are used; GIL.
        unsafe {
            let mut all: Vec<*mut ffi::PyObject> = crate::kit::borrowed_slice(args).to_vec();
            let count = all.len() as isize;
            if keywords.is_null() {
                let (args, keywords) = Keywords::split(all.as_ptr(), count, std::ptr::null_mut());
                return make(class, fill(args, keywords)?);
            }
            let names = Object::owned(ffi::PyDict_Keys(keywords))?;
            let names = Object::owned(ffi::PySequence_Tuple(names.as_ptr()))?;
            for name in crate::kit::borrowed_slice(names.as_ptr()) {
                all.push(ffi::PyDict_GetItem(keywords, *name));
            }
            let (args, keywords) = Keywords::split(all.as_ptr(), count, names.as_ptr());
            make(class, fill(args, keywords)?)
        }
    })
}

fn make(class: *mut ffi::PyTypeObject, fields: Fields) -> Outcome<Object> {
    // SAFETY: a kept object is dead, untracked and has the exact type's size; fields are written before anybody sees
    // the object; GIL.
    unsafe {
        let is_exact = class.cast() == globals().http.response_type.as_ptr();
        let kept = if is_exact { (*FREE.0.get()).pop() } else { None };
        let object = match kept {
            Some(object) => {
                ffi::PyObject_Init(object, class);
                (&raw mut (*object.cast::<Response>()).fields).write(fields);
                ffi::PyObject_GC_Track(object.cast());
                object
            }
            None => {
                let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
                (&raw mut (*object.as_ptr().cast::<Response>()).fields).write(fields);
                object.into_ptr()
            }
        };
        Object::owned(object)
    }
}

getter!(get_status, Response, |this| Object::integer(i64::from(this.fields.status)));

getter!(get_body, Response, |this| match &this.fields.body {
    Body::None => Object::bytes(b""),
    Body::Bytes(body) => Object::bytes(body.as_ref()),
    Body::File(object) | Body::Pieces(object) | Body::Protocol(object) => Ok(object.clone()),
});

getter!(get_content_length, Response, |this| match (&this.fields.body, this.fields.length) {
    (Body::Pieces(_), Some(length)) => Object::integer(length as i64),
    (Body::Pieces(_) | Body::Protocol(_), _) => Ok(none()),
    (Body::None, _) => Object::integer(0),
    (Body::Bytes(body), _) => Object::integer(body.as_ref().len() as i64),
    (Body::File(object), _) => object.attribute(c"length"),
});

getter!(get_trailers, Response, |this| Ok(this.fields.trailers.clone().unwrap_or_else(none)));

getter!(get_content_type, Response, |this| match content_type(&this.fields) {
    Some(value) => Object::latin1(value),
    None => Ok(none()),
});

getter!(get_headers, Response, |this| {
    // SAFETY: a view that is known is alive; a live response; GIL.
    unsafe {
        match (*this.fields()).headers {
            Some(headers) => Ok(Object::from_borrowed(headers.as_ptr())),
            None => {
                let headers = headers::of_response(Object::from_borrowed(this.head.get()))?;
                (*this.fields()).headers = NonNull::new(headers.as_ptr());
                Ok(headers)
            }
        }
    }
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live response.
    unsafe {
        let fields = &(*object.cast::<Response>()).fields;
        for value in fields.body.object().into_iter().chain(&fields.trailers) {
            let status = visit(value.as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead response; the memory of an exact one is kept.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        std::ptr::drop_in_place(&raw mut (*object.cast::<Response>()).fields);
        let class = ffi::Py_TYPE(object);
        let is_exact = class.cast() == globals().http.response_type.as_ptr();
        let free = &mut *FREE.0.get();
        if is_exact && free.len() < KEPT {
            free.push(object);
        } else if let Some(release) = (*class).tp_free {
            release(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.Response`.
pub fn make_type() -> Outcome<Object> {
    let class = TypeSpec::new(c"sennit._native.core.Response", size_of::<Response>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"Response(body=None, status=200, *, headers=None, content_type=None)\n--\n\n\
                What a handler answers with.\n\n\
                body: str (sent as UTF-8), bytes, another buffer (copied), an http.FileBody, or an iterable or \
                async iterable of str or bytes, whose pieces are sent as they come.\n\
                status: 200 to 599.\n\
                headers: a mapping or pairs; content-length, date and connection are set by the server.\n\
                content_type: text/plain; charset=utf-8 for str and application/octet-stream for bytes \
                by default, of a body in pieces for its first one; '' for none."),
        )
        .attributes(&[
            (c"status", get_status, Some(response_methods::set_status), c"The status code, 200 to 599."),
            (c"body", get_body, None,
                c"The body as bytes; what was given where it is a file or comes in pieces."),
            (c"content_length", get_content_length, Some(response_methods::set_content_length),
                c"Bytes of the body; may be set for one that comes in pieces, which is held to it. None: in chunks."),
            (c"trailers", get_trailers, Some(response_methods::set_trailers),
                c"Fields behind a body that comes in pieces: a mapping, or a function that gives one at its end."),
            (c"content_type", get_content_type, Some(response_methods::set_content_type),
                c"The content type, None if there is none; setting None gives it the body's own, '' none."),
            (c"headers", get_headers, None,
                c"The header fields, without those that the server sets; they can be changed."),
        ])
        .methods(response_methods::table())
        .build()?;
    // SAFETY: the type is new; an exact call does not go through tuple and dict; GIL.
    unsafe {
        (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_vectorcall = Some(vectorcall);
    }
    Ok(class)
}
