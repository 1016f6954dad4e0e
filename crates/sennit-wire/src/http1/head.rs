//! The lines of a head: where it ends and what a line may hold (RFC 9112 sections 2 to 5).
//!
//! Strategy: a head that arrived whole is parsed at once by `httparse`, and [`lines_end_well`] makes up for what
//! that crate lets pass. A head that arrived in part is looked at line by line, by [`HeadScan`], which
//! remembers how far it came: every byte is examined once however the bytes are cut. The scan is also the judge of
//! what is wrong: when the quick way refuses a head, the scan says why, so the fault does not depend on
//! how the head was cut.

use memchr::memchr2;

use super::error::Fault;
use super::{Field, Limits};

/// RFC 9110 section 5.6.2: tchar.
pub(crate) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'!' | b'#'..=b'\'' | b'*' | b'+' | b'-' | b'.' | b'^'..=b'`' | b'|' | b'~')
}

/// Whether `text` is a token: not empty, tchars only.
pub(crate) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(|byte| is_token_byte(*byte))
}

/// The first byte that may not stand in a field value: a control character other than a tab (RFC 9110 section 5.5).
pub(crate) fn bad_value_byte(value: &[u8]) -> Option<u8> {
    value.iter().copied().find(|byte| (*byte < 0x20 && *byte != b'\t') || *byte == 0x7F)
}

/// Which start line a head has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// How far an incomplete head, or trailer section, has been examined. Offsets count from the front of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HeadScan {
    seen: u32,
    line: u32,
    fields: u16,
    #[cfg(test)]
    pub examined: usize,
}

impl HeadScan {
    /// Before the first byte.
    pub const NEW: Self = Self {
        seen: 0,
        line: 0,
        fields: 0,
        #[cfg(test)]
        examined: 0,
    };

    /// Whether no byte of this head was seen yet.
    #[inline]
    pub fn is_fresh(&self) -> bool {
        self.seen == 0
    }

    /// Examines what is new. `Some(end)` is the length of the head with its blank line.
    pub fn advance(
        &mut self,
        limits: &Limits,
        input: &[u8],
        side: Side,
    ) -> Result<Option<usize>, Fault> {
        let largest = limits.max_head_size;
        // One byte more than the limit tells a head that is too large from one that just fits.
        let window = input.get(..largest.saturating_add(1)).unwrap_or(input);
        while let Some(line) = self.next_line(window, |line| line_fits(limits, line))? {
            let (start, end) = line;
            let text = window.get(start..end).unwrap_or_default();
            if start == 0 {
                check_start_line(text, side)?;
            } else if text.is_empty() {
                return if end + 2 > largest {
                    Err(too_large(end + 2, largest))
                } else {
                    Ok(Some(end + 2))
                };
            } else {
                self.count_field(limits)?;
                check_field_line(text)?;
            }
        }
        if window.len() > largest { Err(too_large(window.len(), largest)) } else { Ok(None) }
    }

    /// Counts one field line against the limit.
    fn count_field(&mut self, limits: &Limits) -> Result<(), Fault> {
        self.fields = self.fields.saturating_add(1);
        let count = usize::from(self.fields);
        let limit = limits.max_header_count.min(super::MAX_FIELDS);
        if count > limit {
            return Err(Fault::TooManyFields { count: count as u64, limit: limit as u64 });
        }
        Ok(())
    }

    /// Finds the next line that is complete: where it starts and where its CRLF starts. `fits` judges the
    /// length of the first line, also while it is incomplete.
    fn next_line(
        &mut self,
        window: &[u8],
        fits: impl Fn(usize) -> Result<(), Fault>,
    ) -> Result<Option<(usize, usize)>, Fault> {
        let (start, seen) = (self.line as usize, self.seen as usize);
        let unseen = window.get(seen..).unwrap_or_default();
        let found = memchr2(b'\r', b'\n', unseen);
        let end = seen + found.unwrap_or(unseen.len());
        #[cfg(test)]
        {
            self.examined += end - seen + 1;
        }
        if start == 0 {
            fits(end)?;
        }
        // A CR at the very end is looked at again when the byte behind it is there.
        self.seen = offset(end);
        match (window.get(end), window.get(end + 1)) {
            (None, _) | (Some(b'\r'), None) => Ok(None),
            (Some(b'\r'), Some(b'\n')) => {
                self.line = offset(end + 2);
                self.seen = self.line;
                Ok(Some((start, end)))
            }
            (Some(b'\r'), _) => Err(Fault::BareCarriageReturn),
            _ => Err(Fault::BareLineFeed),
        }
    }

