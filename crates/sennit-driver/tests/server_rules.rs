//! What a server keeps of RFC 9110 and 9112 between requests: bodies that nobody reads, tunnels, upgrades, turns, and
//! the same result for any cut of the bytes.

mod common;

use common::{MILLISECOND, Peer, Random, SECOND, World};
use sennit_driver::http1::server::{Settings, State};

const NOW: &[u8] = b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n";

fn asked(world: &World, raw: &[u8]) -> String {
    let mut peer = world.connect();
    peer.send(world, raw);
    peer.receive_all(world);
    peer.text()
}

fn statuses(text: &str) -> Vec<String> {
    let answers = text.split("HTTP/1.1 ").skip(1).filter(|answer| !answer.starts_with('1'));
    answers.map(|answer| answer[..3].to_owned()).collect()
}

fn post(target: &str, size: usize) -> Vec<u8> {
    let head = format!("POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: {size}\r\n\r\n");
    [head.into_bytes(), vec![b'x'; size]].concat()
}

// --- bodies that nobody reads ---------------------------------------------------------------------

#[test]
fn a_request_is_answered_when_its_head_is_complete() {
    let head = b"POST /now HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (behind, expected) in [(&b"zz\r\n"[..], 1), (b"1\r\nx\r\n0\r\n\r\n", 2), (b"", 1)] {
        let world = World::new(Settings::default());
        let mut peer = world.connect();
        peer.send(&world, &[&head[..], behind].concat());
        peer.send(&world, NOW);
        peer.receive_all(&world);
        assert_eq!(statuses(&peer.text()), vec!["200"; expected], "{}", peer.text());
        assert_eq!(peer.ended, expected == 1);
    }
}

#[test]
fn a_small_body_that_nobody_reads_is_thrown_away() {
    let world = World::new(Settings::default());
    let mut peer = world.connect();
    let raw = post("/now", 60_000);
    peer.send(&world, &raw[..100]);
    peer.receive_all(&world);
    assert!(peer.text().ends_with("/now") && !peer.text().contains("connection: close"));
    peer.send(&world, &[&raw[100..], NOW].concat());
    peer.receive_all(&world);
    assert_eq!(statuses(&peer.text()), ["200", "200"]);
    // It is idle from the end of the body on.
    world.pass(15 * SECOND + 10 * MILLISECOND);
    assert!(peer.is_over(&world));
    assert_eq!(world.counted().keep_alive_timeouts, 1);
}

#[test]
fn a_small_body_that_does_not_come_ends_the_connection() {
    let world = World::new(Settings::default());
    let mut peer = world.connect();
    peer.send(&world, &post("/now", 10)[..60]);
    world.pass(2 * SECOND - MILLISECOND);
    assert!(!peer.is_over(&world));
    world.pass(11 * MILLISECOND);
    assert!(peer.is_over(&world));
    assert_eq!(world.counted().answered, 1);
}

#[test]
fn the_time_of_an_unread_body_begins_when_the_answer_is_taken() {
    let world = World::new(Settings::default());
    let mut peer = world.connect();
    let raw = post("/size/5000000", 10);
    peer.send(&world, &raw[..raw.len() - 1]);
    while peer.got.len() < 5_000_000 {
        world.pass(SECOND);
        assert!(peer.receive(&world, 1_000_000) > 0);
    }
    peer.send(&world, b"x");
    peer.send(&world, NOW);
    peer.receive_all(&world);
    assert!(peer.text().ends_with("/now"));
}

#[test]
fn a_large_body_that_nobody_reads_ends_the_connection() {
    for (raw, says_so) in [
        (post("/now", 70_000), true),
        (
            [
                &b"POST /now HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n11170\r\n"[..],
                &[b'x'; 70_000],
                b"\r\n0\r\n\r\n",
            ]
            .concat(),
            false,
        ),
    ] {
        let world = World::new(Settings::default());
        let mut peer = world.connect();
        for piece in raw.chunks(30_000) {
            peer.send(&world, piece);
            peer.receive_all(&world);
        }
        peer.send(&world, NOW);
        peer.receive_all(&world);
        assert_eq!(statuses(&peer.text()), ["200"]);
        assert_eq!(peer.text().contains("connection: close"), says_so);
        assert!(peer.ended);
    }
}

#[test]
fn who_waits_for_100_and_is_answered_may_have_sent_the_body_or_not() {
    let head =
        b"POST /now HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n";
    for behind in [&b""[..], b"x", NOW] {
        let world = World::new(Settings::default());
        let text = asked(&world, &[&head[..], behind].concat());
        assert_eq!(statuses(&text), ["200"]);
        assert!(text.contains("connection: close"));
    }
}

