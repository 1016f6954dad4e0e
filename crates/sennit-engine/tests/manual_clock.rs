//! A clock that does not pass by itself: who is asked, when, and what must come first.

mod common;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::peer::unix_pair;
use sennit_engine::clock::SECOND;
use sennit_engine::{
    Clock, EpollPoller, Host, Idle, Interest, ManualClock, Nanos, Reactor, Readiness, Source,
};

/// A host that moves the clock to what is due, and writes down what it was asked.
#[derive(Default)]
struct Mover {
    asked: RefCell<Vec<Option<Nanos>>>,
    parked: Cell<usize>,
    sleeps: Cell<bool>,
}

#[derive(Clone, Copy)]
enum Callback {
    Stop,
    /// Comes again in the next turn, until the clock has reached a time.
    Spin(Nanos),
}

static TURNS: AtomicUsize = AtomicUsize::new(0);

impl Host for Mover {
    type Poller = EpollPoller;
    type Clock = ManualClock;
    type Callback = Callback;
    type Value = ();

    fn run(&self, reactor: &Reactor<Self>, callback: Callback) {
        match callback {
            Callback::Spin(until) if reactor.now() < until => {
                TURNS.fetch_add(1, Ordering::Relaxed);
                reactor.call_soon(callback);
            }
            Callback::Spin(_) | Callback::Stop => reactor.stop(),
        }
    }

    fn is_cancelled(&self, _: &Callback) -> bool {
        false
    }

    fn park(&self) {
        self.parked.set(self.parked.get() + 1);
    }

    fn idle(&self, reactor: &Reactor<Self>, due: Option<Nanos>) -> Idle {
        self.asked.borrow_mut().push(due);
        match due {
            Some(_) if self.sleeps.take() => Idle::Sleep(Some(Duration::from_millis(1))),
            Some(due) => {
                reactor.clock().move_to(due);
                Idle::Look
            }
            None => {
                reactor.stop();
                Idle::Look
            }
        }
    }
}

fn reactor() -> Reactor<Mover> {
    let clock = ManualClock::default();
    Reactor::new(Mover::default(), EpollPoller::new().unwrap(), clock).unwrap()
}

#[test]
fn time_jumps_to_what_is_due_and_nobody_sleeps() {
    let reactor = reactor();
    reactor.call_at(10_000 * SECOND, Callback::Stop);
    reactor.run().unwrap();
    assert_eq!(reactor.now(), 10_000 * SECOND);
    assert_eq!(*reactor.host().asked.borrow(), [Some(10_000 * SECOND)]);
    assert_eq!(reactor.host().parked.get(), 0);
}

#[test]
fn the_host_is_told_when_nothing_is_scheduled() {
    let reactor = reactor();
    reactor.run().unwrap();
    assert_eq!(*reactor.host().asked.borrow(), [None]);
}

#[test]
fn the_host_may_ask_for_a_real_sleep() {
    let reactor = reactor();
    reactor.host().sleeps.set(true);
    reactor.call_at(SECOND, Callback::Stop);
    reactor.run().unwrap();
    assert_eq!(*reactor.host().asked.borrow(), [Some(SECOND); 2]);
    assert_eq!(reactor.host().parked.get(), 1);
}

struct Reader(Cell<Option<Nanos>>);

impl Source<Mover> for Reader {
    fn ready(self: Rc<Self>, reactor: &Reactor<Mover>, _: Readiness) {
        self.0.set(Some(reactor.now()));
        reactor.stop();
    }

    fn abandoned(self: Rc<Self>, _: &Reactor<Mover>) {}
}

#[test]
fn what_is_ready_comes_before_any_jump() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let source = Rc::new(Reader(Cell::new(None)));
    let interest = Interest::Level { readable: true, writable: false };
    reactor.register(std::os::fd::AsRawFd::as_raw_fd(&ours), interest, source.clone()).unwrap();
    reactor.call_at(SECOND, Callback::Stop);
    std::io::Write::write_all(&mut peer, b"x").unwrap();
    reactor.run().unwrap();
    assert_eq!(source.0.get(), Some(0));
    assert_eq!(*reactor.host().asked.borrow(), []);
}

#[test]
fn a_program_that_spins_does_not_stop_the_time() {
    let reactor = reactor();
    reactor.call_at(60 * SECOND, Callback::Stop);
    reactor.call_soon(Callback::Spin(60 * SECOND));
    reactor.run().unwrap();
    assert_eq!(reactor.now(), 60 * SECOND);
    assert!(TURNS.load(Ordering::Relaxed) > 1000);
    assert_eq!(reactor.host().parked.get(), 0);
}

#[test]
fn a_manual_clock_only_goes_forward() {
    let clock = ManualClock::default();
    clock.move_to(5 * SECOND);
    clock.move_to(SECOND);
    assert_eq!((clock.now(), clock.coarse()), (5 * SECOND, 5 * SECOND));
    assert_eq!(clock.unix_seconds(), 946_684_805);
}
