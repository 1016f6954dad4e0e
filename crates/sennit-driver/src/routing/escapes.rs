//! Percent-escapes decoded. Source: RFC 3986 section 2.1.

use std::borrow::Cow;

/// The bytes that a piece of a path stands for; a percent sign that begins no escape stands for itself.
pub fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.contains(&b'%') {
        return Cow::Borrowed(bytes);
    }
    let hex = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut plain = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, behind @ ..] = rest {
        rest = behind;
        if let (b'%', [high, low, after @ ..]) = (first, behind)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            plain.push(high << 4 | low);
            rest = after;
        } else {
            plain.push(*first);
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::decoded;

    #[test]
    fn escapes_are_decoded_and_other_percent_signs_stay() {
        for (sent, plain) in [
            (&b"plain"[..], &b"plain"[..]),
            (b"a%2Fb%20c", b"a/b c"),
            (b"%e2%82%AC", "\u{20ac}".as_bytes()),
            (b"100%", b"100%"),
            (b"%4", b"%4"),
            (b"%zz%41", b"%zzA"),
            (b"%%41", b"%A"),
        ] {
            assert_eq!(&*decoded(sent), plain);
        }
    }
}
