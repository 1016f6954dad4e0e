//! Request targets and Host: which forms are allowed and whom a request is for (RFC 9112 section 3.2).

use super::Version;
use super::error::Fault;

/// Which form of target a request has (RFC 9112 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetForm {
    /// A path with its query: what nearly every request has.
    Origin,
    /// `host:port`, of CONNECT.
    Authority,
    /// `*`, of OPTIONS.
    Asterisk,
    /// A whole URI of the scheme `http`, as to a proxy.
    Http,
    /// A whole URI of the scheme `https`: it MUST be refused unless the connection is secured for it (RFC 9110 section
    /// 7.4), which the caller knows.
    Https,
    /// A whole URI of another scheme. Our own client may send it to a proxy; the server's reader refuses it.
    Foreign,
}

/// Bytes that a target may hold.
const PLAIN: u8 = 1;
/// Bytes that belong in no URI but that browsers send unescaped (WHATWG URL), so they must pass.
const BROWSER: u8 = 2;
/// Bytes of a registered name or an IPv4 address (RFC 3986 section 3.2.2). A comma is left out: two Host
/// fields that somebody joined look like that.
const NAME: u8 = 4;

static CLASS: [u8; 256] = classes();

const fn classes() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        let unreserved = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
        let sub_delimiter = matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'='
        );
        let mut class = 0;
        if unreserved || sub_delimiter || matches!(byte, b'%' | b':' | b'@' | b'/' | b'?') {
            class |= PLAIN;
        }
        if matches!(byte, b'[' | b']' | b'{' | b'}' | b'|' | b'^' | b'`' | b'\\') {
            class |= BROWSER;
        }
        if unreserved || (sub_delimiter && byte != b',') || byte == b'%' {
            class |= NAME;
        }
        #[allow(clippy::indexing_slicing)] // evaluated by the compiler
        {
            table[byte as usize] = class;
        }
        byte += 1;
    }
    table
}

#[inline]
fn class(byte: u8) -> u8 {
    CLASS.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The first byte that does not belong in a path with query: control, space, `"#<>`, bytes above 0x7E, and a
/// backslash in the path, which some programs take for a slash.
fn bad_path_byte(path: &[u8]) -> Option<u8> {
    if path.iter().all(|byte| class(*byte) & PLAIN != 0) {
        return None;
    }
    let mut in_query = false;
    path.iter().copied().find(|byte| {
        in_query |= *byte == b'?';
        class(*byte) & (PLAIN | BROWSER) == 0 || (*byte == b'\\' && !in_query)
    })
}

/// Judges target and Host of a complete request head. `host` is the value of the one Host field.
#[inline]
pub(crate) fn check_request(
    method: &str,
    target: &str,
    version: Version,
    host: Option<&[u8]>,
) -> Result<TargetForm, Fault> {
    // RFC 9112 section 3.2: a server MUST answer 400 to HTTP/1.1 without Host and to any with a bad one.
    if let Some(host) = host {
        check_host(host)?;
    } else if version == Version::Http11 {
        return Err(Fault::MissingHost);
    }
    let bytes = target.as_bytes();
    if bytes.first() == Some(&b'/') && method != "CONNECT" {
        if let Some(byte) = bad_path_byte(bytes) {
            return Err(Fault::BadTarget { byte });
        }
        // RFC 9110 section 4.2.1: an http URI with an empty host MUST be rejected.
        return if host == Some(b"") { Err(Fault::BadHost) } else { Ok(TargetForm::Origin) };
    }
    match check_other_form(method, bytes, host)? {
        // RFC 9110 section 7.4: nobody here speaks for what another scheme names.
        TargetForm::Foreign => Err(Fault::ForeignScheme),
        form => Ok(form),
    }
}

#[cold]
fn check_other_form(method: &str, target: &[u8], host: Option<&[u8]>) -> Result<TargetForm, Fault> {
    if method == "CONNECT" {
        return check_authority_form(target, host);
    }
    if target == b"*" {
        // RFC 9112 section 3.2.4.
        return if method == "OPTIONS" {
            Ok(TargetForm::Asterisk)
        } else {
            Err(Fault::AsteriskTarget)
        };
    }
    let uri = split_absolute(target)?;
    // RFC 9112 section 3.2: Host is identical to the authority. One of the two would have to be ignored otherwise,
    // and not every program that reads this request ignores the same one.
    match host {
        Some(host) if !same_authority(uri.authority, host, uri.default_port) => {
            Err(Fault::HostMismatch)
        }
        _ => Ok(uri.form),
    }
}

fn check_authority_form(target: &[u8], host: Option<&[u8]>) -> Result<TargetForm, Fault> {
    let port = check_host(target).map_err(|_| Fault::ConnectTarget)?;
    // RFC 9110 section 9.3.6: a CONNECT target has both, and a server MUST reject an empty or bad port.
    if port.is_none_or(|port| port == 0) || target.first() == Some(&b':') {
        return Err(Fault::ConnectTarget);
    }
    match host {
        Some(host) if !host.is_empty() && !same_authority(target, host, port.unwrap_or(0)) => {
            Err(Fault::HostMismatch)
        }
        _ => Ok(TargetForm::Authority),
    }
}

struct Absolute<'a> {
    form: TargetForm,
    authority: &'a [u8],
    default_port: u16,
}

