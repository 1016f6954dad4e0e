//! `core.Deferred`: a result that is not there yet, with a chain of callbacks, and something to await.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`object`] | the object: 112 bytes, what it holds, how it dies |
//! | [`entry`] | what waits in a chain |
//! | [`chain`] | the run of a chain, without recursion |
//! | [`adding`] | callbacks added |
//! | [`firing`] | a result given, cancelling |
//! | [`awaiting`] | the Future protocol that asyncio's tasks know |
//! | [`helpers`] | what Python helps with: failures, reports, everything that is asked for once |
//! | [`place`] | where a Deferred was made and a callback added; whose thread it is |
//!
//! Laws:
//! - A chain runs in the very call that fires it, callback by callback, each in the context of the place where it was
//!   added. What waits by `await` is woken through `call_soon` only.
//! - A callback that returns a Deferred suspends its chain until that one has a result, which then moves on: the
//!   other is left with `None`.
//! - No field is borrowed while a callback runs: it may add to, cancel or drop the very Deferred it runs for.
//!
//! | state | may become | when |
//! | --- | --- | --- |
//! | Waiting | Value, Raised, Wrapped | `callback`, `errback`, `cancel` |
//! | Value, Raised, Wrapped | each of them | a callback or errback has run |
//! | Raised | Wrapped | an errback is about to be called, or it is awaited: a `Failure` is made |

mod adding;
mod awaiting;
mod chain;
mod entry;
mod firing;
mod helpers;
mod object;
mod place;

pub use chain::Given;
pub use firing::fire;
pub use helpers::{set_debug, set_helpers};
pub use object::{is_deferred, make, make_type};
pub use place::Running;
