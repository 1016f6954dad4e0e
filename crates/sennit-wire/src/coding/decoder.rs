//! Coded bytes to plain ones.
//!
//! Laws:
//! - Output is made in pieces of bounded size, and the limits are looked at after each: a bomb costs one piece more
//!   than it may.
//! - A body that ends early, or goes on behind its end, is an error: two recipients that differ in this read
//!   different bodies.

use std::io::Write;

use flate2::{Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

use super::{Coding, CodingError};

/// Output that is made at a time.
const PIECE: usize = 32 * 1024;

/// Codings in a row; more have no use but to hide a bomb in a bomb.
const MAX_CODINGS: usize = 3;

/// Output below which the ratio is not looked at: small bodies of one repeated byte are honest.
const FREE: u64 = 64 * 1024;

/// RFC 9659: what a content coding may ask a recipient to hold, as a power of two.
const ZSTD_WINDOW: u32 = 23;

/// What decoding may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of all output.
    pub max_size: u64,
    /// Output for each byte of input, once there are 64 KiB of output.
    pub max_ratio: u32,
}

/// Decodes a body in one or several codings.
pub struct Decoder {
    /// The coding that was applied last comes first.
    stages: Vec<Stage>,
    limits: DecodeLimits,
    received: u64,
    given: u64,
}

impl Decoder {
    /// A decoder for the value of a content-encoding field; `identity` is nothing.
    ///
    /// # Errors
    ///
    /// [`CodingError::Unknown`].
    pub fn new(content_encoding: &str, limits: DecodeLimits) -> Result<Self, CodingError> {
        let mut stages = Vec::new();
        for name in content_encoding.split(',').map(str::trim).rev() {
            if name.is_empty() || name.eq_ignore_ascii_case("identity") {
                continue;
            }
            let coding = Coding::of(name).ok_or(CodingError::Unknown)?;
            stages.push(Stage::new(coding)?);
        }
        if stages.len() > MAX_CODINGS {
            return Err(CodingError::Unknown);
        }
        Ok(Decoder { stages, limits, received: 0, given: 0 })
    }

    /// Whether anything is to be decoded.
    pub fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// Decodes what has come, behind what is in `out` already.
    ///
    /// # Errors
    ///
    /// The bytes are not what they are said to be, or become too large. Nothing may be asked of it afterwards.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodingError> {
        self.received = self.received.saturating_add(input.len() as u64);
        let mut budget = Budget { limits: self.limits, received: self.received, given: self.given };
        let result = push_through(&mut self.stages, input, out, &mut budget);
        self.given = budget.given;
        result
    }

    /// The body has ended.
    ///
    /// # Errors
    ///
    /// [`CodingError::Truncated`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodingError> {
        // A body of no bytes at all is what some send for an empty one.
        if self.received == 0 {
            return Ok(());
        }
        let mut budget = Budget { limits: self.limits, received: self.received, given: self.given };
        let mut stages = self.stages.as_mut_slice();
        while let Some((stage, rest)) = stages.split_first_mut() {
            let mut last = Vec::new();
            stage.finish(&mut |piece| {
                last.extend_from_slice(piece);
                budget.check_size(last.len() as u64)
            })?;
            if !last.is_empty() {
                push_through(rest, &last, out, &mut budget)?;
            }
            stages = rest;
        }
        self.given = budget.given;
        Ok(())
    }
}

struct Budget {
    limits: DecodeLimits,
    received: u64,
    given: u64,
}

impl Budget {
    fn check_size(&self, more: u64) -> Result<(), CodingError> {
        if self.given.saturating_add(more) > self.limits.max_size {
            return Err(CodingError::TooLarge(self.limits.max_size));
        }
        self.check_ratio(self.given.saturating_add(more))
    }

    fn check_ratio(&self, given: u64) -> Result<(), CodingError> {
        let most = self.received.saturating_mul(u64::from(self.limits.max_ratio));
        if given > FREE && given > most {
            return Err(CodingError::TooDense(self.limits.max_ratio));
        }
        Ok(())
    }

