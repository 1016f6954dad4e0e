//! HTTP/1.1 over a transport's bytes.

pub mod client;
pub mod server;
