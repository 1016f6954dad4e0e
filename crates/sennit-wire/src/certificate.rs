//! Whom a certificate names: an X.509 certificate in DER, read for its names, its number and its time.
//!
//! Source: RFC 5280 (certificates), X.690 (DER).
//!
//! Laws:
//! - It says what stands in a certificate; whether that is to be trusted was decided before, by whoever verified it.
//! - Fields that nobody asks for are passed over unread; those that are read are read strictly. What is malformed
//!   there makes the whole certificate malformed: half of the names would be a wrong answer.

use std::fmt;
use std::net::IpAddr;

const BOOLEAN: u8 = 0x01;
const INTEGER: u8 = 0x02;
const OCTETS: u8 = 0x04;
const IDENTIFIER: u8 = 0x06;
const UTF8_TEXT: u8 = 0x0c;
const PRINTABLE_TEXT: u8 = 0x13;
const TELETEX_TEXT: u8 = 0x14;
const IA5_TEXT: u8 = 0x16;
const SHORT_TIME: u8 = 0x17;
const LONG_TIME: u8 = 0x18;
const WIDE_TEXT: u8 = 0x1e;
const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
/// Of the fields with numbers of their own: version and extensions.
const VERSION: u8 = 0xa0;
const EXTENSIONS: u8 = 0xa3;
/// Kinds of general names (RFC 5280 section 4.2.1.6).
const EMAIL: u8 = 0x81;
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const ADDRESS: u8 = 0x87;

/// 2.5.4.3
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];
/// 2.5.29.17
const ALTERNATIVE_NAMES: &[u8] = &[0x55, 0x1d, 0x11];

/// What a certificate says of its owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificate {
    /// Its number, big-endian, in two's complement (RFC 5280 section 4.1.2.2).
    pub serial: Vec<u8>,
    /// The subject's common name; the last one where there are several, which is the most specific.
    pub common_name: Option<String>,
    /// From when on it holds, in seconds since 1970.
    pub not_before: i64,
    /// Until when, that second included.
    pub not_after: i64,
    /// Alternative names, each kind in the order of the certificate.
    pub dns_names: Vec<String>,
    /// Such as `spiffe://example.org/service`.
    pub uris: Vec<String>,
    /// Mailboxes.
    pub emails: Vec<String>,
    /// Of the network.
    pub addresses: Vec<IpAddr>,
}

/// It cannot be read: where the trouble is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Malformed(&'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "the certificate cannot be read: its {} is malformed", self.0)
    }
}

impl std::error::Error for Malformed {}

/// Values one behind the other.
#[derive(Clone, Copy)]
struct Values<'a>(&'a [u8]);

impl<'a> Values<'a> {
    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The next value: its tag and what it holds.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        // A tag of several bytes occurs in no certificate.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = if first < 0x80 {
            (usize::from(first), rest)
        } else {
            // DER has no endless values, and no length that would fit into fewer bytes.
            let count = usize::from(first & 0x7f);
            let (digits, rest) =
                rest.split_at_checked(count).filter(|_| (1..=4).contains(&count))?;
            let length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
            let least = if count == 1 { 0x80 } else { 1 << (8 * (count - 1)) };
            (Some(length).filter(|length| *length >= least)?, rest)
        };
        let (value, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, value))
    }

    /// The next value, which must be of this kind.
    fn expect(&mut self, wanted: u8) -> Option<&'a [u8]> {
        self.next().filter(|(tag, _)| *tag == wanted).map(|(_, value)| value)
    }

    /// The next value, if it is of this kind.
    fn optional(&mut self, wanted: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let value = ahead.expect(wanted)?;
        *self = ahead;
        Some(value)
    }
}

/// Reads a certificate.
pub fn read(der: &[u8]) -> Result<Certificate, Malformed> {
    let signed = Values(der).expect(SEQUENCE).ok_or(Malformed("outermost value"))?;
    let body = Values(signed).expect(SEQUENCE).ok_or(Malformed("body"))?;
    let mut fields = Values(body);
    fields.optional(VERSION);
    let serial = fields.expect(INTEGER).filter(|serial| !serial.is_empty());
    let serial = serial.ok_or(Malformed("serial number"))?.to_vec();
    fields.expect(SEQUENCE).ok_or(Malformed("signature algorithm"))?;
    fields.expect(SEQUENCE).ok_or(Malformed("issuer"))?;
    let mut validity = Values(fields.expect(SEQUENCE).ok_or(Malformed("validity"))?);
    let not_before = time(&mut validity).ok_or(Malformed("validity"))?;
    let not_after = time(&mut validity).ok_or(Malformed("validity"))?;
    let subject = fields.expect(SEQUENCE).ok_or(Malformed("subject"))?;
    let common_name = common_name(Values(subject)).ok_or(Malformed("subject"))?;
    let mut certificate = Certificate {
        serial,
        common_name,
        not_before,
        not_after,
        dns_names: Vec::new(),
        uris: Vec::new(),
        emails: Vec::new(),
        addresses: Vec::new(),
    };
    fields.expect(SEQUENCE).ok_or(Malformed("public key"))?;
    while !fields.is_empty() {
        let (tag, value) = fields.next().ok_or(Malformed("last field"))?;
        if tag == EXTENSIONS {
            extensions(value, &mut certificate).ok_or(Malformed("list of extensions"))?;
        }
    }
    Ok(certificate)
}

