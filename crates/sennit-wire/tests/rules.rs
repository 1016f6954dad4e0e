//! Each rule by itself: the smallest message that breaks it, and its neighbour that does not.

mod common;

use common::{Client, Outcome, Seen, Server, feed_both_ways};
use sennit_wire::http1::{Fault, Framing, Limits, RequestKind};

fn server(input: impl AsRef<[u8]>) -> Outcome {
    feed_both_ways(Server::new, &Limits::DEFAULT, input.as_ref())
}

fn fault(input: impl AsRef<[u8]>) -> Option<(Fault, u16)> {
    server(input).error.map(|error| (error.fault, error.hint))
}

/// A GET with these lines behind Host.
fn with(lines: &str) -> Option<(Fault, u16)> {
    fault(format!("GET / HTTP/1.1\r\nHost: h\r\n{lines}\r\n"))
}

fn target(method: &str, target: &str) -> Option<(Fault, u16)> {
    fault(format!("{method} {target} HTTP/1.1\r\nHost: h\r\n\r\n"))
}

fn host(value: &str) -> Option<(Fault, u16)> {
    fault(format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n"))
}

fn chunks(body: &str) -> Outcome {
    server(format!("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n{body}"))
}

#[test]
fn request_line() {
    for (line, expected) in [
        ("GET / HTTP/1.1", None),
        ("get / HTTP/1.0", None),
        ("GET  / HTTP/1.1", Some((Fault::BadRequestLine, 400))),
        ("GET / HTTP/1.1 ", Some((Fault::BadRequestLine, 400))),
        ("GET /", Some((Fault::BadRequestLine, 400))),
        (" GET / HTTP/1.1", Some((Fault::BadRequestLine, 400))),
        ("GE(T / HTTP/1.1", Some((Fault::BadMethod { byte: b'(' }, 400))),
        ("GET / HTTP/1.10", Some((Fault::BadVersion, 400))),
        ("GET / http/1.1", Some((Fault::BadVersion, 400))),
        ("GET / HTTP/1.2", Some((Fault::UnsupportedVersion { major: 1, minor: 2 }, 505))),
        ("PRI * HTTP/2.0", Some((Fault::UnsupportedVersion { major: 2, minor: 0 }, 505))),
    ] {
        assert_eq!(fault(format!("{line}\r\nHost: h\r\n\r\n")), expected, "{line}");
    }
}

#[test]
fn targets() {
    let bad = |byte| Some((Fault::BadTarget { byte }, 400));
    for (method, text, expected) in [
        ("GET", "/a/b?c=d&e=%20|{}[]^`\\", None),
        ("GET", "//double", None),
        ("GET", "/a#b", bad(b'#')),
        ("GET", "/a\\b", bad(b'\\')),
        ("GET", "/a\"b", bad(b'"')),
        ("GET", "/<b>", bad(b'<')),
        ("GET", "/\u{fc}", bad(0xC3)),
        ("GET", "/\u{7f}", bad(0x7F)),
        ("GET", "path", Some((Fault::BadTargetForm, 400))),
        ("GET", "*", Some((Fault::AsteriskTarget, 400))),
        ("OPTIONS", "*", None),
        ("OPTIONS", "/", None),
        ("GET", "h:80", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "h:443", None),
        ("CONNECT", "h", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "h:", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "h:0", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "h:65536", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "/", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "*", Some((Fault::ConnectTarget, 400))),
        ("CONNECT", "other:443", Some((Fault::HostMismatch, 400))),
        ("GET", "http://h/path", None),
        ("GET", "HTTP://H:80?q", None),
        ("GET", "https://h:443/", None),
        ("GET", "http://h:81/", Some((Fault::HostMismatch, 400))),
        ("GET", "http://other/", Some((Fault::HostMismatch, 400))),
        ("GET", "http://user@h/", Some((Fault::BadTargetForm, 400))),
        ("GET", "http:///path", Some((Fault::BadTargetForm, 400))),
        ("GET", "http://:80/", Some((Fault::BadTargetForm, 400))),
        ("GET", "1http://h/", Some((Fault::BadTargetForm, 400))),
        ("GET", "ftp://h/", Some((Fault::ForeignScheme, 421))),
        ("GET", "httpx://h/", Some((Fault::ForeignScheme, 421))),
    ] {
        assert_eq!(target(method, text), expected, "{method} {text}");
    }
}

#[test]
fn hosts() {
    for good in ["h", "h:80", "h:", "a_b.example", "0.0.0.0=5000", "[::1]", "[::1]:8080", "%41"] {
        assert_eq!(host(good), None, "{good}");
    }
    for bad in [
        "", "u@h", "h/p", "a,b", "a, b", "a b", "h:80:80", "h:8a", "h:65536", "h:000080", ":80",
        "[::1", "[::1]x", "[::g]", "[::1]:x", "h\u{e9}", "h?", "h#", "\\",
    ] {
        assert_eq!(host(bad), Some((Fault::BadHost, 400)), "{bad}");
    }
    let again = with("host: h\r\n");
    assert_eq!(again, Some((Fault::RepeatedHost, 400)));
    assert_eq!(fault("GET / HTTP/1.1\r\n\r\n"), Some((Fault::MissingHost, 400)));
    assert_eq!(fault("GET / HTTP/1.0\r\n\r\n"), None);
    assert_eq!(fault("GET / HTTP/1.0\r\nHost: a b\r\n\r\n"), Some((Fault::BadHost, 400)));
    assert_eq!(fault("OPTIONS * HTTP/1.1\r\nHost:\r\n\r\n"), None);
}

#[test]
fn field_lines() {
    let length = |value: &str| with(&format!("Content-Length: {value}\r\n"));
    assert_eq!(with("a:\r\nb: \t \r\nc:d\r\ne: f g\t\r\n"), None);
    assert_eq!(with("a: b\r\n c\r\n"), Some((Fault::LineFolding, 400)));
    assert_eq!(with("a : b\r\n"), Some((Fault::SpaceBeforeColon, 400)));
    assert_eq!(with(": b\r\n"), Some((Fault::EmptyFieldName, 400)));
    assert_eq!(with("ab\r\n"), Some((Fault::MissingColon, 400)));
    assert_eq!(with("a(: b\r\n"), Some((Fault::BadFieldName { byte: b'(' }, 400)));
    assert_eq!(with("\u{e9}: b\r\n"), Some((Fault::BadFieldName { byte: 0xC3 }, 400)));
    assert_eq!(with("a: \0\r\n"), Some((Fault::BadFieldValue { byte: 0 }, 400)));
    assert_eq!(with("a: \u{e9}\r\n"), None);
    assert_eq!(with("a: b\n"), Some((Fault::BareLineFeed, 400)));
    assert_eq!(with("a: b \n"), Some((Fault::BareLineFeed, 400)));
    assert_eq!(with("a:\n"), Some((Fault::BareLineFeed, 400)));
    assert_eq!(with("\n"), Some((Fault::BareLineFeed, 400)));
    assert_eq!(with("a: b\rc\r\n"), Some((Fault::BareCarriageReturn, 400)));
    assert_eq!(fault("GET / HTTP/1.1\nHost: h\r\n\r\n"), Some((Fault::BareLineFeed, 400)));
    assert_eq!(length("0"), None);
    assert_eq!(length("18446744073709551615"), None);
    for bad in
        ["18446744073709551616", "", "+1", "-1", "1 2", "1,1", "0x1", "1_0", "1.0", "\u{661}"]
    {
        assert_eq!(length(bad), Some((Fault::BadContentLength, 400)), "{bad}");
    }
}

#[test]
fn framing_fields() {
    let te = |value: &str| with(&format!("Transfer-Encoding: {value}\r\n"));
    let http10 = "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(te("CHUNKED"), None);
    for bad in [
        "",
        "gzip",
        "chunked, gzip",
        "chunked, chunked",
        "chunked;q=1",
        ", chunked",
        "chunked,",
        "xchunked",
    ] {
        assert_eq!(te(bad), Some((Fault::NotChunked, 400)), "{bad}");
    }
    assert_eq!(te("gzip, chunked"), Some((Fault::UnknownTransferCoding, 501)));
    assert_eq!(
        with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Some((Fault::RepeatedTransferEncoding, 400))
    );
    for both in [
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n",
    ] {
        assert_eq!(with(both), Some((Fault::LengthAndCoding, 400)));
    }
    assert_eq!(
        with("Content-Length: 1\r\nContent-Length: 1\r\n"),
        Some((Fault::RepeatedContentLength, 400))
    );
    assert_eq!(fault(http10), Some((Fault::CodingInHttp10, 400)));
    assert_eq!(with("Expect: tea\r\n"), Some((Fault::UnknownExpectation, 417)));
    let tunnel = "CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\nContent-Length: 1\r\n\r\n";
    assert_eq!(fault(tunnel), Some((Fault::ConnectBody, 400)));
}

#[test]
fn what_a_head_says_of_the_connection() {
    // keep_alive, expect_continue, upgrade
    for (version, lines, expected) in [
        ("1.1", "", [true, false, false]),
        ("1.1", "Connection: a, Close\r\n", [false, false, false]),
        ("1.1", "Connection: close\r\nConnection: keep-alive\r\n", [false, false, false]),
        ("1.0", "", [false, false, false]),
        ("1.0", "Connection: Keep-Alive\r\n", [true, false, false]),
        ("1.1", "Expect: 100-Continue\r\nContent-Length: 3\r\n", [true, true, false]),
        ("1.1", "Expect: 100-continue\r\n", [true, false, false]),
        ("1.0", "Expect: 100-continue\r\nContent-Length: 3\r\n", [false, false, false]),
        ("1.1", "Connection: Upgrade\r\nUpgrade: websocket\r\n", [true, false, true]),
        ("1.1", "Upgrade: websocket\r\n", [true, false, false]),
        ("1.0", "Connection: Upgrade\r\nUpgrade: websocket\r\n", [false, false, false]),
    ] {
        let outcome = server(format!("POST / HTTP/{version}\r\nHost: h\r\n{lines}\r\n"));
        let Some(Seen::Head { flags, .. }) = outcome.events.first() else {
            panic!("{lines}: {outcome:?}")
        };
        assert_eq!(flags, &expected, "{version} {lines}");
    }
}

#[test]
fn blank_lines_before_a_request_are_few() {
    let request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    assert_eq!(server(format!("{}{request}", "\r\n".repeat(4))).heads(), 1);
    let limit = Fault::TooManyBlankLines { limit: 4 };
    assert_eq!(fault(format!("{}{request}", "\r\n".repeat(5))), Some((limit, 400)));
    assert_eq!(fault(format!("\n{request}")), Some((Fault::BareLineFeed, 400)));
    assert_eq!(fault(format!("\r{request}")), Some((Fault::BareCarriageReturn, 400)));
    assert!(server("\r\n").eof_is_fine);
}

#[test]
fn limits_hold_at_their_byte() {
    let limits =
        Limits { max_request_line: 40, max_head_size: 100, max_header_count: 3, ..Limits::DEFAULT };
    let go = |input: String| feed_both_ways(Server::new, &limits, input.as_bytes()).error;
    let path = |size: usize| format!("GET /{} HTTP/1.0\r\n\r\n", "a".repeat(size - 14));
    assert_eq!(go(path(40)), None);
    let error = go(path(41)).expect("too long");
    assert_eq!((error.fault, error.hint), (Fault::StartLineTooLong { size: 41, limit: 40 }, 414));
    assert_eq!(error.to_string(), "start line is at least 41 bytes, limit 40 (max_request_line)");
    // Without an end in sight, too.
    assert_eq!(go("a".repeat(41)), Some(error));
    let head = |size: usize| format!("GET / HTTP/1.0\r\na: {}\r\n\r\n", "b".repeat(size - 23));
    assert_eq!(go(head(100)), None);
    let error = go(head(101)).expect("too large");
    assert_eq!((error.fault, error.hint), (Fault::HeadTooLarge { size: 101, limit: 100 }, 431));
    assert_eq!(go(format!("GET / HTTP/1.0\r\na: {}", "b".repeat(90))), Some(error));
    let fields = |count: usize| format!("GET / HTTP/1.0\r\n{}\r\n", "a:b\r\n".repeat(count));
    assert_eq!(go(fields(3)), None);
    let error = go(fields(4)).expect("too many");
    assert_eq!((error.fault, error.hint), (Fault::TooManyFields { count: 4, limit: 3 }, 431));
    let many = Limits { max_header_count: 5_000, ..Limits::DEFAULT };
    let outcome = feed_both_ways(Server::new, &many, fields(257).as_bytes());
    assert_eq!(outcome.error.map(|error| error.hint), Some(431));
    assert_eq!(feed_both_ways(Server::new, &many, fields(256).as_bytes()).heads(), 1);
}

#[test]
fn chunked_bodies() {
    let good = chunks(
        "4;a;b=c;d=\"e;\\\" \u{e9}\"\r\nwiki\r\n00A\r\n0123456789\r\n000;last\r\nVary: *\r\nx:\r\n\r\n",
    );
    assert_eq!(good.body(), b"wiki0123456789");
    assert_eq!(good.events.last(), Some(&Seen::End));
    assert!(good.eof_is_fine);
    for (body, expected) in [
        ("\r\n", Fault::BadChunkSize { byte: b'\r' }),
        ("+1\r\n", Fault::BadChunkSize { byte: b'+' }),
        (" 1\r\n", Fault::BadChunkSize { byte: b' ' }),
        ("1 \r\n", Fault::BadChunkSize { byte: b' ' }),
        ("0x1\r\n", Fault::BadChunkSize { byte: b'x' }),
        ("1_0\r\n", Fault::BadChunkSize { byte: b'_' }),
        (";a\r\n", Fault::BadChunkSize { byte: b';' }),
        ("1\na\r\n", Fault::BadChunkSize { byte: b'\n' }),
        ("1\ra", Fault::BareCarriageReturn),
        ("00000000000000001\r\n", Fault::ChunkSizeTooLong { limit: 16 }),
        ("1;\r\n", Fault::BadChunkExtension { byte: b'\r' }),
        ("1;a \r\n", Fault::BadChunkExtension { byte: b' ' }),
        ("1;a=\r\n", Fault::BadChunkExtension { byte: b'\r' }),
        ("1;a=\"\n", Fault::BadChunkExtension { byte: b'\n' }),
        ("1;a=\"b\"c", Fault::BadChunkExtension { byte: b'c' }),
        ("1;a\n", Fault::BadChunkExtension { byte: b'\n' }),
        ("1\r\nab", Fault::BadChunkEnd { byte: b'b' }),
        ("1\r\na\n", Fault::BadChunkEnd { byte: b'\n' }),
        ("1\r\na\r\r", Fault::BadChunkEnd { byte: b'\r' }),
        ("0\r\n\n", Fault::BareLineFeed),
        ("0\r\na: b\n", Fault::BareLineFeed),
        ("0\r\n a: b\r\n", Fault::LineFolding),
        ("0\r\na : b\r\n", Fault::SpaceBeforeColon),
        ("0\r\nX\r\n", Fault::MissingColon),
    ] {
        assert_eq!(chunks(body).error.map(|error| error.fault), Some(expected), "{body:?}");
    }
    let largest = chunks("ffffffffffffffff\r\nabc");
    assert_eq!((largest.body().as_slice(), largest.eof_is_fine), (&b"abc"[..], false));
}

#[test]
fn chunk_floods_are_bounded() {
    let many = "1;abcdefg\r\na\r\n".repeat(513);
    let error = chunks(&many).error.expect("4,104 bytes of extensions");
    assert_eq!(error.fault, Fault::ChunkExtensionTooLarge { size: 4_097, limit: 4_096 });
    assert_eq!(
        error.to_string(),
        "chunk extensions are at least 4,097 bytes, limit 4,096 (max_chunk_extension)"
    );
    assert_eq!(chunks(&"1;abcdefg\r\na\r\n".repeat(512)).error, None);
    let long = chunks(&format!("0\r\na: {}", "b".repeat(9_000))).error.expect("one long trailer");
    assert_eq!(long.fault, Fault::TrailerTooLarge { size: 8_193, limit: 8_192 });
    let many = chunks(&format!("0\r\n{}\r\n", "a:\r\n".repeat(101))).error.expect("101 trailers");
    assert_eq!(many.fault, Fault::TooManyFields { count: 101, limit: 100 });
    let just = format!("0\r\na: {}\r\n\r\n", "b".repeat(8_192 - 7));
    assert!(chunks(&just).eof_is_fine);
    let over = format!("0\r\na: {}\r\n\r\n", "b".repeat(8_192 - 6));
    assert_eq!(chunks(&over).error.map(|error| error.hint), Some(431));
}

#[test]
fn the_end_of_the_connection() {
    for (input, fine) in [
        ("", true),
        ("G", false),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\n", true),
        ("GET / HTTP/1.1\r\nHost: h\r\n\r\nG", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na", false),
        ("GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab", true),
    ] {
        assert_eq!(server(input).eof_is_fine, fine, "{input}");
    }
}

fn client(kind: RequestKind, input: &str) -> Outcome {
    feed_both_ways(|| Client::new(kind), &Limits::DEFAULT, input.as_bytes())
}

#[test]
fn bodies_of_responses() {
    use RequestKind::{Connect, Head, Ordinary, Upgrade};
    for (kind, head, expected) in [
        (Ordinary, "200 OK\r\nContent-Length: 5", Framing::Length(5)),
        (Ordinary, "200 OK\r\nTransfer-Encoding: chunked", Framing::Chunked),
        (Ordinary, "200 OK\r\nHost: a b", Framing::UntilClose),
        (Ordinary, "204 No Content\r\nContent-Length: 5", Framing::None),
        (Ordinary, "304 Not Modified\r\nTransfer-Encoding: chunked", Framing::None),
        (Ordinary, "200 OK\r\nContent-Length: 0", Framing::None),
        (Head, "200 OK\r\nContent-Length: 5", Framing::None),
        (Head, "200 OK", Framing::None),
        (Connect, "200 OK\r\nContent-Length: 5", Framing::None),
        (Connect, "407 No\r\nContent-Length: 5", Framing::Length(5)),
        (Upgrade, "101 Switching Protocols", Framing::None),
        (Upgrade, "200 OK\r\nContent-Length: 5", Framing::Length(5)),
    ] {
        let outcome = client(kind, &format!("HTTP/1.1 {head}\r\n\r\n"));
        let Some(Seen::Head { framing, flags, .. }) = outcome.events.first() else {
            panic!("{head}: {outcome:?}")
        };
        assert_eq!(*framing, expected, "{kind:?} {head}");
        let upgrades = matches!((kind, &head[..3]), (Upgrade, "101") | (Connect, "200"));
        assert_eq!(flags[1], upgrades, "{kind:?} {head}");
        assert_eq!(flags[0], !upgrades && expected != Framing::UntilClose, "{kind:?} {head}");
    }
    let open_ended = client(Ordinary, "HTTP/1.0 200 OK\r\n\r\nall of it");
    assert_eq!((open_ended.body().as_slice(), open_ended.eof_is_fine), (&b"all of it"[..], true));
    assert!(!client(Ordinary, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc").eof_is_fine);
}

#[test]
fn responses_that_are_refused() {
    let fault = |input: &str| {
        client(RequestKind::Ordinary, input).error.map(|error| (error.fault, error.hint))
    };
    for (input, expected) in [
        ("HTTP/1.1 099 Low\r\n\r\n", Fault::BadStatusLine),
        ("HTTP/1.1 20 OK\r\n\r\n", Fault::BadStatusLine),
        ("HTTP/1.1 2000 OK\r\n\r\n", Fault::BadStatusLine),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Fault::BadStatusLine),
        ("HTTP/1.1 200 OK\n\r\n", Fault::BareLineFeed),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::UnsupportedVersion { major: 2, minor: 0 }),
        ("HTTP/1.1 101 Go\r\n\r\n", Fault::UnexpectedUpgrade),
        ("HTTP/1.1 200 OK\r\na : b\r\n\r\n", Fault::SpaceBeforeColon),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            Fault::RepeatedContentLength,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::LengthAndCoding,
        ),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::CodingInHttp10),
    ] {
        assert_eq!(fault(input), Some((expected, 502)), "{input}");
    }
    let interim =
        |count| format!("{}HTTP/1.1 204 Done\r\n\r\n", "HTTP/1.1 103 Hints\r\n\r\n".repeat(count));
    assert_eq!(client(RequestKind::Ordinary, &interim(8)).heads(), 9);
    assert_eq!(fault(&interim(9)), Some((Fault::TooManyInterimResponses { limit: 8 }, 502)));
}

#[test]
fn bytes_without_a_request_are_refused() {
    use sennit_wire::http1::{FieldSlots, ResponseReader};
    let mut reader = ResponseReader::new();
    assert!(reader.is_idle());
    assert!(reader.next_event(&Limits::DEFAULT, b"", &mut FieldSlots::new()).is_ok());
    let mut slots = FieldSlots::new();
    let answer = reader.next_event(&Limits::DEFAULT, b"HTTP/1.1 200 OK\r\n", &mut slots);
    assert_eq!(answer.err().map(|error| error.fault), Some(Fault::UnexpectedResponse));
    assert!(reader.receive_eof().is_err());
}

#[test]
fn readers_stay_small() {
    // One exists for every idle connection.
    assert!(size_of::<sennit_wire::http1::RequestReader>() <= 48);
    assert!(size_of::<sennit_wire::http1::ResponseReader>() <= 56);
    assert!(size_of::<sennit_wire::http1::RemoteProtocolError>() <= 48);
}
