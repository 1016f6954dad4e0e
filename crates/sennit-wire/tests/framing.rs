//! Frames: each vector whole, byte by byte and with a tail; any split gives the same events; what is written is read
//! back; what breaks a framing is refused with its size and its limit.

mod framing_common;

use framing_common::{Outcome, cut, feed};
use proptest::collection::vec;
use proptest::prelude::*;
use sennit_wire::framing::{ByteOrder, FrameReader, Framing, Separator, Width};

fn separated(separator: &[u8], max_size: usize) -> Framing {
    Framing::Separated { separator: Separator::new(separator).unwrap(), max_size }
}

fn prefixed(width: Width, order: ByteOrder, max_size: usize) -> Framing {
    Framing::LengthPrefixed { width, order, max_size }
}

const LINES: Framing = Framing::Lines { max_size: 5 };
const NETSTRINGS: Framing = Framing::Netstrings { max_size: 12 };
const ENDLESS: &str = "frame is at least 6 bytes, limit 5 (max_size)";

/// Framing, input, frames, and the error if there is one.
type Vector = (Framing, &'static [u8], &'static [&'static [u8]], Option<&'static str>);

fn vectors() -> Vec<Vector> {
    let (big, little) = (ByteOrder::Big, ByteOrder::Little);
    let sixteen = prefixed(Width::Bits16, big, 300);
    vec![
        (
            LINES,
            b"a\nbc\r\n\n\r\n12345\n12345\r\n",
            &[b"a", b"bc", b"", b"", b"12345", b"12345"],
            None,
        ),
        (LINES, b"a\rb\n\r\r\n", &[b"a\rb", b"\r"], None),
        (LINES, b"ok\n123456\n", &[b"ok"], Some(ENDLESS)),
        (LINES, b"12345\rx\n", &[], Some(ENDLESS)),
        (LINES, b"12345\r\r\n", &[], Some(ENDLESS)),
        (LINES, b"123456789", &[], Some(ENDLESS)),
        (separated(b"\r\n", 5), b"a\r\n\r\nb\nc\r\n\r\r\n", &[b"a", b"", b"b\nc", b"\r"], None),
        (separated(b"\r\n", 5), b"12345\r\n12345\rx", &[b"12345"], Some(ENDLESS)),
        (separated(b"aab", 5), b"aaab.aaaabaab", &[b"a", b".aa", b""], None),
        (separated(b"\0", 5), b"\0abc\0", &[b"", b"abc"], None),
        (NETSTRINGS, b"12:hello world!,0:,3:,,,,", &[b"hello world!", b"", b",,,"], None),
        (NETSTRINGS, b"13:", &[], Some("frame is 13 bytes, limit 12 (max_size)")),
        (NETSTRINGS, b"99999999999999999999:", &[], Some("frame is 99 bytes, limit 12 (max_size)")),
        (NETSTRINGS, b"01:a,", &[], Some("netstring length has a leading zero")),
        (NETSTRINGS, b"00:,", &[], Some("netstring length has a leading zero")),
        (
            NETSTRINGS,
            b"1x:a,",
            &[],
            Some("netstring length has 'x'; it must be digits and then a colon"),
        ),
        (
            NETSTRINGS,
            b":a,",
            &[],
            Some("netstring length has ':'; it must be digits and then a colon"),
        ),
        (
            NETSTRINGS,
            b"0:,-1:a,",
            &[b""],
            Some("netstring length has '-'; it must be digits and then a colon"),
        ),
        (NETSTRINGS, b"1:ab", &[], Some("netstring is followed by 'b', not by a comma")),
        (prefixed(Width::Bits8, big, 255), b"\x03abc\0\x01x", &[b"abc", b"", b"x"], None),
        (sixteen, b"\0\x03abc\0\0", &[b"abc", b""], None),
        (sixteen, b"\x01\x2d", &[], Some("frame is 301 bytes, limit 300 (max_size)")),
        (prefixed(Width::Bits16, little, 300), b"\x03\0abc", &[b"abc"], None),
        (prefixed(Width::Bits32, big, 3), b"\0\0\0\x02ab", &[b"ab"], None),
        (prefixed(Width::Bits32, little, 3), b"\x02\0\0\0ab", &[b"ab"], None),
        (
            prefixed(Width::Bits32, big, 3),
            b"\xff\xff\xff\xff",
            &[],
            Some("frame is 4,294,967,295 bytes, limit 3 (max_size)"),
        ),
        (Framing::Fixed { size: 3 }, b"abcdef", &[b"abc", b"def"], None),
    ]
}

#[test]
fn each_vector_whole_byte_by_byte_and_with_a_tail() {
    for (framing, input, frames, error) in vectors() {
        let wanted = Outcome {
            frames: frames.iter().map(|frame| frame.to_vec()).collect(),
            error: error.map(str::to_owned),
            end: None,
        };
        let named = format!("{framing:?} of {:?}", String::from_utf8_lossy(input));
        assert_eq!(feed(&framing, [input]).without_end(), wanted, "{named}");
        assert_eq!(feed(&framing, input.chunks(1)).without_end(), wanted, "{named}");
        let tail = feed(&framing, [[input, b"1"].concat().as_slice()]);
        assert_eq!(tail.without_end(), wanted, "{named} with a tail");
    }
}

#[test]
fn the_end_within_a_frame_says_what_is_missing() {
    let big = ByteOrder::Big;
    for (framing, input, got, missing) in [
        (LINES, b"abc".as_slice(), 3, 1),
        (LINES, b"x\nabc\r", 4, 1),
        (separated(b"\r\n", 5), b"abc", 3, 2),
        (separated(b"\r\n", 5), b"abc\r", 4, 1),
        (NETSTRINGS, b"5", 1, 1),
        (NETSTRINGS, b"5:ab", 4, 4),
        (NETSTRINGS, b"5:abcde", 7, 1),
        (prefixed(Width::Bits32, big, 10), b"\0", 1, 3),
        (prefixed(Width::Bits32, big, 10), b"\0\0\0\x09abc", 7, 6),
        (Framing::Fixed { size: 8 }, b"abcdefghijk", 3, 5),
    ] {
        let words = format!(
            "stream ended within a frame: {got} bytes of it came, at least {missing} are missing"
        );
        assert_eq!(feed(&framing, [input]).end, Some(words), "{framing:?}");
        assert_eq!(feed(&framing, [b"".as_slice()]).end, None);
    }
}

#[test]
fn a_frame_in_the_input_is_not_copied() {
    let text = b"one\ntwo\nthr".as_slice();
    let (mut reader, mut input) = (FrameReader::default(), text);
    for place in [0, 4] {
        let frame = reader.next_frame(&LINES, &mut input).unwrap().unwrap();
        assert!(std::ptr::eq(frame.as_ptr(), &raw const text[place]));
        assert_eq!(reader.kept(), 0);
    }
    assert_eq!(reader.next_frame(&LINES, &mut input), Ok(None));
    assert_eq!((reader.kept(), input), (3, b"".as_slice()));
    // Only what belongs to the frame that was begun is added to it.
    let more = b"ee\nfour\nx".as_slice();
    let mut input = more;
    assert_eq!(reader.next_frame(&LINES, &mut input), Ok(Some(b"three".as_slice())));
    assert_eq!(input, b"four\nx");
    let frame = reader.next_frame(&LINES, &mut input).unwrap().unwrap();
    assert!(std::ptr::eq(frame.as_ptr(), &raw const more[3]));
}

#[test]
fn what_breaks_a_framing_can_still_be_read() {
    let (mut reader, mut input) = (FrameReader::default(), b"too long\nrest".as_slice());
    assert!(reader.next_frame(&LINES, &mut input).is_err());
    reader.keep(input);
    assert!(reader.next_frame(&LINES, &mut b"".as_slice()).is_err());
    let (kept, fresh) = reader.take(100, &mut input);
    assert_eq!([kept, fresh].concat(), b"too long\nresttoo long\nrest");
}

#[test]
fn bytes_and_frames_mix() {
    let mut reader = FrameReader::default();
    reader.keep(b"ab\ncd");
    let mut input = b"ef\ngh".as_slice();
    assert_eq!(reader.next_frame(&LINES, &mut input), Ok(Some(b"ab".as_slice())));
    let (kept, fresh) = reader.take(3, &mut input);
    assert_eq!((kept, fresh), (b"cd".as_slice(), b"e".as_slice()));
    assert_eq!(reader.next_frame(&LINES, &mut input), Ok(Some(b"f".as_slice())));
    assert_eq!(input, b"gh");
    // Another framing in the middle of a search.
    assert_eq!(reader.next_frame(&LINES, &mut input), Ok(None));
    reader.search_anew();
    let fixed = Framing::Fixed { size: 1 };
    assert_eq!(reader.next_frame(&fixed, &mut input), Ok(Some(b"g".as_slice())));
}

#[test]
fn frames_that_may_not_be_sent() {
    let big = ByteOrder::Big;
    let long = vec![0; 65_536];
    for (framing, frame, words) in [
        (
            LINES,
            b"a\nb".as_slice(),
            "frame holds its own separator at byte 1; it would arrive as two",
        ),
        (LINES, b"a\r", "line ends with CR, which its receiver would take for part of the ending"),
        (
            separated(b"aa", 9),
            b"ba",
            "frame holds its own separator at byte 1; it would arrive as two",
        ),
        (
            prefixed(Width::Bits8, big, 9),
            &long[..256],
            "frame is 256 bytes, limit 255 (the width of its length prefix)",
        ),
        (
            prefixed(Width::Bits16, big, 9),
            &long,
            "frame is 65,536 bytes, limit 65,535 (the width of its length prefix)",
        ),
        (Framing::Fixed { size: 3 }, b"abcd", "frame is 4 bytes, every frame must be 3"),
    ] {
        let mut output = b"before".to_vec();
        let error = framing.encode(frame, &mut output).unwrap_err();
        assert_eq!(error.to_string(), words);
        assert_eq!(output, b"before");
    }
}

#[test]
fn separators_have_a_size() {
    assert_eq!(Separator::new(b""), None);
    assert_eq!(Separator::new(&[1; 17]), None);
    assert_eq!(Separator::new(&[1; 16]).map(|separator| separator.as_bytes().len()), Some(16));
    assert_eq!(Separator::LINE_FEED.as_bytes(), b"\n");
}

fn framings() -> impl Strategy<Value = Framing> {
    let width = prop::sample::select(vec![Width::Bits8, Width::Bits16, Width::Bits32]);
    let order = prop::sample::select(vec![ByteOrder::Big, ByteOrder::Little]);
    let separator = vec(prop::sample::select(b"\r\nab".as_slice()), 1..5);
    prop_oneof![
        (0..12_usize).prop_map(|max_size| Framing::Lines { max_size }),
        (separator, 0..12_usize).prop_map(|(separator, size)| separated(&separator, size)),
        (0..30_usize).prop_map(|max_size| Framing::Netstrings { max_size }),
        (width, order, 0..600_usize).prop_map(|(width, order, size)| prefixed(width, order, size)),
        (1..12_usize).prop_map(|size| Framing::Fixed { size }),
    ]
}

/// Bytes of which framings are made.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(prop::sample::select(b"\r\nab0123:,\0\0\x01\x02".as_slice()), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_split_gives_the_same(framing in framings(), input in bytes(), places in vec(any::<usize>(), 0..6)) {
        let whole = feed(&framing, [input.as_slice()]);
        prop_assert_eq!(&whole, &feed(&framing, cut(&input, &places)));
        prop_assert_eq!(&whole, &feed(&framing, input.chunks(1)));
    }

    #[test]
    fn what_is_written_is_read_back(
        framing in framings(),
        frames in vec(vec(any::<u8>(), 0..12), 0..6),
        places in vec(any::<usize>(), 0..6),
    ) {
        let (mut input, mut sent) = (Vec::new(), Vec::new());
        for frame in frames {
            let before = input.len();
            let fits = match framing {
                Framing::Lines { max_size }
                | Framing::Separated { max_size, .. }
                | Framing::Netstrings { max_size }
                | Framing::LengthPrefixed { max_size, .. } => frame.len() <= max_size,
                Framing::Fixed { .. } => true,
            };
            if framing.encode(&frame, &mut input).is_err() || !fits {
                input.truncate(before);
                continue;
            }
            sent.push(frame);
        }
        let wanted = Outcome { frames: sent, error: None, end: None };
        prop_assert_eq!(feed(&framing, cut(&input, &places)), wanted);
    }
}