/// The subject's common name, if it has one; `None` where the subject is malformed.
fn common_name(mut subject: Values<'_>) -> Option<Option<String>> {
    let mut found = None;
    while !subject.is_empty() {
        let mut together = Values(subject.expect(SET)?);
        while !together.is_empty() {
            let mut pair = Values(together.expect(SEQUENCE)?);
            let kind = pair.expect(IDENTIFIER)?;
            let (tag, value) = pair.next()?;
            if kind == COMMON_NAME {
                found = Some(text(tag, value)?);
            }
        }
    }
    Some(found)
}

/// Text of a name's attribute (RFC 5280 appendix A.1, DirectoryString).
fn text(tag: u8, value: &[u8]) -> Option<String> {
    match tag {
        UTF8_TEXT => std::str::from_utf8(value).ok().map(str::to_owned),
        PRINTABLE_TEXT | IA5_TEXT => ascii(value),
        // In practice what is called T.61 is Latin-1.
        TELETEX_TEXT => Some(value.iter().map(|byte| char::from(*byte)).collect()),
        WIDE_TEXT if value.len() % 2 == 0 => {
            let units = value.chunks_exact(2).filter_map(|unit| <[u8; 2]>::try_from(unit).ok());
            char::decode_utf16(units.map(u16::from_be_bytes)).collect::<Result<_, _>>().ok()
        }
        _ => None,
    }
}

fn ascii(value: &[u8]) -> Option<String> {
    std::str::from_utf8(value).ok().filter(|text| text.is_ascii()).map(str::to_owned)
}

fn extensions(value: &[u8], into: &mut Certificate) -> Option<()> {
    let mut list = Values(Values(value).expect(SEQUENCE)?);
    while !list.is_empty() {
        let mut extension = Values(list.expect(SEQUENCE)?);
        let kind = extension.expect(IDENTIFIER)?;
        extension.optional(BOOLEAN);
        let content = extension.expect(OCTETS)?;
        if kind == ALTERNATIVE_NAMES {
            alternative_names(Values(Values(content).expect(SEQUENCE)?), into)?;
        }
    }
    Some(())
}

fn alternative_names(mut names: Values<'_>, into: &mut Certificate) -> Option<()> {
    while !names.is_empty() {
        match names.next()? {
            (EMAIL, value) => into.emails.push(ascii(value)?),
            (DNS_NAME, value) => into.dns_names.push(ascii(value)?.to_ascii_lowercase()),
            (URI, value) => into.uris.push(ascii(value)?),
            (ADDRESS, value) => into.addresses.push(address(value)?),
            _ => {}
        }
    }
    Some(())
}

fn address(value: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(value) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(value).ok().map(IpAddr::from)
}

/// Seconds since 1970 (RFC 5280 sections 4.1.2.5.1 and 4.1.2.5.2: whole seconds, in UTC).
fn time(from: &mut Values<'_>) -> Option<i64> {
    let (tag, value) = from.next()?;
    let (year, rest) = match tag {
        SHORT_TIME => {
            let (digits, rest) = value.split_at_checked(2)?;
            let year = number(digits)?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        LONG_TIME => {
            let (digits, rest) = value.split_at_checked(4)?;
            (number(digits)?, rest)
        }
        _ => return None,
    };
    let digits = rest.strip_suffix(b"Z").filter(|digits| digits.len() == 10)?;
    let mut parts = digits.chunks_exact(2).map(number);
    let mut part = |least: i64, most: i64| {
        parts.next().flatten().filter(|value| (least..=most).contains(value))
    };
    let (month, day) = (part(1, 12)?, part(1, 31)?);
    let (hour, minute, second) = (part(0, 23)?, part(0, 59)?, part(0, 59)?);
    Some(((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March here, so that a
/// leap day is the last one of its year.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}
