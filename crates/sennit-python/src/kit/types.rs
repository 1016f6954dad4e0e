//! Type objects from tables.

use std::ffi::{CStr, c_char, c_int, c_void};

use pyo3_ffi as ffi;

use super::{Object, Outcome};

/// What a native type is made of. The tables live as long as the process.
pub struct TypeSpec {
    name: &'static CStr,
    size: usize,
    flags: u64,
    base: Option<Object>,
    slots: Vec<ffi::PyType_Slot>,
}

impl TypeSpec {
    /// A collected type whose instances have `size` bytes.
    pub fn new(name: &'static CStr, size: usize) -> Self {
        let flags = ffi::Py_TPFLAGS_DEFAULT | ffi::Py_TPFLAGS_HAVE_GC;
        TypeSpec { name, size, flags, base: None, slots: Vec::new() }
    }

    /// The type that this one extends.
    #[must_use]
    pub fn base(mut self, base: Object) -> Self {
        self.base = Some(base);
        self
    }

    /// More flags.
    #[must_use]
    pub fn flags(mut self, flags: u64) -> Self {
        self.flags |= flags;
        self
    }

    /// One slot. The function has the signature that CPython documents for it.
    #[must_use]
    pub fn slot(mut self, slot: c_int, function: *mut c_void) -> Self {
        self.slots.push(ffi::PyType_Slot { slot, pfunc: function });
        self
    }

    /// The method table.
    #[must_use]
    pub fn methods(self, mut methods: Vec<ffi::PyMethodDef>) -> Self {
        methods.push(ffi::PyMethodDef::zeroed());
        self.slot(ffi::Py_tp_methods, methods.leak().as_mut_ptr().cast())
    }

    /// Where instances keep CPython's list of weak references, in bytes from their beginning.
    #[must_use]
    pub fn weak_references(self, offset: usize) -> Self {
        let place = ffi::PyMemberDef {
            name: c"__weaklistoffset__".as_ptr(),
            type_code: ffi::Py_T_PYSSIZET,
            offset: offset as isize,
            flags: ffi::Py_READONLY,
            doc: std::ptr::null(),
        };
        let table = vec![place, ffi::PyMemberDef::default()];
        self.slot(ffi::Py_tp_members, table.leak().as_mut_ptr().cast())
    }

    /// The table of computed attributes.
    #[must_use]
    pub fn getters(self, getters: &[(&'static CStr, ffi::getter, &'static CStr)]) -> Self {
        let mut table: Vec<_> = getters
            .iter()
            .map(|(name, get, text)| ffi::PyGetSetDef {
                name: name.as_ptr(),
                get: Some(*get),
                doc: text.as_ptr(),
                ..Default::default()
            })
            .collect();
        table.push(ffi::PyGetSetDef::default());
        self.slot(ffi::Py_tp_getset, table.leak().as_mut_ptr().cast())
    }

    /// The table of attributes, some of which may be set.
    #[must_use]
    pub fn attributes(
        self,
        rows: &[(&'static CStr, ffi::getter, Option<ffi::setter>, &'static CStr)],
    ) -> Self {
        let mut table: Vec<_> = rows
            .iter()
            .map(|(name, get, set, text)| ffi::PyGetSetDef {
                name: name.as_ptr(),
                get: Some(*get),
                set: *set,
                doc: text.as_ptr(),
                ..Default::default()
            })
            .collect();
        table.push(ffi::PyGetSetDef::default());
        self.slot(ffi::Py_tp_getset, table.leak().as_mut_ptr().cast())
    }

