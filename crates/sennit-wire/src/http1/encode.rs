//! Messages written: heads, chunks and short error answers, appended to the caller's buffer.
//!
//! Strategy: everything that can be prepared is prepared (status lines, date, the block of checked fields), the room is
//! reserved once, and the rest is a few copies. What is written verbatim must have been checked before:
//! [`push_field`](super::push_field) checks fields, [`check_field_value`](super::check_field_value) a content type; method,
//! target and host are checked here.

use super::error::LocalProtocolError;
use super::head::is_token;
use super::status::{reason_phrase, status_line};
use super::target;

/// What the connection field of a message says (RFC 9110 section 7.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connection {
    /// This is the last message of its sender.
    Close,
    /// The connection stays open: has to be said to an HTTP/1.0 client only.
    KeepAlive,
    /// The connection changes its protocol; the block of fields names it in `upgrade`.
    Upgrade,
}

impl Connection {
    const fn line(self) -> &'static [u8] {
        match self {
            Self::Close => b"connection: close\r\n",
            Self::KeepAlive => b"connection: keep-alive\r\n",
            Self::Upgrade => b"connection: upgrade\r\n",
        }
    }
}

/// A response head to write. The version is always HTTP/1.1, also to an HTTP/1.0 client (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug)]
pub struct ResponseParts<'a> {
    /// 100 to 999.
    pub status: u16,
    /// [`DateCache::as_bytes`](super::DateCache::as_bytes); empty leaves the date out.
    pub date: &'a [u8],
    /// A checked value for content-type.
    pub content_type: Option<&'a [u8]>,
    /// More field lines, each made by [`push_field`](super::push_field).
    pub fields: &'a [u8],
    /// Bytes of the body, or of the body that a GET would have had. Left out where a response must not have it:
    /// 1xx and 204 (RFC 9110 section 8.6).
    pub content_length: Option<u64>,
    /// Body comes in chunks; only for an HTTP/1.1 client and without `content_length`, which wins.
    pub chunked: bool,
    /// Says so where it is not the version's default.
    pub connection: Option<Connection>,
}

impl Default for ResponseParts<'_> {
    fn default() -> Self {
        Self {
            status: 200,
            date: b"",
            content_type: None,
            fields: b"",
            content_length: None,
            chunked: false,
            connection: None,
        }
    }
}

/// Longest status line that is prepared, the names of the fixed fields, a date and a length, rounded up.
const FIXED: usize = 224;

