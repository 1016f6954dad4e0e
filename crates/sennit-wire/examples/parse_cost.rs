//! Prints what one parse and one encode cost: nanoseconds, the best of many rounds.
//!
//! `cargo run --release -p sennit-wire --example parse_cost`
#![allow(clippy::disallowed_methods)] // it measures, so it needs a clock

use std::hint::black_box;
use std::time::Instant;

use sennit_wire::http1::{
    DateCache, Event, FieldSlots, Limits, RequestKind, RequestReader, ResponseParts,
    ResponseReader, encode_response_head, push_field,
};

const MINIMAL: &[u8] = b"GET / HTTP/1.1\r\nHost: 127.0.0.1:8080\r\n\r\n";

const BROWSER: &[u8] = b"GET /articles/2026/index.html?page=2&sort=new HTTP/1.1\r\n\
Host: www.example.org\r\n\
User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
Accept-Language: en-GB,en;q=0.7,de;q=0.3\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\n\
Referer: https://www.example.org/articles/2026/\r\n\
Connection: keep-alive\r\n\
Cookie: session=7f3c9a1d5e8b4c2f; theme=dark; consent=yes\r\n\r\n";

const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\ndate: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
content-type: text/plain\r\ncontent-length: 13\r\n\r\nHello, world!";

const ROUNDS: usize = 60;
const PER_ROUND: u32 = 20_000;

fn cost(name: &str, mut work: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..PER_ROUND {
            work();
        }
        best = best.min(start.elapsed().as_secs_f64() / f64::from(PER_ROUND));
    }
    println!("{name:<44} {:>7.1} ns", best * 1e9);
}

fn request(name: &str, input: &[u8]) {
    let limits = Limits::default();
    let mut reader = RequestReader::new();
    cost(name, || {
        let mut slots = FieldSlots::new();
        let step = reader.next_event(&limits, black_box(input), &mut slots).expect("well formed");
        assert_eq!(step.consumed, input.len());
        black_box(&step);
    });
}

fn response() {
    let limits = Limits::default();
    let mut reader = ResponseReader::new();
    cost("read a response with 3 fields and its body", || {
        reader.expect(RequestKind::Ordinary);
        let mut rest = black_box(RESPONSE);
        loop {
            let mut slots = FieldSlots::new();
            let step = reader.next_event(&limits, rest, &mut slots).expect("well formed");
            rest = &rest[step.consumed..];
            if matches!(black_box(step.event), Event::End) {
                break;
            }
        }
    });
}

fn main() {
    println!("bytes: {} minimal, {} browser", MINIMAL.len(), BROWSER.len());
    println!("reader: {} bytes", size_of::<RequestReader>());
    request("read a minimal request", MINIMAL);
    request("read a browser's request, 8 fields", BROWSER);
    response();
    let date = DateCache::new(1_795_392_000);
    let mut block = Vec::new();
    push_field(&mut block, b"server", b"sennit").expect("good field");
    push_field(&mut block, b"cache-control", b"no-store").expect("good field");
    let mut out = Vec::with_capacity(4096);
    let mut head = ResponseParts {
        date: date.as_bytes(),
        content_type: Some(b"text/plain; charset=utf-8"),
        content_length: Some(13),
        ..ResponseParts::default()
    };
    cost("write a response head", || {
        out.clear();
        encode_response_head(&mut out, black_box(&head));
        black_box(&out);
    });
    head.fields = &block;
    cost("write a response head with 2 more fields", || {
        out.clear();
        encode_response_head(&mut out, black_box(&head));
        black_box(&out);
    });
}
