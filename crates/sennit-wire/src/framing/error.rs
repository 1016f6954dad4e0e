//! The two errors of framing: what the peer did wrong, what our own caller did wrong.
//!
//! Each names the size and the limit. What is said does not depend on how the input was cut.

use std::fmt;

/// The peer broke the framing or passed a limit, or the stream has ended within a frame. Where the next frame begins is
/// not known: nothing more can be read in this framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteProtocolError {
    /// What exactly happened.
    pub fault: Fault,
}

impl From<Fault> for RemoteProtocolError {
    #[cold]
    fn from(fault: Fault) -> Self {
        RemoteProtocolError { fault }
    }
}

impl RemoteProtocolError {
    /// The rule that was broken; empty where it is the program's own.
    pub fn rule(&self) -> &'static str {
        match self.fault {
            Fault::BadLength { .. } | Fault::LeadingZero | Fault::MissingComma { .. } => {
                "netstrings"
            }
            _ => "",
        }
    }
}

/// What a peer did. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of each stand in `Display` below, once
pub enum Fault {
    /// It has at least `size` bytes: its end was not seen.
    Endless {
        size: usize,
        limit: usize,
    },
    TooLong {
        size: u64,
        limit: usize,
    },
    BadLength {
        byte: u8,
    },
    LeadingZero,
    MissingComma {
        byte: u8,
    },
    /// The stream ended; at least `missing` more bytes belong to the frame.
    Incomplete {
        got: usize,
        missing: usize,
    },
}

impl fmt::Display for RemoteProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.fault {
            Fault::Endless { size, limit } => {
                let (size, limit) = (Grouped(size as u64), Grouped(limit as u64));
                write!(f, "frame is at least {size} bytes, limit {limit} (max_size)")
            }
            Fault::TooLong { size, limit } => {
                let (size, limit) = (Grouped(size), Grouped(limit as u64));
                write!(f, "frame is {size} bytes, limit {limit} (max_size)")
            }
            Fault::BadLength { byte } => {
                write!(f, "netstring length has {}; it must be digits and then a colon", Byte(byte))
            }
            Fault::LeadingZero => f.write_str("netstring length has a leading zero"),
            Fault::MissingComma { byte } => {
                write!(f, "netstring is followed by {}, not by a comma", Byte(byte))
            }
            Fault::Incomplete { got, missing } => {
                let (got, missing) = (Grouped(got as u64), Grouped(missing as u64));
                write!(
                    f,
                    "stream ended within a frame: {got} bytes of it came, at least {missing} are missing"
                )
            }
        }
    }
}

impl std::error::Error for RemoteProtocolError {}

/// What was to be sent cannot be sent in this framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the words of each stand in `Display` below, once
pub enum LocalProtocolError {
    /// The receiver would see the end of the frame at `place`.
    HoldsSeparator {
        place: usize,
    },
    EndsWithReturn,
    TooLong {
        size: usize,
        limit: usize,
    },
    WrongSize {
        size: usize,
        wanted: usize,
    },
}

impl fmt::Display for LocalProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            LocalProtocolError::HoldsSeparator { place } => {
                let place = Grouped(place as u64);
                write!(f, "frame holds its own separator at byte {place}; it would arrive as two")
            }
            LocalProtocolError::EndsWithReturn => f.write_str(
                "line ends with CR, which its receiver would take for part of the ending",
            ),
            LocalProtocolError::TooLong { size, limit } => {
                let (size, limit) = (Grouped(size as u64), Grouped(limit as u64));
                write!(f, "frame is {size} bytes, limit {limit} (the width of its length prefix)")
            }
            LocalProtocolError::WrongSize { size, wanted } => {
                let (size, wanted) = (Grouped(size as u64), Grouped(wanted as u64));
                write!(f, "frame is {size} bytes, every frame must be {wanted}")
            }
        }
    }
}

impl std::error::Error for LocalProtocolError {}

/// A number with a comma between thousands.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Grouped(self.0 / 1000), self.0 % 1000)
    }
}

/// A byte as people write it.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            byte @ 0x21..=0x7E => write!(f, "{:?}", char::from(byte)),
            byte => write!(f, "byte 0x{byte:02X}"),
        }
    }
}
