//! `Response`: what a handler answers with, checked and half rendered when it is made.

use std::cell::UnsafeCell;
use std::ffi::CStr;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{Answer, AnswerBody, AnswerHead};
use sennit_wire::http1::{LocalProtocolError, check_field_value, push_field};

use super::file_body;
use crate::globals::globals;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, getter, guard, none, raise, row,
};

const TEXT: &[u8] = b"text/plain; charset=utf-8";
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
#[derive(Default)]
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
    status: u16,
    /// `None`: the body's own.
    content_type: Option<Box<[u8]>>,
    lines: Vec<u8>,
}

/// A response.
#[repr(C)]
pub struct Response {
    head: Head,
    fields: Fields,
}

/// What a handler has returned, as an answer; an error is set if it is nothing that can be one.
pub fn with_answer<T>(value: &Object, body: impl FnOnce(Answer<'_, BodyBytes>) -> T) -> Outcome<T> {
    if let Some(fields) = fields_of(value) {
        return Ok(body(answer(fields)));
    }
    // SAFETY: a live object; GIL.
    let is_body = unsafe {
        ffi::PyUnicode_Check(value.as_ptr()) != 0 || ffi::PyBytes_Check(value.as_ptr()) != 0
    };
    match BodyBytes::new(value.clone())? {
        Some(bytes) if is_body => {
            let fields = Fields { body: Body::Bytes(bytes), status: 200, ..Fields::default() };
            Ok(body(answer(&fields)))
        }
        _ => {
            // SAFETY: a live object's type has a name; GIL.
            let name = unsafe { CStr::from_ptr((*ffi::Py_TYPE(value.as_ptr())).tp_name) };
            let message = format!(
                "the handler returned {}; return an http.Response, str or bytes",
                name.to_string_lossy()
            );
            // SAFETY: reading a static of the interpreter; GIL.
            Err(raise(unsafe { ffi::PyExc_TypeError }, &message))
        }
    }
}

/// Above this, the body is handed over rather than copied; the driver copies what is smaller.
const SHARE_FROM: usize = 16 * 1024;

fn head(fields: &Fields) -> AnswerHead<'_> {
    let content_type = match (&fields.content_type, &fields.body) {
        (Some(given), _) => (!given.is_empty()).then_some(&**given),
        (None, Body::None | Body::Protocol(_)) => None,
        (None, Body::Bytes(body)) if body.is_text() => Some(TEXT),
        (None, _) => Some(BYTES),
    };
    AnswerHead { status: fields.status, content_type, fields: &fields.lines }
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

fn local_error(error: &LocalProtocolError) -> Raised {
    super::application::raise_ours(c"LocalProtocolError", &error.to_string())
}

/// The error of a field; `who` sets those that are reserved.
fn field_error(error: &LocalProtocolError, who: &str) -> Raised {
    match error {
        LocalProtocolError::ReservedField(field) => {
            let message = format!("field {} is set by the {who}; leave it out", field.name());
            super::application::raise_ours(c"LocalProtocolError", &message)
        }
        other => local_error(other),
    }
}

fn status(args: Args<'_>) -> Outcome<u16> {
    let status = args.integer(0)?;
    if !(200..=599).contains(&status) {
        let message = format!("status is {status}, a final response has 200 to 599");
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_ValueError }, &message));
    }
    Ok(status as u16)
}

fn field_bytes(object: &Object) -> Outcome<Vec<u8>> {
    // SAFETY: a live object; the bytes are copied out of a new object; GIL.
    unsafe {
        if ffi::PyBytes_Check(object.as_ptr()) != 0 {
            let pointer = object.as_ptr();
            return Ok(Args::new(&pointer, 1).bytes(0)?.to_vec());
        }
        if ffi::PyUnicode_Check(object.as_ptr()) == 0 {
            let name = CStr::from_ptr((*ffi::Py_TYPE(object.as_ptr())).tp_name).to_string_lossy();
            let message = format!("field names and values are str or bytes, not {name}");
            return Err(raise(ffi::PyExc_TypeError, &message));
        }
        let latin = ffi::PyUnicode_AsLatin1String(object.as_ptr());
        if latin.is_null() {
            ffi::PyErr_Clear();
            let text = Object::represent(object)?;
            let message = format!("field has {text}; only characters up to U+00FF can be sent");
            return Err(super::application::raise_ours(c"LocalProtocolError", &message));
        }
        let latin = Object::owned(latin)?;
        let pointer = latin.as_ptr();
        Ok(Args::new(&pointer, 1).bytes(0)?.to_vec())
    }
}

/// `render_fields(headers) -> bytes`: the lines of a mapping or of pairs, each checked.
pub fn render_fields(headers: &Object) -> Outcome<Object> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_field(&mut lines, name, value).map_err(|error| field_error(&error, "client"))
    })?;
    Object::bytes(&lines)
}

/// The lines of interim or trailer fields, each checked.
pub fn field_lines(headers: &Object) -> Outcome<Vec<u8>> {
    let mut lines = Vec::new();
    each_pair(headers, |name, value| {
        push_field(&mut lines, name, value).map_err(|error| field_error(&error, "server"))
    })?;
    Ok(lines)
}

