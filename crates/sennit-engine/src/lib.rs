//! Readiness becomes turns: everything that asks the operating system for anything.
//!
//! | room | what it is |
//! | --- | --- |
//! | [`reactor`] | one turn: poll, dispatch, timers, ready callbacks, flush |
//! | [`host`] | what the engine calls back: the host's values, and the sources behind descriptors |
//! | [`sources`] | the table from token to source, with generations |
//! | [`poller`] | readiness of descriptors; epoll is its one implementation |
//! | [`clock`] | what time it is |
//! | [`timer`] | exact timers (a heap) and coarse deadlines (a wheel) |
//! | [`waker`] | the only door from other threads |
//! | [`watcher`] | a level-triggered descriptor with a callback for each direction |
//! | [`socket`] | the socket calls |
//! | [`listener`] | accepting, and backing off when descriptors run out |
//! | [`file`] | a piece of a file on its way to a socket |
//! | [`stream`] | a connected socket and its write queue, without any callback |
//! | [`stall`] | since when a peer takes nothing of what is queued for it |
//! | [`transport`] | a stream with manners: watermarks, half close, close and abort |
//! | [`datagrams`] | a socket for datagrams, with manners |
//! | [`tls`] | TLS beneath a stream |
//! | [`threads`] | a bounded queue of jobs for the host's threads |
//! | [`limits`] | the process's descriptor limit |
//!
//! The engine knows no Python. No borrow of its state is held while it calls its host, so a host
//! may call back into it from anywhere.

pub mod clock;
pub mod datagrams;
pub mod file;
pub mod host;
pub mod limits;
pub mod listener;
pub mod poller;
pub mod reactor;
pub mod socket;
pub mod sources;
pub mod stall;
pub mod stream;
pub mod threads;
pub mod timer;
pub mod tls;
pub mod transport;
pub mod waker;
pub mod watcher;

pub use clock::{Clock, ManualClock, MonotonicClock, Nanos};
pub use host::{Host, Idle, Source};
pub use poller::{EpollPoller, Interest, Poller, Readiness};
pub use reactor::Reactor;
pub use sources::Token;
