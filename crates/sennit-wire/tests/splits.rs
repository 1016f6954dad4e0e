//! Any split of any bytes gives the same events and the same error.

mod common;

use common::{Client, Server, cut, feed};
use proptest::collection::vec;
use proptest::prelude::*;
use sennit_wire::http1::{Limits, RequestKind};

/// Small limits, so that random messages meet them.
const TIGHT: Limits = Limits {
    max_request_line: 60,
    max_head_size: 160,
    max_header_count: 6,
    max_chunk_extension: 8,
    max_trailer_size: 24,
    max_interim_responses: 2,
};

/// Pieces that messages, good and bad, are made of.
const PIECES: &[&str] = &[
    "GET ",
    "POST ",
    "CONNECT ",
    "OPTIONS ",
    "/",
    "*",
    "/a?b",
    "h:80",
    "http://h/",
    " ",
    " HTTP/1.1\r\n",
    " HTTP/1.0\r\n",
    " HTTP/2.0\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 100 Go\r\n",
    "HTTP/1.0 304\r\n",
    "Host: h\r\n",
    "Host:\r\n",
    "Content-Length: 3\r\n",
    "Content-Length: 0\r\n",
    "Content-Length: x\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Connection: close\r\n",
    "Connection: upgrade\r\nUpgrade: x\r\n",
    "Expect: 100-continue\r\n",
    "a:b\r\n",
    "a: \t\r\n",
    "a : b\r\n",
    "a: b\n",
    " folded\r\n",
    "\r\n",
    "\r\n",
    "\r\n",
    "\r",
    "\n",
    "\0",
    "\u{e9}",
    "abc",
    "3\r\nabc\r\n",
    "0\r\n\r\n",
    "0\r\n",
    "2;x=\"y\"\r\nab\r\n",
    "5;",
    "GET / HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: h\r\n",
];

fn message() -> impl Strategy<Value = Vec<u8>> {
    let pieces =
        vec(prop::sample::select(PIECES), 0..14).prop_map(|parts| parts.concat().into_bytes());
    // A good start brings the rest further.
    let started = (prop::sample::select(PIECES), pieces.clone()).prop_map(|(piece, rest)| {
        [b"POST / HTTP/1.1\r\nHost: h\r\n", piece.as_bytes(), rest.as_slice()].concat()
    });
    prop_oneof![pieces, started, vec(any::<u8>(), 0..80)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests(input in message(), places in vec(any::<usize>(), 0..8)) {
        for limits in [TIGHT, Limits::DEFAULT] {
            let whole = feed(Server::new(), &limits, [input.as_slice()]);
            let parts = feed(Server::new(), &limits, cut(&input, &places));
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(&whole, &feed(Server::new(), &limits, input.chunks(1)));
        }
    }

    #[test]
    fn responses(input in message(), places in vec(any::<usize>(), 0..8), kind in 0..4_usize) {
        let kinds = [RequestKind::Ordinary, RequestKind::Head, RequestKind::Connect, RequestKind::Upgrade];
        // What starts like a good request starts like a good response here.
        let input = match input.strip_prefix(b"POST / HTTP/1.1\r\n".as_slice()) {
            Some(rest) => [b"HTTP/1.1 200 OK\r\n", rest].concat(),
            None => input,
        };
        for limits in [TIGHT, Limits::DEFAULT] {
            let make = || Client::new(kinds[kind]);
            let whole = feed(make(), &limits, [input.as_slice()]);
            let parts = feed(make(), &limits, cut(&input, &places));
            prop_assert_eq!(&whole, &parts);
            prop_assert_eq!(&whole, &feed(make(), &limits, input.chunks(1)));
        }
    }

    #[test]
    fn chunked_bodies_come_back(body in vec(vec(any::<u8>(), 1..40), 0..6), places in vec(any::<usize>(), 0..8)) {
        let mut input = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        for chunk in &body {
            sennit_wire::http1::encode_chunk_size(&mut input, chunk.len());
            input.extend_from_slice(chunk);
            input.extend_from_slice(sennit_wire::http1::CHUNK_END);
        }
        input.extend_from_slice(sennit_wire::http1::LAST_CHUNK);
        let outcome = feed(Server::new(), &Limits::DEFAULT, cut(&input, &places));
        prop_assert_eq!(outcome.error, None);
        prop_assert_eq!(outcome.body(), body.concat());
        prop_assert!(outcome.eof_is_fine);
    }
}