/// Renders the fields of a mapping, or of an iterable of pairs.
fn render(fields: &mut Fields, headers: &Object) -> Outcome<()> {
    each_pair(headers, |name, value| {
        if name.eq_ignore_ascii_case(b"content-type") {
            check_field_value(value).map_err(|error| local_error(&error))?;
            fields.content_type = Some(value.into());
            return Ok(());
        }
        if name.eq_ignore_ascii_case(b"host") {
            let message = "field host belongs to requests; a response has none";
            return Err(super::application::raise_ours(c"LocalProtocolError", message));
        }
        push_field(&mut fields.lines, name, value).map_err(|error| field_error(&error, "server"))
    })
}

fn each_pair(headers: &Object, mut take: impl FnMut(&[u8], &[u8]) -> Outcome<()>) -> Outcome<()> {
    let items = match headers.attribute(c"items") {
        Ok(items) => items.call(&[])?,
        Err(Raised) => {
            // SAFETY: GIL.
            unsafe { ffi::PyErr_Clear() };
            headers.clone()
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
            let name = field_bytes(&Object::from_borrowed(*name))?;
            let value = field_bytes(&Object::from_borrowed(*value))?;
            take(&name, &value)?;
        }
    }
}

fn fill(args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Fields> {
    args.expect("Response", 0, 2)?;
    let names = [c"body", c"status", c"headers", c"content_type"];
    let [body, code, headers, content_type] = keywords.named("Response", &names)?;
    for (position, (name, keyword)) in [("body", body), ("status", code)].iter().enumerate() {
        if args.0.len() > position && keyword.is_some() {
            let message = format!("Response() got multiple values for argument '{name}'");
            // SAFETY: reading a static of the interpreter; GIL.
            return Err(raise(unsafe { ffi::PyExc_TypeError }, &message));
        }
    }
    // SAFETY: every value lives as long as the call; GIL.
    let own = |value: *mut ffi::PyObject| unsafe { Object::from_borrowed(value) };
    let given = |index: usize, keyword: Option<*mut ffi::PyObject>| {
        args.0.get(index).copied().or(keyword).map(own).filter(|value| !value.is_none())
    };
    let mut fields = Fields { status: 200, ..Fields::default() };
    if let Some(body) = given(0, body) {
        fields.body = Body::new(body)?;
    }
    if let Some(code) = given(1, code) {
        let pointer = code.as_ptr();
        // SAFETY: the value is owned here; GIL.
        fields.status = status(unsafe { Args::new(&pointer, 1) })?;
    }
    if let Some(headers) = given(usize::MAX, headers) {
        render(&mut fields, &headers)?;
    }
    if let Some(content_type) = given(usize::MAX, content_type) {
        let value = field_bytes(&content_type)?;
        check_field_value(&value).map_err(|error| local_error(&error))?;
        fields.content_type = Some(value.into());
    }
    Ok(fields)
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

getter!(get_content_type, Response, |this| match head(&this.fields).content_type {
    Some(value) => Object::latin1(value),
    None => Ok(none()),
});

getter!(get_headers, Response, |this| {
    let head = head(&this.fields);
    let mut block = Vec::new();
    if let Some(value) = head.content_type {
        block.extend_from_slice(b"content-type: ");
        block.extend_from_slice(value);
        block.extend_from_slice(b"\r\n");
    }
    block.extend_from_slice(head.fields);
    super::request::headers_of(&block)
});

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live response.
    unsafe {
        if let Some(body) = (*object.cast::<Response>()).fields.body.object() {
            let status = visit(body.as_ptr(), argument);
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

/// `Response._upgrade(factory, status, headers)`: an answer behind which another protocol is spoken.
unsafe extern "C" fn upgrade(
    class: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: the calling convention vouches for the arguments.
        let args = unsafe { Args::new(arguments, count) };
        args.expect("_upgrade", 3, 3)?;
        let mut fields = Fields { status: args.integer(1)? as u16, ..Fields::default() };
        render(&mut fields, &args.object(2))?;
        fields.body = Body::Protocol(args.object(0));
        make(class.cast(), fields)
    })
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
                by default; '' for none."),
        )
        .methods(vec![row!(class c"_upgrade", upgrade,
            c"_upgrade(factory, status, headers): an answer behind which another protocol is spoken.")])
        .getters(&[
            (c"status", get_status, c"The status code."),
            (c"body", get_body, c"The body as bytes; what was given where it is a file or comes in pieces."),
            (c"content_type", get_content_type, c"The content type, None if there is none."),
            (c"headers", get_headers, c"The header fields, without those that the server sets."),
        ])
        .build()?;
    // SAFETY: the type is new; an exact call does not go through tuple and dict; GIL.
    unsafe {
        (*class.as_ptr().cast::<ffi::PyTypeObject>()).tp_vectorcall = Some(vectorcall);
    }
    Ok(class)
}
