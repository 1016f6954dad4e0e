//! The fields that decide about framing and the connection: read in one pass, kept from the caller's own hands.

use super::error::{Fault, LocalProtocolError};
use super::head::{bad_value_byte, is_token};
use super::{Field, Framing, Version};

/// A field that the encoder writes from an argument of its own: two of it would make two messages out of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservedField {
    /// `content-length`: [`ResponseParts::content_length`](super::ResponseParts::content_length).
    ContentLength,
    /// `transfer-encoding`: [`ResponseParts::chunked`](super::ResponseParts::chunked).
    TransferEncoding,
    /// `connection`: [`ResponseParts::connection`](super::ResponseParts::connection).
    Connection,
    /// `keep-alive`, `proxy-connection`: they speak of the connection as well.
    KeepAlive,
    /// `date`: [`ResponseParts::date`](super::ResponseParts::date).
    Date,
    /// `host`: [`RequestParts::host`](super::RequestParts::host).
    Host,
}

impl ReservedField {
    /// The name in lower case.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContentLength => "content-length",
            Self::TransferEncoding => "transfer-encoding",
            Self::Connection => "connection",
            Self::KeepAlive => "keep-alive",
            Self::Date => "date",
            Self::Host => "host",
        }
    }
}

/// Which reserved field `name` is, in any case of letters: what a caller with foreign fields sorts by.
#[must_use]
pub fn reserved_field(name: &[u8]) -> Option<ReservedField> {
    let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
    match name.len() {
        4 if is("date") => Some(ReservedField::Date),
        4 if is("host") => Some(ReservedField::Host),
        10 if is("connection") => Some(ReservedField::Connection),
        10 if is("keep-alive") => Some(ReservedField::KeepAlive),
        14 if is("content-length") => Some(ReservedField::ContentLength),
        16 if is("proxy-connection") => Some(ReservedField::KeepAlive),
        17 if is("transfer-encoding") => Some(ReservedField::TransferEncoding),
        _ => None,
    }
}

/// Whether a field may not stand in a trailer section: what frames or routes a message, or has to be known before its
/// content (RFC 9110 section 6.5.1).
fn is_kept_from_trailers(name: &[u8]) -> bool {
    const NAMES: [&str; 28] = [
        "age",
        "authorization",
        "cache-control",
        "content-encoding",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "expires",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-range",
        "if-unmodified-since",
        "location",
        "max-forwards",
        "pragma",
        "proxy-authenticate",
        "proxy-authorization",
        "range",
        "retry-after",
        "set-cookie",
        "te",
        "trailer",
        "upgrade",
        "vary",
        "warning",
        "www-authenticate",
    ];
    NAMES.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
}

/// As [`push_field`] for the trailer section of a message.
///
/// # Errors
///
/// As [`push_field`], and a field that has no meaning behind the content.
pub fn push_trailer(
    block: &mut Vec<u8>,
    name: &[u8],
    value: &[u8],
) -> Result<(), LocalProtocolError> {
    match is_kept_from_trailers(name) {
        true => Err(LocalProtocolError::NoTrailer),
        false => push_field(block, name, value),
    }
}

/// Appends `name: value` as one field line; on an error nothing is appended.
///
/// Whitespace around the value is dropped, as every reader would (RFC 9112 section 5.1).
///
/// # Errors
///
/// A name that is no token, a value with a control character other than a tab (so CR, LF and NUL), a
/// [`ReservedField`].
pub fn push_field(
    block: &mut Vec<u8>,
    name: &[u8],
    value: &[u8],
) -> Result<(), LocalProtocolError> {
    match reserved_field(name) {
        Some(field) => Err(LocalProtocolError::ReservedField(field)),
        None => push_any_field(block, name, value),
    }
}

/// As [`push_field`] with reserved fields let through: for a block that is looked at, not sent.
///
/// # Errors
///
/// As [`push_field`], but for a [`ReservedField`].
pub fn push_any_field(
    block: &mut Vec<u8>,
    name: &[u8],
    value: &[u8],
) -> Result<(), LocalProtocolError> {
    if !is_token(name) {
        return Err(LocalProtocolError::BadFieldName);
    }
    check_field_value(value)?;
    let value = trim(value);
    block.reserve(name.len() + value.len() + 4);
    block.extend_from_slice(name);
    block.extend_from_slice(b": ");
    block.extend_from_slice(value);
    block.extend_from_slice(b"\r\n");
    Ok(())
}

/// Says whether `value` may stand in a field line, for one that is given to an encoder by itself (a content type).
///
/// # Errors
///
/// A control character other than a tab.
pub fn check_field_value(value: &[u8]) -> Result<(), LocalProtocolError> {
    match bad_value_byte(value) {
        Some(byte) => Err(LocalProtocolError::BadFieldValue(byte)),
        None => Ok(()),
    }
}

/// Drops spaces and tabs at both ends (OWS, RFC 9110 section 5.6.3).
pub(super) fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = value {
        value = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// What the fields of one head say, gathered in one pass.
#[derive(Default)]
pub(crate) struct Facts<'a> {
    pub host: Option<&'a [u8]>,
    pub expect_continue: bool,
    pub takes_trailers: bool,
    length: Option<u64>,
    coding: Option<Coding>,
    close: bool,
    keep_alive: bool,
    upgrade_option: bool,
    upgrade_field: bool,
}

enum Coding {
    Chunked,
    UnknownThenChunked,
    Other,
}

