//! What a request knows of its connection: peer, TLS, limits, whether anybody is still there.

use std::ffi::CStr;

use pyo3_ffi as ffi;

use super::request::Request;
use crate::kit::{Object, getter, none};

getter!(get_client, Request, |this| {
    match this.parts().and_then(|(connection, _)| connection.peer()) {
        Some(address) => crate::listener::address_object(&address),
        None => Ok(none()),
    }
});

getter!(get_max_body_size, Request, |this| {
    let limit = this.parts().map(|(connection, _)| connection.server().settings().max_body_size);
    Object::integer(i64::try_from(limit.unwrap_or(0)).unwrap_or(i64::MAX))
});

getter!(get_scheme, Request, |this| {
    let has_tls = this.parts().is_some_and(|(connection, _)| connection.has_tls());
    Object::latin1(if has_tls { b"https" } else { b"http" })
});

getter!(get_is_disconnected, Request, |this| {
    let gone = this.parts().is_none_or(|(connection, _)| connection.is_disconnected());
    Ok(Object::boolean(gone))
});

/// The attributes.
pub const GETTERS: [(&CStr, ffi::getter, &CStr); 4] = [
    (c"scheme", get_scheme, c"https over TLS, http without."),
    (c"client", get_client, c"The peer's address, None where it has no IP."),
    (
        c"is_disconnected",
        get_is_disconnected,
        c"Whether the client has ended its sending side, or is gone.",
    ),
    (c"_max_body_size", get_max_body_size, c"Bytes: the server's limit for a whole body."),
];
