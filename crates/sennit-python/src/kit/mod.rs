//! The small kit with which all native types are made: owned references, errors, arguments and
//! type objects.
//!
//! One invariant stands behind every `SAFETY` of this crate that says *GIL*: Rust code runs here
//! only inside a call from Python, between [`guard`]'s entry and return, and whoever releases the
//! GIL meanwhile (the reactor's park) touches no Python object until it has it back.

mod args;
mod call;
mod error;
mod object;
mod types;

pub use args::{Args, Keywords, unless_none};
pub use call::{iterator_send, restore_thread, vectorcall, vectorcall_method};
pub use error::{
    Outcome, Raised, guard, guard_status, guard_void, os_error, raise, raise_panic, take_exception,
};
pub use object::{Head, Object, borrowed_slice, intern, none};
pub use types::{TypeSpec, doc, free, method};
pub(crate) use types::{getter, keywords, no_arguments, one_argument, positional, row};
