//! Content codings: whatever the bytes, in whatever pieces, output keeps to its limits, and both ways of cutting
//! end alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::coding::{Coding, DecodeLimits, Decoder, Encoder};

const LIMITS: DecodeLimits = DecodeLimits { max_size: 1 << 20, max_ratio: 1000 };
const NAMES: [&str; 6] = ["gzip", "deflate", "br", "zstd", "gzip, br", "zstd, gzip"];

fn decode(name: &str, input: &[u8], piece: usize) -> Option<Vec<u8>> {
    let mut decoder = Decoder::new(name, LIMITS).expect("a coding that is known");
    let mut out = Vec::new();
    for part in input.chunks(piece) {
        let result = decoder.push(part, &mut out);
        assert!(out.len() as u64 <= LIMITS.max_size);
        result.ok()?;
    }
    decoder.finish(&mut out).ok()?;
    assert!(out.len() as u64 <= LIMITS.max_size);
    Some(out)
}

fuzz_target!(|data: (u8, u8, u8, Vec<u8>)| {
    let (kind, piece, ruin, bytes) = data;
    let name = NAMES[usize::from(kind) % NAMES.len()];
    let piece = usize::from(piece) + 1;
    // Bytes as they are, and the same encoded, with one of them ruined.
    let coding =
        [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd][usize::from(kind) % 4];
    let mut encoder = Encoder::new(coding, 1).expect("memory");
    let mut coded = encoder.push(&bytes).expect("memory");
    coded.extend(encoder.finish().expect("memory"));
    assert_eq!(decode(coding.name(), &coded, piece).as_deref(), Some(&*bytes));
    let place = usize::from(ruin) % coded.len().max(1);
    if let Some(byte) = coded.get_mut(place) {
        *byte ^= ruin | 1;
    }
    for (name, input) in [(name, &bytes), (coding.name(), &coded)] {
        let whole = decode(name, input, input.len().max(1));
        let split = decode(name, input, piece);
        // The ratio is that of what has come so far: only in pieces may it be passed on the way.
        assert!(split.is_none() || whole == split);
    }
});
