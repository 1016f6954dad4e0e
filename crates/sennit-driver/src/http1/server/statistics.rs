//! What a server counts: what has happened, and how often each limit was reached.

use sennit_wire::http1::Fault;

macro_rules! counters {
    ($($(#[$about:meta])* $name:ident,)*) => {
        /// What a server has counted since it was made.
        #[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
        pub struct Statistics {
            $($(#[$about])* pub $name: u64,)*
        }

        impl Statistics {
            /// All of them, by name.
            pub fn each(&self, mut show: impl FnMut(&'static str, u64)) {
                $(show(stringify!($name), self.$name);)*
            }
        }
    };
}

counters! {
    /// Connections accepted.
    accepted,
    /// Connections refused because `max_connections` were open.
    refused,
    /// Connections refused because no descriptor was left.
    refused_without_descriptor,
    /// Connections refused because their address had `max_connections_per_address` open.
    refused_per_address,
    /// Connections open now, those that have left HTTP included.
    open,
    /// Requests handed to the application.
    requests,
    /// Answers of the application.
    answered,
    /// Requests that broke the protocol, not a limit.
    protocol_errors,
    /// Request lines longer than `max_request_line`.
    request_lines_too_long,
    /// Heads larger than `max_head_size`.
    heads_too_large,
    /// Heads and trailer sections with more fields than `max_header_count`.
    too_many_headers,
    /// Chunk extensions larger than `max_chunk_extension`.
    chunk_extensions_too_large,
    /// Trailer sections larger than `max_trailer_size`.
    trailers_too_large,
    /// Connections dropped by `header_timeout`.
    header_timeouts,
    /// Connections closed by `keep_alive_timeout`.
    keep_alive_timeouts,
    /// Connections that have had `max_requests`.
    connections_used_up,
    /// Times that a connection had `max_pipelined` requests in one dispatch, and more that had to wait.
    pipelines_paused,
    /// Bodies that stopped for `body_timeout`.
    body_timeouts,
    /// Bodies that came more slowly than `min_body_rate`.
    bodies_too_slow,
    /// Bodies larger than `max_body_size`, or than the application allows.
    bodies_too_large,
    /// Connections whose peer did not read for `write_timeout`.
    write_timeouts,
    /// Connections lost before their request was answered.
    abandoned,
    /// Connections whose TLS handshake has failed.
    handshake_failures,
    /// Connections whose TLS handshake took too long.
    handshake_timeouts,
    /// Connections that have left HTTP for another protocol.
    upgraded,
}

impl Statistics {
    /// A request is refused: by a limit of size, which has a counter of its own, or because it breaks the protocol.
    pub(super) fn note(&mut self, fault: Fault) {
        let counter = match fault {
            Fault::StartLineTooLong { .. } => &mut self.request_lines_too_long,
            Fault::HeadTooLarge { .. } => &mut self.heads_too_large,
            Fault::TooManyFields { .. } => &mut self.too_many_headers,
            Fault::ChunkExtensionTooLarge { .. } => &mut self.chunk_extensions_too_large,
            Fault::TrailerTooLarge { .. } => &mut self.trailers_too_large,
            _ => &mut self.protocol_errors,
        };
        *counter += 1;
    }
}
