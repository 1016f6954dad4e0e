//! Where a frame ends: a search that goes on where it has stopped.

use memchr::memchr;

use super::error::Fault;
use super::{ByteOrder, Framing, Width};

/// What a look at the bytes since a frame's beginning has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// The frame lies from `start` to `end`; with what stands behind it, it takes `used` bytes.
    Frame { start: usize, end: usize, used: usize },
    /// At least so many more bytes are needed.
    Needs(usize),
}

/// The search for the end of one frame. All numbers count from the frame's beginning.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Scan {
    /// No separator ends before here.
    searched: usize,
    /// A look at fewer bytes than this is of no use.
    useful: usize,
}

impl Scan {
    /// Looks at everything there is since the frame's beginning: what earlier looks have seen, and what has come since. A
    /// look that has found a frame may be repeated at no cost.
    pub fn look(&mut self, framing: &Framing, window: &[u8]) -> Result<Look, Fault> {
        if window.len() < self.useful {
            return Ok(Look::Needs(self.useful - window.len()));
        }
        let look = match *framing {
            Framing::Lines { max_size } => self.line(window, max_size),
            Framing::Separated { separator, max_size } => {
                self.separated(window, separator.as_bytes(), max_size)
            }
            Framing::Netstrings { max_size } => netstring(window, max_size),
            Framing::LengthPrefixed { width, order, max_size } => {
                prefixed(window, width, order, max_size)
            }
            Framing::Fixed { size } => Ok(counted(window, 0, size, 0)),
        }?;
        if let Look::Needs(count) = look {
            self.useful = window.len() + count;
        }
        Ok(look)
    }

    #[inline]
    fn line(&mut self, window: &[u8], max_size: usize) -> Result<Look, Fault> {
        // No more than a line of the largest size with its CR and line feed is worth looking at.
        let most = max_size.saturating_add(2);
        let window = window.get(..most).unwrap_or(window);
        let place = self.find(window, b'\n');
        let seen = window.get(..place.unwrap_or(window.len())).unwrap_or_default();
        // A CR at the end belongs to the ending, or may turn out to.
        let size = seen.strip_suffix(b"\r").unwrap_or(seen).len();
        if size > max_size {
            return Err(Fault::Endless { size: max_size.saturating_add(1), limit: max_size });
        }
        Ok(match place {
            Some(place) => Look::Frame { start: 0, end: size, used: place + 1 },
            None => Look::Needs(1),
        })
    }

    fn separated(
        &mut self,
        window: &[u8],
        separator: &[u8],
        max_size: usize,
    ) -> Result<Look, Fault> {
        let most = max_size.saturating_add(separator.len());
        let window = window.get(..most).unwrap_or(window);
        let Some((last, before)) = separator.split_last() else { return Ok(Look::Needs(1)) };
        // Only its last byte is searched for, so that none is looked for twice.
        while let Some(place) = self.find(window, *last) {
            let head = window.get(..place).unwrap_or_default();
            if let Some(frame) = head.strip_suffix(before) {
                return Ok(Look::Frame { start: 0, end: frame.len(), used: place + 1 });
            }
            self.searched = place + 1;
        }
        if window.len() > max_size && window.len() - begun(window, separator) > max_size {
            return Err(Fault::Endless { size: max_size.saturating_add(1), limit: max_size });
        }
        Ok(Look::Needs(1))
    }

    /// The first place of a byte that was not passed over yet.
    #[inline]
    fn find(&mut self, window: &[u8], byte: u8) -> Option<usize> {
        let fresh = window.get(self.searched..).unwrap_or_default();
        let found = memchr(byte, fresh);
        #[cfg(test)]
        tests::count(found.map_or(fresh.len(), |place| place + 1));
        // A place that was found is found again by the next look.
        self.searched += found.unwrap_or(fresh.len());
        found.map(|_| self.searched)
    }
}

/// How many bytes at the end of a window may be the beginning of a separator.
pub(super) fn begun(window: &[u8], separator: &[u8]) -> usize {
    (1..separator.len())
        .rev()
        .find(|&count| separator.get(..count).is_some_and(|part| window.ends_with(part)))
        .unwrap_or(0)
}