#[test]
fn draining_does_not_wait_for_a_body_that_nobody_reads() {
    let world = World::new(Settings::default());
    let mut peer = world.connect();
    peer.send(&world, &post("/now", 10)[..60]);
    world.server.drain(&world.reactor);
    world.turns();
    assert!(peer.is_over(&world));
    world.pass(2 * SECOND + 10 * MILLISECOND);
    assert_eq!(world.server.state(), State::Stopped);
}

// --- other protocols ------------------------------------------------------------------------------

#[test]
fn an_answer_to_connect_that_is_no_tunnel_ends_the_connection() {
    for (port, status) in [(200, "500"), (204, "500"), (299, "500"), (403, "403"), (301, "301")] {
        let world = World::new(Settings { allow_connect: true, ..Settings::default() });
        let raw = format!("CONNECT h:{port} HTTP/1.1\r\nHost: h:{port}\r\n\r\n").into_bytes();
        let text = asked(&world, &[&raw[..], NOW].concat());
        assert_eq!(statuses(&text), [status], "{text}");
        assert!(text.contains("connection: close"));
        assert_eq!(world.counted().requests, 1);
    }
}

#[test]
fn an_upgrade_that_has_failed_ends_the_connection() {
    for (status, expected) in [(500, 1), (503, 1), (200, 2), (426, 2)] {
        let world = World::new(Settings::default());
        let raw = format!(
            "GET /status/{status} HTTP/1.1\r\nHost: h\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
        );
        let text = asked(&world, &[raw.as_bytes(), NOW].concat());
        assert_eq!(statuses(&text).len(), expected, "{text}");
    }
}

#[test]
fn a_body_that_was_not_read_forbids_to_leave() {
    let raw = b"POST /leave HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n";
    for behind in [&b""[..], b"x"] {
        let world = World::new(Settings::default());
        let text = asked(&world, &[&raw[..], behind].concat());
        assert!(text.ends_with("stays"), "{text}");
    }
}

const LEAVE: &[u8] = b"GET /leave HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn connections_that_have_left_still_count() {
    let settings =
        Settings { max_connections: 3, max_connections_per_address: 2, ..Settings::default() };
    let world = World::new(settings);
    world.app().keeps_departed.set(true);
    let mut peers: Vec<Peer> =
        (1..3).map(|port| world.connect_from(Some(&format!("10.0.0.1:{port}")))).collect();
    for peer in &mut peers {
        peer.send(&world, LEAVE);
        peer.receive_all(&world);
        assert!(peer.text().ends_with("left"));
    }
    assert_eq!((world.counted().upgraded, world.counted().open), (2, 2));
    let mut third = world.connect_from(Some("10.0.0.1:3"));
    assert!(third.is_over(&world));
    let _other = world.connect_from(Some("10.0.0.2:1"));
    let mut fourth = world.connect_from(Some("10.0.0.3:1"));
    assert!(fourth.is_over(&world));
    assert_eq!((world.counted().refused, world.counted().refused_per_address), (1, 1));
    let departed = world.app().departed.borrow_mut().pop().unwrap();
    departed.end(&world.reactor);
    let mut fifth = world.connect_from(Some("10.0.0.1:4"));
    fifth.send(&world, NOW);
    fifth.receive_all(&world);
    assert!(fifth.text().ends_with("/now"));
    drop(world.app().departed.take());
    assert_eq!(world.counted().open, 2);
}

#[test]
fn a_server_waits_for_those_that_have_left_and_aborts_them() {
    let world = World::new(Settings::default());
    world.app().keeps_departed.set(true);
    let mut peer = world.connect();
    peer.send(&world, LEAVE);
    world.server.drain(&world.reactor);
    assert_eq!(world.server.state(), State::Draining);
    assert!(!world.app().is_aborted.get());
    world.server.abort(&world.reactor);
    assert!(world.app().is_aborted.get());
    assert_eq!((world.server.state(), world.app().drained.get()), (State::Draining, 0));
    let departed = world.app().departed.borrow_mut().pop().unwrap();
    departed.end(&world.reactor);
    assert_eq!((world.server.state(), world.app().drained.get()), (State::Stopped, 1));
}