    /// Takes the next complete line of a trailer section off the front of `input`: its length with the CRLF, and
    /// whether it was the blank line that ends the section.
    pub fn trailer_line(
        &mut self,
        limits: &Limits,
        input: &[u8],
    ) -> Result<Option<(usize, bool)>, Fault> {
        self.line = 0;
        let Some((_, end)) = self.next_line(input, |_| Ok(()))? else {
            return Ok(None);
        };
        (self.seen, self.line) = (0, 0);
        if end > 0 {
            self.count_field(limits)?;
            check_field_line(input.get(..end).unwrap_or_default())?;
        }
        Ok(Some((end + 2, end == 0)))
    }
}

/// An offset inside a head. A limit beyond 4 GiB is out of reach of any buffer that holds a head.
fn offset(value: usize) -> u32 {
    u32::try_from(value).unwrap_or(u32::MAX)
}

fn line_fits(limits: &Limits, size: usize) -> Result<(), Fault> {
    let limit = limits.max_request_line;
    // The first byte too many is the verdict: how much longer the line is depends on how it was cut.
    if size > limit {
        Err(Fault::StartLineTooLong { size: limit as u64 + 1, limit: limit as u64 })
    } else {
        Ok(())
    }
}

fn too_large(size: usize, limit: usize) -> Fault {
    Fault::HeadTooLarge { size: size as u64, limit: limit as u64 }
}

/// What comes before a message (RFC 9112 section 2.2): blank lines that clients of old sent behind a body.
///
/// Most that are forgiven in one place. One is what such clients sent; some send two.
pub const MAX_BLANK_LINES: u8 = 4;

/// Counts the blank lines at the front of `input`: the bytes they take, and whether a CR waits for its LF.
pub(crate) fn skip_blank_lines(input: &[u8], lines: &mut u8) -> Result<(usize, bool), Fault> {
    let mut rest = input;
    loop {
        let skipped = input.len() - rest.len();
        match rest {
            [b'\r', b'\n', behind @ ..] => {
                *lines += 1;
                if *lines > MAX_BLANK_LINES {
                    return Err(Fault::TooManyBlankLines { limit: u64::from(MAX_BLANK_LINES) });
                }
                rest = behind;
            }
            [b'\r'] => return Ok((skipped, true)),
            [b'\r', ..] => return Err(Fault::BareCarriageReturn),
            [b'\n', ..] => return Err(Fault::BareLineFeed),
            _ => return Ok((skipped, false)),
        }
    }
}

