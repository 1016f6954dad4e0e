//! The heap and the wheel do, in any sequence of calls, what two naive models do.

mod common;

use common::random::Random;
use sennit_engine::Token;
use sennit_engine::clock::{MILLISECOND, Nanos};
use sennit_engine::timer::{TimerHeap, Wheel};

const TICK: Nanos = 10 * MILLISECOND;

/// A list in the order of setting; the earliest is looked for each time.
#[derive(Default)]
struct NaiveTimers(Vec<(Nanos, u64)>);

impl NaiveTimers {
    fn next_due(&self) -> Option<Nanos> {
        self.0.iter().map(|&(when, _)| when).min()
    }

    fn pop_due(&mut self, now: Nanos) -> Option<u64> {
        let when = self.next_due().filter(|&when| when <= now)?;
        let index = self.0.iter().position(|timer| timer.0 == when)?;
        Some(self.0.remove(index).1)
    }
}

#[test]
fn the_heap_agrees_with_a_sorted_list() {
    for seed in 0..200 {
        let mut random = Random::seeded(seed);
        let (mut heap, mut model) = (TimerHeap::default(), NaiveTimers::default());
        let mut now = 0;
        for number in 0..400 {
            match random.below(10) {
                // Few different times, so that many are equal.
                0..5 => {
                    let when = now + random.below(20);
                    heap.push(when, number);
                    model.0.push((when, number));
                }
                5..8 => assert_eq!(heap.pop_due(now), model.pop_due(now), "seed {seed}"),
                8 => now += random.below(10),
                _ if random.once_in(8) => {
                    let divisor = 2 + random.below(3);
                    let mut gone = heap.sweep(|number| number % divisor == 0);
                    gone.sort_unstable();
                    let (mut expected, kept) =
                        model.0.into_iter().partition::<Vec<_>, _>(|timer| timer.1 % divisor == 0);
                    expected.sort_unstable_by_key(|timer| timer.1);
                    model = NaiveTimers(kept);
                    assert!(gone.iter().eq(expected.iter().map(|(_, number)| number)));
                }
                _ => {}
            }
            assert_eq!((heap.len(), heap.next_due()), (model.0.len(), model.next_due()));
        }
        while let Some(number) = heap.pop_due(Nanos::MAX) {
            assert_eq!(Some(number), model.pop_due(Nanos::MAX), "seed {seed}");
        }
        assert!(heap.is_empty() && model.0.is_empty());
    }
}

#[test]
fn the_wheel_is_never_early_and_at_most_one_tick_late() {
    for seed in 0..200 {
        let mut random = Random::seeded(seed);
        let mut now = random.below(3) * random.below(1 << 40);
        let mut wheel = Wheel::new(now);
        let mut waiting: Vec<(Nanos, Nanos, u64)> = Vec::new();
        let mut due = Vec::new();
        for number in 0..400 {
            if random.once_in(2) {
                // Up to three revolutions ahead, sometimes in the past.
                let reach = [1, 100, 6_000, 16_000][random.below(4) as usize];
                let ahead = random.below(reach) * MILLISECOND;
                let when = (now + ahead).saturating_sub(random.below(3) * TICK);
                wheel.insert(when, Token(number));
                waiting.push((when, when.max(now) + TICK, number));
            }
            now = match random.below(4) {
                0 => now,
                1 => now + random.below(3 * TICK),
                2 => wheel.next_due().unwrap_or(now).max(now),
                _ if random.once_in(10) => now + random.below(2_000 * TICK),
                _ => now + 1,
            };
            let is_due = wheel.is_due(now);
            wheel.collect(now, &mut due);
            assert!(is_due || due.is_empty());
            for token in due.drain(..) {
                let index = waiting.iter().position(|entry| entry.2 == token.0).unwrap();
                let (when, _, _) = waiting.swap_remove(index);
                assert!(when <= now, "seed {seed}: early by {}", when - now);
            }
            for &(_, latest, number) in &waiting {
                assert!(now < latest, "seed {seed}: {number} is late");
            }
        }
    }
}

#[test]
fn a_reactor_that_sleeps_as_the_wheel_says_is_never_more_than_a_tick_late() {
    for seed in 0..100 {
        let mut random = Random::seeded(seed);
        let mut now = random.below(1 << 40);
        let mut wheel = Wheel::new(now);
        let mut waiting = Vec::new();
        for number in 0..100 {
            let when = now + random.below(20_000) * MILLISECOND + random.below(MILLISECOND);
            wheel.insert(when, Token(number));
            waiting.push(when);
        }
        let (mut due, mut found, mut wakes) = (Vec::new(), 0, 0);
        while let Some(next) = wheel.next_due() {
            assert!(next > now, "seed {seed}: a wake-up that brings no progress");
            now = next;
            wakes += 1;
            wheel.collect(now, &mut due);
            for token in due.drain(..) {
                let when = waiting[token.0 as usize];
                assert!(when <= now && now - when <= TICK, "seed {seed}: {when} at {now}");
                found += 1;
            }
        }
        assert_eq!(found, 100);
        // Each entry wakes once a revolution, and 20 s are four of them.
        assert!(wakes <= 100 * 5, "{wakes} wake-ups for 100 deadlines");
    }
}
