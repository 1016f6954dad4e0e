//! Framing: a stream of bytes cut into frames, both ways, for protocols that are no more than that.
//!
//! | framing | a frame on the wire |
//! | --- | --- |
//! | lines, or any separator | the frame, then the separator; a CR before a line feed belongs to the ending |
//! | netstrings | its length in decimal, `:`, the frame, `,` |
//! | length prefixes | its length in 8, 16 or 32 bits, big or little endian, then the frame |
//! | fixed size | so many bytes |
//!
//! Strategy: a [`FrameReader`] looks for the end of one frame at a time. A frame that lies wholly in the input is handed
//! out where it lies; only an incomplete one is kept, and the reader goes on searching where it has stopped,
//! so that no byte is searched twice however the input is cut. Every size has a limit, and what is over it is refused
//! before it has come: a length as soon as it is read, a line at its first byte too many.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `scan` | where a frame ends |
//! | `reader` | what has come and was not handed out yet |
//! | `encode` | frames written |
//! | `error` | what a peer, and what our own caller may do wrong |

mod encode;
mod error;
mod reader;
mod scan;

pub use encode::Envelope;
pub use error::{Fault, LocalProtocolError, RemoteProtocolError};
pub use reader::{Found, FrameReader};

/// The longest separator, in bytes.
pub const MAX_SEPARATOR: usize = 16;

/// The largest frame unless a program says otherwise, in bytes: 64 KiB. It bounds what one peer can make us hold
/// (asyncio's streams and Go's line scanner have the same number; Twisted's lines 16,384, its netstrings
/// and prefixed strings 99,999).
pub const MAX_SIZE: usize = 64 * 1024;

/// What stands behind each frame: 1 to [`MAX_SEPARATOR`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Separator {
    bytes: [u8; MAX_SEPARATOR],
    length: u8,
}

impl Separator {
    /// A line feed.
    pub const LINE_FEED: Separator = {
        let mut bytes = [0; MAX_SEPARATOR];
        bytes[0] = b'\n';
        Separator { bytes, length: 1 }
    };

    /// A separator; `None` if there are too few or too many bytes.
    pub fn new(separator: &[u8]) -> Option<Self> {
        let mut bytes = [0; MAX_SEPARATOR];
        bytes
            .get_mut(..separator.len())
            .filter(|place| !place.is_empty())?
            .copy_from_slice(separator);
        Some(Separator { bytes, length: separator.len() as u8 })
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// How wide a length prefix is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// 8 bits: frames of up to 255 bytes.
    Bits8,
    /// 16 bits: up to 65,535 bytes.
    Bits16,
    /// 32 bits: up to 4,294,967,295 bytes.
    Bits32,
}

impl Width {
    /// Bytes of the prefix.
    pub const fn bytes(self) -> usize {
        match self {
            Width::Bits8 => 1,
            Width::Bits16 => 2,
            Width::Bits32 => 4,
        }
    }

    /// The longest frame that such a prefix can announce, in bytes.
    pub const fn max_length(self) -> usize {
        match self {
            Width::Bits8 => u8::MAX as usize,
            Width::Bits16 => u16::MAX as usize,
            Width::Bits32 => u32::MAX as usize,
        }
    }
}

/// Which byte of a length comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteOrder {
    /// The most significant, as in most protocols.
    Big,
    /// The least significant.
    Little,
}

/// How frames are told apart. `max_size` is the most that a received frame may have, in bytes, without what stands
/// around it; it does not bind what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A frame and then a line feed, with a CR before it that does not count.
    Lines {
        /// Bytes of a line without its ending.
        max_size: usize,
    },
    /// A frame and then a separator.
    Separated {
        /// What stands behind each frame.
        separator: Separator,
        /// Bytes of a frame without its separator.
        max_size: usize,
    },
    /// `5:hello,` (<https://cr.yp.to/proto/netstrings.txt>).
    Netstrings {
        /// Bytes between the colon and the comma.
        max_size: usize,
    },
    /// A length, then so many bytes.
    LengthPrefixed {
        /// How wide the length is.
        width: Width,
        /// How the length is written.
        order: ByteOrder,
        /// Bytes behind the length.
        max_size: usize,
    },
    /// Frames that all have the same size, which is at least 1.
    Fixed {
        /// Bytes of each frame.
        size: usize,
    },
}