/// Whether every line of a parsed head ends with CRLF: `httparse` lets LF alone pass. `start` is the length of the
/// start line without its end, `head` the bytes that `httparse` used.
///
/// Walks from field to field, so its cost is per line, not per byte.
#[inline]
pub(crate) fn lines_end_well(head: &[u8], start: usize, fields: &[Field<'_>]) -> bool {
    let mut at = start;
    // A CR that httparse accepted is followed by LF.
    if head.get(at) != Some(&b'\r') {
        return false;
    }
    for field in fields {
        at = skip_whitespace(head, at + 2 + field.name.len() + 1) + field.value.len();
        at = skip_whitespace(head, at);
        if head.get(at) != Some(&b'\r') {
            return false;
        }
    }
    // The blank line is all that is left.
    head.get(at + 2) == Some(&b'\r') && head.len() == at + 4
}

#[inline]
fn skip_whitespace(head: &[u8], mut at: usize) -> usize {
    while matches!(head.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

/// RFC 9112 sections 3 and 4: the grammar of a start line, byte by byte. What target and version mean is judged
/// when the head is complete.
fn check_start_line(line: &[u8], side: Side) -> Result<(), Fault> {
    match side {
        Side::Request => check_request_line(line),
        Side::Response => check_status_line(line),
    }
}

fn check_request_line(line: &[u8]) -> Result<(), Fault> {
    let mut words = line.splitn(3, |byte| *byte == b' ');
    let (Some(method), Some(target), Some(version)) = (words.next(), words.next(), words.next())
    else {
        return Err(Fault::BadRequestLine);
    };
    if method.is_empty() || target.is_empty() || version.contains(&b' ') {
        return Err(Fault::BadRequestLine);
    }
    if let Some(byte) = method.iter().copied().find(|byte| !is_token_byte(*byte)) {
        return Err(Fault::BadMethod { byte });
    }
    if let Some(byte) = target.iter().copied().find(|byte| !byte.is_ascii_graphic()) {
        return Err(Fault::BadTarget { byte });
    }
    check_version(version)
}

fn check_version(version: &[u8]) -> Result<(), Fault> {
    match version {
        b"HTTP/1.1" | b"HTTP/1.0" => Ok(()),
        [b'H', b'T', b'T', b'P', b'/', major @ b'0'..=b'9', b'.', minor @ b'0'..=b'9'] => {
            Err(Fault::UnsupportedVersion { major: major - b'0', minor: minor - b'0' })
        }
        _ => Err(Fault::BadVersion),
    }
}

fn check_status_line(line: &[u8]) -> Result<(), Fault> {
    let Some((version, rest)) = line.split_at_checked(8) else {
        return Err(Fault::BadStatusLine);
    };
    check_version(version)?;
    let reason = match rest {
        // RFC 9110 section 15: 100 is the lowest. Servers leave the last space out when there is no phrase.
        [b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9'] => &[],
        [b' ', b'1'..=b'9', b'0'..=b'9', b'0'..=b'9', b' ', reason @ ..] => reason,
        _ => return Err(Fault::BadStatusLine),
    };
    if bad_value_byte(reason).is_some() { Err(Fault::BadStatusLine) } else { Ok(()) }
}

fn check_field_line(line: &[u8]) -> Result<(), Fault> {
    // RFC 9112 section 5.2: a server MUST reject or unfold; and section 2.2, whitespace behind the start line.
    if matches!(line, [b' ' | b'\t', ..]) {
        return Err(Fault::LineFolding);
    }
    let Some(colon) = memchr::memchr(b':', line) else {
        return Err(Fault::MissingColon);
    };
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    match name {
        [] => return Err(Fault::EmptyFieldName),
        // RFC 9112 section 5.1: a server MUST reject whitespace between name and colon.
        [.., b' ' | b'\t'] => return Err(Fault::SpaceBeforeColon),
        _ => {}
    }
    if let Some(byte) = name.iter().copied().find(|byte| !is_token_byte(*byte)) {
        return Err(Fault::BadFieldName { byte });
    }
    match bad_value_byte(value) {
        Some(byte) => Err(Fault::BadFieldValue { byte }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes examined until `input` is complete, when `piece` bytes arrive at a time.
    fn examined(input: &[u8], piece: usize) -> usize {
        let mut scan = HeadScan::NEW;
        let limits = Limits { max_head_size: usize::MAX, max_header_count: 100, ..Limits::DEFAULT };
        let mut arrived = piece;
        while arrived < input.len() {
            assert_eq!(scan.advance(&limits, &input[..arrived], Side::Request), Ok(None));
            arrived += piece;
        }
        assert_eq!(scan.advance(&limits, input, Side::Request), Ok(Some(input.len())));
        scan.examined
    }

    #[test]
    fn a_dripped_head_costs_linear_work() {
        for lines in [1, 50, 100] {
            let fields = format!("{}: {}\r\n", "n".repeat(60), "v".repeat(200)).repeat(lines);
            let input = format!("GET / HTTP/1.1\r\n{fields}\r\n").into_bytes();
            for piece in [1, 2, 7, 1_000, input.len()] {
                let work = examined(&input, piece);
                // Each byte once, and one look more for each call that ends without a line.
                assert!(work <= 2 * input.len() + 2, "{work} for {} by {piece}", input.len());
            }
        }
    }

    #[test]
    fn a_dripped_trailer_section_costs_linear_work() {
        let input = format!("{}: {}\r\n", "n".repeat(60), "v".repeat(7_000)).into_bytes();
        let mut scan = HeadScan::NEW;
        for arrived in 1..input.len() {
            assert_eq!(scan.trailer_line(&Limits::DEFAULT, &input[..arrived]), Ok(None));
        }
        let line = scan.trailer_line(&Limits::DEFAULT, &input);
        assert_eq!(line, Ok(Some((input.len(), false))));
        assert!(scan.examined <= 2 * input.len() + 2, "{}", scan.examined);
    }

    #[test]
    fn tokens() {
        assert!(is_token(b"GET") && is_token(b"!#$%&'*+-.^_`|~09azAZ"));
        for byte in 0..=255_u8 {
            let outside = byte <= b' ' || byte >= 0x7F || b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            assert_eq!(is_token(&[byte]), !outside, "{byte}");
        }
        assert!(!is_token(b""));
    }
}