#[test]
fn who_has_left_does_not_outlive_the_reactor() {
    let world = World::new(Settings::default());
    world.app().keeps_departed.set(true);
    let mut peer = world.connect();
    peer.send(&world, LEAVE);
    world.server.drain(&world.reactor);
    drop(world.reactor.close());
    drop(world.app().departed.take());
    assert_eq!((world.server.state(), world.app().orphaned.get()), (State::Stopped, 1));
    assert_eq!(std::rc::Rc::strong_count(&world.server), 1);
}

// --- turns ----------------------------------------------------------------------------------------

#[test]
fn pipelined_requests_leave_their_turn_to_others() {
    let world = World::new(Settings { max_pipelined: 16, ..Settings::default() });
    let (mut greedy, mut other) = (world.connect(), world.connect());
    greedy.send_quietly(&NOW.repeat(100));
    other.send_quietly(NOW);
    world.turn();
    // Both were ready: after one turn the one has its share, the other its answer.
    assert_eq!(world.counted().requests, 17);
    assert_eq!(world.counted().pipelines_paused, 1);
    world.turn();
    assert_eq!(world.counted().requests, 33);
    world.turns();
    greedy.receive_all(&world);
    assert_eq!(statuses(&greedy.text()).len(), 100);
    assert_eq!((world.counted().requests, world.counted().pipelines_paused), (101, 6));
    other.receive_all(&world);
    assert!(other.text().ends_with("/now"));
}

#[test]
fn as_many_as_are_allowed_do_not_wait() {
    let world = World::new(Settings::default());
    let text = asked(&world, &NOW.repeat(16));
    assert_eq!((statuses(&text).len(), world.counted().pipelines_paused), (16, 0));
}

// --- who has gone ---------------------------------------------------------------------------------

