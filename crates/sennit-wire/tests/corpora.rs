//! The vectors of others (`tests/wire/vectors/http11`), each fed whole, byte by byte and with bytes behind it.

mod common;

use std::path::PathBuf;

use common::{Client, Outcome, Reader, Seen, Server, feed, feed_both_ways};
use sennit_wire::http1::{Limits, RequestKind};
use serde_json::Value;

fn load(name: &str) -> Vec<Value> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/vectors/http11");
    let text =
        std::fs::read_to_string(folder.join(name)).expect("the vectors are in the repository");
    serde_json::from_str::<Value>(&text).expect("JSON").as_array().expect("a list").clone()
}

fn text<'v>(case: &'v Value, key: &str) -> &'v str {
    case[key].as_str().unwrap_or("")
}

/// The JSON holds bytes as latin-1.
fn raw(case: &Value) -> Vec<u8> {
    latin1(&text(case, "raw").replace("@@HOST@@", "127.0.0.1:8080"))
}

fn latin1(text: &str) -> Vec<u8> {
    text.chars().map(|sign| u8::try_from(u32::from(sign)).expect("latin-1")).collect()
}

const NEXT_REQUEST: &[u8] = b"GET /behind HTTP/1.1\r\nHost: behind\r\n\r\n";

/// Every way of feeding. Bytes behind a message may only add events behind it.
fn run<R: Reader>(make: impl Fn() -> R, input: &[u8], behind: &[u8]) -> Outcome {
    let limits = Limits::DEFAULT;
    let outcome = feed_both_ways(&make, &limits, input);
    if outcome.error.is_some() {
        let with_tail = feed(make(), &limits, [[input, behind].concat().as_slice()]);
        assert_eq!(with_tail.error, outcome.error);
        assert_eq!(with_tail.events, outcome.events);
    } else if outcome.left == 0 && outcome.eof_is_fine {
        let with_tail = feed(make(), &limits, [[input, behind].concat().as_slice()]);
        let (front, _) =
            with_tail.events.split_at(outcome.events.len().min(with_tail.events.len()));
        let tail_is_data = matches!(outcome.events.last(), Some(Seen::Data(_)));
        assert!(tail_is_data || front == outcome.events, "{:?}", input.escape_ascii().to_string());
    }
    outcome
}

/// Cases of the probe that the stored text cuts off before the byte that is wrong: they cannot be told from a
/// client that is slow. The deadline for heads ends such a connection; for us they are incomplete.
const CUT_OFF: &[&str] = &[
    "MAL-NON-ASCII-HEADER-NAME",
    "SMUG-CHUNK-EXT-CTRL",
    "SMUG-TE-VTAB",
    "SMUG-TE-FORMFEED",
    "SMUG-TE-NULL",
];

#[test]
fn probe_cases_get_their_one_right_answer() {
    let mut exact = 0;
    for case in load("probe.json") {
        let (id, expect) = (text(&case, "id"), text(&case, "expect"));
        let outcome = run(Server::new, &raw(&case), NEXT_REQUEST);
        if CUT_OFF.contains(&id) {
            assert_eq!(outcome.error, None, "{id}");
            assert!(!outcome.eof_is_fine, "{id}");
            continue;
        }
        match expect {
            "" => continue,
            "Range2xx" => {
                assert!(outcome.error.is_none() && outcome.eof_is_fine, "{id}: {outcome:?}")
            }
            status => {
                let hint = outcome.error.unwrap_or_else(|| panic!("{id} passes: {outcome:?}")).hint;
                assert_eq!(hint.to_string(), status, "{id}");
            }
        }
        exact += 1;
    }
    assert_eq!(exact, 44);
}

