//! A client's connection with a caller, over real sockets and a clock that stands still: whatever an origin, or a proxy
//! before it, answers in whatever pieces, the request ends, nothing stays open, and the pieces change no outcome.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sennit-driver/tests/common/mod.rs"]
mod common;

use common::client::{World, get};
use libfuzzer_sys::fuzz_target;
use sennit_driver::http1::client::{BodyRead, Outgoing, Proxy, Sending, Settings};

fn outcome(kind: u8, mut answer: &[u8], mut next: impl FnMut() -> usize) -> String {
    let world = World::new(Settings::default());
    let proxy = Proxy::Connect(b"CONNECT h:1 HTTP/1.1\r\nHost: h:1\r\n\r\n".to_vec());
    let origin = world.origin((kind & 1 != 0).then_some(proxy));
    let sending = if kind & 2 != 0 { Sending::Chunks } else { Sending::Whole };
    let outgoing = Outgoing { sending, is_streamed: kind & 4 != 0, ..get(&origin) };
    let id = world.client.request(&world.reactor, outgoing, 0);
    // An answer may be early.
    let _ = (kind & 8 != 0).then(|| world.client.end_body(&world.reactor, id));
    world.turns();
    let mut wire = origin.accept().expect("a connection");
    while let sent @ 1.. = wire.send(&world, &answer[..answer.len().min(next())]) {
        answer = &answer[sent..];
        wire.receive(&world);
    }
    wire.end(&world);
    let told = match world.notes().outcomes.take().pop() {
        Some((_, outcome)) => outcome.map_or_else(|e| format!("{e:?}"), |r| format!("{r:?}")),
        None => match world.read(id) {
            (body, Some(BodyRead::End | BodyRead::Failed(_))) => format!("{body:?}"),
            other => panic!("{other:?}"),
        },
    };
    assert_eq!(world.client.statistics().open, 0);
    told
}

fuzz_target!(|data: (u8, Vec<u8>, Vec<u8>)| {
    let (kind, cuts, answer) = data;
    let whole = outcome(kind, &answer, || usize::MAX);
    let mut cuts = cuts.iter().cycle();
    let split = outcome(kind, &answer, || cuts.next().map_or(1, |cut| usize::from(*cut % 32) + 1));
    // What comes together with a proxy's word is no answer; what comes behind it may be one.
    assert!(kind & 1 != 0 || whole == split, "{whole} {split}");
});
