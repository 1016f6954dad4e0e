//! Names of fields as Python strings: those that every head has are made once.

use std::ffi::CStr;

use crate::kit::{Object, Outcome, intern};

/// What browsers, proxies and programs send, in lower case.
const KNOWN: &[&CStr] = &[
    c"accept",
    c"accept-encoding",
    c"accept-language",
    c"accept-ranges",
    c"access-control-allow-origin",
    c"access-control-request-headers",
    c"access-control-request-method",
    c"age",
    c"authorization",
    c"cache-control",
    c"connection",
    c"content-disposition",
    c"content-encoding",
    c"content-length",
    c"content-range",
    c"content-security-policy",
    c"content-type",
    c"cookie",
    c"date",
    c"dnt",
    c"etag",
    c"expect",
    c"expires",
    c"forwarded",
    c"host",
    c"if-match",
    c"if-modified-since",
    c"if-none-match",
    c"if-range",
    c"if-unmodified-since",
    c"keep-alive",
    c"last-modified",
    c"link",
    c"location",
    c"origin",
    c"pragma",
    c"priority",
    c"range",
    c"referer",
    c"retry-after",
    c"sec-ch-ua",
    c"sec-ch-ua-mobile",
    c"sec-ch-ua-platform",
    c"sec-fetch-dest",
    c"sec-fetch-mode",
    c"sec-fetch-site",
    c"sec-fetch-user",
    c"server",
    c"set-cookie",
    c"strict-transport-security",
    c"te",
    c"traceparent",
    c"tracestate",
    c"transfer-encoding",
    c"upgrade",
    c"upgrade-insecure-requests",
    c"user-agent",
    c"vary",
    c"via",
    c"www-authenticate",
    c"x-content-type-options",
    c"x-forwarded-for",
    c"x-forwarded-host",
    c"x-forwarded-proto",
    c"x-frame-options",
    c"x-real-ip",
    c"x-request-id",
    c"x-requested-with",
];

/// The known names, looked up by their length.
pub struct FieldNames(Vec<Vec<(&'static [u8], Object)>>);

impl FieldNames {
    /// Makes the strings.
    pub fn new() -> Outcome<Self> {
        let longest = KNOWN.iter().map(|name| name.count_bytes()).max().unwrap_or(0);
        let mut by_length: Vec<Vec<(&'static [u8], Object)>> = Vec::new();
        by_length.resize_with(longest + 1, Vec::new);
        for name in KNOWN {
            by_length[name.count_bytes()].push((name.to_bytes(), intern(name)?));
        }
        Ok(FieldNames(by_length))
    }

    /// A name in lower case.
    pub fn lower(&self, name: &[u8]) -> Outcome<Object> {
        let known = self
            .0
            .get(name.len())
            .and_then(|alike| alike.iter().find(|(text, _)| text.eq_ignore_ascii_case(name)));
        match known {
            Some((_, object)) => Ok(object.clone()),
            None => Object::latin1(&name.to_ascii_lowercase()),
        }
    }
}