/// Appends a response head with its blank line.
///
/// Order: status line, date, content-type, the caller's fields, framing, connection.
#[inline]
pub fn encode_response_head(out: &mut Vec<u8>, head: &ResponseParts<'_>) {
    out.reserve(FIXED + head.fields.len() + head.content_type.map_or(0, <[u8]>::len));
    match status_line(head.status) {
        Some(line) => out.extend_from_slice(line),
        None => push_unregistered_status(out, head.status),
    }
    if !head.date.is_empty() {
        out.extend_from_slice(b"date: ");
        out.extend_from_slice(head.date);
        out.extend_from_slice(b"\r\n");
    }
    if let Some(value) = head.content_type {
        out.extend_from_slice(b"content-type: ");
        out.extend_from_slice(value);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(head.fields);
    // RFC 9110 section 8.6 and RFC 9112 section 6.1: MUST NOT send either in a 1xx or 204.
    if head.status >= 200 && head.status != 204 {
        push_framing(out, head.content_length, head.chunked);
    }
    if let Some(connection) = head.connection {
        out.extend_from_slice(connection.line());
    }
    out.extend_from_slice(b"\r\n");
}

#[cold]
fn push_unregistered_status(out: &mut Vec<u8>, status: u16) {
    out.extend_from_slice(b"HTTP/1.1 ");
    push_number(out, u64::from(status.clamp(100, 999)));
    // RFC 9112 section 4: the space stays when the phrase is empty.
    out.extend_from_slice(b" \r\n");
}

#[inline]
fn push_framing(out: &mut Vec<u8>, content_length: Option<u64>, chunked: bool) {
    if let Some(length) = content_length {
        out.extend_from_slice(b"content-length: ");
        push_number(out, length);
        out.extend_from_slice(b"\r\n");
    } else if chunked {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
}

#[inline]
fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A request head to write, HTTP/1.1.
#[derive(Clone, Copy, Debug)]
pub struct RequestParts<'a> {
    /// A token, as `GET`.
    pub method: &'a str,
    /// Path and query; an absolute URI for a proxy; `host:port` for CONNECT; `*` for OPTIONS.
    pub target: &'a str,
    /// Value of Host: `host` or `host:port`, without userinfo.
    pub host: &'a str,
    /// More field lines, each made by [`push_field`](super::push_field).
    pub fields: &'a [u8],
    /// Bytes of the body. `Some(0)` is right for a POST without one.
    pub content_length: Option<u64>,
    /// Body comes in chunks; only without `content_length`, which wins.
    pub chunked: bool,
    /// Says so where it is not the version's default.
    pub connection: Option<Connection>,
}

/// Appends a request head with its blank line; on an error nothing is appended.
///
/// # Errors
///
/// A method that is no token, a target or a host with a byte that could end its line or change its meaning.
pub fn encode_request_head(
    out: &mut Vec<u8>,
    head: &RequestParts<'_>,
) -> Result<(), LocalProtocolError> {
    if !is_token(head.method.as_bytes()) {
        return Err(LocalProtocolError::BadMethod);
    }
    if !target::is_form_for(head.method, head.target) {
        return Err(LocalProtocolError::BadTarget);
    }
    // RFC 9110 section 4.2.1: no http URI has an empty host, so no request of ours has one.
    if head.host.is_empty() || target::check_host(head.host.as_bytes()).is_err() {
        return Err(LocalProtocolError::BadHost);
    }
    out.reserve(
        FIXED + head.method.len() + head.target.len() + head.host.len() + head.fields.len(),
    );
    out.extend_from_slice(head.method.as_bytes());
    out.push(b' ');
    out.extend_from_slice(head.target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\nhost: ");
    out.extend_from_slice(head.host.as_bytes());
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(head.fields);
    push_framing(out, head.content_length, head.chunked);
    if let Some(connection) = head.connection {
        out.extend_from_slice(connection.line());
    }
    out.extend_from_slice(b"\r\n");
    Ok(())
}

/// Ends the data of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The last chunk and an empty trailer section: ends a chunked body.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends the size line of a chunk. The caller appends `size` bytes of data and [`CHUNK_END`] behind it.
///
/// A `size` of 0 appends nothing: a chunk of no bytes would end the body.
pub fn encode_chunk_size(out: &mut Vec<u8>, size: usize) {
    if size == 0 {
        return;
    }
    let digits = (usize::BITS - size.leading_zeros()).div_ceil(4);
    for place in (0..digits).rev() {
        let digit = (size >> (4 * place)) & 0xF;
        out.extend(b"0123456789abcdef".get(digit));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends `100 Continue`: the client may send its body (RFC 9110 section 10.1.1). Never to HTTP/1.0.
pub fn encode_continue(out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
}

/// Appends a whole answer with a plain text body and `connection: close`, for a request that cannot be served.
///
/// The body is the status with its phrase and, if not empty, `detail`. The detail goes into the body only, where no
/// byte of it can change the head.
pub fn encode_simple_error(out: &mut Vec<u8>, status: u16, date: &[u8], detail: &str) {
    let phrase = reason_phrase(status);
    let length = 3 + 1 + phrase.len() + 1 + if detail.is_empty() { 0 } else { detail.len() + 1 };
    let status = status.clamp(100, 999);
    encode_response_head(
        out,
        &ResponseParts {
            status,
            date,
            content_type: Some(b"text/plain; charset=utf-8"),
            content_length: Some(length as u64),
            connection: Some(Connection::Close),
            ..ResponseParts::default()
        },
    );
    push_number(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(phrase.as_bytes());
    out.push(b'\n');
    if !detail.is_empty() {
        out.extend_from_slice(detail.as_bytes());
        out.push(b'\n');
    }
}
