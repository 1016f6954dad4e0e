//! The arguments of a native function.

use std::ffi::CStr;

use pyo3_ffi as ffi;

use super::{Object, Outcome, Raised, raise};

/// Positional arguments, borrowed from the caller.
#[derive(Clone, Copy)]
pub struct Args<'a>(pub &'a [*mut ffi::PyObject]);

impl<'a> Args<'a> {
    /// # Safety
    /// As CPython's fast-call convention hands them over.
    #[inline]
    pub unsafe fn new(arguments: *const *mut ffi::PyObject, count: isize) -> Self {
        if count == 0 {
            return Args(&[]);
        }
        // SAFETY: the caller vouches for pointer and count.
        Args(unsafe { std::slice::from_raw_parts(arguments, count as usize) })
    }

    /// Refuses a wrong number of arguments.
    pub fn expect(&self, name: &str, least: usize, most: usize) -> Outcome<()> {
        let count = self.0.len();
        if (least..=most).contains(&count) {
            return Ok(());
        }
        let wanted = if least == most { format!("{least}") } else { format!("{least} to {most}") };
        let message =
            format!("{name}() takes {wanted} positional arguments but {count} were given");
        // SAFETY: reading a static of the interpreter; GIL.
        Err(raise(unsafe { ffi::PyExc_TypeError }, &message))
    }

    /// Argument number `index`; counts a reference.
    #[inline]
    pub fn object(&self, index: usize) -> Object {
        // SAFETY: the caller of the native function keeps its arguments alive; GIL.
        unsafe { Object::from_borrowed(self.0[index]) }
    }

    /// Argument number `index` unless it is missing or `None`.
    pub fn optional(&self, index: usize) -> Option<Object> {
        (index < self.0.len()).then(|| self.object(index)).filter(|object| !object.is_none())
    }

    /// Argument number `index` as an integer.
    pub fn integer(&self, index: usize) -> Outcome<i64> {
        // SAFETY: the argument is live; GIL.
        let value = unsafe { ffi::PyLong_AsLongLong(self.0[index]) };
        if value == -1 && raised() { Err(Raised) } else { Ok(value) }
    }

    /// Argument number `index` as a float.
    pub fn float(&self, index: usize) -> Outcome<f64> {
        // SAFETY: the argument is live; GIL.
        let value = unsafe { ffi::PyFloat_AsDouble(self.0[index]) };
        if value == -1.0 && raised() { Err(Raised) } else { Ok(value) }
    }

    /// Argument number `index`, which is a `str`, as UTF-8 that lives as long as the argument.
    pub fn text(&self, index: usize) -> Outcome<&'a str> {
        let mut length = 0;
        // SAFETY: the argument is live; CPython keeps the UTF-8 form with the string; GIL.
        unsafe {
            let start = ffi::PyUnicode_AsUTF8AndSize(self.0[index], &mut length);
            if start.is_null() {
                return Err(Raised);
            }
            let bytes = std::slice::from_raw_parts(start.cast::<u8>(), length as usize);
            Ok(std::str::from_utf8_unchecked(bytes))
        }
    }

    /// Argument number `index`, which is `bytes`.
    pub fn bytes(&self, index: usize) -> Outcome<&'a [u8]> {
        let (mut start, mut length) = (std::ptr::null_mut(), 0);
        // SAFETY: the argument is live and bytes do not change; GIL.
        unsafe {
            if ffi::PyBytes_AsStringAndSize(self.0[index], &mut start, &mut length) < 0 {
                return Err(Raised);
            }
            Ok(std::slice::from_raw_parts(start.cast::<u8>(), length as usize))
        }
    }
}

fn raised() -> bool {
    // SAFETY: no pointers; GIL.
    unsafe { !ffi::PyErr_Occurred().is_null() }
}

/// Keyword arguments of a fast call: names in a tuple, values behind the positional ones.
#[derive(Clone, Copy)]
pub struct Keywords<'a> {
    names: &'a [*mut ffi::PyObject],
    values: &'a [*mut ffi::PyObject],
}