#[test]
fn a_client_that_has_ended_its_side_is_known_to_have() {
    for (cancels, raw) in [
        (false, &b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n"[..]),
        (true, b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n"),
        (false, b"POST /never HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
        (true, b"POST /never HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"),
    ] {
        let world = World::new(Settings { cancel_on_disconnect: cancels, ..Settings::default() });
        let mut peer = world.connect();
        peer.send(&world, raw);
        let connection = world.app().open.borrow().first().unwrap().0.clone();
        world.turns();
        assert!(!connection.is_disconnected());
        peer.end();
        world.turns();
        assert!(connection.is_disconnected());
        drop(connection);
        assert_eq!(world.counted().abandoned, u64::from(cancels));
        assert_eq!(world.answer_open(), usize::from(!cancels));
        peer.receive_all(&world);
        assert_eq!(peer.text().ends_with("/never"), !cancels);
    }
}

// --- messages -------------------------------------------------------------------------------------

#[test]
fn schemes_are_those_of_the_connection() {
    for (target, status) in
        [("http://h/now", "200"), ("https://h/now", "421"), ("ftp://h/x", "421")]
    {
        let world = World::new(Settings::default());
        let raw = format!("GET {target} HTTP/1.1\r\nHost: h\r\n\r\n").into_bytes();
        let text = asked(&world, &[&raw[..], NOW].concat());
        assert_eq!(statuses(&text)[0], status);
        assert_eq!(statuses(&text).len(), if status == "200" { 2 } else { 1 });
    }
}

#[test]
fn no_content_with_205() {
    let world = World::new(Settings::default());
    let text = asked(&world, b"GET /status/205 HTTP/1.1\r\nHost: h\r\n\r\n");
    assert!(text.contains("content-length: 0\r\n") && text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn trailers_go_to_who_takes_them() {
    for (fields, comes) in [
        ("", false),
        ("TE: deflate\r\n", false),
        ("TE: trailers\r\n", true),
        ("te: deflate;q=0.5, Trailers\r\n", true),
    ] {
        let world = World::new(Settings::default());
        let raw = format!("GET /pieces/1 HTTP/1.1\r\nHost: h\r\n{fields}\r\n");
        let text = asked(&world, raw.as_bytes());
        let end = if comes { "0\r\nx-end: yes\r\n\r\n" } else { "0\r\n\r\n" };
        assert!(text.ends_with(end) && text.contains("x-end") == comes, "{fields}");
    }
}

#[test]
fn each_limit_of_size_has_its_own_counter() {
    let mut settings = Settings::default();
    settings.limits.max_chunk_extension = 4;
    settings.limits.max_trailer_size = 8;
    settings.limits.max_header_count = 3;
    let world = World::new(settings);
    let chunks = |end: &str| {
        format!("POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n{end}")
    };
    for raw in [
        format!("GET /{} HTTP/1.1\r\nHost: h\r\n\r\n", "x".repeat(9000)),
        format!("GET / HTTP/1.1\r\nHost: h\r\nx: {}\r\n\r\n", "x".repeat(40_000)),
        "GET / HTTP/1.1\r\nHost: h\r\na:\r\nb:\r\nc:\r\n\r\n".to_owned(),
        chunks("1;abcdef\r\nx\r\n0\r\n\r\n"),
        chunks("0\r\nabcd: efgh\r\n\r\n"),
        "GET / HTTP/1.1\r\n\r\n".to_owned(),
    ] {
        asked(&world, raw.as_bytes());
    }
    let counted = world.counted();
    assert_eq!(counted.request_lines_too_long, 1);
    assert_eq!(counted.heads_too_large, 1);
    assert_eq!(counted.too_many_headers, 1);
    assert_eq!(counted.chunk_extensions_too_large, 1);
    assert_eq!(counted.trailers_too_large, 1);
    assert_eq!(counted.protocol_errors, 1);
}

// --- cuts -----------------------------------------------------------------------------------------

/// What a client may send, well formed or not, to an application that reads all, some or nothing.
fn request(random: &mut Random) -> Vec<u8> {
    let targets = ["/now", "/body", "/stream", "/part", "/size/9", "/status/500", "/leave"];
    let target = targets[random.below(targets.len())];
    let size = [0, 1, 5, 700][random.below(4)];
    let body = "x".repeat(size);
    let expects = ["", "", "", "Expect: 100-continue\r\n"][random.below(4)];
    let offers = ["", "", "Connection: upgrade\r\nUpgrade: y\r\n"][random.below(3)];
    let chunked = format!("Host: h\r\n{expects}{offers}Transfer-Encoding: chunked\r\n\r\n");
    match random.below(12) {
        0..=2 => format!("GET {target} HTTP/1.1\r\nHost: h\r\n{offers}\r\n"),
        3..=5 => format!(
            "POST {target} HTTP/1.1\r\nHost: h\r\n{expects}{offers}Content-Length: {size}\r\n\r\n{body}"
        ),
        6 | 7 if size > 0 => format!(
            "POST {target} HTTP/1.1\r\n{chunked}{size:x}\r\n{body}\r\n2;a=b\r\nyz\r\n0\r\nT: t\r\n\r\n"
        ),
        6..=8 => format!("POST {target} HTTP/1.1\r\n{chunked}0\r\n\r\n"),
        9 => format!("POST {target} HTTP/1.1\r\n{chunked}3\r\nabc\r\nZ\r\n"),
        10 => format!("CONNECT h:{} HTTP/1.1\r\nHost: h\r\n\r\n", [200, 403][random.below(2)]),
        _ => format!("GET {target} HTTP/1.1\r\nHost : h\r\n\r\n"),
    }
    .into_bytes()
}

/// The answers, how often the application was asked, and what was counted against the client.
fn replay(script: &[u8], mut next: impl FnMut(usize) -> usize) -> (String, [u64; 3]) {
    let world = World::new(Settings { allow_connect: true, ..Settings::default() });
    let mut peer = world.connect();
    let mut at = 0;
    while at < script.len() {
        let end = script.len().min(at + next(script.len() - at));
        peer.send(&world, &script[at..end]);
        peer.receive_all(&world);
        at = end;
    }
    peer.end();
    world.turns();
    assert!(peer.is_over(&world));
    let counted = world.counted();
    assert_eq!(counted.open, 0);
    // Whether a body is waited for depends on when it comes, and so does an interim answer.
    let text = peer.text().replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    let lines = text.split("\r\n").filter(|line| !line.starts_with("date: "));
    (
        lines.collect::<Vec<_>>().join("\n"),
        [counted.requests, counted.answered, counted.protocol_errors],
    )
}

#[test]
fn any_cut_of_any_requests_gives_the_same_answers() {
    let mut lengths = [0; 5];
    for seed in 0..600 {
        let mut random = Random::seeded(seed);
        let script: Vec<u8> = (0..1 + random.below(4)).flat_map(|_| request(&mut random)).collect();
        let whole = replay(&script, |left| left);
        lengths[statuses(&whole.0).len().min(4)] += 1;
        for most in [1, 9, 90, 900] {
            let split = replay(&script, |left| 1 + random.below(left.min(most)));
            assert_eq!(split, whole, "seed {seed}: {}", String::from_utf8_lossy(&script));
        }
    }
    // Connections have lived on and ended.
    assert!(lengths.iter().all(|count| *count > 5), "{lengths:?}");
}
