//! Connection drivers: transport bytes become requests and responses, with no host's code in between.
//!
//! | room | what it is |
//! | --- | --- |
//! | [`http1::server`] | requests in order, an [`Application`](http1::server::Application) that answers now or later |
//! | [`http1::client`] | requests out, over a pool of connections for each origin |
//! | [`routing`] | which route a method and a path take |
//!
//! A driver is generic over the engine's host: with a Rust application it shows what the host's language
//! adds, with Python's it is `sennit.http`. No borrow is held while an application is called.

#![forbid(unsafe_code)]
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod http1;
pub mod routing;
