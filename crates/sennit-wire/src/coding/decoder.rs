//! Coded bytes to plain ones.
//!
//! Laws:
//! - Output is made in pieces of bounded size, no more than was asked for, and the limits are looked at after each: a
//!   bomb costs one piece more than it may.
//! - What one coding makes for the next is bounded as well: a body of a few hundred bytes that becomes nothing in the
//!   end can be megabytes on the way. Work is in proportion to what was received.

use super::codec::Codec;
use super::{Coding, CodingError};

/// Output that is made at a time.
const PIECE: usize = 32 * 1024;

/// Codings in a row; more have no use but to hide a bomb in a bomb.
const MAX_CODINGS: usize = 2;

/// Output below which the ratio is not looked at: bodies of one repeated byte, 1,025:1 in gzip, are honest.
const FREE: u64 = 1024 * 1024;

/// What one coding makes for another is coded, and does not become much smaller: beyond so many bytes it may be so
/// many times what was received.
const BETWEEN_FREE: u64 = 64 * 1024;
const BETWEEN_RATIO: u32 = 16;

/// Members of gzip and frames of zstd: each costs a microsecond, even an empty one. None is smaller than 8 bytes, so
/// that only those beneath another coding can be too many.
const FREE_PARTS: u64 = 1024;
const LEAST_PART: u64 = 8;

/// What decoding may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimits {
    /// Bytes of all output.
    pub max_size: u64,
    /// Output for each byte of input, once there is 1 MiB of output.
    pub max_ratio: u32,
}

/// What decoding has cost so far.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct DecodeCost {
    /// Coded bytes.
    pub received: u64,
    /// Bytes that all codings have made, those for each other among them.
    pub made: u64,
    /// Members of gzip, frames of zstd.
    pub parts: u64,
}

/// Decodes a body in one or several codings.
pub struct Decoder {
    /// The coding that was applied last comes first.
    stages: Vec<Stage>,
    limits: DecodeLimits,
    cost: DecodeCost,
    /// Pushed, and not used up from this place on.
    held: Vec<u8>,
    held_at: usize,
}

struct Stage {
    codec: Codec,
    /// What it has made: all of it is output, or is for the next stage.
    made: u64,
    /// More may come without more input.
    is_pending: bool,
    /// Room for what it makes, and what of that was not used up by the next stage.
    piece: Vec<u8>,
    rest: std::ops::Range<usize>,
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
            if stages.len() == MAX_CODINGS {
                return Err(CodingError::Unknown);
            }
            let codec = Codec::new(coding)?;
            stages.push(Stage { codec, made: 0, is_pending: false, piece: Vec::new(), rest: 0..0 });
        }
        Ok(Decoder { stages, limits, cost: DecodeCost::default(), held: Vec::new(), held_at: 0 })
    }

    /// Whether anything is to be decoded.
    pub fn is_identity(&self) -> bool {
        self.stages.is_empty()
    }

    /// What it has cost so far.
    pub fn cost(&self) -> DecodeCost {
        self.cost
    }

    /// Decodes all that has come, behind what is in `out` already.
    ///
    /// # Errors
    ///
    /// The bytes are not what they are said to be, or become too large. Nothing may be asked of it afterwards.
    pub fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), CodingError> {
        self.push_some(input, usize::MAX, out).map(drop)
    }

    /// Decodes what has come, behind what is in `out` already, until so many bytes are made. True: there may be more,
    /// and what was not used up of the input is kept until it is asked for.
    ///
    /// # Errors
    ///
    /// As [`Decoder::push`].
    pub fn push_some(
        &mut self,
        input: &[u8],
        most: usize,
        out: &mut Vec<u8>,
    ) -> Result<bool, CodingError> {
        self.cost.received = self.cost.received.saturating_add(input.len() as u64);
        if self.held.is_empty() {
            let used = self.run(input, most, out)?;
            self.held.extend_from_slice(input.get(used..).unwrap_or_default());
            return Ok(self.is_pending());
        }
        let mut held = std::mem::take(&mut self.held);
        if !input.is_empty() {
            held.drain(..std::mem::take(&mut self.held_at));
            held.extend_from_slice(input);
        }
        self.held_at += self.run(held.get(self.held_at..).unwrap_or_default(), most, out)?;
        if self.held_at < held.len() {
            self.held = held;
        } else {
            self.held_at = 0;
        }
        Ok(self.is_pending())
    }

    /// Whether there may be more output without more input.
    pub fn is_pending(&self) -> bool {
        let has_rest = |stage: &Stage| stage.is_pending || !stage.rest.is_empty();
        !self.held.is_empty() || self.stages.iter().any(has_rest)
    }

    /// The body has ended; what is left of it is decoded.
    ///
    /// # Errors
    ///
    /// As [`Decoder::push`], and [`CodingError::Truncated`].
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), CodingError> {
        // A body of no bytes at all is what some send for an empty one.
        if self.cost.received == 0 {
            return Ok(());
        }
        if self.is_pending() {
            self.push(&[], out)?;
        }
        self.stages.iter().try_for_each(|stage| stage.codec.finish())
    }

    /// Decodes until the input is used up, or so much is made; how much was used up.
    fn run(&mut self, input: &[u8], most: usize, out: &mut Vec<u8>) -> Result<usize, CodingError> {
        let end = out.len().saturating_add(most);
        let mut bounds = Bounds { limits: self.limits, cost: &mut self.cost };
        let mut used = 0;
        match self.stages.as_mut_slice() {
            [] => {
                used = input.len().min(most);
                let given = input.get(..used).unwrap_or_default();
                bounds.check_size(bounds.cost.made + given.len() as u64)?;
                bounds.cost.made += given.len() as u64;
                out.extend_from_slice(given);
            }
            [only] => {
                while out.len() < end && (only.is_pending || used < input.len()) {
                    let rest = input.get(used..).unwrap_or_default();
                    used += only.step(rest, end - out.len(), true, &mut bounds)?;
                    only.give(out);
                }
            }
            [first, last, ..] => loop {
                // Each piece of the first goes through the last before the next is made.
                while out.len() < end && (last.is_pending || !first.rest.is_empty()) {
                    let between = first.piece.get(first.rest.clone()).unwrap_or_default();
                    let taken = last.step(between, end - out.len(), true, &mut bounds)?;
                    first.rest.start += taken;
                    last.give(out);
                }
                if out.len() >= end || !(first.is_pending || used < input.len()) {
                    break;
                }
                let rest = input.get(used..).unwrap_or_default();
                used += first.step(rest, PIECE, false, &mut bounds)?;
            },
        }
        Ok(used)
    }
}

