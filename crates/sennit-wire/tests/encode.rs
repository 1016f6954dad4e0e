//! What is written: byte for byte, and read back by our own readers.

mod common;

use common::{Client, Seen, Server, feed_both_ways};
use proptest::collection::vec;
use proptest::prelude::*;
use sennit_wire::http1::{
    Connection, Framing, Limits, LocalProtocolError, RequestKind, RequestParts, ReservedField,
    ResponseParts, check_field_value, encode_chunk_size, encode_continue, encode_request_head,
    encode_response_head, encode_simple_error, push_field, push_trailer, reserved_field,
};

const DATE: &[u8] = b"Mon, 23 Nov 2026 00:00:00 GMT";

fn response(parts: &ResponseParts<'_>) -> String {
    let mut out = Vec::new();
    encode_response_head(&mut out, parts);
    String::from_utf8(out).expect("ASCII")
}

fn request(parts: &RequestParts<'_>) -> Result<String, LocalProtocolError> {
    let mut out = b"before".to_vec();
    let result = encode_request_head(&mut out, parts);
    let text = String::from_utf8(out).expect("ASCII");
    let text = text.strip_prefix("before").expect("appended").to_owned();
    assert!(result.is_ok() || text.is_empty(), "an error appends nothing");
    result.map(|()| text)
}

const GET: RequestParts<'_> = RequestParts {
    method: "GET",
    target: "/",
    host: "h:80",
    fields: b"",
    content_length: None,
    chunked: false,
    connection: None,
};

#[test]
fn a_full_response_head() {
    let parts = ResponseParts {
        date: DATE,
        content_type: Some(b"text/plain"),
        fields: b"a: b\r\n",
        content_length: Some(13),
        connection: Some(Connection::KeepAlive),
        ..ResponseParts::default()
    };
    assert_eq!(
        response(&parts),
        "HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\ncontent-type: text/plain\r\n\
         a: b\r\ncontent-length: 13\r\nconnection: keep-alive\r\n\r\n"
    );
}