    /// Fields of an instance that Python reads, and writes unless they are read-only, where they lie.
    #[must_use]
    pub fn members(self, rows: &[(&'static CStr, c_int, usize, c_int)]) -> Self {
        let mut table: Vec<_> = rows
            .iter()
            .map(|(name, kind, offset, flags)| ffi::PyMemberDef {
                name: name.as_ptr(),
                type_code: *kind,
                offset: *offset as isize,
                flags: *flags,
                doc: std::ptr::null(),
            })
            .collect();
        table.push(ffi::PyMemberDef::default());
        self.slot(ffi::Py_tp_members, table.leak().as_mut_ptr().cast())
    }

    /// Makes the type.
    pub fn build(mut self) -> Outcome<Object> {
        self.slots.push(ffi::PyType_Slot { slot: 0, pfunc: std::ptr::null_mut() });
        let mut spec = ffi::PyType_Spec {
            name: self.name.as_ptr(),
            basicsize: self.size as c_int,
            itemsize: 0,
            flags: self.flags as u32,
            slots: self.slots.as_mut_ptr(),
        };
        let base = self.base.as_ref().map_or(std::ptr::null_mut(), Object::as_ptr);
        // SAFETY: spec and slots outlive the call; tables and names live for ever; GIL.
        unsafe { Object::owned(ffi::PyType_FromSpecWithBases(&mut spec, base)) }
    }
}

/// The end of a collected instance whose memory is not kept: `clear` drops what it holds.
///
/// # Safety
/// `object` is dead, and its type's `tp_dealloc` has been called for it; GIL.
pub unsafe fn free(object: *mut ffi::PyObject, clear: impl FnOnce()) {
    // SAFETY: the caller vouches for the object.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        clear();
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// A docstring as CPython wants it.
pub const fn doc(text: &'static CStr) -> *mut c_void {
    text.as_ptr().cast_mut().cast()
}

/// One entry of a method table.
pub fn method(
    name: &'static CStr,
    function: ffi::PyMethodDefPointer,
    flags: c_int,
    text: &'static CStr,
) -> ffi::PyMethodDef {
    ffi::PyMethodDef {
        ml_name: name.as_ptr(),
        ml_meth: function,
        ml_flags: flags,
        ml_doc: text.as_ptr().cast::<c_char>(),
    }
}

/// Defines a method without arguments: `no_arguments!(name, Type, |this| outcome)`.
macro_rules! no_arguments {
    ($name:ident, $type:ty, |$this:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls a type's methods with instances of that type only.
            let $this: &$type = unsafe { &*slf.cast() };
            $crate::kit::guard(|| $body)
        }
    };
}

/// Defines a method with one argument: `one_argument!(name, Type, |this, argument| outcome)`.
macro_rules! one_argument {
    ($name:ident, $type:ty, |$this:ident, $argument:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut pyo3_ffi::PyObject,
            $argument: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls a type's methods with instances of that type only.
            let $this: &$type = unsafe { &*slf.cast() };
            $crate::kit::guard(|| $body)
        }
    };
}

/// Defines a method with positional arguments: `positional!(name, Type, |this, args| outcome)`.
macro_rules! positional {
    ($name:ident, $type:ty, |$this:ident, $args:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut pyo3_ffi::PyObject,
            arguments: *mut *mut pyo3_ffi::PyObject,
            count: isize,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls a type's methods with instances of that type only.
            let $this: &$type = unsafe { &*slf.cast() };
            // SAFETY: its fast-call convention vouches for the arguments.
            let $args = unsafe { $crate::kit::Args::new(arguments, count) };
            $crate::kit::guard(|| $body)
        }
    };
}

/// Defines a method with keywords: `keywords!(name, Type, |this, args, keywords| outcome)`.
macro_rules! keywords {
    ($name:ident, $type:ty, |$this:ident, $args:ident, $keywords:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut pyo3_ffi::PyObject,
            arguments: *const *mut pyo3_ffi::PyObject,
            count: isize,
            names: *mut pyo3_ffi::PyObject,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls a type's methods with instances of that type only.
            let $this: &$type = unsafe { &*slf.cast() };
            // SAFETY: its fast-call convention vouches for the arguments.
            let all = unsafe { $crate::kit::Keywords::split(arguments, count, names) };
            let ($args, $keywords) = all;
            $crate::kit::guard(|| $body)
        }
    };
}

/// Defines a computed attribute: `getter!(name, Type, |this| outcome)`.
macro_rules! getter {
    ($name:ident, $type:ty, |$this:ident| $body:expr) => {
        unsafe extern "C" fn $name(
            slf: *mut pyo3_ffi::PyObject,
            _: *mut std::ffi::c_void,
        ) -> *mut pyo3_ffi::PyObject {
            // SAFETY: CPython calls a type's getters with instances of that type only.
            let $this: &$type = unsafe { &*slf.cast() };
            $crate::kit::guard(|| $body)
        }
    };
}

/// One row of a method table: `row!(noargs c"name", function, c"doc")`.
macro_rules! row {
    (noargs $name:literal, $function:ident, $doc:literal) => {
        $crate::kit::method(
            $name,
            pyo3_ffi::PyMethodDefPointer { PyCFunction: $function },
            pyo3_ffi::METH_NOARGS,
            $doc,
        )
    };
    (one $name:literal, $function:ident, $doc:literal) => {
        $crate::kit::method(
            $name,
            pyo3_ffi::PyMethodDefPointer { PyCFunction: $function },
            pyo3_ffi::METH_O,
            $doc,
        )
    };
    (positional $name:literal, $function:ident, $doc:literal) => {
        $crate::kit::method(
            $name,
            pyo3_ffi::PyMethodDefPointer { PyCFunctionFast: $function },
            pyo3_ffi::METH_FASTCALL,
            $doc,
        )
    };
    (keywords $name:literal, $function:ident, $doc:expr) => {
        $crate::kit::method(
            $name,
            pyo3_ffi::PyMethodDefPointer { PyCFunctionFastWithKeywords: $function },
            pyo3_ffi::METH_FASTCALL | pyo3_ffi::METH_KEYWORDS,
            $doc,
        )
    };
}

pub(crate) use {getter, keywords, no_arguments, one_argument, positional, row};
