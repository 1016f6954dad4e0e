//! Content codings: what was encoded is decoded, however it is cut; what is broken or a bomb is refused.

use proptest::prelude::*;
use sennit_wire::coding::{Coding, CodingError, DecodeLimits, Decoder, Encoder};

const ALL: [Coding; 4] = [Coding::Gzip, Coding::Deflate, Coding::Brotli, Coding::Zstd];
const LIMITS: DecodeLimits = DecodeLimits { max_size: 1 << 30, max_ratio: u32::MAX };

fn encoded(coding: Coding, plain: &[u8], level: i32) -> Vec<u8> {
    let mut encoder = Encoder::new(coding, level).unwrap();
    let mut out = encoder.push(plain).unwrap();
    out.extend(encoder.finish().unwrap());
    out
}

fn decoded(
    field: &str,
    coded: &[u8],
    size: usize,
    limits: DecodeLimits,
) -> Result<Vec<u8>, CodingError> {
    let mut decoder = Decoder::new(field, limits)?;
    let mut out = Vec::new();
    for piece in coded.chunks(size.max(1)) {
        decoder.push(piece, &mut out)?;
    }
    decoder.finish(&mut out)?;
    Ok(out)
}

proptest! {
    #[test]
    fn what_was_encoded_is_decoded(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..2000), 0..6),
        flushes in any::<u8>(),
        cut in 1..300_usize,
        which in 0..4_usize,
        level in 0..9,
    ) {
        let coding = ALL[which];
        let mut encoder = Encoder::new(coding, level).unwrap();
        let mut decoder = Decoder::new(coding.name(), LIMITS).unwrap();
        let (mut coded, mut plain) = (Vec::new(), Vec::new());
        for (number, piece) in pieces.iter().enumerate() {
            plain.extend_from_slice(piece);
            coded.extend(encoder.push(piece).unwrap());
            if flushes & (1 << number) != 0 {
                coded.extend(encoder.flush().unwrap());
                // All that was pushed can be had now.
                let mut out = Vec::new();
                let mut so_far = Decoder::new(coding.name(), LIMITS).unwrap();
                so_far.push(&coded, &mut out).unwrap();
                prop_assert_eq!(&out, &plain);
            }
        }
        coded.extend(encoder.finish().unwrap());
        let mut out = Vec::new();
        for part in coded.chunks(cut) {
            decoder.push(part, &mut out).unwrap();
        }
        decoder.finish(&mut out).unwrap();
        prop_assert_eq!(out, plain);
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        which in 0..4_usize,
        cut in 1..50_usize,
    ) {
        let limits = DecodeLimits { max_size: 1 << 20, max_ratio: 100 };
        let whole = decoded(ALL[which].name(), &bytes, bytes.len(), limits);
        let parts = decoded(ALL[which].name(), &bytes, cut, limits);
        prop_assert_eq!(whole.is_ok(), parts.is_ok());
        if let (Ok(whole), Ok(parts)) = (whole, parts) {
            prop_assert_eq!(whole, parts);
        }
    }
}

#[test]
fn a_bomb_stops_at_its_limit() {
    let plain = vec![0; 16 << 20];
    for coding in ALL {
        let bomb = encoded(coding, &plain, 9);
        assert!(bomb.len() < plain.len() / 500, "{coding:?} is no bomb");
        for (limits, error) in [
            (
                DecodeLimits { max_size: 1 << 20, max_ratio: u32::MAX },
                CodingError::TooLarge(1 << 20),
            ),
            (DecodeLimits { max_size: u64::MAX, max_ratio: 100 }, CodingError::TooDense(100)),
        ] {
            let mut decoder = Decoder::new(coding.name(), limits).unwrap();
            let mut out = Vec::new();
            let result = bomb.chunks(1000).try_for_each(|part| decoder.push(part, &mut out));
            assert_eq!(result, Err(error), "{coding:?}");
            assert!(out.len() <= (1 << 20) + 1000 * 100, "{coding:?} made {}", out.len());
            // One piece more than it may, whatever was pushed at once.
            let mut decoder = Decoder::new(coding.name(), limits).unwrap();
            assert_eq!(decoder.push(&bomb, &mut Vec::new()), Err(error), "{coding:?}");
            let most = (1 << 20).max(bomb.len() as u64 * 100) + (32 << 10);
            assert!(decoder.cost().made <= most, "{coding:?} made {:?}", decoder.cost());
        }
    }
}

