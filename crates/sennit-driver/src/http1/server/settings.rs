//! What one peer may cost a server: the published limits.

use sennit_engine::clock::{Nanos, SECOND};
use sennit_wire::http1::Limits;

use super::admission::Network;

/// The limits of a server. Times are nanoseconds, sizes bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Sizes inside one message.
    pub limits: Limits,
    /// From accept, and from the first byte of each request, to the end of its head. Default 10 s
    /// (nginx 60, hyper 30; uvicorn and aiohttp have none).
    pub header_timeout: Nanos,
    /// From an answer to the first byte of the next request. Default 15 s (nginx 75, uvicorn 5).
    pub keep_alive_timeout: Nanos,
    /// Without any byte of a body that was asked for. Default 60 s.
    pub body_timeout: Nanos,
    /// Bytes per second of a body that was asked for, after its first ten seconds. Default 500
    /// (Postfix's number; nginx has none).
    pub min_body_rate: u64,
    /// A body that is read whole. Default 10 MiB (nginx 1 MiB).
    pub max_body_size: usize,
    /// Without any byte of an answer taken by the peer. Default 30 s (nginx 60).
    pub write_timeout: Nanos,
    /// Requests on one connection. Default 10,000 (nginx 1,000).
    pub max_requests: u32,
    /// Requests of one connection that are begun in one dispatch; what is behind them waits for the next turn, unparsed.
    /// Default 16.
    pub max_pipelined: u32,
    /// Connections open at once; further ones are answered with 503.
    pub max_connections: u64,
    /// Connections open at once from one address (IPv6: one network of 64 bits) that is neither loopback nor a trusted
    /// proxy's; further ones are closed. Default 256.
    pub max_connections_per_address: u32,
    /// Networks whose addresses stand for many clients. Default none.
    pub trusted_proxies: Vec<Network>,
    /// Whether a request whose client has ended its sending side is given up. Default no: HTTP lets a client do so and
    /// wait for its answer.
    pub cancel_on_disconnect: bool,
    /// Whether CONNECT goes to the application, which may make a tunnel; otherwise it is answered with 501.
    pub allow_connect: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: Limits::DEFAULT,
            header_timeout: 10 * SECOND,
            keep_alive_timeout: 15 * SECOND,
            body_timeout: 60 * SECOND,
            min_body_rate: 500,
            max_body_size: 10 * 1024 * 1024,
            write_timeout: 30 * SECOND,
            max_requests: 10_000,
            max_pipelined: 16,
            max_connections: u64::MAX,
            max_connections_per_address: 256,
            trusted_proxies: Vec::new(),
            cancel_on_disconnect: false,
            allow_connect: false,
        }
    }
}
