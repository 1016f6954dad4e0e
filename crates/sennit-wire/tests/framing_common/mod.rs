//! Feeding a frame reader in pieces.

use sennit_wire::framing::{FrameReader, Framing};

/// Everything that a reader has said.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The frames, in order.
    pub frames: Vec<Vec<u8>>,
    /// What was wrong with the next one.
    pub error: Option<String>,
    /// What was wrong with the end of the stream.
    pub end: Option<String>,
}

impl Outcome {
    /// The same for an input that goes on.
    pub fn without_end(self) -> Self {
        Outcome { end: None, ..self }
    }
}

/// Feeds pieces, then the end.
pub fn feed<'a>(framing: &Framing, pieces: impl IntoIterator<Item = &'a [u8]>) -> Outcome {
    let mut reader = FrameReader::default();
    let mut outcome = Outcome { frames: Vec::new(), error: None, end: None };
    for piece in pieces {
        let mut input = piece;
        loop {
            match reader.next_frame(framing, &mut input) {
                Ok(Some(frame)) => outcome.frames.push(frame.to_vec()),
                Ok(None) => break,
                Err(error) => {
                    outcome.error = Some(error.to_string());
                    return outcome;
                }
            }
        }
        assert!(input.is_empty(), "what is left of the input is kept");
    }
    outcome.end = reader.receive_eof(framing).err().map(|error| error.to_string());
    outcome
}

/// The input in pieces, cut at any places.
pub fn cut<'a>(input: &'a [u8], places: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.extend([0, input.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &input[pair[0]..pair[1]]).collect()
}