#[test]
fn a_bomb_in_a_bomb_stops_too() {
    let plain = vec![0; 16 << 20];
    let bomb = encoded(Coding::Gzip, &encoded(Coding::Zstd, &plain, 9), 9);
    let limits = DecodeLimits { max_size: 1 << 20, max_ratio: 100 };
    assert!(decoded("zstd, gzip", &bomb, 100, limits).is_err());
    assert_eq!(decoded("zstd, gzip", &bomb, 100, LIMITS).unwrap(), plain);
}

/// Empty stored blocks of deflate, in gzip's clothes; nobody looks at the checksum before the end.
fn empty_blocks(count: usize) -> Vec<u8> {
    let mut made = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    made.extend([0, 0, 0, 0xff, 0xff].repeat(count));
    made.extend([1, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0]);
    made
}

/// A stream of brotli: a window of 16 bits, metadata blocks of no bytes, an empty last block.
fn empty_metadata(count: usize) -> Vec<u8> {
    let mut made = vec![0x0c];
    made.extend(std::iter::repeat_n(0x06, count));
    made.push(0x03);
    made
}

#[test]
fn what_becomes_nothing_in_the_end_costs_what_was_received() {
    let members = encoded(Coding::Gzip, b"", 9).repeat(500_000);
    let frames = encoded(Coding::Zstd, b"", 1).repeat(500_000);
    let limits = DecodeLimits { max_size: 100 << 20, max_ratio: 100 };
    let inner = [
        ("gzip", members),
        ("zstd", frames),
        ("gzip", empty_blocks(2_000_000)),
        ("br", empty_metadata(10_000_000)),
    ];
    for (name, coded) in &inner {
        // By itself it is a body, of many bytes.
        let mut decoder = Decoder::new(name, limits).unwrap();
        let mut out = Vec::new();
        decoder.push(&coded[..100_000], &mut out).unwrap();
        assert_eq!((out.len(), decoder.cost().made), (0, 0), "{name}");
        for outer in ALL {
            let bomb = encoded(outer, coded, 9);
            let field = format!("{name}, {}", outer.name());
            let mut decoder = Decoder::new(&field, limits).unwrap();
            let result = decoder.push(&bomb, &mut Vec::new());
            let refused =
                matches!(result, Err(CodingError::Nested(16) | CodingError::TooManyParts));
            assert!(refused, "{field}: {result:?}");
            let cost = decoder.cost();
            let most = (64 << 10).max(cost.received * 16) + (32 << 10);
            assert!(cost.made <= most, "{field}: {cost:?}");
            assert!(cost.parts <= 1026 + cost.received / 8, "{field}: {cost:?}");
        }
    }
}

#[test]
fn any_amount_may_be_asked_for() {
    let plain: Vec<u8> = (0..200_000_u32).flat_map(|n| (n / 50).to_le_bytes()).collect();
    for field in ["gzip", "deflate", "br", "zstd", "zstd, gzip", "br, zstd", "gzip, deflate", ""] {
        let mut coded = plain.clone();
        for name in field.split(", ").filter(|name| !name.is_empty()) {
            coded = encoded(Coding::of(name).unwrap(), &coded, 5);
        }
        for most in [1, 1000, 32 << 10, 1 << 20] {
            let size = if most == 1 { 40_000 } else { coded.len() };
            let mut decoder = Decoder::new(field, LIMITS).unwrap();
            let mut out = Vec::new();
            for part in coded[..size.min(coded.len())].chunks(50_001) {
                let mut part = part;
                loop {
                    let before = out.len();
                    let is_pending = decoder.push_some(part, most, &mut out).unwrap();
                    assert!(out.len() - before <= most, "{field}");
                    assert_eq!(is_pending, decoder.is_pending());
                    if !is_pending {
                        break;
                    }
                    part = &[];
                }
                if most == 1 {
                    break;
                }
            }
            assert!(plain.starts_with(&out), "{field}");
            if most > 1 {
                decoder.finish(&mut out).unwrap();
                assert_eq!(out, plain, "{field}");
            }
        }
    }
}

