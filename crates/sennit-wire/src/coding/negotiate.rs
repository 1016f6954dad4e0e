//! Which coding a client takes.

/// The first of the codings on offer that a client likes best; `None`: it is to be sent as it is.
///
/// Of those with the same weight the server's order decides. Without the field, and with an empty one, nothing is
/// coded: a client that says nothing may know nothing.
///
/// Source: RFC 9110 section 12.5.3.
pub fn negotiate<'a>(accept_encoding: &str, offered: &[&'a str]) -> Option<&'a str> {
    let mut best: Option<(&'a str, u16)> = None;
    for name in offered {
        let weight = weight_of(accept_encoding, name).or_else(|| weight_of(accept_encoding, "*"));
        let weight = weight.unwrap_or(0);
        if weight > best.map_or(0, |(_, known)| known) {
            best = Some((name, weight));
        }
    }
    // A client may like the plain bytes better than any coding.
    let plain = weight_of(accept_encoding, "identity");
    best.filter(|(_, weight)| plain.is_none_or(|plain| plain <= *weight)).map(|(name, _)| name)
}

/// The weight of a coding in thousandths; `None` if it is not named.
fn weight_of(accept_encoding: &str, name: &str) -> Option<u16> {
    accept_encoding.split(',').find_map(|part| {
        let (coding, parameters) = part.split_once(';').unwrap_or((part, ""));
        let coding = coding.trim();
        let coding = if coding.eq_ignore_ascii_case("x-gzip") { "gzip" } else { coding };
        coding.eq_ignore_ascii_case(name).then(|| weight(parameters))
    })
}

/// RFC 9110 section 12.4.2: three digits at most. What is malformed weighs nothing.
fn weight(parameters: &str) -> u16 {
    let parameters = parameters.trim();
    if parameters.is_empty() {
        return 1000;
    }
    let Some((name, value)) = parameters.split_once('=') else { return 0 };
    if !name.trim().eq_ignore_ascii_case("q") {
        return 0;
    }
    let value = value.trim();
    let (whole, fraction) = value.split_once('.').unwrap_or((value, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return 0;
    }
    let thousandths = format!("{fraction:0<3}").parse().unwrap_or(0);
    match whole {
        "0" => thousandths,
        "1" if thousandths == 0 => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::negotiate;

    const ALL: &[&str] = &["zstd", "br", "gzip"];

    #[test]
    fn the_table_of_the_rfc_and_what_browsers_send() {
        for (field, coding) in [
            ("", None),
            ("gzip", Some("gzip")),
            ("gzip, deflate, br, zstd", Some("zstd")),
            ("gzip;q=1.0, br;q=0.5", Some("gzip")),
            ("GZIP", Some("gzip")),
            ("x-gzip", Some("gzip")),
            ("*", Some("zstd")),
            ("*;q=0", None),
            ("gzip;q=0", None),
            ("gzip;q=0, *", Some("zstd")),
            ("zstd;q=0, br;q=0.000, gzip;q=0.001", Some("gzip")),
            ("identity", None),
            ("identity;q=1, gzip;q=0.5", None),
            ("identity;q=0.5, gzip;q=0.5", Some("gzip")),
            ("identity;q=0, gzip;q=0.2", Some("gzip")),
            ("gzip;q=1.5", None),
            ("gzip;q=0.1234", None),
            ("gzip;level=9", None),
            ("compress, deflate", None),
            (" gzip ; q = 0.7 ", Some("gzip")),
            (",,gzip,", Some("gzip")),
        ] {
            assert_eq!(negotiate(field, ALL), coding, "{field}");
        }
    }
}