impl<'a> Keywords<'a> {
    /// Splits the arguments of a fast call.
    ///
    /// # Safety
    /// As CPython's fast-call convention hands them over.
    #[inline]
    pub unsafe fn split(
        arguments: *const *mut ffi::PyObject,
        count: isize,
        names: *mut ffi::PyObject,
    ) -> (Args<'a>, Self) {
        // SAFETY: the caller vouches for all three.
        unsafe {
            if names.is_null() {
                return (Args::new(arguments, count), Keywords { names: &[], values: &[] });
            }
            let names = super::borrowed_slice(names);
            let values = std::slice::from_raw_parts(arguments.offset(count), names.len());
            (Args::new(arguments, count), Keywords { names, values })
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.names.is_empty()
    }

    /// No keywords.
    pub const NONE: Keywords<'static> = Keywords { names: &[], values: &[] };

    /// All of them in a dict.
    pub fn to_dict(self) -> Outcome<Object> {
        // SAFETY: a new dict counts the live names and values; GIL.
        unsafe {
            let dict = Object::owned(ffi::PyDict_New())?;
            for (name, value) in self.names.iter().zip(self.values) {
                if ffi::PyDict_SetItem(dict.as_ptr(), *name, *value) < 0 {
                    return Err(Raised);
                }
            }
            Ok(dict)
        }
    }

    /// Calls a function with positional arguments and these.
    pub fn call(self, function: &Object, mut all: Vec<*mut ffi::PyObject>) -> Outcome<Object> {
        if self.names.is_empty() {
            return function.call(&all);
        }
        let count = all.len();
        all.extend_from_slice(self.values);
        // SAFETY: a new tuple counts the live names; the values live as long as the call; GIL.
        unsafe {
            let names = Object::owned(ffi::PyTuple_New(self.names.len() as isize))?;
            for (index, name) in self.names.iter().enumerate() {
                let name = Object::from_borrowed(*name).into_ptr();
                ffi::PyTuple_SET_ITEM(names.as_ptr(), index as isize, name);
            }
            Object::owned(super::vectorcall(function.as_ptr(), all.as_ptr(), count, names.as_ptr()))
        }
    }

    /// The only keyword that a function knows: its value unless `None`. Others are refused.
    #[inline]
    pub fn only(&self, function: &str, name: &Object) -> Outcome<Option<*mut ffi::PyObject>> {
        let mut found = None;
        for (given, value) in self.names.iter().zip(self.values) {
            // SAFETY: both are live strings; GIL.
            let same = *given == name.as_ptr()
                || unsafe { ffi::PyUnicode_Compare(*given, name.as_ptr()) == 0 };
            if !same {
                // SAFETY: reading a static of the interpreter; GIL.
                let class = unsafe { ffi::PyExc_TypeError };
                // SAFETY: the name is a live string; GIL.
                let given = unsafe { Args::new(given, 1) };
                let text = given.text(0).unwrap_or("?");
                let message = format!("{function}() got an unexpected keyword argument '{text}'");
                return Err(raise(class, &message));
            }
            // SAFETY: comparing with the address of a static.
            if *value != unsafe { ffi::Py_None() } {
                found = Some(*value);
            }
        }
        Ok(found)
    }

    /// The values of the keywords that a function knows, in the order of `names`.
    pub fn named<const COUNT: usize>(
        &self,
        function: &str,
        names: &[&CStr; COUNT],
    ) -> Outcome<[Option<*mut ffi::PyObject>; COUNT]> {
        let mut found = [None; COUNT];
        for (given, value) in self.names.iter().zip(self.values) {
            // SAFETY: the name is a live string; GIL.
            let given = unsafe { Args::new(given, 1) }.text(0)?;
            let index = names.iter().position(|name| name.to_bytes() == given.as_bytes());
            let Some(index) = index else {
                let message = format!("{function}() got an unexpected keyword argument '{given}'");
                // SAFETY: reading a static of the interpreter; GIL.
                return Err(raise(unsafe { ffi::PyExc_TypeError }, &message));
            };
            found[index] = Some(*value);
        }
        Ok(found)
    }

    /// The values of a function's parameters in the order of `names`, of which the first `positional` may come without
    /// a name.
    pub fn bind<const COUNT: usize>(
        &self,
        function: &str,
        args: Args<'_>,
        positional: usize,
        names: &[&CStr; COUNT],
    ) -> Outcome<[Option<Object>; COUNT]> {
        args.expect(function, 0, positional)?;
        let mut found = self.named(function, names)?;
        for (index, value) in args.0.iter().enumerate() {
            if found[index].replace(*value).is_some() {
                let name = names[index].to_string_lossy();
                let message = format!("{function}() got multiple values for argument '{name}'");
                // SAFETY: reading a static of the interpreter; GIL.
                return Err(raise(unsafe { ffi::PyExc_TypeError }, &message));
            }
        }
        // SAFETY: every value lives as long as the call; GIL.
        let own = |value: *mut ffi::PyObject| unsafe { Object::from_borrowed(value) };
        Ok(found.map(|value| value.map(own)))
    }
}

/// An argument for which `None` is as good as nothing.
pub fn unless_none(value: Option<Object>) -> Option<Object> {
    value.filter(|value| !value.is_none())
}
