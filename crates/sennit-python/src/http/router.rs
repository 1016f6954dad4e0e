//! `core.Router`: a handler that finds another one for each request, and calls it.
//!
//! Calling it is one search in the driver's table and the call of what was found, whose result is given back as it is: a
//! response, or a coroutine for the caller to step. The request only remembers the pattern that it has matched. What
//! finds no route is the affair of the Python half, its method `_missed`.

use std::cell::RefCell;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::routing::{Pattern, Table};

use super::application::raise_ours;
use super::request::Request;
use crate::globals::globals;
use crate::kit::{
    Args, Head, Object, Outcome, Raised, TypeSpec, doc, free, getter, guard, no_arguments, none,
    one_argument, positional, raise, row,
};

struct Route {
    pattern: Rc<Pattern>,
    handler: Object,
}

#[repr(C)]
struct Router {
    head: Head,
    /// `None` in memory that was only zeroed, and after the collector's `clear`.
    table: RefCell<Option<Box<Table<Route>>>>,
}

/// Whether an object is a router whose class calls it as this file does: then [`route`] may be called with it.
pub fn is_router(object: &Object) -> bool {
    let class = globals().http.router_type.as_ptr().cast::<ffi::PyTypeObject>();
    // SAFETY: a live object and a live type; GIL.
    unsafe {
        let own = ffi::Py_TYPE(object.as_ptr());
        ffi::PyType_IsSubtype(own, class) != 0
            && (*own).tp_call.map(|call| call as usize)
                == (*class).tp_call.map(|call| call as usize)
    }
}

/// Finds the handler of a request and calls it.
///
/// # Safety
/// [`is_router`] has said yes to the first object, and the second one is live.
#[inline]
pub unsafe fn route(router: &Object, request: *mut ffi::PyObject) -> Outcome<Object> {
    // SAFETY: the caller vouches for the type.
    let this = unsafe { &*router.as_ptr().cast::<Router>() };
    // SAFETY: a live object's type is compared; GIL.
    if unsafe { ffi::Py_TYPE(request) }.cast() != globals().http.request_type.as_ptr() {
        return Err(wrong_request(request));
    }
    // SAFETY: its type was looked at; GIL.
    let asked = unsafe { &*request.cast::<Request>() };
    // The borrow ends before Python is called: a handler may add routes.
    let found = this.table.borrow().as_ref().and_then(|table| {
        let route = table.get(table.find(asked.method(), asked.path_and_query().0)?)?;
        Some((route.pattern.clone(), route.handler.clone()))
    });
    let Some((pattern, handler)) = found else { return missed(router, asked) };
    asked.remember_pattern(Some(pattern));
    handler.call(&[request])
}

#[cold]
fn wrong_request(request: *mut ffi::PyObject) -> Raised {
    // SAFETY: a live object, whose type has a name; GIL.
    unsafe {
        let name = std::ffi::CStr::from_ptr((*ffi::Py_TYPE(request)).tp_name).to_string_lossy();
        let message = format!("a router is called with an http.Request, not with {name}");
        raise(ffi::PyExc_TypeError, &message)
    }
}

/// Whoever extends the type says what becomes of a request without a route: `_missed(request)`.
#[cold]
fn missed(router: &Object, request: &Request) -> Outcome<Object> {
    request.remember_pattern(None);
    let name = &globals().names._missed;
    Object::call_method(name, &[router.as_ptr(), request.pointer()])
}

/// A tuple of strings.
fn names<'a>(texts: impl Iterator<Item = &'a str>) -> Outcome<Object> {
    let texts = texts.map(Object::text).collect::<Outcome<Vec<_>>>()?;
    // SAFETY: a new tuple takes a reference to each text; GIL.
    unsafe {
        let tuple = Object::owned(ffi::PyTuple_New(texts.len() as isize))?;
        for (index, text) in texts.into_iter().enumerate() {
            ffi::PyTuple_SetItem(tuple.as_ptr(), index as isize, text.into_ptr());
        }
        Ok(tuple)
    }
}

fn wrong(error: &dyn std::error::Error) -> Raised {
    raise_ours(c"ConfigError", &error.to_string())
}

// _add_route(pattern, methods, handler) -> int
positional!(add_route, Router, |this, args| {
    args.expect("_add_route", 3, 3)?;
    let pattern = Pattern::parse(args.text(0)?).map_err(|error| wrong(&error))?;
    // SAFETY: a live argument; the list or tuple is owned here; GIL.
    let methods = unsafe {
        let text = c"methods must be a sequence of str".as_ptr();
        Object::owned(ffi::PySequence_Tuple(args.0[1])).inspect_err(|Raised| {
            ffi::PyErr_SetString(ffi::PyExc_TypeError, text);
        })?
    };
    // SAFETY: the tuple is owned for the whole call; GIL.
    let methods = Args(unsafe { crate::kit::borrowed_slice(methods.as_ptr()) });
    let methods: Vec<&str> =
        (0..methods.0.len()).map(|index| methods.text(index)).collect::<Outcome<_>>()?;
    let pattern = Rc::new(pattern);
    let route = Route { pattern: pattern.clone(), handler: args.object(2) };
    let added = match this.table.borrow_mut().as_mut() {
        Some(table) => table.add(&pattern, &methods, route),
        None => Ok(0),
    };
    Object::integer(added.map_err(|error| wrong(&error))? as i64)
});

