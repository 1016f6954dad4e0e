//! Frames: any bytes in any pieces are read without a panic, and frames of our own are read back whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::framing::{ByteOrder, FrameReader, Framing, Separator, Width};

fuzz_target!(|data: (Vec<u8>, Vec<Vec<u8>>, u8, u8, u8)| {
    let (noise, frames, kind, size, piece) = data;
    let max_size = usize::from(size);
    let separator = Separator::new(b"\r\n").unwrap_or(Separator::LINE_FEED);
    let framing = match kind % 6 {
        0 => Framing::Lines { max_size },
        1 => Framing::Separated { separator, max_size },
        2 => Framing::Netstrings { max_size },
        3 => Framing::LengthPrefixed { width: Width::Bits8, order: ByteOrder::Big, max_size },
        4 => Framing::LengthPrefixed { width: Width::Bits32, order: ByteOrder::Little, max_size },
        _ => Framing::Fixed { size: max_size.max(1) },
    };
    let mut input = Vec::new();
    let fits = |frame: &&Vec<u8>| frame.len() <= max_size;
    let good = frames.iter().filter(fits);
    let sent: Vec<_> = good.filter(|frame| framing.encode(frame, &mut input).is_ok()).collect();
    input.extend_from_slice(&noise);
    let (mut reader, mut received) = (FrameReader::default(), 0);
    for part in input.chunks(usize::from(piece).max(1)) {
        let mut rest = part;
        loop {
            match reader.next_frame(&framing, &mut rest) {
                Ok(None) => break,
                Ok(Some(frame)) => assert!(sent.get(received).is_none_or(|own| **own == frame)),
                Err(_) => return assert!(received >= sent.len(), "our own frames"),
            }
            received += 1;
        }
    }
    assert!(received >= sent.len());
});