    fn give(&mut self, piece: &[u8], out: &mut Vec<u8>) -> Result<(), CodingError> {
        self.check_size(piece.len() as u64)?;
        self.given = self.given.saturating_add(piece.len() as u64);
        out.extend_from_slice(piece);
        Ok(())
    }
}

/// Pushes bytes through the stages that are left; each piece of one goes through all that follow before the next is
/// made.
fn push_through(
    stages: &mut [Stage],
    input: &[u8],
    out: &mut Vec<u8>,
    budget: &mut Budget,
) -> Result<(), CodingError> {
    let Some((stage, rest)) = stages.split_first_mut() else { return budget.give(input, out) };
    stage.push(input, &mut |piece| push_through(rest, piece, out, budget))
}

type Give<'a> = dyn FnMut(&[u8]) -> Result<(), CodingError> + 'a;

enum Stage {
    Flate(Flate),
    Brotli(Box<brotli::DecompressorWriter<Sink>>),
    Zstd(Box<Zstd>),
}

impl Stage {
    fn new(coding: Coding) -> Result<Self, CodingError> {
        Ok(match coding {
            Coding::Gzip | Coding::Deflate => Stage::Flate(Flate::new(coding)),
            Coding::Brotli => {
                Stage::Brotli(Box::new(brotli::DecompressorWriter::new(Sink::default(), PIECE)))
            }
            Coding::Zstd => Stage::Zstd(Box::new(Zstd::new()?)),
        })
    }

    fn push(&mut self, input: &[u8], give: &mut Give<'_>) -> Result<(), CodingError> {
        match self {
            Stage::Flate(flate) => flate.push(input, give),
            Stage::Brotli(writer) => push_brotli(writer, input, give),
            Stage::Zstd(zstd) => zstd.push(input, give),
        }
    }

    fn finish(&mut self, give: &mut Give<'_>) -> Result<(), CodingError> {
        match self {
            Stage::Flate(flate) => flate.finish(),
            Stage::Brotli(writer) => {
                writer.close().map_err(|_| CodingError::Truncated(Coding::Brotli))?;
                give(&std::mem::take(&mut writer.get_mut().0))
            }
            Stage::Zstd(zstd) => zstd.finish(),
        }
    }
}

/// Where a stream of gzip or deflate stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FlateState {
    /// No byte of this stream, or gzip member, has come.
    Fresh,
    Inside,
    Ended,
}

struct Flate {
    coding: Coding,
    inner: Decompress,
    state: FlateState,
}

impl Flate {
    fn new(coding: Coding) -> Self {
        let inner = match coding {
            Coding::Gzip => Decompress::new_gzip(15),
            _ => Decompress::new(true),
        };
        Flate { coding, inner, state: FlateState::Fresh }
    }

    /// A stream or member begins. What is no zlib header is taken for bare deflate: its first byte says the method
    /// and a window of no more than 32 KiB in zlib (RFC 1950 section 2.2).
    fn begin(&mut self, first: u8) {
        if self.coding == Coding::Gzip {
            if self.state == FlateState::Ended {
                self.inner = Decompress::new_gzip(15);
            }
        } else if first & 0x0F != 8 || first >> 4 > 7 {
            self.inner = Decompress::new(false);
        }
        self.state = FlateState::Inside;
    }

