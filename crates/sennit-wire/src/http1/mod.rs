//! HTTP/1.1 and HTTP/1.0 (RFC 9110, RFC 9112): messages read and written, nothing else.
//!
//! A reader looks at the front of the bytes that the caller holds and answers one [`Step`]: how many bytes are used
//! up, and one [`Event`]. The caller drops the used bytes and asks again; on [`Event::NeedData`] it first
//! appends what arrives next. Heads and data are borrowed from those bytes, nothing is copied.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `limits` | the numbers, with their defaults |
//! | `error` | the two errors and what each says |
//! | `head` | the lines of a head: where it ends, what a line may hold |
//! | `fields` | the fields that decide about framing and the connection |
//! | `lines` | blocks of field lines, looked through without an index |
//! | `request`, `target` | the server's reader, forms of a request target and of Host |
//! | `response` | the client's reader |
//! | `body` | framing: none, length, chunked, until close |
//! | `encode` | messages written |
//! | `date` | the date field, rendered once a second |
//!
//! Where the RFCs let a recipient choose between repairing and refusing, these readers refuse: two programs
//! that repair the same bytes differently are how requests are smuggled.

mod body;
mod date;
mod encode;
mod error;
mod fields;
mod head;
mod limits;
mod lines;
mod request;
mod response;
mod status;
mod target;

use std::mem::MaybeUninit;

pub use date::DateCache;
pub use encode::{
    CHUNK_END, Connection, LAST_CHUNK, RequestParts, ResponseParts, encode_chunk_size,
    encode_continue, encode_request_head, encode_response_head, encode_simple_error,
};
pub use error::{Fault, LocalProtocolError, RemoteProtocolError};
pub use fields::{
    ReservedField, check_field_value, push_any_field, push_field, push_trailer, reserved_field,
};
pub use head::MAX_BLANK_LINES;
pub use limits::{Limits, MAX_FIELDS};
pub use lines::{FieldLines, remove_field};
pub use request::{RequestHead, RequestReader};
pub use response::{RequestKind, ResponseHead, ResponseReader};
pub use status::reason_phrase;
pub use target::TargetForm;

/// One field line: `name: &str` as sent (compare without regard to case), `value: &[u8]` without the
/// whitespace around it. The value may hold bytes above 0x7F, never a control character other than a tab.
pub use httparse::Header as Field;

/// Room for the fields of one head, on the caller's stack. Making it costs nothing: no slot is written before
/// a field needs it.
///
/// The slots borrow from the input, so each call of `next_event` gets fresh ones.
pub struct FieldSlots<'a>(pub(crate) [MaybeUninit<Field<'a>>; MAX_FIELDS]);

impl FieldSlots<'_> {
    /// Slots that hold nothing.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

impl Default for FieldSlots<'_> {
    #[inline(always)]
    fn default() -> Self {
        Self::new()
    }
}

/// The protocol version of a message. Others are refused (RFC 9110 section 2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// `HTTP/1.0`
    Http10,
    /// `HTTP/1.1`
    Http11,
}

/// How the body behind a head is delimited (RFC 9112 section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// No body: the next byte belongs to the next message, and no [`Event::End`] comes. `Content-Length: 0` is
    /// this too.
    None,
    /// This many bytes, at least one.
    Length(u64),
    /// Chunks up to the last one and the trailer section.
    Chunked,
    /// Everything until the peer closes. Responses only.
    UntilClose,
}

/// What a reader found at the front of its input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'a, H> {
    /// Nothing complete: call again when more bytes are behind what is left of the input.
    NeedData,
    /// A message starts. With [`Framing::None`] it is over, too.
    Head(H),
    /// A piece of the body, never empty.
    Data(&'a [u8]),
    /// The body is complete. Comes once for every framing but [`Framing::None`].
    End,
}

/// One answer of a reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step<'a, H> {
    /// Bytes at the front of the input that are used up: drop them before the next call. May be more than 0 with
    /// [`Event::NeedData`], too.
    pub consumed: usize,
    /// What they were.
    pub event: Event<'a, H>,
}
