//! The server's side of HTTP/1.1 with a Rust application: deadlines to the moment, any cut of the bytes, and
//! peers that come and go.

mod common;

use common::{MILLISECOND, Peer, Random, SECOND, World};
use sennit_driver::http1::server::{Settings, State};
use sennit_engine::Nanos;

/// How late the wheel may be.
const LATE: Nanos = 10 * MILLISECOND;

const NOW: &[u8] = b"GET /now HTTP/1.1\r\nHost: h\r\n\r\n";
const NEVER: &[u8] = b"GET /never HTTP/1.1\r\nHost: h\r\n\r\n";

fn world() -> World {
    World::new(Settings::default())
}

/// Time passes: just before the deadline the connection lives, just behind it does not.
fn ends_after(world: &World, peer: &mut Peer, time: Nanos) {
    world.pass(time - MILLISECOND);
    assert!(!peer.is_over(world), "too early");
    world.pass(MILLISECOND + LATE);
    assert!(peer.is_over(world), "too late");
}

fn asked(world: &World, peer: &mut Peer, raw: &[u8]) -> String {
    peer.got.clear();
    peer.send(world, raw);
    peer.receive_all(world);
    peer.text()
}

#[test]
fn a_peer_that_says_nothing() {
    let world = world();
    let mut peer = world.connect();
    ends_after(&world, &mut peer, 10 * SECOND);
    assert_eq!(world.counted().header_timeouts, 1);
    assert_eq!(world.counted().open, 0);
}

#[test]
fn drips_do_not_prolong_the_first_head() {
    let world = world();
    let mut peer = world.connect();
    for byte in NOW.iter().take(9) {
        world.pass(SECOND);
        peer.send(&world, &[*byte]);
    }
    ends_after(&world, &mut peer, SECOND);
    assert_eq!(world.counted().header_timeouts, 1);
}

#[test]
fn a_later_head_has_its_time_from_its_first_byte() {
    let world = world();
    let mut peer = world.connect();
    assert!(asked(&world, &mut peer, NOW).ends_with("/now"));
    world.pass(14 * SECOND);
    for byte in NOW.iter().take(9) {
        peer.send(&world, &[*byte]);
        world.pass(SECOND);
    }
    ends_after(&world, &mut peer, SECOND);
    assert_eq!(world.counted().header_timeouts, 1);
    assert_eq!(world.counted().keep_alive_timeouts, 0);
}

#[test]
fn blank_lines_are_no_request() {
    let world = world();
    let mut peer = world.connect();
    assert!(asked(&world, &mut peer, NOW).ends_with("/now"));
    world.pass(14 * SECOND);
    peer.send(&world, b"\r\n\r");
    ends_after(&world, &mut peer, SECOND);
    assert_eq!(world.counted().keep_alive_timeouts, 1);
}

#[test]
fn an_idle_connection_is_kept_for_its_time() {
    let world = world();
    let mut peer = world.connect();
    for _ in 0..5 {
        assert!(asked(&world, &mut peer, NOW).ends_with("/now"));
        world.pass(14 * SECOND);
    }
    ends_after(&world, &mut peer, SECOND);
    assert_eq!(world.counted().keep_alive_timeouts, 1);
}

#[test]
fn a_request_may_take_as_long_as_it_likes() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, NEVER);
    world.pass(3600 * SECOND);
    assert!(!peer.is_over(&world));
    assert_eq!(world.answer_open(), 1);
    assert!(!peer.is_over(&world));
    assert!(peer.text().ends_with("/never"));
    ends_after(&world, &mut peer, 15 * SECOND);
}

#[test]
fn answers_of_others_during_a_dispatch() {
    let world = world();
    let mut others: Vec<Peer> = (0..3).map(|_| world.connect()).collect();
    for other in &mut others {
        other.send(&world, NEVER);
    }
    let mut peer = world.connect();
    let raw = [NOW, b"GET /others HTTP/1.1\r\nHost: h\r\n\r\n", NOW].concat();
    let text = asked(&world, &mut peer, &raw);
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    assert!(text.contains("/now") && text.contains("/others") && !text.contains("/never"));
    for other in &mut others {
        assert!(asked(&world, other, b"").ends_with("/never"));
        assert!(asked(&world, other, NOW).ends_with("/now"));
    }
}

const UPLOAD: &[u8] = b"POST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n";

