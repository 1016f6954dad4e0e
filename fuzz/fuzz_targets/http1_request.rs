//! Requests: the input whole and in pieces of the size its first byte says must end alike.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::http1::{Event, FieldSlots, Limits, RemoteProtocolError, RequestReader};

/// Heads, bytes of body and the error.
fn read(input: &[u8], piece: usize) -> (usize, usize, Option<RemoteProtocolError>) {
    let (mut reader, limits) = (RequestReader::new(), Limits::DEFAULT);
    let (mut start, mut heads, mut body) = (0, 0, 0);
    for end in (piece..input.len()).step_by(piece).chain([input.len()]) {
        loop {
            let mut slots = FieldSlots::new();
            let step = match reader.next_event(&limits, &input[start..end], &mut slots) {
                Ok(step) => step,
                Err(error) => return (heads, body, Some(error)),
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
    (heads, body, None)
}

fuzz_target!(|data: &[u8]| {
    if let [piece, input @ ..] = data {
        let whole = read(input, input.len().max(1));
        assert_eq!(whole, read(input, usize::from(*piece).max(1)));
    }
});
