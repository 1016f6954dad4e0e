//! `Request`: offsets into the bytes of a head; Python objects are made when they are asked for.
//!
//! While its handler is called for the first time, a request points into the buffer of the connection.
//! If it lives on, the head is copied out before that buffer is used again.

use std::cell::UnsafeCell;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{BodyFailure, BodyState, Portion, Serial};
use sennit_driver::routing::{Pattern, decoded};
use sennit_wire::http1::{RequestHead, Version};

use super::application::{self, PythonConnection};
use super::{body_stream, headers, ready, request_values, writing};
use crate::globals::globals;
use crate::kit::{
    Args, Head, Keywords, Object, Outcome, Raised, TypeSpec, doc, getter, keywords, no_arguments,
    none, row, take_exception, unless_none,
};

/// Dead requests kept for reuse.
const KEPT: usize = 64;

struct FreeList(UnsafeCell<Vec<*mut ffi::PyObject>>);

// SAFETY: used under the GIL only.
unsafe impl Sync for FreeList {}

static FREE: FreeList = FreeList(UnsafeCell::new(Vec::new()));

/// Where the bytes of a head are.
enum Bytes {
    /// In the connection's buffer, for the time of the first step.
    Lent(*const u8, usize),
    Owned(Box<[u8]>),
}

/// What is read once, when it is first asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    Cookies,
    PathParams,
    QueryParams,
}

struct Fields {
    bytes: Bytes,
    method: u32,
    target: u32,
    version: Version,
    serial: Serial,
    connection: Rc<PythonConnection>,
    body: Option<Object>,
    /// What was read already, by [`Value`].
    values: [Option<Object>; 3],
    /// The pattern of the route that was taken.
    pattern: Option<Rc<Pattern>>,
    /// The view of the fields that is alive; it holds the request, not the other way round.
    headers: *mut ffi::PyObject,
    waiters: Vec<Object>,
    /// A future that waits for the next piece of the body.
    piece_waiter: Option<Object>,
    /// A future that waits until more of the answer's body is welcome.
    room_waiter: Option<Object>,
    /// A stream has begun to take the body, which nobody else can have whole any more.
    is_streamed: bool,
}

/// A request.
#[repr(C)]
pub struct Request {
    head: Head,
    fields: Option<Fields>,
}

/// Makes the request of a head, which it points to until [`Request::keep`].
#[inline]
pub fn make(
    connection: &Rc<PythonConnection>,
    serial: Serial,
    head: &RequestHead<'_, '_>,
) -> Outcome<Object> {
    let fields = Fields {
        bytes: Bytes::Lent(head.bytes.as_ptr(), head.bytes.len()),
        method: head.method.len() as u32,
        target: head.target.len() as u32,
        version: head.version,
        serial,
        connection: connection.clone(),
        body: None,
        values: [const { None }; 3],
        pattern: None,
        headers: std::ptr::null_mut(),
        waiters: Vec::new(),
        piece_waiter: None,
        room_waiter: None,
        is_streamed: false,
    };
    let class = globals().http.request_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: a kept object is dead and untracked; zeroed memory is an object without fields; the fields are written
    // before anybody sees the object; GIL.
    unsafe {
        let object = match (*FREE.0.get()).pop() {
            Some(object) => {
                ffi::PyObject_Init(object, class);
                (&raw mut (*object.cast::<Request>()).fields).write(Some(fields));
                ffi::PyObject_GC_Track(object.cast());
                object
            }
            None => {
                let object = ffi::PyObject_GC_New::<ffi::PyObject>(class);
                if object.is_null() {
                    return Err(Raised);
                }
                (&raw mut (*object.cast::<Request>()).fields).write(Some(fields));
                ffi::PyObject_GC_Track(object.cast());
                object
            }
        };
        Object::owned(object)
    }
}

impl Request {
    fn fields(&self) -> *mut Option<Fields> {
        let this: *mut Request = self.head.get().cast();
        // SAFETY: the object begins with its head; only short reads and writes are made through this.
        unsafe { &raw mut (*this).fields }
    }

    fn read<T>(&self, body: impl FnOnce(&mut Fields) -> T) -> Option<T> {
        // SAFETY: nothing that runs Python is called inside; GIL.
        unsafe { (*self.fields()).as_mut().map(body) }
    }

