//! Responses: the first byte says what was asked and how large the pieces are.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::http1::{Event, FieldSlots, Limits, RequestKind, ResponseReader};

const KINDS: [RequestKind; 4] =
    [RequestKind::Ordinary, RequestKind::Head, RequestKind::Connect, RequestKind::Upgrade];

fn read(input: &[u8], piece: usize, kind: RequestKind) -> (usize, usize, String) {
    let (mut reader, limits) = (ResponseReader::new(), Limits::DEFAULT);
    let (mut start, mut heads, mut body) = (0, 0, 0);
    for end in (piece..input.len()).step_by(piece).chain([input.len()]) {
        loop {
            reader.expect(kind);
            let mut slots = FieldSlots::new();
            let step = match reader.next_event(&limits, &input[start..end], &mut slots) {
                Ok(step) => step,
                Err(error) => return (heads, body, error.to_string()),
            };
            start += step.consumed;
            match step.event {
                Event::NeedData => break,
                Event::Head(_) => heads += 1,
                Event::Data(data) => body += data.len(),
                Event::End => {}
            }
        }
    }
    (heads, body, String::new())
}

fuzz_target!(|data: &[u8]| {
    if let [first, input @ ..] = data {
        let kind = KINDS[usize::from(first & 3)];
        let whole = read(input, input.len().max(1), kind);
        assert_eq!(whole, read(input, usize::from(first >> 2).max(1), kind));
    }
});
