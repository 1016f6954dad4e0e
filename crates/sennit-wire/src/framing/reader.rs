//! What has come and was not handed out yet.
//!
//! The bytes of one stream lie in two places: those that were kept, and behind them the input, which is the
//! caller's. A frame never has to be handed out in two parts: of a frame that was begun in what is kept, the rest is
//! added to it from the input, and no more than that.

use super::Framing;
use super::error::{Fault, RemoteProtocolError};
use super::scan::{Look, Scan, begun};

/// Bytes that are added at a time to a frame whose end is not known. What is too much is given back to the input.
const STEP: usize = 512;

/// A frame that lies wholly in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// In what is kept, or in the input.
    is_kept: bool,
    start: usize,
    end: usize,
    used: usize,
}

impl Found {
    /// Bytes of the frame.
    pub fn size(&self) -> usize {
        self.end - self.start
    }

    /// The same frame with what stands around it.
    #[must_use]
    pub fn with_envelope(self) -> Self {
        Found { start: 0, end: self.used, ..self }
    }
}

/// Reads one stream of frames; or of bytes, for a caller who takes them as they are.
#[derive(Debug, Default)]
pub struct FrameReader {
    kept: Vec<u8>,
    /// Bytes of `kept` that were handed out.
    start: usize,
    scan: Scan,
}

impl FrameReader {
    /// The next frame, handed out where it lies; the input moves behind it. `None`: more must come first, and what
    /// there was of the frame is kept.
    ///
    /// # Errors
    ///
    /// What breaks the framing or passes its limit. The bytes stay where they are.
    pub fn next_frame<'a, 'i: 'a>(
        &'a mut self,
        framing: &Framing,
        input: &mut &'i [u8],
    ) -> Result<Option<&'a [u8]>, RemoteProtocolError> {
        Ok(self.find(framing, input)?.map(|found| self.take_frame(found, input)))
    }

    /// Looks for the next frame, without handing it out.
    ///
    /// # Errors
    ///
    /// As [`FrameReader::next_frame`].
    pub fn find(
        &mut self,
        framing: &Framing,
        input: &mut &[u8],
    ) -> Result<Option<Found>, RemoteProtocolError> {
        self.settle();
        if self.kept.is_empty() {
            return match self.scan.look(framing, input)? {
                Look::Frame { start, end, used } => {
                    Ok(Some(Found { is_kept: false, start, end, used }))
                }
                Look::Needs(_) => {
                    self.keep(std::mem::take(input));
                    Ok(None)
                }
            };
        }
        self.find_kept(framing, input)
    }

    /// As `find`, for a frame that was begun in what is kept.
    fn find_kept(
        &mut self,
        framing: &Framing,
        input: &mut &[u8],
    ) -> Result<Option<Found>, RemoteProtocolError> {
        let before = self.kept.len();
        let whole = *input;
        loop {
            let window = self.kept.get(self.start..).unwrap_or_default();
            match self.scan.look(framing, window)? {
                Look::Frame { start, end, used } => {
                    // What was added and belongs to the next frame is the input's again.
                    let needed = (self.start + used).max(before);
                    self.kept.truncate(needed);
                    *input = whole.get(needed - before..).unwrap_or_default();
                    return Ok(Some(Found { is_kept: true, start, end, used }));
                }
                Look::Needs(_) if input.is_empty() => return Ok(None),
                Look::Needs(count) => {
                    let count = count.max(STEP).min(input.len());
                    let (more, rest) = input.split_at_checked(count).unwrap_or((input, &[]));
                    self.kept.extend_from_slice(more);
                    *input = rest;
                }
            }
        }
    }

    /// Hands out a frame that was found, if nothing was done in between.
    #[inline]
    pub fn take_frame<'a, 'i: 'a>(&'a mut self, found: Found, input: &mut &'i [u8]) -> &'a [u8] {
        self.scan = Scan::default();
        let Found { is_kept, start, end, used } = found;
        if is_kept {
            let first = self.start;
            self.start += used;
            return self.kept.get(first + start..first + end).unwrap_or_default();
        }
        let whole = *input;
        *input = whole.get(used..).unwrap_or_default();
        whole.get(start..end).unwrap_or_default()
    }

    /// Lets go of the memory of what was handed out.
    fn settle(&mut self) {
        if self.start == self.kept.len() && self.kept.capacity() > 0 {
            // An idle stream keeps nothing.
            self.kept = Vec::new();
            self.start = 0;
        }
    }

    /// Keeps bytes behind those that are kept already.
    pub fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        self.settle();
        // Each byte is moved to the front at most once for each time that as many were handed out.
        if self.start > self.kept.len() / 2 {
            self.kept.drain(..self.start);
            self.start = 0;
        }
        self.kept.extend_from_slice(bytes);
    }

    /// How many bytes are kept that were not handed out.
    #[inline]
    pub fn kept(&self) -> usize {
        self.kept.len() - self.start
    }

    /// Hands out the next bytes as they are, at most `count`: of what is kept, then of the input.
    #[inline]
    pub fn take<'a, 'i: 'a>(
        &'a mut self,
        count: usize,
        input: &mut &'i [u8],
    ) -> (&'a [u8], &'i [u8]) {
        self.settle();
        self.scan = Scan::default();
        let kept = count.min(self.kept());
        let fresh = (count - kept).min(input.len());
        let (fresh, rest) = input.split_at_checked(fresh).unwrap_or((input, &[]));
        *input = rest;
        let first = self.start;
        self.start += kept;
        (self.kept.get(first..self.start).unwrap_or_default(), fresh)
    }

    /// Forgets how far the search for a frame has come: another framing is used from here on.
    pub fn search_anew(&mut self) {
        self.scan = Scan::default();
    }

    /// The peer has sent all.
    ///
    /// # Errors
    ///
    /// The stream has ended within a frame.
    pub fn receive_eof(&mut self, framing: &Framing) -> Result<(), RemoteProtocolError> {
        let got = self.kept();
        if got == 0 {
            return Ok(());
        }
        let window = self.kept.get(self.start..).unwrap_or_default();
        match self.scan.look(framing, window)? {
            // Whole frames that were not asked for are the caller's to ask for.
            Look::Frame { .. } => Ok(()),
            Look::Needs(missing) => {
                let missing = match *framing {
                    Framing::Separated { separator, .. } => {
                        separator.as_bytes().len() - begun(window, separator.as_bytes())
                    }
                    _ => missing,
                };
                Err(Fault::Incomplete { got, missing }.into())
            }
        }
    }
}