/// What the cut-off cases look like with the byte that the stored text lost.
#[test]
fn probe_cases_that_were_cut_off_are_refused_when_whole() {
    let head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: ";
    for (front, rest) in [
        ("GET / HTTP/1.1\r\nHost: h\r\nX-T", "\u{c3}\u{ab}st: v\r\n\r\n"),
        (head, "\u{b}chunked\r\n\r\n"),
        (head, "\u{c}chunked\r\n\r\n"),
        (head, "chunked\0\r\n\r\n"),
        (head, "chunked\r\n\r\n5;\0x\r\nhello\r\n0\r\n\r\n"),
    ] {
        let outcome = run(Server::new, &latin1(&[front, rest].concat()), NEXT_REQUEST);
        assert_eq!(outcome.error.map(|error| error.hint), Some(400), "{rest:?}");
    }
}

/// Requests of the probe without one right answer that we refuse all the same, with the status. Everything else passes.
const PROBE_REFUSED: &[(&str, u16)] = &[
    ("MAL-URL-BACKSLASH", 400),
    ("RFC9112-2.2-BARE-LF-REQUEST-LINE", 400),
    ("RFC9112-2.2-BARE-LF-HEADER", 400),
    ("RFC9112-2.3-INVALID-VERSION", 505),
    ("COMP-EXPECT-UNKNOWN", 417),
    ("COMP-REQUEST-LINE-TAB", 400),
    ("SMUG-TE-XCHUNKED", 400),
    ("SMUG-TE-TRAILING-SPACE", 400),
    ("SMUG-CLTE-PIPELINE", 400),
    ("SMUG-TE-LEADING-COMMA", 400),
    ("SMUG-CHUNK-EXT-LF", 400),
    ("SMUG-CHUNK-LF-TERM", 400),
    ("SMUG-CHUNK-LF-TRAILER", 400),
    ("SMUG-CL-COMMA-SAME", 400),
    ("SMUG-CL-COMMA-TRIPLE", 400),
    ("SMUG-CHUNKED-WITH-PARAMS", 400),
    ("SMUG-TE-OBS-FOLD", 400),
    ("SMUG-TE-TRAILING-COMMA", 400),
    ("SMUG-TE-TAB-BEFORE-VALUE", 400),
    ("SMUG-ABSOLUTE-URI-HOST-MISMATCH", 400),
    ("SMUG-TECL-CONN-CLOSE", 400),
    ("SMUG-TECL-DESYNC", 400),
    ("SMUG-CHUNK-INVALID-SIZE-DESYNC", 400),
    ("NORM-SP-BEFORE-COLON-CL", 400),
    ("NORM-TAB-IN-NAME", 400),
    ("NORM-CASE-TE", 400),
    ("COOK-NUL", 400),
    ("COOK-CONTROL-CHARS", 400),
];

#[test]
fn probe_cases_with_a_choice_are_decided_here() {
    let cases = load("probe.json");
    let refused: Vec<(&str, u16)> = cases
        .iter()
        .filter(|case| text(case, "expect").is_empty())
        .filter_map(|case| {
            let outcome = run(Server::new, &raw(case), NEXT_REQUEST);
            outcome.error.map(|error| (text(case, "id"), error.hint))
        })
        .collect();
    assert_eq!(refused, PROBE_REFUSED);
}

const NO_HOST: &str = "RFC 9112 section 3.2: HTTP/1.1 without Host";

/// Messages that llhttp takes and we refuse, with the rule. Those without Host are found by that fault.
const LLHTTP_REFUSED: &[(&str, &str)] = &[
    ("request/method.md: CONNECT with body", "RFC 9110 section 9.3.6: CONNECT has no body"),
    ("request/method.md: M-SEARCH request", "RFC 9112 section 3.2.4: * is for OPTIONS"),
    ("request/method.md: SOURCE request with ICE", "RFC 9112 section 2.3: version"),
    ("request/method.md: OPTIONS request with RTSP", "RFC 9112 section 2.3: version"),
    ("response/sample.md: ICE response", "RFC 9112 section 2.3: version"),
    (
        "response/transfer-encoding.md: `chunked` before other transfer-encoding",
        "RFC 9112 section 7.4: only chunked without TE",
    ),
    (
        "response/transfer-encoding.md: multiple transfer-encoding where chunked is not the last one",
        "RFC 9112 section 7.4: only chunked without TE",
    ),
];

