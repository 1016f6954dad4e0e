//! Which route a request takes: patterns of paths, and the table that finds one among many.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`pattern`] | `/users/{name}` read and checked; the parameters of a path |
//! | [`table`] | a tree of segments: routes in, the route of a method and a path out |
//! | [`escapes`] | percent-escapes decoded |
//!
//! A path is matched as it was sent: it is split at its slashes first and each segment is decoded by itself, so an
//! encoded slash never separates. Dot segments mean nothing here.

mod escapes;
mod pattern;
mod table;

pub use escapes::decoded;
pub use pattern::{Pattern, PatternError};
pub use table::{Conflict, Table};
