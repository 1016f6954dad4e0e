//! A server's connection with an application, over real sockets and a clock that stands still: whatever comes, in
//! whatever pieces, it ends in order, nothing stays open, and the pieces change no answer.
#![no_main]

#[allow(dead_code)]
#[path = "../../crates/sennit-driver/tests/common/mod.rs"]
mod common;

use common::World;
use libfuzzer_sys::fuzz_target;
use sennit_driver::http1::server::Settings;

/// The statuses of all final answers.
fn statuses(input: &[u8], mut next: impl FnMut() -> usize) -> Vec<String> {
    let world = World::new(Settings::default());
    let mut peer = world.connect();
    let mut at = 0;
    while at < input.len() {
        let end = input.len().min(at + next());
        peer.send(&world, &input[at..end]);
        peer.receive_all(&world);
        at = end;
    }
    world.answer_open();
    peer.end();
    world.turns();
    // What was answered late lets the next request in.
    while !peer.is_over(&world) {
        assert!(world.answer_open() > 0, "nothing is open and the connection does not end");
        world.turns();
    }
    assert_eq!(world.counted().open, 0);
    let text = peer.text();
    let lines = text.lines().filter(|line| line.starts_with("HTTP/1.1 "));
    lines.filter(|line| !line.starts_with("HTTP/1.1 1")).map(str::to_owned).collect()
}

fuzz_target!(|data: (Vec<u8>, Vec<u8>)| {
    let (cuts, input) = data;
    let whole = statuses(&input, || usize::MAX - input.len());
    let mut cuts = cuts.iter().cycle();
    let split = statuses(&input, || cuts.next().map_or(1, |cut| usize::from(*cut % 32) + 1));
    // A body that the application ignores ends the connection unless it is there already: fewer answers, no others.
    let (few, many) = if whole.len() < split.len() { (&whole, &split) } else { (&split, &whole) };
    assert!(many.starts_with(few), "{whole:?} {split:?}");
});