fn run_llhttp(case: &Value) -> Outcome {
    let input = raw(case);
    match text(case, "kind") {
        "request" => run(Server::new, &input, NEXT_REQUEST),
        "response" => {
            let upgrades = text(case, "expect") == "upgrade";
            let kind = if upgrades { RequestKind::Upgrade } else { RequestKind::Ordinary };
            run(|| Client::new(kind), &input, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
        }
        other => panic!("kind {other}"),
    }
}

#[test]
fn llhttp_refuses_and_so_do_we() {
    let (mut at_once, mut at_close) = (0, Vec::new());
    let cases = load("llhttp.json");
    for case in cases.iter().filter(|case| text(case, "expect") == "refuse") {
        let outcome = run_llhttp(case);
        if outcome.error.is_some() {
            at_once += 1;
            continue;
        }
        assert!(!outcome.eof_is_fine, "{}: {outcome:?}", case["id"]);
        at_close.push(text(case, "id"));
    }
    // These end before the line or the head does that would be judged.
    let unfinished = [
        "request/content-length.md: Error on `Content-Length` overflow",
        "request/invalid.md: Invalid HTTP version",
        "response/invalid.md: Invalid space after start line",
    ];
    assert_eq!(at_close, unfinished);
    assert_eq!(at_once, 47);
}

#[test]
fn llhttp_accepts_and_so_do_we_but_for_the_list() {
    let mut refused = Vec::new();
    for case in load("llhttp.json").iter().filter(|case| text(case, "expect") != "refuse") {
        let (id, expect) = (text(case, "id"), text(case, "expect"));
        let outcome = run_llhttp(case);
        if let Some(error) = outcome.error {
            let words = error.to_string();
            if words.contains("without Host") {
                assert!(
                    !raw(case).to_ascii_lowercase().windows(7).any(|seven| seven == b"\r\nhost:"),
                    "{NO_HOST}"
                );
                continue;
            }
            let rule = LLHTTP_REFUSED.iter().find(|(known, _)| *known == id).map(|(_, rule)| *rule);
            assert!(rule.is_some(), "{id}: {words}");
            refused.push(id.to_owned());
            continue;
        }
        assert!(outcome.heads() > 0, "{id}");
        match expect {
            "accept-then-close" => {
                assert!(outcome.left > 0 && outcome.heads() == 1, "{id}: {outcome:?}")
            }
            "upgrade" => {
                let Seen::Head { flags, .. } = &outcome.events[0] else { panic!("{id}") };
                assert_eq!(flags.last(), Some(&true), "{id}");
            }
            _ => {}
        }
    }
    let listed: Vec<&str> = LLHTTP_REFUSED.iter().map(|(id, _)| *id).collect();
    assert_eq!(refused, listed, "an exception that is not needed any more, or out of order");
}

/// llhttp's requests leave Host out; with one, everything behind that rule has to hold as well.
#[test]
fn llhttp_requests_with_a_host_added() {
    for case in load("llhttp.json") {
        let input = raw(&case);
        let (id, expect) = (text(&case, "id"), text(&case, "expect"));
        let lower = input.to_ascii_lowercase();
        let has_host = lower.windows(7).any(|seven| seven == b"\r\nhost:");
        let absolute =
            lower.windows(3).any(|three| three == b"://") || input.starts_with(b"CONNECT");
        if text(&case, "kind") != "request" || has_host || absolute {
            continue;
        }
        let with_host =
            latin1(&text(&case, "raw").replace(" HTTP/1.1\r\n", " HTTP/1.1\r\nHost: h\r\n"));
        let outcome = run(Server::new, &with_host, NEXT_REQUEST);
        let refused = outcome.error.is_some() || (expect == "refuse" && !outcome.eof_is_fine);
        // RFC 9112 section 3.2.1: a target has no fragment. Section 6.1: codings that we do not know, 501.
        let ours = id.contains("Fragment in URI") || id.contains("`chunked` as last");
        assert_eq!(refused, expect == "refuse" || ours, "{id}: {outcome:?}");
    }
}