/// A frame of a known size behind `start` bytes, with `behind` bytes that follow it.
#[inline]
fn counted(window: &[u8], start: usize, size: usize, behind: usize) -> Look {
    let end = start.saturating_add(size);
    let used = end.saturating_add(behind);
    match used.checked_sub(window.len()) {
        None | Some(0) => Look::Frame { start, end, used },
        Some(missing) => Look::Needs(missing),
    }
}

#[inline]
fn prefixed(window: &[u8], width: Width, order: ByteOrder, max_size: usize) -> Result<Look, Fault> {
    let Some(prefix) = window.get(..width.bytes()) else {
        return Ok(Look::Needs(width.bytes() - window.len()));
    };
    let push = |length: u64, byte: &u8| length << 8 | u64::from(*byte);
    let length = match order {
        ByteOrder::Big => prefix.iter().fold(0, push),
        ByteOrder::Little => prefix.iter().rev().fold(0, push),
    };
    let size = bounded(length, max_size)?;
    Ok(counted(window, width.bytes(), size, 0))
}

fn bounded(length: u64, limit: usize) -> Result<usize, Fault> {
    match usize::try_from(length) {
        Ok(size) if size <= limit => Ok(size),
        _ => Err(Fault::TooLong { size: length, limit }),
    }
}

fn netstring(window: &[u8], max_size: usize) -> Result<Look, Fault> {
    let mut length = 0_u64;
    for (place, byte) in window.iter().enumerate() {
        match byte {
            b':' if place > 0 => return netstring_body(window, place + 1, length, max_size),
            b'0'..=b'9' if place > 0 && length == 0 => return Err(Fault::LeadingZero),
            b'0'..=b'9' => {
                length = length * 10 + u64::from(byte - b'0');
                // More digits would only make it longer.
                bounded(length, max_size)?;
            }
            byte => return Err(Fault::BadLength { byte: *byte }),
        }
    }
    Ok(Look::Needs(1))
}

fn netstring_body(
    window: &[u8],
    start: usize,
    length: u64,
    max_size: usize,
) -> Result<Look, Fault> {
    let look = counted(window, start, bounded(length, max_size)?, 1);
    if let Look::Frame { end, .. } = look {
        match window.get(end) {
            Some(b',') | None => {}
            Some(byte) => return Err(Fault::MissingComma { byte: *byte }),
        }
    }
    Ok(look)
}

#[cfg(test)]
mod tests {
    //! Work is counted here, not time: bytes searched.

    use std::cell::Cell;

    use super::super::{FrameReader, Framing, Separator};

    thread_local!(static SEARCHED: Cell<usize> = const { Cell::new(0) });

    pub(super) fn count(bytes: usize) {
        SEARCHED.set(SEARCHED.get() + bytes);
    }

    /// Bytes searched for one line of a size that comes in pieces.
    fn work(framing: Framing, filler: u8, size: usize, piece: usize) -> usize {
        SEARCHED.set(0);
        let mut text = vec![filler; size];
        text.extend_from_slice(b"\r\n");
        let mut reader = FrameReader::default();
        let mut frames = 0;
        for part in text.chunks(piece) {
            let mut input = part;
            while let Ok(Some(_)) = reader.next_frame(&framing, &mut input) {
                frames += 1;
            }
        }
        assert_eq!(frames, 1);
        SEARCHED.get()
    }

    #[test]
    fn no_byte_is_searched_twice() {
        let separated =
            Framing::Separated { separator: Separator::new(b"\r\n").unwrap(), max_size: 1 << 20 };
        for framing in [Framing::Lines { max_size: 1 << 20 }, separated] {
            for filler in [b'x', b'\r'] {
                for piece in [1, 7, 1000, 1 << 20] {
                    let (once, twice) = (
                        work(framing, filler, 10_000, piece),
                        work(framing, filler, 20_000, piece),
                    );
                    // What was found is looked at once more when it is handed out.
                    assert!(once <= 10_000 + 2 + 1, "{once} for pieces of {piece}");
                    assert!(twice <= 2 * once, "{once}, then {twice} for pieces of {piece}");
                }
            }
        }
    }

    #[test]
    fn an_endless_line_is_not_searched_beyond_its_limit() {
        SEARCHED.set(0);
        let mut reader = FrameReader::default();
        let text = vec![b'x'; 1 << 20];
        let result = reader.next_frame(&Framing::Lines { max_size: 100 }, &mut text.as_slice());
        assert!(result.is_err());
        assert!(SEARCHED.get() <= 102);
    }
}
