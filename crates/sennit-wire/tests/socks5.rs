//! SOCKS5: conversations as RFC 1928 and RFC 1929 have them, in any pieces.

use sennit_wire::socks5::{Answer, Handshake, Host, Refusal, Request, Unaskable};

fn request(credentials: Option<(&[u8], &[u8])>) -> Request {
    Request::new(Host::Name(b"example.org"[..].into()), 443, credentials).unwrap()
}

/// What is said to a proxy that says these bytes, so many at a time, and what comes behind the tunnel.
fn converse(
    request: Request,
    answers: &[u8],
    at_once: usize,
) -> Result<(Vec<Vec<u8>>, Vec<u8>), Refusal> {
    let (mut handshake, first) = Handshake::start(request);
    let (mut said, mut input) = (vec![first], Vec::new());
    let mut parts = answers.chunks(at_once);
    loop {
        match handshake.take(&input)? {
            Answer::NeedData => match parts.next() {
                Some(part) => input.extend_from_slice(part),
                None => panic!("it wants more than {answers:?}"),
            },
            Answer::Send(used, bytes) => {
                input.drain(..used);
                said.push(bytes);
            }
            Answer::Done(used) => {
                input.drain(..used);
                input.extend(parts.flatten());
                return Ok((said, input));
            }
        }
    }
}

#[test]
fn a_tunnel_without_credentials() {
    let answers = b"\x05\x00\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90rest";
    for at_once in 1..=answers.len() {
        let (said, rest) = converse(request(None), answers, at_once).unwrap();
        assert_eq!(
            said,
            [b"\x05\x01\x00".to_vec(), b"\x05\x01\x00\x03\x0bexample.org\x01\xbb".to_vec()]
        );
        assert_eq!(rest, b"rest");
    }
}

#[test]
fn a_tunnel_with_credentials() {
    let answers = b"\x05\x02\x01\x00\x05\x00\x00\x03\x04host\x00\x50";
    for at_once in 1..=answers.len() {
        let (said, rest) = converse(request(Some((b"ann", b"secret"))), answers, at_once).unwrap();
        assert_eq!(said[0], b"\x05\x02\x00\x02");
        assert_eq!(said[1], b"\x01\x03ann\x06secret");
        assert_eq!(said.len(), 3);
        assert!(rest.is_empty());
    }
    // A proxy that wants none is told none.
    let (said, _) =
        converse(request(Some((b"a", b"b"))), b"\x05\x00\x05\x00\x00\x01\0\0\0\0\0\0", 99).unwrap();
    assert_eq!(said.len(), 2);
}

#[test]
fn addresses_are_sent_as_they_are() {
    for (address, bytes) in [
        ("127.0.0.1", &b"\x01\x7f\x00\x00\x01"[..]),
        ("::1", b"\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01"),
    ] {
        let request = Request::new(Host::Address(address.parse().unwrap()), 80, None).unwrap();
        let reply = b"\x05\x00\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        let (said, _) = converse(request, reply, 7).unwrap();
        assert_eq!(said[1], [b"\x05\x01\x00", bytes, b"\x00\x50"].concat());
    }
}

#[test]
fn refusals_say_why() {
    for (answers, refusal) in [
        (&b"HTTP/1.1 400"[..], Refusal::NotSocks),
        (b"\x05\xff", Refusal::NoMethod),
        (b"\x05\x02\x01\x01", Refusal::Credentials),
        (b"\x05\x00\x05\x05", Refusal::Failed(5)),
        (b"\x05\x00\x04\x00", Refusal::NotSocks),
        (b"\x05\x00\x05\x00\x00\x09", Refusal::NotSocks),
    ] {
        for at_once in 1..=answers.len() {
            let request = request(Some((b"ann", b"secret")));
            assert_eq!(converse(request, answers, at_once), Err(refusal), "{answers:?}");
        }
    }
    // Nobody has given what this proxy wants.
    assert_eq!(converse(request(None), b"\x05\x02", 2), Err(Refusal::NoMethod));
}

#[test]
fn what_does_not_fit_is_not_asked_for() {
    let name = |length| Host::Name(vec![b'a'; length].into());
    assert_eq!(Request::new(name(256), 1, None), Err(Unaskable::Name));
    assert_eq!(Request::new(name(0), 1, None), Err(Unaskable::Name));
    assert!(Request::new(name(255), 1, None).is_ok());
    let long = [b'a'; 256];
    for credentials in [(&long[..], &b"b"[..]), (b"a", &long), (b"", b"b"), (b"a", b"")] {
        assert_eq!(Request::new(name(1), 1, Some(credentials)), Err(Unaskable::Credentials));
    }
}
