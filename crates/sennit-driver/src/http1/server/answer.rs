//! What an application answers with, and how it becomes bytes.

use sennit_engine::file::FilePiece;
use sennit_engine::stream::Chunk;
use sennit_wire::http1::{ResponseParts, encode_response_head};

/// A body up to this size is copied behind its head, so that both leave with one call; a larger one is
/// queued as it is.
pub(super) const COPY_AT_MOST: usize = 16 * 1024;

/// The head of an answer, without what the server itself says in it.
#[derive(Debug, Clone, Copy)]
pub struct AnswerHead<'a> {
    /// 200 to 999.
    pub status: u16,
    /// A checked value, or none.
    pub content_type: Option<&'a [u8]>,
    /// Field lines, each checked.
    pub fields: &'a [u8],
}

/// The bytes of an answer's body.
#[derive(Debug)]
pub enum AnswerBody<'a, B> {
    /// Bytes that stay the caller's.
    Borrowed(&'a [u8]),
    /// Bytes that the connection may keep until they are sent.
    Shared(B),
    /// Bytes of a file.
    File(FilePiece),
}

impl<B: AsRef<[u8]>> AnswerBody<'_, B> {
    fn length(&self) -> usize {
        match self {
            AnswerBody::Borrowed(bytes) => bytes.len(),
            AnswerBody::Shared(bytes) => bytes.as_ref().len(),
            AnswerBody::File(file) => file.length(),
        }
    }
}

/// One whole answer.
#[derive(Debug)]
pub struct Answer<'a, B> {
    /// What it says of itself.
    pub head: AnswerHead<'a>,
    /// The body, also for HEAD, which does not get it.
    pub body: AnswerBody<'a, B>,
}

/// How the body of an answer that comes piece by piece is delimited (RFC 9112 section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Delimiter {
    /// There is no body.
    #[default]
    None,
    /// This many bytes are still to come.
    Length(u64),
    /// Chunks.
    Chunks,
    /// The end of the connection: what HTTP/1.0 has instead of chunks.
    Close,
}

/// What became of a whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Answered {
    /// It is on its way.
    Yes,
    /// The request was answered before, or nobody is there to hear it.
    Gone,
    /// A 2xx to CONNECT says that a tunnel begins here (RFC 9110 section 9.3.6), and only
    /// [`super::Connection::leave_http`] makes one: the request waits for another answer.
    NoTunnel,
}

/// What became of an answer whose body is to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// The body may come.
    Body,
    /// No body belongs to it (RFC 9110 section 6.4.1): the answer is complete.
    Complete,
    /// Nobody is there to hear it.
    Gone,
    /// As [`Answered::NoTunnel`].
    NoTunnel,
}

/// Whether more of an answer's body is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It is.
    Free,
    /// The peer has to read first: [`super::Application::room`] tells.
    Full,
}

/// Why a piece of a body, or its end, was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceRefused {
    /// The connection is gone, or the answer is over.
    Gone,
    /// The body is longer than its announced length.
    TooLong,
    /// The body ends this many bytes before its announced length.
    TooShort(u64),
}

/// What of the body could not be copied behind the head.
pub(super) enum Rest<B> {
    Nothing,
    Bytes(Chunk<B>),
    File(FilePiece),
}

/// RFC 9110 sections 6.4.1 and 15.3.6: no content with these.
pub(super) fn is_bodiless(status: u16) -> bool {
    matches!(status, 204 | 205 | 304)
}

pub(super) fn encode<'a, B: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    answer: Answer<'a, B>,
    mut parts: ResponseParts<'a>,
    has_body: bool,
) -> Rest<B> {
    let head = answer.head;
    parts.status = head.status;
    parts.content_type = head.content_type;
    parts.fields = head.fields;
    parts.content_length = match head.status {
        // RFC 9110 section 15.4.5: a 304 says the length that a 200 would have had, which is not known here.
        304 => None,
        // RFC 9110 section 15.3.6: no content, and it says so.
        205 => Some(0),
        _ => Some(answer.body.length() as u64),
    };
    encode_response_head(out, &parts);
    if !has_body || is_bodiless(head.status) {
        return Rest::Nothing;
    }
    match answer.body {
        AnswerBody::Borrowed(bytes) if bytes.len() <= COPY_AT_MOST => {
            out.extend_from_slice(bytes);
            Rest::Nothing
        }
        AnswerBody::Shared(bytes) if bytes.as_ref().len() <= COPY_AT_MOST => {
            out.extend_from_slice(bytes.as_ref());
            Rest::Nothing
        }
        AnswerBody::Borrowed(bytes) => Rest::Bytes(Chunk::Owned(bytes.to_vec())),
        AnswerBody::Shared(bytes) => Rest::Bytes(Chunk::Shared(bytes)),
        AnswerBody::File(file) => Rest::File(file),
    }
}
