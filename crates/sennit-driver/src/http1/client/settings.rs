//! What a client allows itself and its origins.

use sennit_engine::clock::{Nanos, SECOND};
use sennit_wire::http1::Limits;

/// The limits of a client. Times are nanoseconds, sizes bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Sizes inside one message.
    pub limits: Limits,
    /// Connections open at once, to all origins.
    pub max_connections: u64,
    /// Connections open at once to one origin.
    pub max_connections_per_origin: u64,
    /// Connections being made at once to one origin. Default 1,024: a quarter of a listen queue.
    pub max_connecting: u64,
    /// Requests that wait for a connection at once; whoever makes more is to be told so.
    pub max_waiting: u64,
    /// For a connection to one address, TLS included. Default 10 s.
    pub connect_timeout: Nanos,
    /// For waiting until a connection may be made or is free.
    pub pool_timeout: Nanos,
    /// Without a byte of a head, or of a whole response, that is waited for. Default 60 s.
    pub read_timeout: Nanos,
    /// Without a byte of a body that is read in pieces, while its reader waits. Default 60 s.
    pub stream_read_timeout: Nanos,
    /// Without a byte of a request taken by the peer. Default 60 s.
    pub write_timeout: Nanos,
    /// Whether connections are used again. If not, each request is to say `connection: close`.
    pub keep_alive: bool,
    /// How long an idle connection is kept. Default 15 s, as servers do.
    pub keep_alive_timeout: Nanos,
    /// A response that is read whole. Default 100 MiB.
    pub max_response_size: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            limits: Limits::DEFAULT,
            max_connections: u64::MAX,
            max_connections_per_origin: u64::MAX,
            max_connecting: 1024,
            max_waiting: u64::MAX,
            connect_timeout: 10 * SECOND,
            pool_timeout: Nanos::MAX,
            read_timeout: 60 * SECOND,
            stream_read_timeout: 60 * SECOND,
            write_timeout: 60 * SECOND,
            keep_alive: true,
            keep_alive_timeout: 15 * SECOND,
            max_response_size: 100 * 1024 * 1024,
        }
    }
}
