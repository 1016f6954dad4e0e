//! The date field: rendered when the second changes, not per response.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

/// Length of an IMF-fixdate, as `Mon, 23 Nov 2026 00:00:00 GMT` (RFC 9110 section 5.6.7).
const LENGTH: usize = 29;

/// The last second of the year 9999: the format has four digits for the year.
const LAST_SECOND: u64 = 253_402_300_799;

/// The text of the current second. It knows the time only from [`update`](Self::update).
#[derive(Clone, Debug)]
pub struct DateCache {
    second: u64,
    text: [u8; LENGTH],
}

impl DateCache {
    /// A cache that shows `unix_seconds`, the seconds since 1970-01-01 00:00:00 UTC.
    #[must_use]
    pub fn new(unix_seconds: u64) -> Self {
        Self { second: unix_seconds, text: render(unix_seconds) }
    }

    /// Shows `unix_seconds` from now on. Costs one comparison while the second stays the same.
    #[inline]
    pub fn update(&mut self, unix_seconds: u64) {
        if unix_seconds != self.second {
            self.second = unix_seconds;
            self.text = render(unix_seconds);
        }
    }

    /// The date as the field value has it, 29 bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

#[cold]
fn render(unix_seconds: u64) -> [u8; LENGTH] {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_seconds.min(LAST_SECOND));
    let mut text = [b' '; LENGTH];
    // Cannot fail: every IMF-fixdate up to the year 9999 has exactly this length.
    let _ = write!(text.as_mut_slice(), "{}", httpdate::HttpDate::from(time));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_second_it_was_told() {
        let mut date = DateCache::new(0);
        assert_eq!(date.as_bytes(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        date.update(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        date.update(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
    }

    #[test]
    fn a_clock_beyond_the_format_stays_at_its_end() {
        assert_eq!(DateCache::new(u64::MAX).as_bytes(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }
}