#[test]
fn a_body_that_drips_ends_by_its_rate() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, UPLOAD);
    for _ in 0..9 {
        world.pass(SECOND);
        peer.send(&world, b"x");
    }
    // Nine bytes have earned 18 ms behind the ten seconds.
    world.pass(SECOND);
    assert_eq!(world.counted().body_timeouts, 0);
    world.pass(18 * MILLISECOND + LATE);
    assert_eq!(world.counted().bodies_too_slow, 1);
    assert!(asked(&world, &mut peer, b"").ends_with("TooSlow"));
    peer.got.clear();
    world.pass(2 * SECOND + LATE);
    assert!(peer.is_over(&world));
}

#[test]
fn a_body_that_comes_fast_enough_may_take_long() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, UPLOAD);
    for _ in 0..2000 {
        world.pass(SECOND);
        peer.send(&world, &[b'x'; 500]);
    }
    peer.receive_all(&world);
    assert!(peer.text().contains("content-length: 1000000\r\n"));
    assert_eq!(world.counted().body_timeouts, 0);
}

#[test]
fn a_body_that_stops_ends_after_a_minute() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, UPLOAD);
    // Enough to be ahead of the rate for three minutes.
    peer.send(&world, &[b'x'; 90_000]);
    world.pass(60 * SECOND - MILLISECOND);
    assert_eq!(world.counted().body_timeouts, 0);
    world.pass(MILLISECOND + LATE);
    assert_eq!(world.counted().body_timeouts, 1);
    assert!(asked(&world, &mut peer, b"").ends_with("TooSlow"));
}

const LARGE: &[u8] = b"GET /size/5000000 HTTP/1.1\r\nHost: h\r\n\r\n";

#[test]
fn a_peer_that_does_not_read() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, LARGE);
    world.pass(30 * SECOND - MILLISECOND);
    assert_eq!(world.counted().open, 1);
    world.pass(MILLISECOND + LATE);
    assert_eq!(world.counted().write_timeouts, 1);
    assert_eq!(world.counted().keep_alive_timeouts, 0);
    assert_eq!(world.counted().open, 0);
}

#[test]
fn a_peer_that_reads_slowly() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, LARGE);
    while peer.got.len() < 5_000_000 {
        world.pass(14 * SECOND);
        assert!(peer.receive(&world, 300_000) > 0);
    }
    // The time of an idle connection begins when the kernel has the last byte.
    assert!(asked(&world, &mut peer, NOW).ends_with("/now"));
    ends_after(&world, &mut peer, 15 * SECOND);
    assert_eq!(world.counted().keep_alive_timeouts, 1);
    assert_eq!(world.counted().write_timeouts, 0);
}

#[test]
fn requests_behind_an_answer_that_is_not_read_are_no_progress() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, LARGE);
    for _ in 0..29 {
        world.pass(SECOND);
        peer.send(&world, NOW);
    }
    world.pass(SECOND + LATE);
    assert_eq!(world.counted().write_timeouts, 1);
}

#[test]
fn an_early_answer_lingers_for_two_seconds() {
    let world = world();
    let mut peer = world.connect();
    let raw = b"POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\nxxx";
    assert!(asked(&world, &mut peer, raw).ends_with("/now"));
    // Our side is shut, theirs is still read.
    assert!(peer.ended);
    for _ in 0..19 {
        world.pass(SECOND / 10);
        assert_eq!(peer.send(&world, &[b'x'; 10_000]), 10_000);
    }
    assert_eq!(world.counted().open, 1);
    world.pass(SECOND / 10 + LATE);
    assert_eq!(world.counted().open, 0);
}

