//! Chunked bodies: data that our own encoder wrote, with bytes of the input in front of its end, is read back whole.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::http1::{
    CHUNK_END, Event, FieldSlots, LAST_CHUNK, Limits, RequestReader, encode_chunk_size,
};

// The size of the pieces, how many chunks, their sizes; then their data, and what is put behind them.
fuzz_target!(|data: &[u8]| {
    let [piece, count, rest @ ..] = data else { return };
    let Some((sizes, mut rest)) = rest.split_at_checked(usize::from(*count % 8)) else { return };
    let mut chunks = Vec::new();
    for size in sizes {
        let Some((chunk, behind)) = rest.split_at_checked(usize::from(*size)) else { return };
        chunks.push(chunk);
        rest = behind;
    }
    let noise = rest;
    let mut input = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for chunk in chunks.iter().filter(|chunk| !chunk.is_empty()) {
        encode_chunk_size(&mut input, chunk.len());
        input.extend_from_slice(chunk);
        input.extend_from_slice(CHUNK_END);
    }
    input.extend_from_slice(noise);
    input.extend_from_slice(LAST_CHUNK);
    let (mut reader, mut start, mut body) = (RequestReader::new(), 0, Vec::new());
    let piece = usize::from(*piece).max(1);
    for end in (piece..input.len()).step_by(piece).chain([input.len()]) {
        loop {
            let mut slots = FieldSlots::new();
            let step = reader.next_event(&Limits::DEFAULT, &input[start..end], &mut slots);
            let Ok(step) = step else { return assert!(!noise.is_empty(), "our own chunks") };
            start += step.consumed;
            match step.event {
                Event::NeedData => break,
                Event::Data(data) => body.extend_from_slice(data),
                Event::Head(_) | Event::End => {}
            }
        }
    }
    assert!(body.starts_with(&chunks.concat()));
});
