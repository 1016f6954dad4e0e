//! Blocks of field lines that were checked before: looked through again and again, without an index.
//!
//! Strategy: a head has 8 to 20 fields and is asked for two or three of them, so a scan beats any index that would have
//! to be made first. A line is dismissed by one byte, the colon that must stand behind a name of the wanted length.

use memchr::memchr;

use super::fields::trim;

/// The lines of a block: `(name as sent, value without the whitespace around it)`. What has no colon (the blank line
/// that ends a head) is left out.
#[derive(Clone, Debug)]
pub struct FieldLines<'a> {
    rest: &'a [u8],
}

impl<'a> FieldLines<'a> {
    /// The lines of a block, each of which ends with CRLF.
    #[inline]
    #[must_use]
    pub const fn new(block: &'a [u8]) -> Self {
        Self { rest: block }
    }

    /// The next value of a name, in any case of letters; lines of other names before it are passed by.
    #[inline]
    pub fn next_of(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        while !self.rest.is_empty() {
            let from = self.rest;
            let end = memchr(b'\n', from).map_or(from.len(), |feed| feed + 1);
            self.rest = from.get(end..).unwrap_or_default();
            // One byte dismisses most lines. It may be a later line's: then the line is looked at and dismissed.
            if from.get(name.len()) == Some(&b':')
                && let Some(value) = from.get(..end).and_then(|line| value_of(line, name))
            {
                return Some(value);
            }
        }
        None
    }

    #[inline]
    fn next_line(&mut self) -> Option<&'a [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let end = memchr(b'\n', self.rest).map_or(self.rest.len(), |feed| feed + 1);
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        Some(line)
    }
}

impl<'a> Iterator for FieldLines<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let line = self.next_line()?;
            if let Some(colon) = memchr(b':', line) {
                let (name, value) = line.split_at_checked(colon)?;
                return Some((name, value_behind(value)));
            }
        }
    }
}

/// The value of a line if it has the wanted name.
#[inline]
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (own, value) = line.split_at_checked(name.len())?;
    let is_it = value.first() == Some(&b':') && own.eq_ignore_ascii_case(name);
    // A wanted name with a colon in it is no name: it could reach into the value of a line.
    (is_it && memchr(b':', name).is_none()).then(|| value_behind(value))
}

/// The value in what starts with the colon.
#[inline]
fn value_behind(rest: &[u8]) -> &[u8] {
    let rest = rest.strip_suffix(b"\n").unwrap_or(rest);
    trim(rest.strip_suffix(b"\r").unwrap_or(rest).get(1..).unwrap_or_default())
}

/// Takes every line of a name out of a block; where the first of them stood, if there was one.
pub fn remove_field(block: &mut Vec<u8>, name: &[u8]) -> Option<usize> {
    let mut first = None;
    let mut kept = Vec::with_capacity(block.len());
    let mut lines = FieldLines::new(block);
    while let Some(line) = lines.next_line() {
        if value_of(line, name).is_some() {
            first.get_or_insert(kept.len());
        } else {
            kept.extend_from_slice(line);
        }
    }
    if first.is_some() {
        *block = kept;
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: &[u8] = b"Host: h\r\nX-A:one\r\nx-a: \t two \r\nAccept:\r\nTime: 1:2\r\n\r\n";

    fn all<'a>(block: &'a [u8], name: &[u8]) -> Vec<&'a [u8]> {
        let mut lines = FieldLines::new(block);
        std::iter::from_fn(|| lines.next_of(name)).collect()
    }

    #[test]
    fn every_line_comes_in_order_and_the_blank_one_does_not() {
        let lines: Vec<_> = FieldLines::new(BLOCK).collect();
        let expected: [(&[u8], &[u8]); 5] = [
            (b"Host", b"h"),
            (b"X-A", b"one"),
            (b"x-a", b"two"),
            (b"Accept", b""),
            (b"Time", b"1:2"),
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn values_are_found_without_regard_to_case() {
        assert_eq!(all(BLOCK, b"HOST"), [b"h"]);
        assert_eq!(all(BLOCK, b"x-A"), [b"one", b"two"]);
        assert_eq!(all(BLOCK, b"accept"), [b""]);
        for missing in [&b"hos"[..], b"hostt", b"x", b"", b"time: 1", b"x-a:one", b"\r\n"] {
            assert!(all(BLOCK, missing).is_empty(), "{missing:?}");
        }
    }

    #[test]
    fn a_block_may_be_empty_or_end_in_the_middle() {
        assert!(all(b"", b"a").is_empty());
        assert_eq!(all(b"a: b", b"a"), [b"b"]);
        assert!(all(b"a", b"a").is_empty());
    }

    #[test]
    fn a_name_is_removed_wherever_it_stands() {
        let mut block = b"a: 1\r\nB: 2\r\na: 3\r\nb: 4\r\n".to_vec();
        assert_eq!(remove_field(&mut block, b"c"), None);
        assert_eq!(remove_field(&mut block, b"b"), Some(6));
        assert_eq!(block, b"a: 1\r\na: 3\r\n");
        assert_eq!(remove_field(&mut block, b"A"), Some(0));
        assert_eq!(block, b"");
    }
}
