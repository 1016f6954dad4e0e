//! Bytes become events here: protocols without sockets, clocks or threads.
//!
//! One folder per protocol. A reader is fed the bytes that a peer sent and answers with events that point into
//! them; an encoder appends the bytes of a message to a buffer. Nothing here waits, asks the operating system
//! for anything or looks at a clock: the caller owns the bytes and says what time it is.
//!
//! | folder | protocol |
//! | --- | --- |
//! | [`certificate`] | whom an X.509 certificate names: RFC 5280 |
//! | [`coding`] | gzip, deflate, br, zstd: content codings both ways, with limits |
//! | [`framing`] | lines, netstrings, length prefixes, fixed sizes |
//! | [`http1`] | HTTP/1.1 and HTTP/1.0: RFC 9110 and RFC 9112 |
//! | [`socks5`] | asking a proxy for a tunnel: RFC 1928 and RFC 1929 |

#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::unreachable
    )
)]

pub mod certificate;
pub mod coding;
pub mod framing;
pub mod http1;
pub mod socks5;
