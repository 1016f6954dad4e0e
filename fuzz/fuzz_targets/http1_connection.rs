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
    let world = World::new(Settings { allow_connect: true, ..Settings::default() });
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
    // A body that is sent back may look like an answer: alike in both.
    let answers = text.split("HTTP/1.1 ").skip(1).filter(|answer| !answer.starts_with('1'));
    answers.map(|answer| answer.chars().take(3).collect()).collect()
}

// The first byte says how many cuts follow, which are used over and over; behind them is what the client sends.
fuzz_target!(|data: &[u8]| {
    let Some((count, rest)) = data.split_first() else { return };
    let Some((cuts, input)) = rest.split_at_checked(usize::from(*count % 8)) else { return };
    let whole = statuses(input, || usize::MAX - input.len());
    let mut cuts = cuts.iter().cycle();
    let split = statuses(input, || cuts.next().map_or(1, |cut| usize::from(*cut % 64) + 1));
    assert_eq!(whole, split);
});
