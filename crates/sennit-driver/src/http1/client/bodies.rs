//! Bodies that are not whole: of a request that is being sent, of a response that is being read.

use sennit_wire::http1::{CHUNK_END, encode_chunk_size};

use super::exchange::Failure;

/// Bytes of a request's body that wait to be sent, above which no more is welcome.
pub(super) const UPLOAD_HIGH: usize = 64 * 1024;
/// Below which more is asked for again.
pub(super) const UPLOAD_LOW: usize = 16 * 1024;
/// Bytes of a response's body that wait to be read, at most: then the socket is not read any more.
pub(super) const DOWNLOAD_HIGH: usize = 256 * 1024;
/// Below which it is read again.
pub(super) const DOWNLOAD_LOW: usize = 64 * 1024;

/// How the body of a request is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sending {
    /// It stands behind the head, or there is none.
    Whole,
    /// It comes in pieces, each a chunk.
    Chunks,
    /// It comes in pieces of so many bytes in all.
    Length(u64),
}

/// Whether more of a request's body is welcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It is.
    Free,
    /// Not before [`super::Caller::moved`] is called.
    Full,
}

/// Why a piece of a request's body was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PieceRefused {
    /// The request is over, or its response has come before its body was sent.
    Gone,
    /// The body is longer than it was said to be.
    TooLong,
    /// The body ends so many bytes before the length that it was said to have.
    TooShort(u64),
}

/// The body of a request, as far as it was handed in.
#[derive(Debug)]
pub(super) struct Upload {
    /// Bytes that are left to be handed in; `None`: nobody knows.
    left: Option<u64>,
    /// Handed in, and not with a connection yet.
    pub queued: Vec<u8>,
    pub is_ended: bool,
    /// Somebody waits for room.
    pub wants_room: bool,
}

impl Upload {
    pub fn new(sending: Sending) -> Option<Box<Self>> {
        let left = match sending {
            Sending::Whole => return None,
            Sending::Chunks => None,
            Sending::Length(length) => Some(length),
        };
        Some(Box::new(Upload { left, queued: Vec::new(), is_ended: false, wants_room: false }))
    }

    pub fn push(&mut self, piece: &[u8]) -> Result<(), PieceRefused> {
        if self.is_ended {
            return Err(PieceRefused::Gone);
        }
        match &mut self.left {
            Some(left) => {
                *left = left.checked_sub(piece.len() as u64).ok_or(PieceRefused::TooLong)?;
                self.queued.extend_from_slice(piece);
            }
            None if piece.is_empty() => {}
            None => {
                encode_chunk_size(&mut self.queued, piece.len());
                self.queued.extend_from_slice(piece);
                self.queued.extend_from_slice(CHUNK_END);
            }
        }
        Ok(())
    }

    pub fn end(&mut self) -> Result<(), PieceRefused> {
        match self.left {
            _ if self.is_ended => return Err(PieceRefused::Gone),
            Some(0) => {}
            Some(left) => return Err(PieceRefused::TooShort(left)),
            None => self.queued.extend_from_slice(b"0\r\n\r\n"),
        }
        self.is_ended = true;
        Ok(())
    }
}

/// How far a response has come that is read in pieces.
#[derive(Debug, Default)]
pub(super) enum Progress {
    /// Its head has not come.
    #[default]
    Headless,
    /// More may come.
    Open,
    Ended,
    Failed(Failure),
}

/// The body of a response, as far as it has come and was not read.
#[derive(Debug, Default)]
pub(super) struct Download {
    pub data: Vec<u8>,
    pub progress: Progress,
    /// Somebody waits for more.
    pub wants_data: bool,
}

/// What reading a response's body has brought.
#[derive(Debug)]
pub enum BodyRead {
    /// Bytes, at least one.
    Data(Vec<u8>),
    /// Nothing is there now; [`super::Caller::moved`] tells.
    Nothing,
    /// That was all of it.
    End,
    /// It will never be whole.
    Failed(Failure),
    /// Nobody knows such a request any more.
    Gone,
}