#[test]
fn framing_only_where_it_may_stand() {
    let framed = |status, content_length, chunked| {
        response(&ResponseParts { status, content_length, chunked, ..ResponseParts::default() })
    };
    assert_eq!(framed(204, Some(0), false), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_eq!(framed(101, None, true), "HTTP/1.1 101 Switching Protocols\r\n\r\n");
    assert_eq!(
        framed(304, Some(7), false),
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n"
    );
    assert_eq!(framed(200, Some(7), true), "HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n");
    assert_eq!(framed(200, None, true), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    assert_eq!(framed(599, None, false), "HTTP/1.1 599 \r\n\r\n");
    assert_eq!(framed(7, None, false), "HTTP/1.1 100 \r\n\r\n");
}

#[test]
fn simple_errors_are_whole_responses() {
    for (status, detail) in [(431, "head is large"), (400, ""), (599, "x\r\n\r\nHTTP/1.1 200 OK")] {
        let mut out = Vec::new();
        encode_simple_error(&mut out, status, DATE, detail);
        let outcome = feed_both_ways(|| Client::new(RequestKind::Ordinary), &Limits::DEFAULT, &out);
        assert_eq!(outcome.error, None);
        assert_eq!((outcome.heads(), outcome.left), (1, 0));
        let Some(Seen::Head { flags, start, .. }) = outcome.events.first() else { panic!() };
        assert!(start.starts_with(&status.to_string()) && !flags[0]);
        assert!(String::from_utf8(outcome.body()).expect("text").contains(detail));
    }
    let mut out = Vec::new();
    encode_continue(&mut out);
    assert_eq!(out, b"HTTP/1.1 100 Continue\r\n\r\n");
}

#[test]
fn chunk_sizes() {
    for size in [1, 9, 10, 15, 16, 255, 256, 4_096, 65_535, usize::MAX] {
        let mut out = Vec::new();
        encode_chunk_size(&mut out, size);
        assert_eq!(out, format!("{size:x}\r\n").as_bytes());
    }
    let mut out = Vec::new();
    encode_chunk_size(&mut out, 0);
    assert!(out.is_empty(), "a chunk of nothing would end the body");
}

#[test]
fn requests() {
    assert_eq!(request(&GET).as_deref(), Ok("GET / HTTP/1.1\r\nhost: h:80\r\n\r\n"));
    let post = RequestParts {
        method: "POST",
        content_length: Some(0),
        fields: b"a: b\r\n",
        connection: Some(Connection::Close),
        ..GET
    };
    assert_eq!(
        request(&post).as_deref(),
        Ok(
            "POST / HTTP/1.1\r\nhost: h:80\r\na: b\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )
    );
    for (method, target) in
        [("OPTIONS", "*"), ("CONNECT", "h:443"), ("GET", "http://h/p?q"), ("M-SEARCH", "/?a|b")]
    {
        assert!(request(&RequestParts { method, target, ..GET }).is_ok(), "{method} {target}");
    }
    for (method, target, host, error) in [
        ("GET ", "/", "h", LocalProtocolError::BadMethod),
        ("", "/", "h", LocalProtocolError::BadMethod),
        ("GET", "", "h", LocalProtocolError::BadTarget),
        ("GET", "/ HTTP/1.1\r\nx:", "h", LocalProtocolError::BadTarget),
        ("GET", "/a b", "h", LocalProtocolError::BadTarget),
        ("GET", "/\u{e9}", "h", LocalProtocolError::BadTarget),
        ("GET", "*", "h", LocalProtocolError::BadTarget),
        ("CONNECT", "/", "h", LocalProtocolError::BadTarget),
        ("GET", "/", "h\r\nx: y", LocalProtocolError::BadHost),
        ("GET", "/", "u@h", LocalProtocolError::BadHost),
        ("GET", "/", "", LocalProtocolError::BadHost),
        ("GET", "/", "h/", LocalProtocolError::BadHost),
    ] {
        assert_eq!(
            request(&RequestParts { method, target, host, ..GET }),
            Err(error),
            "{target:?}"
        );
    }
}

#[test]
fn fields_that_are_refused() {
    let push = |name: &[u8], value: &[u8]| {
        let mut block = Vec::new();
        let result = push_field(&mut block, name, value);
        assert_eq!(result.is_err(), block.is_empty());
        result.map(|()| block)
    };
    assert_eq!(push(b"X-A", b" b\tc \xe9\t"), Ok(b"X-A: b\tc \xe9\r\n".to_vec()));
    assert_eq!(push(b"x", b""), Ok(b"x: \r\n".to_vec()));
    for name in [&b""[..], b"a b", b"a:", b"a\r\n", b"\xe9", b"a\0"] {
        assert_eq!(push(name, b"v"), Err(LocalProtocolError::BadFieldName));
    }
    for byte in [b'\r', b'\n', 0, 1, 0x1F, 0x7F] {
        let bad = LocalProtocolError::BadFieldValue(byte);
        assert_eq!(push(b"a", &[b'v', byte, b'w']), Err(bad));
        assert_eq!(check_field_value(&[byte]), Err(bad));
    }
    for (name, field) in [
        ("Content-Length", ReservedField::ContentLength),
        ("TRANSFER-ENCODING", ReservedField::TransferEncoding),
        ("connection", ReservedField::Connection),
        ("Keep-Alive", ReservedField::KeepAlive),
        ("Proxy-Connection", ReservedField::KeepAlive),
        ("Date", ReservedField::Date),
        ("Host", ReservedField::Host),
    ] {
        assert_eq!(reserved_field(name.as_bytes()), Some(field));
        let error = LocalProtocolError::ReservedField(field);
        assert_eq!(push(name.as_bytes(), b"v"), Err(error));
        assert!(error.to_string().contains(field.name()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever a caller hands in: one head comes out, or an error.
    #[test]
    fn nothing_splits_a_request(
        method in vec(any::<u8>(), 0..6),
        target in "\\PC{0,6}|/[ -~]{0,9}|/a\r\nb",
        host in "\\PC{0,4}|[a-z:0-9]{0,6}",
        name in vec(any::<u8>(), 0..4),
        value in vec(any::<u8>(), 0..8),
    ) {
        let mut fields = Vec::new();
        let pushed = push_field(&mut fields, &name, &value).is_ok();
        let method = std::str::from_utf8(&method).unwrap_or("GET");
        let parts = RequestParts { method, target: &target, host: &host, fields: &fields, ..GET };
        if let Ok(text) = {
            let mut out = Vec::new();
            encode_request_head(&mut out, &parts).map(|()| out)
        } {
            let outcome = feed_both_ways(Server::new, &Limits::DEFAULT, &text);
            // Our own server may still refuse a target that disagrees with the host.
            if outcome.error.is_none() {
                prop_assert_eq!(outcome.heads(), 1);
                let Some(Seen::Head { fields, framing, .. }) = outcome.events.first() else { panic!() };
                prop_assert_eq!(fields.len(), 1 + usize::from(pushed));
                prop_assert_eq!(*framing, Framing::None);
            }
        }
    }
}

#[test]
fn trailer_fields_that_come_too_late_are_refused() {
    let mut block = Vec::new();
    for name in ["set-cookie", "Set-Cookie", "content-type", "vary", "te", "authorization"] {
        let result = push_trailer(&mut block, name.as_bytes(), b"x");
        assert_eq!(result, Err(LocalProtocolError::NoTrailer), "{name}");
    }
    for name in ["content-length", "transfer-encoding", "host", "date"] {
        let result = push_trailer(&mut block, name.as_bytes(), b"x");
        assert!(matches!(result, Err(LocalProtocolError::ReservedField(_))), "{name}");
    }
    assert!(block.is_empty());
    assert_eq!(push_trailer(&mut block, b"Server-Timing", b"a"), Ok(()));
    assert_eq!(push_trailer(&mut block, b"etag", b"\"a\""), Ok(()));
}
