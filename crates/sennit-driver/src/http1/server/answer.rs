//! What an application answers with, and how it becomes bytes.

use sennit_engine::stream::Chunk;
use sennit_wire::http1::{ResponseParts, encode_response_head};

/// A body up to this size is copied behind its head, so that both leave with one call; a larger one is
/// queued as it is.
const COPY_AT_MOST: usize = 16 * 1024;

/// The bytes of an answer's body.
#[derive(Debug)]
pub enum AnswerBody<'a, B> {
    /// Bytes that stay the caller's.
    Borrowed(&'a [u8]),
    /// Bytes that the connection may keep until they are sent.
    Shared(B),
}

impl<B: AsRef<[u8]>> AnswerBody<'_, B> {
    fn bytes(&self) -> &[u8] {
        match self {
            AnswerBody::Borrowed(bytes) => bytes,
            AnswerBody::Shared(bytes) => bytes.as_ref(),
        }
    }
}

/// One whole answer.
#[derive(Debug)]
pub struct Answer<'a, B> {
    /// 200 to 999.
    pub status: u16,
    /// A checked value, or none.
    pub content_type: Option<&'a [u8]>,
    /// Field lines, each checked.
    pub fields: &'a [u8],
    /// The body, also for HEAD, which does not get it.
    pub body: AnswerBody<'a, B>,
}

/// What of the bytes could not be copied behind the head.
pub(super) fn encode<'a, B: AsRef<[u8]>>(
    out: &mut Vec<u8>,
    answer: Answer<'a, B>,
    mut parts: ResponseParts<'a>,
    has_body: bool,
) -> Option<Chunk<B>> {
    let bytes = answer.body.bytes();
    parts.status = answer.status;
    parts.content_type = answer.content_type;
    parts.fields = answer.fields;
    // RFC 9110 section 15.4.5: a 304 says the length that a 200 would have had, which is not known here.
    parts.content_length = (answer.status != 304).then_some(bytes.len() as u64);
    encode_response_head(out, &parts);
    // RFC 9110 section 6.4.1: no body in answer to HEAD, nor with 204 and 304.
    if !has_body || matches!(answer.status, 204 | 304) {
        return None;
    }
    if bytes.len() <= COPY_AT_MOST {
        out.extend_from_slice(bytes);
        return None;
    }
    Some(match answer.body {
        AnswerBody::Borrowed(bytes) => Chunk::Owned(bytes.to_vec()),
        AnswerBody::Shared(bytes) => Chunk::Shared(bytes),
    })
}