    /// The connection, and which of its requests this is.
    pub fn parts(&self) -> Option<(Rc<PythonConnection>, Serial)> {
        self.read(|fields| (fields.connection.clone(), fields.serial))
    }

    /// Who waits for the next piece of the body from here on; gives back who has waited before.
    pub fn wait_for_piece(&self, waiter: Option<Object>) -> Option<Object> {
        self.read(|fields| std::mem::replace(&mut fields.piece_waiter, waiter)).flatten()
    }

    /// Who waits until more of the answer is welcome; gives back who has waited before.
    pub fn wait_for_room(&self, waiter: Option<Object>) -> Option<Object> {
        self.read(|fields| std::mem::replace(&mut fields.room_waiter, waiter)).flatten()
    }

    /// The request behind an object that is one.
    pub fn of(object: &Object) -> &Request {
        // SAFETY: the caller's object is a request; GIL.
        unsafe { &*object.as_ptr().cast::<Request>() }
    }

    /// Copies the head out of the connection's buffer.
    pub fn keep(request: &Object) {
        // SAFETY: the object is a request; GIL.
        unsafe { &*request.as_ptr().cast::<Request>() }.keep_head();
    }

    fn keep_head(&self) {
        self.read(|fields| {
            if let Bytes::Lent(start, length) = fields.bytes {
                // SAFETY: the buffer is not used again before this has returned.
                let bytes = unsafe { std::slice::from_raw_parts(start, length) };
                fields.bytes = Bytes::Owned(bytes.into());
            }
        });
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: lent bytes lie still until `keep`, owned ones as long as the request; GIL.
        unsafe {
            match (*self.fields()).as_ref().map(|fields| &fields.bytes) {
                Some(Bytes::Lent(start, length)) => std::slice::from_raw_parts(*start, *length),
                Some(Bytes::Owned(bytes)) => bytes,
                None => b"",
            }
        }
    }

    /// The method, as sent.
    pub fn method(&self) -> &[u8] {
        let end = self.read(|fields| fields.method as usize).unwrap_or(0);
        self.bytes().get(..end).unwrap_or_default()
    }

    fn target(&self) -> &[u8] {
        let Some((start, length)) =
            self.read(|fields| (fields.method as usize + 1, fields.target as usize))
        else {
            return b"";
        };
        self.bytes().get(start..start + length).unwrap_or_default()
    }

