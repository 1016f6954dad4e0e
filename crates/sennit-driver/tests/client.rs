//! The client against origins that are played by hand: queues, limits, silence, and what it counts.

mod common;

use common::client::{Wire, World, get};
use common::{MILLISECOND, SECOND};
use sennit_driver::http1::client::{BodyRead, Cause, Outgoing, Sending, Settings, Step};
use sennit_engine::Nanos;
use sennit_wire::http1::Limits;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn causes(world: &World) -> Vec<String> {
    let outcomes = world.notes().outcomes.take();
    outcomes
        .into_iter()
        .map(|(_, outcome)| match outcome {
            Ok(response) => response.status.to_string(),
            Err(failure) => format!("{:?}", failure.cause),
        })
        .collect()
}

#[test]
fn a_connection_carries_one_request_after_another() {
    let world = World::new(Settings::default());
    let origin = world.origin(None);
    world.get(&origin, 0);
    world.turns();
    let mut wire = origin.accept().unwrap();
    for call in 1..4 {
        assert!(wire.receive(&world).starts_with(b"GET / "));
        wire.send(&world, OK);
        world.get(&origin, call);
        world.turns();
    }
    assert_eq!(causes(&world), ["200"; 3]);
    let counted = world.client.statistics();
    assert_eq!((counted.connected, counted.reused, counted.waiting), (1, 3, 0));
}

/// Looks at origins for as many requests, each to an origin of its own, with one connection in all.
fn looks(count: usize) -> u64 {
    let world = World::new(Settings { max_connections: 1, ..Settings::default() });
    let origins: Vec<_> = (0..count).map(|_| world.origin(None)).collect();
    for (call, origin) in origins.iter().enumerate() {
        world.get(origin, call);
    }
    world.turns();
    for (call, origin) in origins.iter().enumerate() {
        let mut wire = origin.accept().expect("its turn");
        wire.send(&world, OK);
        let (done, _) = world.notes().outcomes.borrow_mut().pop().unwrap();
        assert_eq!(done, call);
    }
    assert_eq!(world.client.statistics().waiting, 0);
    world.client.statistics().looks
}

#[test]
fn the_work_of_queues_is_that_of_the_requests() {
    for count in [10, 100, 400] {
        assert!(looks(count) <= 4 * count as u64, "{count} origins: {} looks", looks(count));
    }
}

#[test]
fn an_origin_that_is_full_is_not_looked_at_again_and_again() {
    let settings = Settings { max_connections_per_origin: 1, ..Settings::default() };
    let world = World::new(settings);
    let full: Vec<_> = (0..100).map(|_| world.origin(None)).collect();
    for origin in &full {
        world.get(origin, 0);
        world.get(origin, 0);
    }
    world.turns();
    let fast = world.origin(None);
    world.get(&fast, 1);
    world.turns();
    let mut wire = fast.accept().unwrap();
    let before = world.client.statistics().looks;
    for _ in 0..50 {
        wire.send(&world, OK);
        world.get(&fast, 1);
        world.turns();
    }
    let made = world.client.statistics().looks - before;
    assert!(made <= 200, "{made} looks for 50 requests");
    // Each of the others goes on when its connection has answered.
    for origin in &full {
        let mut wire = origin.accept().unwrap();
        wire.send(&world, OK);
        wire.send(&world, OK);
    }
    assert_eq!(world.client.statistics().waiting, 0);
    assert_eq!(causes(&world).len(), 250);
}

#[test]
fn who_was_given_up_waits_no_more() {
    let settings =
        Settings { max_connections_per_origin: 1, max_waiting: 3, ..Settings::default() };
    let world = World::new(settings);
    let origin = world.origin(None);
    world.get(&origin, 0);
    world.turns();
    let mut wire = origin.accept().unwrap();
    let waiting: Vec<_> = (1..4).map(|call| world.get(&origin, call)).collect();
    world.turns();
    assert_eq!(world.client.admit(), Err(3));
    // The one in front, which lives, keeps the names of the others in the queue.
    for id in &waiting[1..] {
        world.client.cancel(&world.reactor, *id).unwrap();
    }
    assert_eq!(world.client.statistics().waiting, 1);
    assert_eq!(world.client.admit(), Ok(()));
    let more: Vec<_> = (0..1000).map(|call| world.get(&origin, 10 + call)).collect();
    for id in more {
        world.client.cancel(&world.reactor, id).unwrap();
    }
    assert_eq!(world.client.statistics().waiting, 1);
    wire.send(&world, OK);
    wire.send(&world, OK);
    assert_eq!(causes(&world), ["200"; 2]);
    let counted = world.client.statistics();
    assert_eq!((counted.waiting, counted.cancelled, counted.refused), (0, 1002, 1));
}

#[test]
fn the_room_of_one_that_nobody_uses_is_given_to_another_origin() {
    let world = World::new(Settings { max_connections: 3, ..Settings::default() });
    let origins: Vec<_> = (0..20).map(|_| world.origin(None)).collect();
    for round in 0..3 {
        for origin in &origins {
            world.get(origin, round);
            world.turns();
            origin.accept().unwrap().send(&world, OK);
        }
    }
    assert_eq!(causes(&world), ["200"; 60]);
    let counted = world.client.statistics();
    assert_eq!((counted.connected, counted.reused), (60, 0));
    assert!(counted.open <= 3);
}

#[test]
fn origins_that_nobody_uses_are_forgotten() {
    let world = World::new(Settings::default());
    let origin = world.origin(None);
    let id = world.get(&origin, 0);
    assert!(!world.client.forget_origin(origin.id));
    world.client.cancel(&world.reactor, id).unwrap();
    assert!(world.client.forget_origin(origin.id));
    let other = world.origin(None);
    assert_eq!(other.id, origin.id);
    world.get(&other, 1);
    world.turns();
    assert!(other.accept().is_some());
}

