//! A heap of callbacks by time; equal times run in the order in which they were set.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use crate::clock::Nanos;

/// Cancelled timers are swept out when there are this many and they are more than half of the
/// heap; asyncio sweeps at 100 and one half.
const SWEEP_MINIMUM: usize = 100;

struct Entry<C> {
    when: Nanos,
    order: u64,
    callback: C,
}

impl<C> PartialEq for Entry<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<C> Eq for Entry<C> {}

impl<C> PartialOrd for Entry<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C> Ord for Entry<C> {
    fn cmp(&self, other: &Self) -> Ordering {
        // Turned round: the standard heap gives its greatest element first.
        (other.when, other.order).cmp(&(self.when, self.order))
    }
}

/// The timers of one reactor.
pub struct TimerHeap<C> {
    entries: BinaryHeap<Entry<C>>,
    next_order: u64,
    cancelled: usize,
}

impl<C> Default for TimerHeap<C> {
    fn default() -> Self {
        TimerHeap { entries: BinaryHeap::new(), next_order: 0, cancelled: 0 }
    }
}

impl<C> TimerHeap<C> {
    /// Sets a timer.
    pub fn push(&mut self, when: Nanos, callback: C) {
        let order = self.next_order;
        self.next_order += 1;
        self.entries.push(Entry { when, order, callback });
    }

    /// When the next timer is due.
    pub fn next_due(&self) -> Option<Nanos> {
        self.entries.peek().map(|entry| entry.when)
    }

    /// Takes out the next timer if it is due.
    pub fn pop_due(&mut self, now: Nanos) -> Option<C> {
        if self.next_due()? > now {
            return None;
        }
        self.entries.pop().map(|entry| entry.callback)
    }

    /// One timer in the heap was cancelled. True: it is time to [`TimerHeap::sweep`].
    pub fn note_cancelled(&mut self) -> bool {
        self.cancelled += 1;
        self.cancelled > SWEEP_MINIMUM && self.cancelled * 2 > self.entries.len()
    }

    /// A cancelled timer has left the heap by itself.
    pub fn forget_cancelled(&mut self) {
        self.cancelled = self.cancelled.saturating_sub(1);
    }

    /// Takes the cancelled timers out and gives them to the caller to drop.
    pub fn sweep(&mut self, is_cancelled: impl Fn(&C) -> bool) -> Vec<C> {
        self.cancelled = 0;
        let (gone, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut self.entries)
            .into_vec()
            .into_iter()
            .partition(|entry| is_cancelled(&entry.callback));
        self.entries = kept.into();
        gone.into_iter().map(|entry| entry.callback).collect()
    }

    /// Takes everything out.
    pub fn drain(&mut self) -> Vec<C> {
        self.cancelled = 0;
        std::mem::take(&mut self.entries).into_iter().map(|entry| entry.callback).collect()
    }

    /// Every callback, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &C> {
        self.entries.iter().map(|entry| &entry.callback)
    }

    /// How many timers are set, cancelled ones included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no timer is set.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_times_come_out_in_the_order_they_went_in() {
        let mut heap = TimerHeap::default();
        for (when, name) in [(5, 'a'), (3, 'b'), (5, 'c'), (3, 'd')] {
            heap.push(when, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| heap.pop_due(9)).collect();
        assert_eq!(order, ['b', 'd', 'a', 'c']);
    }

    #[test]
    fn nothing_comes_out_before_it_is_due() {
        let mut heap = TimerHeap::default();
        heap.push(10, ());
        assert!(heap.pop_due(9).is_none());
        assert_eq!(heap.next_due(), Some(10));
        assert!(heap.pop_due(10).is_some());
    }

    #[test]
    fn cancelled_timers_are_swept_when_they_are_the_majority() {
        let mut heap = TimerHeap::default();
        for number in 0..300 {
            heap.push(number, number);
        }
        let asked = (0..300).filter(|number| number % 3 != 0).any(|_| heap.note_cancelled());
        assert!(asked);
        let gone = heap.sweep(|number| number % 3 != 0);
        assert_eq!((gone.len(), heap.len()), (200, 100));
        assert_eq!(heap.pop_due(1000), Some(0));
    }
}
