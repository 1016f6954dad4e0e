//! Framing of bodies: a length, chunks, or everything until the peer closes (RFC 9112 sections 6 and 7).
//!
//! Data is handed out as it lies in the input. What stands around chunk data is used up byte by byte, so a size line may be
//! cut anywhere and costs the same; only a trailer line must be complete before it is used up.
//!
//! No whitespace is accepted inside a size line, although the grammar of section 7.1.1 has room for some
//! around extensions: it is where parsers disagree. Extensions are checked and dropped, trailer fields
//! as well (RFC 9110 section 6.5.1 forbids to treat them as header fields).

use super::error::Fault;
use super::head::HeadScan;
use super::{Framing, Limits};

/// Digits of a chunk size that fit 64 bits.
const MAX_SIZE_DIGITS: u8 = 16;

/// Where a body stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The last byte was handed out.
    Over,
    Length,
    UntilClose,
    Size,
    Extension(Extension),
    SizeLineFeed,
    Data,
    DataReturn,
    DataLineFeed,
    Trailer,
}

/// Where a chunk extension stands: `;name`, `;name=token`, `;name="text"` (RFC 9112 section 7.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extension {
    NameStart,
    Name,
    ValueStart,
    Value,
    Quoted,
    Escaped,
    QuotedEnd,
}

/// Reads one body. 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyReader {
    state: State,
    digits: u8,
    /// Bytes of data left: of the whole body or of the current chunk.
    left: u64,
    /// Bytes of extensions, and then of trailers, so far.
    spent: u32,
    scan: HeadScan,
}

/// What a body reader found.
pub(crate) enum Piece<'a> {
    NeedData,
    Data(&'a [u8]),
    End,
}

impl BodyReader {
    pub fn new(framing: Framing) -> Self {
        let (state, left) = match framing {
            Framing::None => (State::Over, 0),
            Framing::Length(length) => (State::Length, length),
            Framing::Chunked => (State::Size, 0),
            Framing::UntilClose => (State::UntilClose, 0),
        };
        Self { state, digits: 0, left, spent: 0, scan: HeadScan::NEW }
    }

    /// Whether the end of the connection ends this body, too.
    pub fn ends_at_close(&self) -> bool {
        self.state == State::UntilClose
    }

