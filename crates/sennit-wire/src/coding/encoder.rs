//! Plain bytes to coded ones.

use std::io::Write;

use flate2::{Compress, Compression, FlushCompress, Status};

use super::Coding;

const PIECE: usize = 32 * 1024;

/// Window of brotli, as a power of two: 4 MiB, its own default.
const BROTLI_WINDOW: u32 = 22;

/// Encodes a body.
pub struct Encoder(Kind);

enum Kind {
    Flate(Box<Compress>),
    Brotli(Box<brotli::CompressorWriter<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Encoder<'static, Vec<u8>>>),
    Ended,
}

impl Encoder {
    /// An encoder. `level`: 0 to 9 for gzip and deflate, 0 to 11 for br, 1 to 22 for zstd; others are brought there.
    ///
    /// # Errors
    ///
    /// Memory.
    pub fn new(coding: Coding, level: i32) -> std::io::Result<Self> {
        Ok(Encoder(match coding {
            Coding::Gzip => {
                let level = Compression::new(level.clamp(0, 9) as u32);
                Kind::Flate(Box::new(Compress::new_gzip(level, 15)))
            }
            Coding::Deflate => {
                let level = Compression::new(level.clamp(0, 9) as u32);
                Kind::Flate(Box::new(Compress::new(level, true)))
            }
            Coding::Brotli => Kind::Brotli(Box::new(brotli::CompressorWriter::new(
                Vec::new(),
                PIECE,
                level.clamp(0, 11) as u32,
                BROTLI_WINDOW,
            ))),
            Coding::Zstd => Kind::Zstd(Box::new(zstd::stream::write::Encoder::new(
                Vec::new(),
                level.clamp(1, 22),
            )?)),
        }))
    }

    /// Encodes bytes; what comes of them may come later.
    ///
    /// # Errors
    ///
    /// Memory, or the encoder has ended.
    pub fn push(&mut self, input: &[u8]) -> std::io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Flate(flate) => run_flate(flate, input, FlushCompress::None),
            Kind::Brotli(writer) => {
                writer.write_all(input)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Zstd(writer) => {
                writer.write_all(input)?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Ended => Err(std::io::Error::other("the encoder has ended")),
        }
    }

    /// Gives all that can be decoded of what was pushed.
    ///
    /// # Errors
    ///
    /// As [`Encoder::push`].
    pub fn flush(&mut self) -> std::io::Result<Vec<u8>> {
        match &mut self.0 {
            Kind::Flate(flate) => run_flate(flate, &[], FlushCompress::Sync),
            Kind::Brotli(writer) => {
                writer.flush()?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Zstd(writer) => {
                writer.flush()?;
                Ok(std::mem::take(writer.get_mut()))
            }
            Kind::Ended => Err(std::io::Error::other("the encoder has ended")),
        }
    }

    /// Ends the body.
    ///
    /// # Errors
    ///
    /// As [`Encoder::push`].
    pub fn finish(&mut self) -> std::io::Result<Vec<u8>> {
        match std::mem::replace(&mut self.0, Kind::Ended) {
            Kind::Flate(mut flate) => run_flate(&mut flate, &[], FlushCompress::Finish),
            Kind::Brotli(writer) => Ok(writer.into_inner()),
            Kind::Zstd(writer) => writer.finish(),
            Kind::Ended => Err(std::io::Error::other("the encoder has ended")),
        }
    }
}

fn run_flate(
    flate: &mut Compress,
    mut input: &[u8],
    flush: FlushCompress,
) -> std::io::Result<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        out.reserve(PIECE);
        let before = flate.total_in();
        let status = flate.compress_vec(input, &mut out, flush).map_err(std::io::Error::other)?;
        let used = (flate.total_in() - before) as usize;
        input = input.get(used..).unwrap_or_default();
        // Room that is left says that nothing waits to be given.
        let is_all = input.is_empty() && out.len() < out.capacity();
        if status == Status::StreamEnd || is_all && flush != FlushCompress::Finish {
            return Ok(out);
        }
    }
}
