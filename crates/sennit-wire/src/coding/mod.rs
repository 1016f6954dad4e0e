//! Content codings (RFC 9110 section 8.4): gzip, deflate, br and zstd, both ways, piece by piece.
//!
//! | file | what it knows |
//! | --- | --- |
//! | `decoder` | coded bytes to plain ones, with limits that no bomb passes |
//! | `codec` | one coding undone, a piece at a time |
//! | `encoder` | plain bytes to coded ones |
//! | `negotiate` | which coding a client takes (RFC 9110 section 12.5.3) |
//!
//! The algorithms are those of well-known crates; the rules and limits around them are here.

mod codec;
mod decoder;
mod encoder;
mod negotiate;

use std::fmt;

pub use decoder::{DecodeCost, DecodeLimits, Decoder};
pub use encoder::Encoder;
pub use negotiate::negotiate;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// RFC 1952.
    Gzip,
    /// The zlib format of RFC 1950; bare deflate (RFC 1951), which some send, is read too.
    Deflate,
    /// RFC 7932.
    Brotli,
    /// RFC 8878, with a window of 8 MiB at most (RFC 9659).
    Zstd,
}

impl Coding {
    /// The coding of a name, which is compared without regard to case.
    pub fn of(name: &str) -> Option<Self> {
        let is = |known: &str| name.eq_ignore_ascii_case(known);
        match () {
            // RFC 9110 section 8.4.1.3: x-gzip is the same.
            () if is("gzip") || is("x-gzip") => Some(Coding::Gzip),
            () if is("deflate") => Some(Coding::Deflate),
            () if is("br") => Some(Coding::Brotli),
            () if is("zstd") => Some(Coding::Zstd),
            () => None,
        }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Coding::Gzip => "gzip",
            Coding::Deflate => "deflate",
            Coding::Brotli => "br",
            Coding::Zstd => "zstd",
        }
    }
}

/// Why bytes could not be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodingError {
    /// They are not what the coding says.
    Malformed(Coding),
    /// They end too early.
    Truncated(Coding),
    /// More bytes stand behind their end.
    Trailing(Coding),
    /// This coding is not known, or there are too many of them in a row.
    Unknown,
    /// They become larger than this number of bytes.
    TooLarge(u64),
    /// They become more than so many times as large as they are.
    TooDense(u32),
    /// What is coded twice is more than so many times as large with one coding undone.
    Nested(u32),
    /// They are made of more members or frames than their size allows.
    TooManyParts,
}

impl fmt::Display for CodingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CodingError::Malformed(coding) => write!(f, "body is no {}", coding.name()),
            CodingError::Truncated(coding) => write!(f, "body of {} ends too early", coding.name()),
            CodingError::Trailing(coding) => {
                write!(f, "bytes stand behind the end of a body of {}", coding.name())
            }
            CodingError::Unknown => {
                f.write_str("content-encoding is not known; there are gzip, deflate, br and zstd")
            }
            CodingError::TooLarge(limit) => {
                write!(
                    f,
                    "body is larger than {limit} bytes when it is decoded, the limit (max_size)"
                )
            }
            CodingError::TooDense(ratio) => write!(
                f,
                "body becomes more than {ratio} times as large when it is decoded, the limit (max_ratio)"
            ),
            CodingError::Nested(ratio) => write!(
                f,
                "body in two codings becomes more than {ratio} times as large with one undone; only a bomb does"
            ),
            CodingError::TooManyParts => {
                f.write_str("body is made of more members or frames than bytes were received for")
            }
        }
    }
}

impl std::error::Error for CodingError {}