impl<'a> Facts<'a> {
    /// Takes in one field. The length of its name decides first: most fields cost one comparison.
    #[inline]
    pub fn take(&mut self, field: &Field<'a>) -> Result<(), Fault> {
        let name = field.name.as_bytes();
        match name.len() {
            2 if name.eq_ignore_ascii_case(b"te") => self.take_te(field.value),
            4 if name.eq_ignore_ascii_case(b"host") => {
                once(&mut self.host, field.value, Fault::RepeatedHost)?;
            }
            6 if name.eq_ignore_ascii_case(b"expect") => self.take_expect(field.value)?,
            7 if name.eq_ignore_ascii_case(b"upgrade") => self.upgrade_field = true,
            10 if name.eq_ignore_ascii_case(b"connection") => self.take_connection(field.value),
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let length = content_length(field.value)?;
                once(&mut self.length, length, Fault::RepeatedContentLength)?;
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                let coding = transfer_coding(field.value);
                once(&mut self.coding, coding, Fault::RepeatedTransferEncoding)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// The same for a response, where TE, Host and Expect mean nothing.
    pub fn take_of_response(&mut self, field: &Field<'a>) -> Result<(), Fault> {
        match field.name.len() {
            2 | 4 | 6 => Ok(()),
            _ => self.take(field),
        }
    }

    fn take_expect(&mut self, value: &[u8]) -> Result<(), Fault> {
        if !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(Fault::UnknownExpectation);
        }
        self.expect_continue = true;
        Ok(())
    }

    #[cold]
    fn take_te(&mut self, value: &[u8]) {
        let mut members = value.split(|byte| *byte == b',').map(trim);
        self.takes_trailers |= members.any(|member| member.eq_ignore_ascii_case(b"trailers"));
    }

    fn take_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',').map(trim) {
            match option.len() {
                5 if option.eq_ignore_ascii_case(b"close") => self.close = true,
                7 if option.eq_ignore_ascii_case(b"upgrade") => self.upgrade_option = true,
                10 if option.eq_ignore_ascii_case(b"keep-alive") => self.keep_alive = true,
                _ => {}
            }
        }
    }

    /// The framing that the fields announce, `None` where they say nothing (RFC 9112 section 6.3).
    #[inline]
    pub fn framing(&self, version: Version) -> Result<Option<Framing>, Fault> {
        match (&self.coding, self.length) {
            (None, None) => Ok(None),
            (None, Some(0)) => Ok(Some(Framing::None)),
            (None, Some(length)) => Ok(Some(Framing::Length(length))),
            (Some(coding), length) => framing_of_coding(coding, length.is_some(), version),
        }
    }

    /// Whether the connection outlives this message (RFC 9112 section 9.3).
    #[inline]
    pub fn keeps_alive(&self, version: Version) -> bool {
        match version {
            Version::Http11 => !self.close,
            Version::Http10 => self.keep_alive && !self.close,
        }
    }

    /// Whether the peer offers another protocol. RFC 9110 section 7.8: the field counts only with the connection
    /// option, and is ignored in HTTP/1.0.
    #[inline]
    pub fn upgrades(&self, version: Version) -> bool {
        self.upgrade_field && self.upgrade_option && version == Version::Http11
    }
}

/// Fills a slot that may be filled once.
#[inline]
fn once<T>(slot: &mut Option<T>, value: T, repeated: Fault) -> Result<(), Fault> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(repeated),
    }
}

/// RFC 9112 section 6.1: both fields together are refused rather than one of them believed, and an HTTP/1.0
/// message with a coding has faulty framing. Section 6.3: without a final chunked the length is unknown.
fn framing_of_coding(
    coding: &Coding,
    has_length: bool,
    version: Version,
) -> Result<Option<Framing>, Fault> {
    if version == Version::Http10 {
        return Err(Fault::CodingInHttp10);
    }
    if has_length {
        return Err(Fault::LengthAndCoding);
    }
    match coding {
        Coding::Chunked => Ok(Some(Framing::Chunked)),
        Coding::UnknownThenChunked => Err(Fault::UnknownTransferCoding),
        Coding::Other => Err(Fault::NotChunked),
    }
}

/// RFC 9110 section 8.6: one or more digits. A list, also one of equal numbers, is refused (RFC 9112 section 6.3
/// leaves that to the recipient).
fn content_length(value: &[u8]) -> Result<u64, Fault> {
    if value.is_empty() {
        return Err(Fault::BadContentLength);
    }
    let mut length = 0_u64;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return Err(Fault::BadContentLength);
        }
        length = length
            .checked_mul(10)
            .and_then(|tens| tens.checked_add(u64::from(digit)))
            .ok_or(Fault::BadContentLength)?;
    }
    Ok(length)
}

/// Only a plain `chunked` is served; the list is read to tell a coding that we do not know (501) from framing
/// that nobody could know (400).
fn transfer_coding(value: &[u8]) -> Coding {
    if value.eq_ignore_ascii_case(b"chunked") {
        return Coding::Chunked;
    }
    let mut codings = value.rsplit(|byte| *byte == b',').map(trim);
    let ends_chunked = codings.next().is_some_and(|last| last.eq_ignore_ascii_case(b"chunked"));
    // RFC 9112 section 6.1: chunked MUST NOT be applied twice.
    let others_are_codings =
        codings.all(|coding| is_token(coding) && !coding.eq_ignore_ascii_case(b"chunked"));
    if ends_chunked && others_are_codings { Coding::UnknownThenChunked } else { Coding::Other }
}