    /// The field lines of the head, and the blank line that ends it.
    #[inline]
    pub fn field_lines(&self) -> &[u8] {
        let bytes = self.bytes();
        let before = self.read(|fields| fields.method as usize + 1 + fields.target as usize);
        let rest = bytes.get(before.unwrap_or(0)..).unwrap_or_default();
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(end) => &rest[end + 1..],
            None => b"",
        }
    }

    /// A view of the fields is gone.
    pub fn forget_headers(&self, headers: *mut ffi::PyObject) {
        self.read(|fields| {
            if fields.headers == headers {
                fields.headers = std::ptr::null_mut();
            }
        });
    }

    /// Path and query, without the scheme and authority of an absolute target.
    pub fn path_and_query(&self) -> (&[u8], &[u8]) {
        let mut target = self.target();
        if !target.starts_with(b"/")
            && let Some(colon) = find(target, b"://")
        {
            let behind = &target[colon + 3..];
            let end = behind.iter().position(|byte| matches!(byte, b'/' | b'?'));
            target = end.map_or(b"/", |end| &behind[end..]);
            // RFC 9110 section 4.2.3: an empty path is that of the root.
            if let Some(query) = target.strip_prefix(b"?") {
                return (b"/", query);
            }
        }
        match target.iter().position(|byte| *byte == b'?') {
            Some(mark) => (&target[..mark], &target[mark + 1..]),
            None => (target, b""),
        }
    }

    /// Whether somebody waits for the body.
    #[inline]
    pub fn is_waited_for(request: &Object) -> bool {
        // SAFETY: the object is a request; GIL.
        let this = unsafe { &*request.as_ptr().cast::<Request>() };
        this.read(|fields| !fields.waiters.is_empty() || fields.piece_waiter.is_some())
            .unwrap_or(false)
    }

    /// Tells who waits for the body that it is there, or never will be.
    pub fn settle(request: &Object) -> Outcome<()> {
        // SAFETY: the object is a request; GIL.
        let this = unsafe { &*request.as_ptr().cast::<Request>() };
        body_stream::settle(this)?;
        let waiters = this.read(|fields| std::mem::take(&mut fields.waiters)).unwrap_or_default();
        let names = &globals().names;
        for waiter in waiters {
            if Object::call_method(&names.done, &[waiter.as_ptr()])?.truth()? {
                continue;
            }
            match this.take_body() {
                Ok(body) => {
                    Object::call_method(&names.set_result, &[waiter.as_ptr(), body.as_ptr()])?
                }
                Err(Raised) => {
                    let error = take_exception();
                    Object::call_method(&names.set_exception, &[waiter.as_ptr(), error.as_ptr()])?;
                    // Nobody has to look at it: a handler may have asked and answered all the same.
                    waiter.attribute(c"exception")?.call(&[])?
                }
            };
        }
        Ok(())
    }

    /// The whole body, to be awaited; it may have `max_size` bytes, `max_body_size` by default.
    pub fn body(&self, max_size: Option<usize>) -> Outcome<Object> {
        if let Some(body) = self.body_now() {
            return ready::make(body);
        }
        self.refuse_if_streamed()?;
        let lost = || application::body_error(BodyFailure::Lost);
        let (connection, serial) = self.parts().ok_or_else(lost)?;
        let held = connection.server().application().held().ok_or_else(lost)?;
        let limit = max_size.unwrap_or(connection.server().settings().max_body_size);
        let portion = Portion::Whole(limit);
        match connection.ask_for_body(held.state()?.reactor(), serial, portion) {
            BodyState::Waiting | BodyState::Asked => {
                let future = held.event_loop().attribute(c"create_future")?.call(&[])?;
                self.read(|fields| fields.waiters.push(future.clone()));
                Ok(future)
            }
            BodyState::Complete | BodyState::Failed(_) => ready::make(self.take_body()?),
        }
    }

    /// Raises an error if a stream has begun to take the body: what it has taken would be missing, and nobody told.
    fn refuse_if_streamed(&self) -> Outcome<()> {
        match self.read(|fields| fields.is_streamed) {
            Some(true) => Err(application::raise_ours(
                c"BusyError",
                "a stream has begun to take this body; read it once, whole or by one stream()",
            )),
            _ => Ok(()),
        }
    }

    /// A stream takes its first piece; an error is set if the body is somebody else's.
    pub fn begin_stream(&self) -> Outcome<()> {
        self.refuse_if_streamed()?;
        for waiter in self.read(|fields| fields.waiters.clone()).unwrap_or_default() {
            if !body_stream::is_done(&waiter)? {
                let message = "another task is waiting for the whole of this body";
                return Err(application::raise_ours(c"BusyError", message));
            }
        }
        self.read(|fields| fields.is_streamed = true);
        Ok(())
    }

    /// The body, if it was asked for and is there.
    pub fn body_now(&self) -> Option<Object> {
        self.read(|fields| fields.body.clone()).flatten()
    }

    /// A value that was read already.
    pub fn value(&self, value: Value) -> Option<Object> {
        self.read(|fields| fields.values[value as usize].clone()).flatten()
    }

    /// Keeps a value that was read.
    pub fn remember(&self, value: Value, object: Object) {
        let before = self.read(|fields| fields.values[value as usize].replace(object));
        drop(before);
    }

    /// A router has found a route by this pattern, or none; what another one has found before is forgotten.
    #[inline]
    pub fn remember_pattern(&self, pattern: Option<Rc<Pattern>>) {
        let before = self.read(|fields| {
            let params = fields.values[Value::PathParams as usize].take();
            (std::mem::replace(&mut fields.pattern, pattern), params)
        });
        drop(before);
    }

    /// The pattern of the route that was taken.
    pub fn pattern(&self) -> Option<Rc<Pattern>> {
        self.read(|fields| fields.pattern.clone()).flatten()
    }

    /// The object itself.
    pub fn pointer(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    /// The body that is complete; an error is set for one that never will be.
    fn take_body(&self) -> Outcome<Object> {
        if let Some(body) = self.read(|fields| fields.body.clone()).flatten() {
            return Ok(body);
        }
        let lost = || application::body_error(BodyFailure::Lost);
        let (connection, serial) = self.parts().ok_or_else(lost)?;
        match connection.body(serial, |state, _| state) {
            BodyState::Failed(failure) => Err(application::body_error(failure)),
            _ => {
                let body = Object::bytes(&connection.take_body(serial))?;
                self.read(|fields| fields.body = Some(body.clone()));
                Ok(body)
            }
        }
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn ascii(bytes: &[u8]) -> Outcome<Object> {
    Object::latin1(bytes)
}

/// Percent-decodes a path; what is not UTF-8 then is replaced, as in `urllib.parse.unquote`.
pub fn decode_path(bytes: &[u8]) -> Outcome<Object> {
    if !bytes.contains(&b'%') {
        return ascii(bytes);
    }
    Object::text(&String::from_utf8_lossy(&decoded(bytes)))
}

getter!(get_method, Request, |this| {
    let method = this.method();
    let known = &globals().methods;
    match method {
        b"GET" => Ok(known.get.clone()),
        b"POST" => Ok(known.post.clone()),
        _ => ascii(method),
    }
});

getter!(get_path, Request, |this| decode_path(this.path_and_query().0));
getter!(get_raw_path, Request, |this| ascii(this.path_and_query().0));
getter!(get_query, Request, |this| ascii(this.path_and_query().1));
getter!(get_target, Request, |this| ascii(this.target()));

getter!(get_http_version, Request, |this| {
    let is_old = this.read(|fields| fields.version == Version::Http10).unwrap_or(false);
    ascii(if is_old { b"1.0" } else { b"1.1" })
});

getter!(get_client, Request, |this| {
    match this.read(|fields| fields.connection.peer()).flatten() {
        Some(address) => crate::listener::address_object(&address),
        None => Ok(none()),
    }
});

getter!(get_headers, Request, |this| {
    // SAFETY: a view that is known is alive; a live request; GIL.
    unsafe {
        match this.read(|fields| fields.headers).filter(|headers| !headers.is_null()) {
            Some(headers) => Ok(Object::from_borrowed(headers)),
            None => {
                let headers = headers::of_request(Object::from_borrowed(this.head.get()))?;
                this.read(|fields| fields.headers = headers.as_ptr());
                Ok(headers)
            }
        }
    }
});

getter!(get_path_params, Request, |this| request_values::path_params(this));
getter!(get_query_params, Request, |this| request_values::query_params(this));
getter!(get_cookies, Request, |this| request_values::cookies(this));

keywords!(body, Request, |this, args, keywords| { this.body(max_size("body", args, keywords)?) });

/// The only argument of what reads a body whole.
#[inline]
pub fn max_size(function: &str, args: Args<'_>, keywords: Keywords<'_>) -> Outcome<Option<usize>> {
    args.expect(function, 0, 0)?;
    if keywords.is_empty() {
        return Ok(None);
    }
    let [max_size] = keywords.bind(function, args, 0, &[c"max_size"])?.map(unless_none);
    let Some(max_size) = max_size else { return Ok(None) };
    let pointer = max_size.as_ptr();
    // SAFETY: the value is owned here; GIL.
    let max_size = unsafe { Args::new(&pointer, 1) }.integer(0)?;
    Ok(Some(usize::try_from(max_size).unwrap_or(0)))
}

getter!(get_max_body_size, Request, |this| {
    let limit = this.read(|fields| fields.connection.server().settings().max_body_size);
    Object::integer(i64::try_from(limit.unwrap_or(0)).unwrap_or(i64::MAX))
});

no_arguments!(count_too_large, Request, |this| {
    this.read(|fields| fields.connection.server().application().count_too_large());
    Ok(none())
});

no_arguments!(stream, Request, |this| {
    this.refuse_if_streamed()?;
    // SAFETY: the method's own object, which is live; GIL.
    body_stream::make(unsafe { Object::from_borrowed(this.head.get()) })
});

getter!(get_scheme, Request, |this| {
    let has_tls = this.read(|fields| fields.connection.has_tls()).unwrap_or(false);
    ascii(if has_tls { b"https" } else { b"http" })
});

no_arguments!(tls_details, Request, |this| {
    match this.read(|fields| fields.connection.tls_details()).flatten() {
        Some(details) => crate::tls::details_object(&details),
        None => Ok(none()),
    }
});

unsafe extern "C" fn represent(object: *mut ffi::PyObject) -> *mut ffi::PyObject {
    crate::kit::guard(|| {
        // SAFETY: CPython calls with a live request.
        let this = unsafe { &*object.cast::<Request>() };
        let method = String::from_utf8_lossy(this.method());
        let target = String::from_utf8_lossy(this.target());
        Object::text(&format!("<sennit.http.Request {method} {target}>"))
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live request.
    unsafe {
        if let Some(fields) = (*object.cast::<Request>()).fields.as_ref() {
            let waiters =
                fields.piece_waiter.iter().chain(&fields.room_waiter).chain(&fields.waiters);
            let own = fields.body.iter().chain(fields.values.iter().flatten());
            for value in own.chain(waiters) {
                let status = visit(value.as_ptr(), argument);
                if status != 0 {
                    return status;
                }
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: what is taken out is dropped when the object is consistent again; GIL.
    let dropped = unsafe {
        (*(*object.cast::<Request>()).fields()).as_mut().map(|fields| {
            let waiters = (fields.piece_waiter.take(), fields.room_waiter.take());
            let own = (fields.body.take(), std::mem::take(&mut fields.values));
            (own, waiters, std::mem::take(&mut fields.waiters))
        })
    };
    drop(dropped);
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead request, whose memory is kept.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let fields = std::ptr::replace((*object.cast::<Request>()).fields(), None);
        drop(fields);
        let class = ffi::Py_TYPE(object);
        let free = &mut *FREE.0.get();
        if free.len() < KEPT {
            free.push(object);
        } else {
            ffi::PyObject_GC_Del(object.cast());
        }
        ffi::Py_DECREF(class.cast());
    }
}

fn methods() -> Vec<ffi::PyMethodDef> {
    let mut rows = vec![
        row!(keywords c"body", body,
            c"body($self, *, max_size=None)\n--\n\nThe whole body as bytes; to be awaited.\n\n\
              max_size: bytes that it may have; the server's max_body_size by default."),
        row!(noargs c"stream", stream,
            c"stream($self)\n--\n\nThe body piece by piece, for `async for`. Nothing is read from the \
              connection that nobody asks for, so a slow handler slows its client.\n\n\
              Raises BusyError once a stream has begun to take the body: a body is read once."),
        row!(noargs c"_tls_details", tls_details, c"What TLS has agreed upon, None without it."),
        row!(noargs c"_count_too_large", count_too_large, c"Count a body that Python has refused for its size."),
    ];
    rows.extend(request_values::rows());
    rows.extend(writing::rows());
    rows
}

/// `core.Request`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Request", size_of::<Request>())
        .flags(ffi::Py_TPFLAGS_DISALLOW_INSTANTIATION)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_repr, represent as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A request as its handler gets it."))
        .getters(&[
            (c"method", get_method, c"The method, as sent: GET, POST, ..."),
            (c"path", get_path, c"The path, percent-decoded."),
            (c"raw_path", get_raw_path, c"The path, as sent."),
            (c"query", get_query, c"What stands behind the question mark, as sent."),
            (c"target", get_target, c"The whole request target, as sent (RFC 9112 section 3.2)."),
            (c"http_version", get_http_version, c"1.0 or 1.1."),
            (c"scheme", get_scheme, c"https over TLS, http without."),
            (c"client", get_client, c"The peer's address, None where it has no IP."),
            (c"headers", get_headers, c"The header fields."),
            (
                c"path_params",
                get_path_params,
                c"What the path has for the parameters of its route, decoded: a dict.",
            ),
            (
                c"query_params",
                get_query_params,
                c"The query as an http.Values: the first of each name, get_all(name) for all.",
            ),
            (c"cookies", get_cookies, c"The cookies: a dict, the first of each name."),
            (c"_max_body_size", get_max_body_size, c"Bytes: the server's limit for a whole body."),
        ])
        .methods(methods())
        .build()
}
