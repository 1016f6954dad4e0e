//! Settings out of dicts, counters into them.

use pyo3_ffi as ffi;
use sennit_engine::clock::Nanos;

use crate::kit::{Args, Object, Outcome, Raised};

/// The number of a name in a dict, if it is there.
pub fn number(settings: &Object, name: &str) -> Outcome<Option<f64>> {
    let key = Object::text(name)?;
    // SAFETY: a live dict and key; the value is borrowed for a moment; GIL.
    unsafe {
        let value = ffi::PyDict_GetItemWithError(settings.as_ptr(), key.as_ptr());
        if value.is_null() {
            return if ffi::PyErr_Occurred().is_null() { Ok(None) } else { Err(Raised) };
        }
        let value = Object::from_borrowed(value);
        let pointer = value.as_ptr();
        Args::new(&pointer, 1).float(0).map(Some)
    }
}

/// The text of a name in a dict, if it is there.
pub fn text(settings: &Object, name: &str) -> Outcome<Option<String>> {
    let key = Object::text(name)?;
    // SAFETY: a live dict and key; the value is borrowed while it is copied; GIL.
    unsafe {
        let value = ffi::PyDict_GetItemWithError(settings.as_ptr(), key.as_ptr());
        if value.is_null() {
            return if ffi::PyErr_Occurred().is_null() { Ok(None) } else { Err(Raised) };
        }
        Args::new(&value, 1).text(0).map(|text| Some(text.to_owned()))
    }
}

/// Seconds as the engine counts them; what is too long for that is for ever.
pub fn nanos(seconds: f64) -> Nanos {
    (seconds * 1e9) as Nanos
}

/// Puts the numbers of a dict, which the Python half has checked, into a struct.
macro_rules! take_settings {
    ($given:expr, $($name:literal => $place:expr, $convert:expr;)*) => {
        $(if let Some(value) = $crate::http::settings::number($given, $name)? {
            $place = $convert(value);
        })*
    };
}

pub(super) use take_settings;

/// A dict of counters.
pub fn dict_of<'a>(values: impl IntoIterator<Item = (&'a str, u64)>) -> Outcome<Object> {
    // SAFETY: a new dict takes its own references; GIL.
    unsafe {
        let dict = Object::owned(ffi::PyDict_New())?;
        for (name, value) in values {
            let (name, value) = (Object::text(name)?, Object::integer(value as i64)?);
            if ffi::PyDict_SetItem(dict.as_ptr(), name.as_ptr(), value.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        Ok(dict)
    }
}
