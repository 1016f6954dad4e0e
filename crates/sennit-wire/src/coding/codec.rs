//! One coding undone, a piece of bounded size at a time.
//!
//! Laws:
//! - A step uses up some input and makes some output, no more than there is room for; what the rest of the input
//!   would make stays unmade.
//! - A body that ends early, or goes on behind its end, is an error: two recipients that differ in this read
//!   different bodies.

use brotli::enc::StandardAlloc;
use brotli::{BrotliDecompressStream, BrotliResult, BrotliState};
use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use super::{Coding, CodingError};

/// RFC 9659: what a content coding may ask a recipient to hold, as a power of two.
const ZSTD_WINDOW: u32 = 23;

/// What a step has done.
pub(super) struct Step {
    /// Bytes of input that were used up.
    pub used: usize,
    /// Bytes of output that were made.
    pub made: usize,
    /// A gzip member or a zstd frame has ended; another may follow.
    pub has_ended: bool,
}

pub(super) enum Codec {
    Flate(Flate),
    Brotli(Box<Brotli>),
    Zstd(Zstd),
}

impl Codec {
    pub fn new(coding: Coding) -> Result<Self, CodingError> {
        Ok(match coding {
            Coding::Gzip | Coding::Deflate => Codec::Flate(Flate::new(coding)),
            Coding::Brotli => Codec::Brotli(Box::new(Brotli::new())),
            Coding::Zstd => Codec::Zstd(Zstd::new()?),
        })
    }

    /// Decodes into some room. Without input it gives what is held of what was used up.
    pub fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, CodingError> {
        match self {
            Codec::Flate(flate) => flate.step(input, room),
            Codec::Brotli(brotli) => brotli.step(input, room),
            Codec::Zstd(zstd) => zstd.step(input, room),
        }
    }

    /// The input has ended, and all that it makes was given.
    pub fn finish(&self) -> Result<(), CodingError> {
        let (is_over, coding) = match self {
            Codec::Flate(flate) => (flate.state == State::Ended, flate.coding),
            Codec::Brotli(brotli) => (brotli.is_over, Coding::Brotli),
            Codec::Zstd(zstd) => (zstd.state != State::Inside, Coding::Zstd),
        };
        if is_over { Ok(()) } else { Err(CodingError::Truncated(coding)) }
    }
}

/// Where a stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No byte of it has come.
    Fresh,
    Inside,
    /// It, or its last member or frame, has ended.
    Ended,
}

pub(super) struct Flate {
    coding: Coding,
    inner: Decompress,
    state: State,
}

impl Flate {
    fn new(coding: Coding) -> Self {
        let inner = match coding {
            Coding::Gzip => Decompress::new_gzip(15),
            _ => Decompress::new(true),
        };
        Flate { coding, inner, state: State::Fresh }
    }

    /// A stream or member begins. What is no zlib header is taken for bare deflate: its first byte says the method
    /// and a window of no more than 32 KiB in zlib (RFC 1950 section 2.2).
    fn begin(&mut self, first: u8) -> Result<(), CodingError> {
        match (self.coding, self.state) {
            (Coding::Gzip, State::Fresh) => {}
            // RFC 1952 section 2.2: members follow each other without anything between them.
            (Coding::Gzip, _) => self.inner = Decompress::new_gzip(15),
            (_, State::Ended) => return Err(CodingError::Trailing(self.coding)),
            _ if first & 0x0F != 8 || first >> 4 > 7 => self.inner = Decompress::new(false),
            _ => {}
        }
        self.state = State::Inside;
        Ok(())
    }

    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, CodingError> {
        if self.state != State::Inside {
            let Some(first) = input.first() else {
                return Ok(Step { used: 0, made: 0, has_ended: false });
            };
            self.begin(*first)?;
        }
        let before = (self.inner.total_in(), self.inner.total_out());
        let status = self
            .inner
            .decompress(input, room, FlushDecompress::None)
            .map_err(|_| CodingError::Malformed(self.coding))?;
        let used = (self.inner.total_in() - before.0) as usize;
        let made = (self.inner.total_out() - before.1) as usize;
        let has_ended = status == Status::StreamEnd;
        if has_ended {
            self.state = State::Ended;
        } else if used == 0 && made == 0 && !input.is_empty() {
            return Err(CodingError::Malformed(self.coding));
        }
        Ok(Step { used, made, has_ended })
    }
}

pub(super) struct Brotli {
    inner: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    is_over: bool,
}

impl Brotli {
    fn new() -> Self {
        let memory = StandardAlloc::default;
        // The strict one: windows of RFC 7932 are 16 MiB at most, those of "large window brotli" a gigabyte.
        Brotli { inner: BrotliState::new_strict(memory(), memory(), memory()), is_over: false }
    }

    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, CodingError> {
        if self.is_over {
            return match input {
                [] => Ok(Step { used: 0, made: 0, has_ended: false }),
                _ => Err(CodingError::Trailing(Coding::Brotli)),
            };
        }
        let (mut available, mut used) = (input.len(), 0);
        let (mut left, mut made, mut total) = (room.len(), 0, 0);
        let result = BrotliDecompressStream(
            &mut available,
            &mut used,
            input,
            &mut left,
            &mut made,
            room,
            &mut total,
            &mut self.inner,
        );
        match result {
            BrotliResult::ResultFailure => return Err(CodingError::Malformed(Coding::Brotli)),
            BrotliResult::ResultSuccess => self.is_over = true,
            BrotliResult::NeedsMoreInput | BrotliResult::NeedsMoreOutput => {}
        }
        Ok(Step { used, made, has_ended: self.is_over })
    }
}

pub(super) struct Zstd {
    inner: zstd::stream::raw::Decoder<'static>,
    state: State,
}

impl Zstd {
    fn new() -> Result<Self, CodingError> {
        let malformed = |_| CodingError::Malformed(Coding::Zstd);
        let mut inner = zstd::stream::raw::Decoder::new().map_err(malformed)?;
        inner.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).map_err(malformed)?;
        Ok(Zstd { inner, state: State::Fresh })
    }

    fn step(&mut self, input: &[u8], room: &mut [u8]) -> Result<Step, CodingError> {
        let malformed = |_| CodingError::Malformed(Coding::Zstd);
        let part = match self.state {
            State::Inside => input,
            // A run on nothing would begin a frame.
            _ if input.is_empty() => return Ok(Step { used: 0, made: 0, has_ended: false }),
            // The library reads a frame that is there whole in another way, which is stricter about the size that it
            // says of itself. Its first byte comes alone, so that the cut of the bytes changes nothing.
            state => {
                if state == State::Ended {
                    // Another frame follows (RFC 8878 section 3.1).
                    self.inner.reinit().map_err(malformed)?;
                }
                input.get(..1).unwrap_or(input)
            }
        };
        let mut source = InBuffer::around(part);
        let mut target = OutBuffer::around(room);
        let hint = self.inner.run(&mut source, &mut target).map_err(malformed)?;
        let has_ended = hint == 0;
        self.state = if has_ended { State::Ended } else { State::Inside };
        Ok(Step { used: source.pos(), made: target.pos(), has_ended })
    }
}
