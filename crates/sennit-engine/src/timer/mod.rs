//! Exact timers for callers who set a time (a heap), and coarse deadlines that cost nothing per
//! request (a wheel).

mod heap;
mod wheel;

pub use heap::TimerHeap;
pub use wheel::Wheel;