/// A POST in chunks whose response is read in pieces; its head has come.
fn open_upload(world: &World) -> (Wire, sennit_driver::http1::client::RequestId) {
    let origin = world.origin(None);
    let head = b"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let outgoing = Outgoing {
        sending: Sending::Chunks,
        is_streamed: true,
        is_idempotent: false,
        ..Outgoing::whole(origin.id, head, Nanos::MAX)
    };
    let id = world.client.request(&world.reactor, outgoing, 0);
    world.turns();
    let mut wire = origin.accept().unwrap();
    wire.send(world, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(world.notes().heads.borrow().len(), 1);
    (wire, id)
}

#[test]
fn silence_counts_while_a_body_is_sent_if_somebody_waits() {
    let world = World::new(Settings { stream_read_timeout: 5 * SECOND, ..Settings::default() });
    let (mut wire, id) = open_upload(&world);
    // Nobody waits for anything: it is this side's turn.
    world.pass(3600 * SECOND);
    for _ in 0..3 {
        assert!(matches!(world.read(id), (_, None)));
        world.pass(4 * SECOND);
        // What is sent is no answer.
        world.client.send_piece(&world.reactor, id, b"ping").unwrap();
        wire.send(&world, b"4\r\npong\r\n");
        assert_eq!(world.read(id).0, b"pong");
    }
    for _ in 0..5 {
        world.client.send_piece(&world.reactor, id, b"ping").unwrap();
        world.pass(SECOND);
    }
    world.pass(20 * MILLISECOND);
    let (_, over) = world.read(id);
    let Some(BodyRead::Failed(failure)) = over else { panic!("{over:?}") };
    assert!(matches!(failure.cause, Cause::ReadTimedOut), "{failure:?}");
    assert_eq!(failure.step, Step::ReceiveBody);
    assert_eq!(world.client.statistics().read_timeouts, 1);
}

#[test]
fn no_more_waits_for_a_reader_than_there_is_room_for() {
    let world = World::new(Settings::default());
    let (mut wire, id) = open_upload(&world);
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    for _ in 0..20 {
        wire.send(&world, &chunk);
    }
    let BodyRead::Data(data) = world.client.read_body(&world.reactor, id) else { panic!() };
    assert!(data.len() <= 256 << 10, "{} bytes", data.len());
    assert!(data.len() > 128 << 10, "{} bytes", data.len());
}

#[test]
fn what_was_said_is_read_though_nothing_can_be_sent_any_more() {
    let world = World::new(Settings::default());
    let (mut wire, id) = open_upload(&world);
    let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
    let mut sent = 0;
    // The reader has enough, and more waits in the kernel.
    for _ in 0..6 {
        let mut rest = chunk.as_slice();
        while let count @ 1.. = wire.send(&world, rest) {
            sent += count;
            rest = &rest[count..];
        }
    }
    assert!(sent > 256 << 10);
    drop(wire);
    world.client.send_piece(&world.reactor, id, b"to nobody").unwrap();
    world.turns();
    let (data, over) = world.read(id);
    assert!(data.len() > sent - 100, "{} of {sent}", data.len());
    assert!(matches!(over, Some(BodyRead::Failed(_))), "{over:?}");
}

#[test]
fn each_limit_is_counted() {
    let limits = Limits {
        max_head_size: 200,
        max_header_count: 3,
        max_interim_responses: 1,
        max_trailer_size: 30,
        max_chunk_extension: 10,
        ..Limits::DEFAULT
    };
    let settings = Settings {
        limits,
        max_response_size: 10,
        max_connections_per_origin: 1,
        pool_timeout: 2 * SECOND,
        stream_read_timeout: 5 * SECOND,
        ..Settings::default()
    };
    let world = World::new(settings);
    let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice();
    let early = b"HTTP/1.1 103 E\r\n\r\n".repeat(2);
    let answers: Vec<Vec<u8>> = vec![
        [b"HTTP/1.1 200 OK\r\nA: ".as_slice(), &[b'a'; 200]].concat(),
        b"HTTP/1.1 200 OK\r\nA: b\r\nA: b\r\nA: b\r\nA: b\r\n\r\n".to_vec(),
        early,
        [chunked, b"0\r\nA: ", &[b'a'; 40]].concat(),
        [chunked, b"1;aaaaaaaaaaa=b\r\n"].concat(),
    ];
    for answer in &answers {
        let origin = world.origin(None);
        world.get(&origin, 0);
        world.turns();
        origin.accept().unwrap().send(&world, answer);
        let told = causes(&world);
        assert!(told.len() == 1 && told[0].starts_with("Protocol"), "{told:?}");
    }
    let origin = world.origin(None);
    world.get(&origin, 0);
    world.turns();
    let mut wire = origin.accept().unwrap();
    wire.send(&world, b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n");
    assert_eq!(causes(&world), ["TooLarge(10)"]);
    // One is silent, one finds no connection, one takes too long as a whole.
    world.get(&origin, 0);
    world.turns();
    let _wire = origin.accept().unwrap();
    world.get(&origin, 1);
    world.client.request(&world.reactor, Outgoing { timeout: SECOND, ..get(&origin) }, 2);
    for _ in 0..12 {
        world.pass(500 * MILLISECOND);
    }
    assert_eq!(causes(&world), ["TimedOut", "PoolTimedOut", "ReadTimedOut"]);
    let counted = world.client.statistics();
    assert_eq!((counted.protocol_errors, counted.too_large, counted.failures), (5, 1, 9));
    let timeouts = (counted.total_timeouts, counted.pool_timeouts, counted.read_timeouts);
    assert_eq!(timeouts, (1, 1, 1));
}