// _set_handler(number, handler)
positional!(set_handler, Router, |this, args| {
    args.expect("_set_handler", 2, 2)?;
    let number = usize::try_from(args.integer(0)?).unwrap_or(usize::MAX);
    let mut handler = args.object(1);
    if let Some(route) = this.table.borrow_mut().as_mut().and_then(|table| table.get_mut(number)) {
        std::mem::swap(&mut route.handler, &mut handler);
    }
    // What was there before is dropped behind the borrow.
    drop(handler);
    Ok(none())
});

/// A path as a request shows it, as it was sent.
fn sent(raw_path: *mut ffi::PyObject) -> Outcome<Vec<u8>> {
    // SAFETY: a live argument; GIL.
    let path = unsafe { Object::owned(ffi::PyUnicode_AsLatin1String(raw_path))? };
    let pointer = path.as_ptr();
    // SAFETY: the bytes are owned here; GIL.
    unsafe { Args::new(&pointer, 1) }.bytes(0).map(<[u8]>::to_vec)
}

// _find(method, raw_path) -> int | None
positional!(find, Router, |this, args| {
    args.expect("_find", 2, 2)?;
    let (method, path) = (args.text(0)?, sent(args.0[1])?);
    let table = this.table.borrow();
    let number = table.as_ref().and_then(|table| table.find(method.as_bytes(), &path));
    number.map_or_else(|| Ok(none()), |number| Object::integer(number as i64))
});

// _allowed(raw_path) -> tuple[str, ...]
one_argument!(allowed, Router, |this, raw_path| {
    let path = sent(raw_path)?;
    let table = this.table.borrow();
    names(table.as_ref().map(|table| table.allowed(&path)).unwrap_or_default().into_iter())
});

no_arguments!(methods, Router, |this| {
    let table = this.table.borrow();
    let methods = table.as_ref().map(|table| table.methods()).unwrap_or_default();
    names(methods.iter().map(|method| &**method))
});

getter!(handles_connect, Router, |this| {
    let table = this.table.borrow();
    let methods = table.as_ref().map(|table| table.methods()).unwrap_or_default();
    Ok(Object::boolean(methods.iter().any(|method| &**method == "CONNECT")))
});

unsafe extern "C" fn call(
    this: *mut ffi::PyObject,
    arguments: *mut ffi::PyObject,
    keywords: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live router, a tuple, and a dict or null; GIL.
        unsafe {
            if !keywords.is_null() && ffi::PyDict_Size(keywords) > 0 {
                let message = "a router is called with a request and nothing else";
                return Err(raise(ffi::PyExc_TypeError, message));
            }
            let args = Args(crate::kit::borrowed_slice(arguments));
            args.expect("Router.__call__", 1, 1)?;
            route(&Object::from_borrowed(this), args.0[0])
        }
    })
}

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live class, whose allocator gives zeroed memory; the field is written before
        // anybody sees the object; GIL.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<Router>();
            (&raw mut (*this).table).write(RefCell::new(Some(Box::default())));
            Ok(object)
        }
    })
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live object; zeroed memory is a cell that holds nothing.
    unsafe {
        if let Ok(table) = (*object.cast::<Router>()).table.try_borrow()
            && let Some(table) = table.as_ref()
        {
            for route in table.values() {
                let status = visit(route.handler.as_ptr(), argument);
                if status != 0 {
                    return status;
                }
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: the collector calls with a live object; the table is dropped after it was taken out; GIL.
    let taken = unsafe { (*object.cast::<Router>()).table.take() };
    drop(taken);
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead object.
    unsafe {
        free(object, || {
            clear(object);
        });
    }
}

/// `core.Router`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.Router", size_of::<Router>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_call, call as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(
            ffi::Py_tp_doc,
            doc(c"A handler that finds another one for each request, and calls it."),
        )
        .getters(&[(
            c"handles_connect",
            handles_connect,
            c"Whether a route takes CONNECT: a server lets it through then.",
        )])
        .methods(vec![
            row!(positional c"_add_route", add_route,
                c"_add_route(pattern, methods, handler): its number; no methods are any method."),
            row!(positional c"_set_handler", set_handler,
                c"_set_handler(number, handler): another handler for a route."),
            row!(positional c"_find", find,
                c"_find(method, raw_path): the number of the route, None if there is none."),
            row!(one c"_allowed", allowed,
                c"_allowed(raw_path): the methods of all routes that a path could take."),
            row!(noargs c"_methods", methods, c"Every method that some route has."),
        ])
        .build()
}
