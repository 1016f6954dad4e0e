//! Frames written: what stands before and behind one.

use memchr::memmem;

use super::error::LocalProtocolError;
use super::{ByteOrder, Framing, MAX_SEPARATOR};

/// Digits of the largest length, and a colon.
const MAX_HEAD: usize = 21;

/// What stands around one frame on the wire.
#[derive(Clone, Copy, Debug)]
pub struct Envelope {
    head: [u8; MAX_HEAD],
    head_length: u8,
    tail: [u8; MAX_SEPARATOR],
    tail_length: u8,
}

impl Envelope {
    fn new(head: &[u8], tail: &[u8]) -> Self {
        let mut this = Envelope {
            head: [0; MAX_HEAD],
            head_length: head.len() as u8,
            tail: [0; MAX_SEPARATOR],
            tail_length: tail.len() as u8,
        };
        if let Some(place) = this.head.get_mut(..head.len()) {
            place.copy_from_slice(head);
        }
        if let Some(place) = this.tail.get_mut(..tail.len()) {
            place.copy_from_slice(tail);
        }
        this
    }

    /// What stands before the frame.
    #[inline]
    pub fn head(&self) -> &[u8] {
        self.head.get(..usize::from(self.head_length)).unwrap_or_default()
    }

    /// What stands behind it.
    #[inline]
    pub fn tail(&self) -> &[u8] {
        self.tail.get(..usize::from(self.tail_length)).unwrap_or_default()
    }
}

impl Framing {
    /// What has to stand around a frame.
    ///
    /// # Errors
    ///
    /// A frame that its receiver would not get back as it is: one that holds its separator, one too long for its length
    /// prefix, one of another size than the fixed one.
    pub fn envelope(&self, frame: &[u8]) -> Result<Envelope, LocalProtocolError> {
        match *self {
            Framing::Lines { .. } => {
                if let Some(place) = memchr::memchr(b'\n', frame) {
                    return Err(LocalProtocolError::HoldsSeparator { place });
                }
                if frame.last() == Some(&b'\r') {
                    return Err(LocalProtocolError::EndsWithReturn);
                }
                Ok(Envelope::new(b"", b"\n"))
            }
            Framing::Separated { separator, .. } => {
                let separator = separator.as_bytes();
                match first_separator(frame, separator) {
                    Some(place) => Err(LocalProtocolError::HoldsSeparator { place }),
                    None => Ok(Envelope::new(b"", separator)),
                }
            }
            Framing::Netstrings { .. } => {
                let mut digits = itoa::Buffer::new();
                let mut head = [b':'; MAX_HEAD];
                let digits = digits.format(frame.len()).as_bytes();
                if let Some(place) = head.get_mut(..digits.len()) {
                    place.copy_from_slice(digits);
                }
                Ok(Envelope::new(head.get(..=digits.len()).unwrap_or_default(), b","))
            }
            Framing::LengthPrefixed { width, order, .. } => {
                let (size, limit) = (frame.len(), width.max_length());
                if size > limit {
                    return Err(LocalProtocolError::TooLong { size, limit });
                }
                let count = width.bytes();
                let (big, little) = ((size as u32).to_be_bytes(), (size as u32).to_le_bytes());
                let head = match order {
                    ByteOrder::Big => big.get(big.len() - count..),
                    ByteOrder::Little => little.get(..count),
                };
                Ok(Envelope::new(head.unwrap_or_default(), b""))
            }
            Framing::Fixed { size: wanted } if frame.len() != wanted => {
                Err(LocalProtocolError::WrongSize { size: frame.len(), wanted })
            }
            Framing::Fixed { .. } => Ok(Envelope::new(b"", b"")),
        }
    }

    /// Appends a frame as it is sent.
    ///
    /// # Errors
    ///
    /// As [`Framing::envelope`].
    pub fn encode(&self, frame: &[u8], output: &mut Vec<u8>) -> Result<(), LocalProtocolError> {
        let envelope = self.envelope(frame)?;
        output.reserve(envelope.head().len() + frame.len() + envelope.tail().len());
        output.extend_from_slice(envelope.head());
        output.extend_from_slice(frame);
        output.extend_from_slice(envelope.tail());
        Ok(())
    }
}

/// Where the receiver would see a separator before the one that ends the frame: one within it, or one that the
/// end of the frame begins.
fn first_separator(frame: &[u8], separator: &[u8]) -> Option<usize> {
    if let Some(place) = memmem::find(frame, separator) {
        return Some(place);
    }
    let overlap = frame.len().saturating_sub(separator.len() - 1);
    let mut seam = frame.get(overlap..).unwrap_or_default().to_vec();
    let end = seam.len();
    seam.extend_from_slice(separator);
    memmem::find(&seam, separator).filter(|place| *place < end).map(|place| overlap + place)
}
