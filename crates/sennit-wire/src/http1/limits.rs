//! The numbers that bound what a peer can make us hold: how long a line, how large a head.

/// How many fields [`FieldSlots`](super::FieldSlots) has room for: the ceiling of [`Limits::max_header_count`].
///
/// 256 slots are 8 KiB of stack that is never written unless a peer sends that many fields.
pub const MAX_FIELDS: usize = 256;

/// What one message may cost its reader. All sizes are bytes; every limit is inclusive.
///
/// The reader borrows the limits on each call instead of holding them, so that an idle connection does not
/// pay for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Request line or status line without its CRLF. Default 8 KiB (nginx 8k, gunicorn 4,094, aiohttp 8,190);
    /// a longer request line is answered with 414.
    pub max_request_line: usize,
    /// Whole head: start line, fields and the blank line. Default 32 KiB (nginx 4 x 8k, Node 16 KiB); a larger
    /// one is answered with 431.
    pub max_head_size: usize,
    /// Field lines in one head, and in one trailer section. Default 100 (hyper 100, HAProxy 101); more are answered
    /// with 431. At most [`MAX_FIELDS`].
    pub max_header_count: usize,
    /// Chunk extensions of one message, added up, without the chunk sizes. Default 4 KiB (Node and hyper
    /// 16 KiB): nobody uses them, and each one costs parsing without delivering data.
    pub max_chunk_extension: usize,
    /// Trailer section of one chunked message with its blank line. Default 8 KiB.
    pub max_trailer_size: usize,
    /// Interim (1xx) responses to one request. Default 8: 100 and one or two 103 are usual; curl and Go stop at about
    /// five.
    pub max_interim_responses: u8,
}

impl Limits {
    /// The defaults, usable in constants.
    pub const DEFAULT: Self = Self {
        max_request_line: 8 * 1024,
        max_head_size: 32 * 1024,
        max_header_count: 100,
        max_chunk_extension: 4 * 1024,
        max_trailer_size: 8 * 1024,
        max_interim_responses: 8,
    };
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}
