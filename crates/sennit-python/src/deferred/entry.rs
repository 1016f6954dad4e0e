//! One thing that waits in a chain: four words, because a million of them may wait at once.

use pyo3_ffi as ffi;

use crate::kit::{Object, none};

/// Callback and errback, somebody who awaits, or another Deferred that gets this one's result.
///
/// | | first | second | arguments | context |
/// | --- | --- | --- | --- | --- |
/// | call | callback or nothing | errback or nothing | nothing, a tuple, or a list: tuple, dict, in debug mode the place | set |
/// | wake | done callback | its loop | `Ellipsis` | set |
/// | move on | the waiting Deferred | | | nothing |
/// | fire | another Deferred | `None` | | nothing |
pub struct Entry {
    first: Option<Object>,
    second: Option<Object>,
    arguments: Option<Object>,
    context: Option<Object>,
}

/// What an entry is.
pub enum Kind<'a> {
    Call {
        callback: Option<&'a Object>,
        errback: Option<&'a Object>,
        arguments: Option<&'a Object>,
        context: &'a Object,
    },
    Wake {
        function: &'a Object,
        event_loop: &'a Object,
        context: &'a Object,
    },
    /// Another chain waits for the result.
    MoveOn(&'a Object),
    /// Another Deferred is to be fired with the result.
    Fire(&'a Object),
    Nothing,
}

fn ellipsis() -> *mut ffi::PyObject {
    // SAFETY: the address of a static.
    unsafe { ffi::Py_Ellipsis() }
}

impl Entry {
    /// A step of the chain.
    #[inline]
    pub fn call(
        callback: Option<Object>,
        errback: Option<Object>,
        arguments: Option<Object>,
        context: Object,
    ) -> Self {
        Entry { first: callback, second: errback, arguments, context: Some(context) }
    }

    /// Somebody to be told through a loop.
    pub fn wake(function: Object, event_loop: Object, context: Object) -> Self {
        // SAFETY: a static of the interpreter; GIL.
        let mark = unsafe { Object::from_borrowed(ellipsis()) };
        Entry {
            first: Some(function),
            second: Some(event_loop),
            arguments: Some(mark),
            context: Some(context),
        }
    }

    /// A Deferred whose chain goes on with this one's result.
    pub fn move_on(waiting: Object) -> Self {
        Entry { first: Some(waiting), second: None, arguments: None, context: None }
    }

    /// A Deferred that is fired with this one's result.
    pub fn fire(other: Object) -> Self {
        Entry { first: Some(other), second: Some(none()), arguments: None, context: None }
    }

    /// What it is.
    #[inline]
    pub fn kind(&self) -> Kind<'_> {
        let Some(context) = &self.context else {
            return match (&self.first, &self.second) {
                (Some(other), Some(_)) => Kind::Fire(other),
                (Some(waiting), None) => Kind::MoveOn(waiting),
                (None, _) => Kind::Nothing,
            };
        };
        if let (Some(mark), Some(function), Some(event_loop)) =
            (&self.arguments, &self.first, &self.second)
            && mark.as_ptr() == ellipsis()
        {
            return Kind::Wake { function, event_loop, context };
        }
        Kind::Call {
            callback: self.first.as_ref(),
            errback: self.second.as_ref(),
            arguments: self.arguments.as_ref(),
            context,
        }
    }

    /// In debug mode: where the callback was added.
    pub fn place(&self) -> Option<Object> {
        let arguments = self.arguments.as_ref()?;
        // SAFETY: a live object, whose type and size are checked; GIL.
        unsafe {
            let list = arguments.as_ptr();
            let has_place = ffi::PyList_CheckExact(list) != 0 && ffi::PyList_GET_SIZE(list) == 3;
            has_place.then(|| Object::from_borrowed(ffi::PyList_GetItem(list, 2)))
        }
    }

    /// What it holds, for the collector.
    pub fn held(&self) -> impl Iterator<Item = &Object> {
        [&self.first, &self.second, &self.arguments, &self.context].into_iter().flatten()
    }
}
