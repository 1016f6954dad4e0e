//! The methods of `Headers`: what a mapping has, and the writing to those of a response.

use std::borrow::Cow;

use pyo3_ffi as ffi;
use sennit_wire::http1::{FieldLines, remove_field};

use super::fields::{FieldBlock, Refused, is_content_type, render, with_bytes};
use super::headers::{self, Headers, block_of, missing};
use super::response::Response;
use crate::kit::{
    Args, Object, Outcome, Raised, guard, no_arguments, none, one_argument, positional, row,
};

positional!(get, Headers, |this, args| {
    args.expect("get", 1, 2)?;
    match this.value(args.0[0])? {
        Some(value) => Ok(value),
        None => Ok(args.0.get(1).map_or_else(none, |_| args.object(1))),
    }
});

one_argument!(get_all, Headers, |this, name| list_of(&this.values_of(name)));

fn list_of(values: &[Vec<u8>]) -> Outcome<Object> {
    // SAFETY: a new list takes its own references; GIL.
    unsafe {
        let list = Object::owned(ffi::PyList_New(0))?;
        for value in values {
            let value = Object::latin1(value)?;
            if ffi::PyList_Append(list.as_ptr(), value.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        Ok(list)
    }
}

no_arguments!(items, Headers, |this| this.snapshot().pairs());
no_arguments!(keys, Headers, |this| collections(c"KeysView")?.call(&[this.pointer()]));
no_arguments!(values, Headers, |this| collections(c"ValuesView")?.call(&[this.pointer()]));

no_arguments!(reduce, Headers, |this| {
    // SAFETY: live objects, which the tuples count; GIL.
    unsafe {
        let class: *mut ffi::PyObject = ffi::Py_TYPE(this.pointer()).cast();
        let arguments = Object::owned(ffi::PyTuple_Pack(1, this.snapshot().pairs()?.as_ptr()))?;
        Object::owned(ffi::PyTuple_Pack(2, class, arguments.as_ptr()))
    }
});

fn collections(name: &std::ffi::CStr) -> Outcome<Object> {
    Object::import(c"collections.abc")?.attribute(name)
}

/// What headers are compared with: another's dict, or a mapping's; `None` for anything else.
pub fn dict_of(other: &Object) -> Outcome<Option<Object>> {
    if let Some(block) = block_of(other) {
        return block.dict().map(Some);
    }
    // SAFETY: live objects, and a new dict; GIL.
    unsafe {
        if ffi::PyDict_Check(other.as_ptr()) != 0 {
            return Ok(Some(other.clone()));
        }
        if !crate::globals::is_instance(other.as_ptr(), &collections(c"Mapping")?)? {
            return Ok(None);
        }
        let dict = Object::owned(ffi::PyDict_New())?;
        match ffi::PyDict_Update(dict.as_ptr(), other.as_ptr()) {
            0 => Ok(Some(dict)),
            _ => Err(Raised),
        }
    }
}

/// Changes the fields of a response; the error is raised when nothing is borrowed any more.
fn change<T>(
    this: &Headers,
    body: impl FnOnce(&mut FieldBlock) -> Result<T, Refused>,
) -> Outcome<T> {
    let response = this.response()?;
    Response::of(&response).change(body).map_err(|refused| refused.raise("server"))
}

/// Puts a field in the place of all others of its name.
fn set(block: &mut FieldBlock, name: &[u8], value: &[u8]) -> Result<(), Refused> {
    let mut line = FieldBlock::default();
    line.push(name, value)?;
    if line.content_type.is_some() {
        block.content_type = line.content_type;
        return Ok(());
    }
    let place = remove_field(&mut block.lines, name).unwrap_or(block.lines.len());
    block.lines.splice(place..place, line.lines);
    Ok(())
}

/// `headers[name] = value`, `del headers[name]`.
pub fn assign(this: &Headers, name: *mut ffi::PyObject, value: *mut ffi::PyObject) -> Outcome<()> {
    if !value.is_null() {
        return with_bytes(name, |name| {
            with_bytes(value, |value| change(this, |block| set(block, name, value)))
        });
    }
    match remove(this, name)? {
        true => Ok(()),
        false => Err(missing(name)),
    }
}

/// Takes every field of a name out; false if there is none.
fn remove(this: &Headers, name: *mut ffi::PyObject) -> Outcome<bool> {
    let response = this.response()?;
    let was_there = this.value(name)?.is_some();
    with_bytes(name, |name| {
        Response::of(&response).change(|block| {
            if is_content_type(name) {
                block.content_type = Some(Cow::Borrowed(b""));
            } else {
                remove_field(&mut block.lines, name);
            }
        });
        Ok(was_there)
    })
}

positional!(add, Headers, |this, args| {
    args.expect("add", 2, 2)?;
    with_bytes(args.0[0], |name| {
        with_bytes(args.0[1], |value| change(this, |block| block.push(name, value)))
    })?;
    Ok(none())
});

positional!(setdefault, Headers, |this, args| {
    args.expect("setdefault", 2, 2)?;
    drop(this.response()?);
    match this.value(args.0[0])? {
        Some(value) => Ok(value),
        None => {
            assign(this, args.0[0], args.0[1])?;
            Ok(args.object(1))
        }
    }
});

positional!(pop, Headers, |this, args| {
    args.expect("pop", 1, 2)?;
    drop(this.response()?);
    match this.value(args.0[0])? {
        Some(value) => {
            remove(this, args.0[0])?;
            Ok(value)
        }
        None if args.0.len() > 1 => Ok(args.object(1)),
        None => Err(missing(args.0[0])),
    }
});

one_argument!(update, Headers, |this, given| {
    drop(this.response()?);
    // All are checked before one is written.
    // SAFETY: a live argument; GIL.
    let given = unsafe { Object::from_borrowed(given) };
    let given = render(&given)?;
    change(this, |block| {
        if given.content_type.is_some() {
            block.content_type = given.content_type;
        }
        for (name, _) in FieldLines::new(&given.lines) {
            remove_field(&mut block.lines, name);
        }
        block.lines.extend_from_slice(&given.lines);
        Ok(())
    })?;
    Ok(none())
});

unsafe extern "C" fn parse(_: *mut ffi::PyObject, block: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython keeps the argument alive for the call; GIL.
    guard(|| headers::of_block(unsafe { Args::new(&block, 1) }.bytes(0)?))
}

/// The method table.
pub fn table() -> Vec<ffi::PyMethodDef> {
    let mut parse = row!(one c"parse", parse,
        c"parse(block, /)\n--\n\nThe fields of a block of lines as they were received, read-only.\n\n\
          What has no colon is left out; nothing else is checked.");
    parse.ml_flags |= ffi::METH_CLASS;
    vec![
        parse,
        row!(positional c"get", get,
            c"get($self, name, default=None, /)\n--\n\nThe value of a field, several of one name joined; the default if there is none."),
        row!(one c"get_all", get_all,
            c"get_all($self, name, /)\n--\n\nEvery value of one name, in order; empty if there is none."),
        row!(noargs c"items", items,
            c"items($self, /)\n--\n\nEvery line, repeated ones too: a list of (name in lower case, value)."),
        row!(noargs c"keys", keys, c"keys($self, /)\n--\n\nThe names in lower case, each once."),
        row!(noargs c"values", values,
            c"values($self, /)\n--\n\nThe values in the order of `keys`, several of one name joined."),
        row!(positional c"add", add,
            c"add($self, name, value, /)\n--\n\nAdd a field beside others of its name; there is one content-type at most."),
        row!(positional c"setdefault", setdefault,
            c"setdefault($self, name, value, /)\n--\n\nSet a field unless it is there; its value."),
        row!(positional c"pop", pop,
            c"pop($self, name, default=..., /)\n--\n\nRemove every field of a name; the value."),
        row!(one c"update", update,
            c"update($self, fields, /)\n--\n\nPut fields in the place of those of the same names."),
        row!(noargs c"__reduce__", reduce, c"For copy and pickle: a copy is read-only."),
    ]
}