    fn push(&mut self, mut input: &[u8], give: &mut Give<'_>) -> Result<(), CodingError> {
        let mut piece = Vec::with_capacity(PIECE);
        while let Some(first) = input.first() {
            match self.state {
                FlateState::Fresh => self.begin(*first),
                // RFC 1952 section 2.2: members follow each other without anything between them.
                FlateState::Ended if self.coding == Coding::Gzip => self.begin(*first),
                FlateState::Ended => return Err(CodingError::Trailing(self.coding)),
                FlateState::Inside => {}
            }
            loop {
                piece.clear();
                let before = (self.inner.total_in(), self.inner.total_out());
                let status = self
                    .inner
                    .decompress_vec(input, &mut piece, FlushDecompress::None)
                    .map_err(|_| CodingError::Malformed(self.coding))?;
                let used = (self.inner.total_in() - before.0) as usize;
                input = input.get(used..).unwrap_or_default();
                if !piece.is_empty() {
                    give(&piece)?;
                }
                if status == Status::StreamEnd {
                    self.state = FlateState::Ended;
                    break;
                }
                if input.is_empty() && piece.len() < piece.capacity() {
                    break;
                }
                if used == 0 && piece.is_empty() {
                    return Err(CodingError::Malformed(self.coding));
                }
            }
        }
        Ok(())
    }

    fn finish(&self) -> Result<(), CodingError> {
        match self.state {
            FlateState::Ended => Ok(()),
            _ => Err(CodingError::Truncated(self.coding)),
        }
    }
}

/// Where the brotli writer puts its output.
#[derive(Default)]
struct Sink(Vec<u8>);

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Input that brotli gets at a time: a byte becomes 16 MiB at most, most become a few hundred, so that what is made of
/// this is bounded by the window that the format allows.
const BROTLI_INPUT: usize = 64;

fn push_brotli(
    writer: &mut brotli::DecompressorWriter<Sink>,
    input: &[u8],
    give: &mut Give<'_>,
) -> Result<(), CodingError> {
    for mut part in input.chunks(BROTLI_INPUT) {
        while !part.is_empty() {
            let used = writer.write(part).map_err(|_| CodingError::Malformed(Coding::Brotli))?;
            let made = std::mem::take(&mut writer.get_mut().0);
            for piece in made.chunks(PIECE) {
                give(piece)?;
            }
            if used == 0 {
                return Err(CodingError::Trailing(Coding::Brotli));
            }
            part = part.get(used..).unwrap_or_default();
        }
    }
    Ok(())
}

struct Zstd {
    inner: zstd::stream::raw::Decoder<'static>,
    /// A frame has begun and not ended.
    is_inside: bool,
}

impl Zstd {
    fn new() -> Result<Self, CodingError> {
        let malformed = |_| CodingError::Malformed(Coding::Zstd);
        let mut inner = zstd::stream::raw::Decoder::new().map_err(malformed)?;
        inner.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW)).map_err(malformed)?;
        Ok(Zstd { inner, is_inside: false })
    }

    fn push(&mut self, mut input: &[u8], give: &mut Give<'_>) -> Result<(), CodingError> {
        // A run on nothing would begin a frame.
        if input.is_empty() {
            return Ok(());
        }
        let mut buffer = vec![0; PIECE];
        loop {
            // The library reads a frame that is there whole in another way, which is stricter about the size that it
            // says of itself. Its first byte comes alone, so that the cut of the bytes changes nothing.
            let part = if self.is_inside { input } else { input.get(..1).unwrap_or(input) };
            let mut source = InBuffer::around(part);
            let mut target = OutBuffer::around(buffer.as_mut_slice());
            let hint = self
                .inner
                .run(&mut source, &mut target)
                .map_err(|_| CodingError::Malformed(Coding::Zstd))?;
            let made = target.pos();
            input = input.get(source.pos()..).unwrap_or_default();
            self.is_inside = hint != 0;
            if made > 0 {
                give(buffer.get(..made).unwrap_or_default())?;
            }
            // A frame whose end just fills the buffer has ended; another run would begin the next one.
            if input.is_empty() && (hint == 0 || made < PIECE) {
                return Ok(());
            }
            if hint == 0 {
                // Another frame follows (RFC 8878 section 3.1).
                self.inner.reinit().map_err(|_| CodingError::Malformed(Coding::Zstd))?;
            }
        }
    }

    fn finish(&self) -> Result<(), CodingError> {
        if self.is_inside { Err(CodingError::Truncated(Coding::Zstd)) } else { Ok(()) }
    }
}
