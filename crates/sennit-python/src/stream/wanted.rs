//! What can be awaited at a stream.

use sennit_wire::framing::Framing;

/// What an operation waits for.
#[derive(Clone, Copy)]
pub enum Wanted {
    /// Some bytes, at most so many; nothing at the end.
    Some(usize),
    /// Some bytes; the end stops an iteration.
    Chunk,
    /// So many bytes.
    Exactly(usize),
    /// Everything up to a separator, and that.
    Until(Framing),
    /// A frame; `None` at the end, or the end of an iteration.
    Frame { framing: Framing, stops: bool },
    /// Room in the write queue.
    Room,
    /// The end of the connection.
    Closed,
}

impl Wanted {
    /// Whether it is one of those of which there may be one at a time.
    pub fn is_read(&self) -> bool {
        !matches!(self, Wanted::Room | Wanted::Closed)
    }

    /// What the program has called.
    pub fn name(&self) -> &'static str {
        match self {
            Wanted::Some(_) => "read()",
            Wanted::Chunk => "the iteration",
            Wanted::Exactly(_) => "read_exactly()",
            Wanted::Until(_) => "read_until()",
            Wanted::Frame { .. } => "receive()",
            Wanted::Room => "write()",
            Wanted::Closed => "wait_closed()",
        }
    }
}
