//! What has come and was not read yet: bytes that are kept, and behind them those of the dispatch that runs, which lie in
//! the reactor's buffer.
//!
//! The reader that a dispatch wakes takes its bytes out of that buffer. Only what nobody has taken when the
//! dispatch ends is copied and kept.

use pyo3_ffi as ffi;
use sennit_wire::framing::{Found, FrameReader, Framing, RemoteProtocolError};

use crate::kit::{Object, Outcome};

/// Unread bytes of one connection.
pub struct Inbox {
    reader: FrameReader,
    lent: *const u8,
    lent_length: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        let lent = std::ptr::NonNull::dangling().as_ptr();
        Inbox { reader: FrameReader::default(), lent, lent_length: 0 }
    }
}

impl Inbox {
    /// Bytes that can be read.
    #[inline]
    pub fn len(&self) -> usize {
        self.reader.kept() + self.lent_length
    }

    /// Bytes that are held here.
    #[inline]
    pub fn kept(&self) -> usize {
        self.reader.kept()
    }

    /// Shows bytes behind what is there.
    ///
    /// # Safety
    /// They lie still until [`Inbox::end_loan`].
    #[inline]
    pub unsafe fn lend(&mut self, data: &[u8]) {
        // A dispatch within a dispatch: what the outer one has left comes first.
        self.end_loan();
        (self.lent, self.lent_length) = (data.as_ptr(), data.len());
    }

    #[inline]
    fn lent<'a>(&self) -> &'a [u8] {
        // SAFETY: whoever lends vouches for the bytes until the end of the loan, and no slice made
        // here leaves a call.
        unsafe { std::slice::from_raw_parts(self.lent, self.lent_length) }
    }

    #[inline]
    fn set_lent(&mut self, rest: &[u8]) {
        (self.lent, self.lent_length) = (rest.as_ptr(), rest.len());
    }

    /// Keeps what is left of the bytes that were shown.
    #[inline]
    pub fn end_loan(&mut self) {
        if self.lent_length > 0 {
            let rest = self.lent();
            self.reader.keep(rest);
            self.lent_length = 0;
        }
    }

    /// Keeps bytes behind what is there.
    pub fn keep(&mut self, data: &[u8]) {
        self.end_loan();
        self.reader.keep(data);
    }

    /// The next bytes, at most `count`, as Python bytes.
    #[inline]
    pub fn take(&mut self, count: usize) -> Outcome<Object> {
        let mut input = self.lent();
        let (kept, fresh) = self.reader.take(count, &mut input);
        let taken = if kept.is_empty() {
            Object::bytes(fresh)
        } else if fresh.is_empty() {
            Object::bytes(kept)
        } else {
            joined(&[kept, fresh])
        };
        self.set_lent(input);
        taken
    }

    /// Looks for a frame.
    pub fn find(&mut self, framing: &Framing) -> Result<Option<Found>, RemoteProtocolError> {
        let mut input = self.lent();
        let result = self.reader.find(framing, &mut input);
        self.set_lent(input);
        result
    }

    /// A frame that was found by the last call, as Python bytes.
    #[inline]
    pub fn take_frame(&mut self, found: Found) -> Outcome<Object> {
        let mut input = self.lent();
        let frame = Object::bytes(self.reader.take_frame(found, &mut input));
        self.set_lent(input);
        frame
    }

    /// Another search begins.
    pub fn search_anew(&mut self) {
        self.reader.search_anew();
    }

    /// The stream has ended: whether that was between two frames.
    pub fn receive_eof(&mut self, framing: &Framing) -> Result<(), RemoteProtocolError> {
        self.end_loan();
        self.reader.receive_eof(framing)
    }
}

/// Python bytes out of pieces.
pub fn joined(pieces: &[&[u8]]) -> Outcome<Object> {
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    // SAFETY: new bytes without content, filled before anybody sees them; GIL.
    unsafe {
        let bytes = Object::owned(ffi::PyBytes_FromStringAndSize(std::ptr::null(), size as isize))?;
        let mut place = ffi::PyBytes_AS_STRING(bytes.as_ptr()).cast_mut().cast::<u8>();
        for piece in pieces {
            place.copy_from_nonoverlapping(piece.as_ptr(), piece.len());
            place = place.add(piece.len());
        }
        Ok(bytes)
    }
}