    /// Looks at the front of `input`: bytes used up, and what they were.
    pub fn next<'a>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
    ) -> Result<(usize, Piece<'a>), Fault> {
        match self.state {
            State::Over => Ok((0, Piece::End)),
            State::Length => Ok(self.take_data(input, 0)),
            State::UntilClose if input.is_empty() => Ok((0, Piece::NeedData)),
            State::UntilClose => Ok((input.len(), Piece::Data(input))),
            State::Trailer => self.trailer(limits, input, 0),
            _ => self.chunk(limits, input),
        }
    }

    /// Hands out what there is of the counted data, behind `skipped` bytes of framing.
    fn take_data<'a>(&mut self, input: &'a [u8], skipped: usize) -> (usize, Piece<'a>) {
        if self.left == 0 {
            return (skipped, Piece::End);
        }
        let there = input.get(skipped..).unwrap_or_default();
        let data =
            usize::try_from(self.left).ok().and_then(|left| there.get(..left)).unwrap_or(there);
        if data.is_empty() {
            return (skipped, Piece::NeedData);
        }
        self.left -= data.len() as u64;
        (skipped + data.len(), Piece::Data(data))
    }

    /// Uses up framing until data, the trailer section or the end of the input comes.
    fn chunk<'a>(&mut self, limits: &Limits, input: &'a [u8]) -> Result<(usize, Piece<'a>), Fault> {
        let mut used = 0;
        loop {
            match self.state {
                State::Data if self.left == 0 => self.state = State::DataReturn,
                State::Data => return Ok(self.take_data(input, used)),
                State::Trailer => return self.trailer(limits, input, used),
                _ => {}
            }
            let Some(byte) = input.get(used) else {
                return Ok((used, Piece::NeedData));
            };
            self.state = self.step(limits, *byte)?;
            used += 1;
        }
    }

    /// One byte of chunk framing: the state behind it.
    fn step(&mut self, limits: &Limits, byte: u8) -> Result<State, Fault> {
        match (self.state, byte) {
            (State::Size, b';') if self.digits > 0 => {
                self.spend_extension(limits)?;
                Ok(State::Extension(Extension::NameStart))
            }
            (State::Size, b'\r') if self.digits > 0 => Ok(State::SizeLineFeed),
            (State::Size, _) => self.size_digit(byte),
            (State::Extension(extension), _) => {
                let next = extension_step(extension, byte)?;
                if next != State::SizeLineFeed {
                    self.spend_extension(limits)?;
                }
                Ok(next)
            }
            (State::SizeLineFeed, b'\n') => Ok(self.data_or_trailer()),
            (State::DataReturn, b'\r') => Ok(State::DataLineFeed),
            (State::DataLineFeed, b'\n') => Ok(State::Size),
            (State::SizeLineFeed, _) => Err(Fault::BareCarriageReturn),
            _ => Err(Fault::BadChunkEnd { byte }),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, Fault> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            _ => return Err(Fault::BadChunkSize { byte }),
        };
        if self.digits == MAX_SIZE_DIGITS {
            return Err(Fault::ChunkSizeTooLong { limit: u64::from(MAX_SIZE_DIGITS) });
        }
        self.digits += 1;
        self.left = (self.left << 4) | u64::from(digit);
        Ok(State::Size)
    }

    fn data_or_trailer(&mut self) -> State {
        self.digits = 0;
        if self.left > 0 {
            return State::Data;
        }
        self.spent = 0;
        State::Trailer
    }

    fn spend_extension(&mut self, limits: &Limits) -> Result<(), Fault> {
        self.spent = self.spent.saturating_add(1);
        let (size, limit) = (u64::from(self.spent), limits.max_chunk_extension as u64);
        if size > limit { Err(Fault::ChunkExtensionTooLarge { size, limit }) } else { Ok(()) }
    }

    /// Uses up whole trailer lines, behind `used` bytes of framing.
    fn trailer<'a>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
        mut used: usize,
    ) -> Result<(usize, Piece<'a>), Fault> {
        let limit = limits.max_trailer_size;
        loop {
            // One byte more than the limit tells a section that is too large from one that just fits.
            let room = limit.saturating_sub(self.spent as usize).saturating_add(1);
            let rest = input.get(used..).unwrap_or_default();
            let window = rest.get(..room).unwrap_or(rest);
            let line = self.scan.trailer_line(limits, window)?;
            let size = self.spent as usize + line.map_or(window.len(), |(length, _)| length);
            if size > limit {
                return Err(Fault::TrailerTooLarge { size: size as u64, limit: limit as u64 });
            }
            let Some((length, is_last)) = line else {
                return Ok((used, Piece::NeedData));
            };
            self.spent = u32::try_from(size).unwrap_or(u32::MAX);
            used += length;
            if is_last {
                self.state = State::Over;
                return Ok((used, Piece::End));
            }
        }
    }
}

fn extension_step(extension: Extension, byte: u8) -> Result<State, Fault> {
    use Extension as E;
    let next = match (extension, byte) {
        (E::Name | E::Value | E::QuotedEnd, b'\r') => return Ok(State::SizeLineFeed),
        (E::Name | E::Value | E::QuotedEnd, b';') => E::NameStart,
        (E::Name, b'=') => E::ValueStart,
        (E::ValueStart, b'"') => E::Quoted,
        (E::NameStart | E::Name, _) if super::head::is_token_byte(byte) => E::Name,
        (E::ValueStart | E::Value, _) if super::head::is_token_byte(byte) => E::Value,
        (E::Quoted, b'"') => E::QuotedEnd,
        (E::Quoted, b'\\') => E::Escaped,
        (E::Quoted | E::Escaped, b'\t' | 0x20..=0x7E | 0x80..=0xFF) => E::Quoted,
        _ => return Err(Fault::BadChunkExtension { byte }),
    };
    Ok(State::Extension(next))
}