impl Stage {
    /// One step with some input, for at most so much output; how much was used up.
    fn step(
        &mut self,
        input: &[u8],
        most: usize,
        is_last: bool,
        bounds: &mut Bounds<'_>,
    ) -> Result<usize, CodingError> {
        if self.piece.is_empty() {
            self.piece = vec![0; PIECE];
        }
        let size = most.min(PIECE);
        let room = self.piece.get_mut(..size).unwrap_or_default();
        let step = self.codec.step(input, room)?;
        self.rest = 0..step.made;
        self.made = self.made.saturating_add(step.made as u64);
        // Room that is left says that nothing waits to be given; a member that has ended has given all.
        self.is_pending = step.made == size && !step.has_ended;
        bounds.charge(self.made, &step, is_last)?;
        Ok(step.used)
    }

    fn give(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.piece.get(self.rest.clone()).unwrap_or_default());
        self.rest = 0..0;
    }
}

struct Bounds<'a> {
    limits: DecodeLimits,
    cost: &'a mut DecodeCost,
}

impl Bounds<'_> {
    /// Notes what a step of a stage has cost that has made so much in all.
    fn charge(
        &mut self,
        made: u64,
        step: &super::codec::Step,
        is_last: bool,
    ) -> Result<(), CodingError> {
        self.cost.made = self.cost.made.saturating_add(step.made as u64);
        self.cost.parts = self.cost.parts.saturating_add(u64::from(step.has_ended));
        self.check_size(made)?;
        let ratio = self.limits.max_ratio;
        if is_last && self.is_too_dense(made, FREE, ratio) {
            return Err(CodingError::TooDense(ratio));
        }
        if !is_last && self.is_too_dense(made, BETWEEN_FREE, BETWEEN_RATIO) {
            return Err(CodingError::Nested(BETWEEN_RATIO));
        }
        if self.cost.parts > FREE_PARTS + self.cost.received / LEAST_PART {
            return Err(CodingError::TooManyParts);
        }
        Ok(())
    }

    fn check_size(&self, made: u64) -> Result<(), CodingError> {
        let limit = self.limits.max_size;
        if made > limit { Err(CodingError::TooLarge(limit)) } else { Ok(()) }
    }

    fn is_too_dense(&self, made: u64, free: u64, ratio: u32) -> bool {
        made > free && made > self.cost.received.saturating_mul(u64::from(ratio))
    }
}