#[test]
fn lingering_ends_with_the_peer() {
    let world = world();
    let mut peer = world.connect();
    assert!(asked(&world, &mut peer, b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(world.counted().open, 1);
    peer.end();
    world.turns();
    assert_eq!(world.counted().open, 0);
}

// --- cuts ---------------------------------------------------------------------------------------

fn without_dates(text: &str) -> String {
    let lines = text.split("\r\n").filter(|line| !line.starts_with("date: "));
    lines.collect::<Vec<_>>().join("\n")
}

const MANY: &[u8] = b"GET /pieces/200 HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n";

const SCRIPTS: &[&[u8]] = &[
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nPOST /body HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello\
      \r\nPOST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n\
      HEAD /size/70000 HTTP/1.1\r\nHost: h\r\n\r\nGET /size/70000 HTTP/1.1\r\nHost: h\r\n\r\n\
      GET /last HTTP/1.0\r\n\r\nGET /nobody HTTP/1.1\r\nHost: h\r\n\r\n",
    b"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloPOST /stream HTTP/1.1\r\nHost: h\r\n\
      Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nT: t\r\n\r\n\
      GET /stream HTTP/1.1\r\nHost: h\r\n\r\nGET /pieces/3 HTTP/1.1\r\nHost: h\r\n\r\n\
      HEAD /pieces/3 HTTP/1.1\r\nHost: h\r\n\r\nGET /pieces/0 HTTP/1.1\r\nHost: h\r\n\r\n\
      GET /pieces/2 HTTP/1.0\r\n\r\n",
    b"GET /a HTTP/1.1\r\nHost: h\r\n\r\nGET /leave HTTP/1.1\r\nHost: h\r\n\r\nother \r\n words",
    b"POST /body HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nabcdGET /x HTTP/1.1\r\n\r\n",
    b"POST /ignored HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabcGET /size/9 HTTP/1.1\r\nHost : h\r\n\r\nrest",
    b"GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n",
];

fn replay(script: &[u8], mut next: impl FnMut(usize) -> usize) -> (String, usize) {
    let world = world();
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
    assert_eq!(world.counted().open, 0);
    // Whether the body is waited for depends on when it comes, and so does an interim answer.
    let text = peer.text().replace("HTTP/1.1 100 Continue\r\n\r\n", "");
    (without_dates(&text), world.counted().requests as usize)
}

#[test]
fn any_cut_gives_the_same_answers() {
    for script in SCRIPTS {
        let whole = replay(script, |left| left);
        assert!(whole.0.contains("HTTP/1.1 200 OK"));
        for size in [1, 2, 3, 7, 64] {
            assert_eq!(replay(script, |_| size), whole, "pieces of {size}");
        }
        let mut random = Random::seeded(script.len() as u64);
        for _ in 0..50 {
            assert_eq!(replay(script, |left| 1 + random.below(left.min(90))), whole);
        }
    }
}

#[test]
fn what_was_sent_behind_an_upgrade_goes_with_it() {
    for size in [1, 7, 1000] {
        let world = world();
        let mut peer = world.connect();
        for piece in SCRIPTS[2].chunks(size) {
            peer.send(&world, piece);
        }
        peer.receive_all(&world);
        assert!(
            peer.text().ends_with("upgrade: x\r\nconnection: upgrade\r\n\r\nleft"),
            "{}",
            peer.text()
        );
        // What comes later is the other protocol's to read.
        let input = world.app().has_left.borrow().concat();
        assert!(b"other \r\n words".starts_with(&input[..]));
        assert_eq!((world.counted().upgraded, world.counted().open), (1, 0));
    }
}

#[test]
fn a_peer_that_reads_slowly_gets_every_piece() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, MANY);
    let mut turns = 0;
    while peer.receive(&world, 30_000) > 0 {
        world.pass(5 * SECOND);
        turns += 1;
    }
    assert!(turns > 60, "it was not slow");
    let pieces = peer.text().matches(&format!("2710\r\n{}", "p".repeat(10_000))).count();
    assert_eq!(pieces, 200);
    assert!(peer.text().ends_with("\r\n0\r\nx-end: yes\r\n\r\n"));
    assert_eq!(world.counted().write_timeouts, 0);
}

#[test]
fn a_peer_that_stops_reading_pieces_is_dropped() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, MANY);
    world.pass(29 * SECOND);
    assert_eq!(world.counted().open, 1);
    world.pass(SECOND + LATE);
    assert_eq!((world.counted().open, world.counted().write_timeouts), (0, 1));
    assert_eq!(world.app().abandoned.get(), 1);
}

#[test]
fn a_body_in_pieces_has_the_deadlines_of_a_whole_one() {
    let world = world();
    let mut peer = world.connect();
    peer.send(&world, b"POST /stream HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n");
    for _ in 0..9 {
        world.pass(SECOND);
        peer.send(&world, b"x");
    }
    assert_eq!(world.counted().body_timeouts, 0);
    world.pass(2 * SECOND);
    assert_eq!(world.counted().bodies_too_slow, 1);
    peer.receive_all(&world);
    assert!(peer.text().ends_with("TooSlow"), "{}", peer.text());
}

#[test]
fn an_address_has_its_share() {
    let world = World::new(Settings { max_connections_per_address: 2, ..Settings::default() });
    let mut peers: Vec<Peer> =
        (1..5).map(|port| world.connect_from(Some(&format!("10.0.0.1:{port}")))).collect();
    assert_eq!((world.counted().open, world.counted().refused_per_address), (2, 2));
    assert!(peers[3].is_over(&world));
    let mut other = world.connect_from(Some("10.0.0.2:1"));
    assert!(asked(&world, &mut other, NOW).ends_with("/now"));
    drop(peers.remove(0));
    world.turns();
    let mut again = world.connect_from(Some("10.0.0.1:9"));
    assert!(asked(&world, &mut again, NOW).ends_with("/now"));
}