#[test]
fn a_large_window_of_brotli_is_refused() {
    // The escape of "large window brotli", then 30 bits of window: a gigabyte.
    let result = decoded("br", &[0x11, 0x1e, 0x03], 100, LIMITS);
    assert_eq!(result, Err(CodingError::Malformed(Coding::Brotli)));
}

#[test]
fn small_bodies_may_be_as_dense_as_they_like() {
    let plain = vec![b'x'; 1 << 20];
    let limits = DecodeLimits { max_size: 1 << 20, max_ratio: 10 };
    for coding in ALL {
        assert_eq!(decoded(coding.name(), &encoded(coding, &plain, 9), 7, limits).unwrap(), plain);
    }
}

#[test]
fn a_frame_that_lies_about_its_size_is_read_alike_in_any_pieces() {
    let mut coded = encoded(Coding::Zstd, b"", 1);
    coded[5] = 0xf9;
    let whole = decoded("zstd", &coded, coded.len(), LIMITS);
    for piece in 1..coded.len() {
        assert_eq!(decoded("zstd", &coded, piece, LIMITS), whole);
    }
}

#[test]
fn what_ends_early_is_no_body() {
    let plain: Vec<u8> = (0..5000_u32).flat_map(|number| (number * number).to_le_bytes()).collect();
    for coding in ALL {
        let coded = encoded(coding, &plain, 5);
        for end in [1, 5, coded.len() / 2, coded.len() - 1] {
            let result = decoded(coding.name(), &coded[..end], 64, LIMITS);
            assert_eq!(result, Err(CodingError::Truncated(coding)), "{end} of {}", coded.len());
        }
    }
}

#[test]
fn what_goes_on_behind_its_end_is_no_body() {
    for coding in ALL {
        let mut coded = encoded(coding, b"hello", 5);
        coded.extend_from_slice(b"garbage");
        for size in [1, 1000] {
            let result = decoded(coding.name(), &coded, size, LIMITS);
            assert!(result.is_err(), "{coding:?}: {result:?}");
        }
    }
}

#[test]
fn what_is_broken_is_refused() {
    for coding in ALL {
        let plain: Vec<u8> = (0..20_000_u32).flat_map(u32::to_le_bytes).collect();
        let mut coded = encoded(coding, &plain, 5);
        let middle = coded.len() / 2;
        coded[middle..middle + 50].fill(0xAA);
        let result = decoded(coding.name(), &coded, 999, LIMITS);
        assert!(result.is_err() || result.unwrap() != plain, "{coding:?}");
    }
}

#[test]
fn members_of_gzip_and_frames_of_zstd_follow_each_other() {
    for coding in [Coding::Gzip, Coding::Zstd] {
        let coded = [encoded(coding, b"one ", 5), encoded(coding, b"two", 5)].concat();
        for size in [1, 1000] {
            assert_eq!(decoded(coding.name(), &coded, size, LIMITS).unwrap(), b"one two");
        }
    }
}

#[test]
fn bare_deflate_is_read_too() {
    let mut encoder = flate2::Compress::new(flate2::Compression::new(6), false);
    let mut bare = Vec::with_capacity(1000);
    encoder.compress_vec(b"hello hello", &mut bare, flate2::FlushCompress::Finish).unwrap();
    for size in [1, 1000] {
        assert_eq!(decoded("deflate", &bare, size, LIMITS).unwrap(), b"hello hello");
    }
}

#[test]
fn codings_have_names() {
    for (field, works) in [
        ("", true),
        ("identity", true),
        ("GZip", true),
        ("gzip, br", true),
        ("identity, gzip, identity, br", true),
        ("gzip, br, zstd", false),
        ("compress", false),
        ("gzip; x=y", false),
    ] {
        assert_eq!(Decoder::new(field, LIMITS).is_ok(), works, "{field}");
    }
    assert!(Decoder::new("identity", LIMITS).unwrap().is_identity());
    assert_eq!(decoded("", b"plain", 2, LIMITS).unwrap(), b"plain");
    assert_eq!(decoded("gzip", b"", 2, LIMITS).unwrap(), b"");
}
