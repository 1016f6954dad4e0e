//! Deadlines that are checked late rather than moved often.
//!
//! A source keeps its own deadline and may move it with a plain store at every request. The wheel
//! only remembers when to look: at that time it names the source, which either acts or asks to be
//! looked at again. So a connection costs one entry per deadline period, not one per request.

use std::cell::Cell;

use crate::clock::{MILLISECOND, Nanos};
use crate::sources::Token;

/// How exact a deadline is. Ten milliseconds is below anything that a peer can tell.
const TICK: Nanos = 10 * MILLISECOND;
/// Slots of the wheel; one revolution is 5.12 s. Later entries go round more than once.
const SLOTS: usize = 512;

/// The coarse deadlines of one reactor.
#[derive(Debug)]
pub struct Wheel {
    slots: Vec<Vec<(u64, Token)>>,
    /// Every tick up to and including this one has been looked at.
    looked_at: u64,
    count: usize,
    /// No slot between the last tick that was looked at and this one holds anything: a lower bound, so that
    /// every sleep need not go round the wheel.
    empty_until: Cell<u64>,
}

impl Wheel {
    /// A wheel that starts at a time.
    pub fn new(now: Nanos) -> Self {
        Wheel { slots: Vec::new(), looked_at: now / TICK, count: 0, empty_until: Cell::new(0) }
    }

    /// Names a source at a time, or up to one tick later.
    pub fn insert(&mut self, when: Nanos, token: Token) {
        if self.slots.is_empty() {
            self.slots.resize_with(SLOTS, Vec::new);
        }
        let tick = (when / TICK + 1).max(self.looked_at + 1);
        self.slots[tick as usize % SLOTS].push((tick, token));
        self.count += 1;
        // A tick of a later revolution lies in a slot that comes up earlier.
        let next = self.looked_at + 1;
        let slot = next + (tick - next) % SLOTS as u64;
        self.empty_until.set(self.empty_until.get().min(slot));
    }

    /// Whether [`Wheel::collect`] could find something.
    pub fn is_due(&self, now: Nanos) -> bool {
        self.count > 0 && now / TICK > self.looked_at
    }

    /// Moves the sources whose time has come into `due`.
    pub fn collect(&mut self, now: Nanos, due: &mut Vec<Token>) {
        let last = now / TICK;
        let first = self.looked_at + 1;
        self.looked_at = self.looked_at.max(last);
        if self.count == 0 || last < first {
            return;
        }
        for tick in first..=last.min(first + SLOTS as u64 - 1) {
            self.slots[tick as usize % SLOTS].retain(|&(when, token)| {
                if when <= last {
                    due.push(token);
                    self.count -= 1;
                }
                when > last
            });
        }
    }

    /// When the reactor must wake up for the wheel at the latest: the next tick whose slot holds
    /// something, though it may belong to a later revolution.
    pub fn next_due(&self) -> Option<Nanos> {
        if self.count == 0 {
            return None;
        }
        let from = self.empty_until.get().max(self.looked_at + 1);
        let found = (from..=self.looked_at + SLOTS as u64)
            .find(|tick| !self.slots[*tick as usize % SLOTS].is_empty());
        self.empty_until.set(found.unwrap_or(from));
        found.map(|tick| tick * TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND;

    fn collected(wheel: &mut Wheel, now: Nanos) -> Vec<u64> {
        let mut due = Vec::new();
        wheel.collect(now, &mut due);
        due.into_iter().map(|token| token.0).collect()
    }

    #[test]
    fn a_deadline_is_never_early_and_at_most_a_tick_late() {
        let mut wheel = Wheel::new(0);
        wheel.insert(100 * MILLISECOND, Token(1));
        assert!(collected(&mut wheel, 100 * MILLISECOND).is_empty());
        assert_eq!(collected(&mut wheel, 110 * MILLISECOND), [1]);
        assert_eq!(wheel.next_due(), None);
    }

    #[test]
    fn a_deadline_beyond_one_revolution_waits_its_turn() {
        let mut wheel = Wheel::new(0);
        wheel.insert(60 * SECOND, Token(7));
        for second in 1..60 {
            assert!(collected(&mut wheel, second * SECOND).is_empty());
        }
        assert_eq!(collected(&mut wheel, 61 * SECOND), [7]);
    }

    #[test]
    fn a_long_sleep_misses_nothing() {
        let mut wheel = Wheel::new(0);
        for number in 0..1000u64 {
            wheel.insert(number * 17 * MILLISECOND, Token(number));
        }
        let mut found = collected(&mut wheel, 100 * SECOND);
        found.sort_unstable();
        assert_eq!(found, (0..1000).collect::<Vec<_>>());
    }

    #[test]
    fn the_reactor_is_woken_in_time() {
        let mut wheel = Wheel::new(0);
        wheel.insert(3 * SECOND, Token(1));
        let wake = wheel.next_due().unwrap();
        assert!(wake > 3 * SECOND && wake <= 3 * SECOND + TICK);
        assert_eq!(collected(&mut wheel, wake), [1]);
    }
}