// --- the end ------------------------------------------------------------------------------------

#[test]
fn draining_closes_what_is_idle_and_waits_for_the_rest() {
    let world = world();
    let (mut idle, mut busy) = (world.connect(), world.connect());
    let (mut slow, mut behind) = (world.connect(), world.connect());
    assert!(asked(&world, &mut idle, NOW).ends_with("/now"));
    busy.send(&world, NEVER);
    slow.send(&world, LARGE);
    behind.send(&world, &[LARGE, NOW].concat());
    world.server.drain(&world.reactor);
    world.turns();
    assert_eq!(world.server.state(), State::Draining);
    assert!(idle.is_over(&world));
    assert_eq!(world.counted().open, 3);
    slow.receive_all(&world);
    assert!(slow.ended);
    // A request that had come is still answered, for the last time.
    behind.receive_all(&world);
    assert!(behind.ended);
    assert!(behind.text().ends_with("/now"));
    assert!(behind.text().contains("connection: close"));
    assert_eq!(world.answer_open(), 1);
    assert!(busy.is_over(&world));
    assert!(busy.text().contains("connection: close"));
    behind.end();
    world.turns();
    assert_eq!(world.server.state(), State::Stopped);
    assert_eq!(world.app().drained.get(), 1);
}

#[test]
fn a_reactor_closed_under_connections() {
    let world = world();
    let mut peers: Vec<Peer> = (0..3).map(|_| world.connect()).collect();
    peers[0].send(&world, NEVER);
    peers[1].send(&world, b"GET /");
    world.server.drain(&world.reactor);
    drop(world.reactor.close());
    assert_eq!(world.counted().open, 0);
    assert_eq!(world.server.state(), State::Stopped);
    assert_eq!((world.app().drained.get(), world.app().orphaned.get()), (0, 1));
    world.app().open.take();
    assert_eq!(std::rc::Rc::strong_count(&world.server), 1);
}

/// Peers come, send parts, read parts and go, in any order; what is counted has to add up, and in the end
/// nothing is left.
#[test]
fn random_comings_and_goings() {
    for seed in 0..30 {
        let mut random = Random::seeded(seed);
        let world = world();
        let mut peers: Vec<(Peer, usize)> = Vec::new();
        let streamed = SCRIPTS[1].strip_suffix(b"GET /pieces/2 HTTP/1.0\r\n\r\n").unwrap();
        let script = [streamed, MANY, SCRIPTS[0], NEVER, LARGE, NEVER].concat();
        for _ in 0..400 {
            if peers.is_empty() || random.below(12) == 0 {
                peers.push((world.connect(), 0));
            }
            let which = random.below(peers.len());
            match random.below(20) {
                0 => drop(peers.swap_remove(which)),
                1 => peers[which].0.end(),
                2 | 3 => drop(world.answer_open()),
                4..=7 => drop(peers[which].0.receive(&world, 1 + random.below(100_000))),
                8 => world.pass(random.below(3000) as Nanos * MILLISECOND),
                9 if random.below(4) == 0 => {
                    let open = world.app().open.borrow().first().cloned();
                    if let Some((connection, _, _)) = open {
                        connection.abort(&world.reactor);
                    }
                }
                _ => {
                    let (peer, at) = &mut peers[which];
                    let end = script.len().min(*at + 1 + random.below(120));
                    *at += peer.send(&world, &script[*at..end]);
                }
            }
            world.turns();
        }
        let counted = world.counted();
        let waiting = world.app().open.borrow().len() as u64;
        assert!(counted.requests >= counted.answered + counted.abandoned);
        assert!(counted.requests <= counted.answered + counted.abandoned + waiting + counted.open);
        peers.clear();
        world.turns();
        world.pass(100 * SECOND);
        world.server.drain(&world.reactor);
        world.server.abort(&world.reactor);
        world.turns();
        world.app().open.take();
        let counted = world.counted();
        assert_eq!((counted.open, world.server.state()), (0, State::Stopped));
        assert_eq!(counted.requests, counted.answered + counted.abandoned, "seed {seed}");
        assert_eq!(counted.abandoned, world.app().abandoned.get() as u64);
        assert_eq!(std::rc::Rc::strong_count(&world.server), 1, "a connection is left");
        assert_eq!(world.reactor.source_len(), 0);
    }
}