/// RFC 9112 section 3.2.2, for schemes with an authority.
fn split_absolute(target: &[u8]) -> Result<Absolute<'_>, Fault> {
    let colon = memchr::memchr(b':', target).ok_or(Fault::BadTargetForm)?;
    let (scheme, rest) = target.split_at_checked(colon).ok_or(Fault::BadTargetForm)?;
    let rest = rest.strip_prefix(b"://").ok_or(Fault::ConnectTarget)?;
    // RFC 3986 section 3.1.
    let is_scheme = scheme.first().is_some_and(u8::is_ascii_alphabetic)
        && scheme
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'));
    if !is_scheme {
        return Err(Fault::BadTargetForm);
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end).ok_or(Fault::BadTargetForm)?;
    // RFC 9110 section 4.2.4: userinfo is treated as an error; check_host knows no @.
    if authority.is_empty() || authority.first() == Some(&b':') || check_host(authority).is_err() {
        return Err(Fault::BadTargetForm);
    }
    if let Some(byte) = bad_path_byte(path) {
        return Err(Fault::BadTarget { byte });
    }
    // RFC 3986 section 3.1: a scheme is the same in any case of letters.
    let (form, default_port) = match scheme {
        _ if scheme.eq_ignore_ascii_case(b"http") => (TargetForm::Http, 80),
        _ if scheme.eq_ignore_ascii_case(b"https") => (TargetForm::Https, 443),
        _ => (TargetForm::Foreign, 80),
    };
    Ok(Absolute { form, authority, default_port })
}

/// Whether two checked authorities name the same host and port.
fn same_authority(one: &[u8], other: &[u8], default_port: u16) -> bool {
    let (one_host, one_port) = split_port(one);
    let (other_host, other_port) = split_port(other);
    let port = |text: Option<&[u8]>| text.and_then(parse_port).unwrap_or(default_port);
    one_host.eq_ignore_ascii_case(other_host) && port(one_port) == port(other_port)
}

/// Splits `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(authority: &[u8]) -> (&[u8], Option<&[u8]>) {
    match memchr::memrchr(b':', authority) {
        Some(colon) if authority.last() != Some(&b']') => match authority.split_at_checked(colon) {
            Some((host, [_, port @ ..])) => (host, Some(port)),
            _ => (authority, None),
        },
        _ => (authority, None),
    }
}

/// RFC 9110 section 7.2: `uri-host [ ":" port ]`, or nothing where the target has no authority. Gives the port.
#[inline]
pub(crate) fn check_host(host: &[u8]) -> Result<Option<u16>, Fault> {
    let name = host.iter().take_while(|byte| class(**byte) & NAME != 0).count();
    match host.get(name..).unwrap_or_default() {
        [] => Ok(None),
        [b':', port @ ..] if name > 0 => check_port(port),
        [b'[', rest @ ..] if name == 0 => check_ip_literal(rest),
        _ => Err(Fault::BadHost),
    }
}

fn check_port(port: &[u8]) -> Result<Option<u16>, Fault> {
    // RFC 3986 section 3.2.3 allows an empty port: it is the scheme's own.
    if port.is_empty() {
        return Ok(None);
    }
    parse_port(port).map(Some).ok_or(Fault::BadHost)
}

fn parse_port(text: &[u8]) -> Option<u16> {
    if text.is_empty() || text.len() > 5 {
        return None;
    }
    text.iter().try_fold(0_u16, |port, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        port.checked_mul(10)?.checked_add(u16::from(digit))
    })
}

/// What follows the opening bracket of an IPv6 address. Zone identifiers and later versions of IP are not served.
#[cold]
fn check_ip_literal(rest: &[u8]) -> Result<Option<u16>, Fault> {
    let end = memchr::memchr(b']', rest).ok_or(Fault::BadHost)?;
    let (address, behind) = rest.split_at_checked(end).ok_or(Fault::BadHost)?;
    let text = std::str::from_utf8(address).map_err(|_| Fault::BadHost)?;
    text.parse::<std::net::Ipv6Addr>().map_err(|_| Fault::BadHost)?;
    match behind {
        [b']'] => Ok(None),
        [b']', b':', port @ ..] => check_port(port),
        _ => Err(Fault::BadHost),
    }
}

/// Whether our own client may send `target` with `method`.
pub(crate) fn is_form_for(method: &str, target: &str) -> bool {
    let bytes = target.as_bytes();
    if bytes.first() == Some(&b'/') && method != "CONNECT" {
        return bad_path_byte(bytes).is_none();
    }
    check_other_form(method, bytes, None).is_ok()
}
