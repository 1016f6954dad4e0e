//! A host in Rust: callbacks are closures, descriptors are real, and time moves only by hand.
#![allow(dead_code)] // each test file uses its part

pub mod connection;
pub mod peer;
pub mod probe;
pub mod random;
pub mod tls;

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sennit_engine::poller::Event;
use sennit_engine::{Clock, EpollPoller, Host, Interest, Nanos, Poller, Reactor, Token};

/// A reactor with the host of these tests.
pub type Loop = Reactor<TestHost>;

/// How long a sleep without an end may really last before the test gives up. Reached only by a
/// reactor that has lost a wake-up.
const HUNG: Duration = Duration::from_secs(30);

/// The shared hand of a clock: moved by tests, and by the poller when it would have slept.
#[derive(Clone, Default)]
pub struct TestClock(Rc<Cell<Nanos>>);

impl TestClock {
    pub fn advance(&self, by: Nanos) {
        self.0.set(self.0.get() + by);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Nanos {
        self.0.get()
    }

    fn coarse(&self) -> Nanos {
        self.0.get()
    }
}

/// What the poller was asked for.
#[derive(Default)]
pub struct Waits(RefCell<Vec<Option<Duration>>>);

impl Waits {
    /// The timeouts since the last time, oldest first.
    pub fn take(&self) -> Vec<Option<Duration>> {
        self.0.take()
    }
}

/// The real epoll, except that a sleep which nothing ends moves the clock instead of passing.
pub struct TestPoller {
    epoll: EpollPoller,
    clock: TestClock,
    waits: Rc<Waits>,
}

impl Poller for TestPoller {
    type Buffer = <EpollPoller as Poller>::Buffer;

    fn add(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll.add(descriptor, token, interest)
    }

    fn change(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.epoll.change(descriptor, token, interest)
    }

    fn remove(&self, descriptor: RawFd) -> io::Result<()> {
        self.epoll.remove(descriptor)
    }

    fn wait(&self, buffer: &mut Self::Buffer, timeout: Option<Duration>) -> io::Result<usize> {
        self.waits.0.borrow_mut().push(timeout);
        let Some(timeout) = timeout else {
            let count = self.epoll.wait(buffer, Some(HUNG))?;
            assert!(count > 0, "the reactor sleeps for ever");
            return Ok(count);
        };
        let count = self.epoll.wait(buffer, Some(Duration::ZERO))?;
        if count == 0 {
            self.clock.advance(timeout.as_nanos() as Nanos);
        }
        Ok(count)
    }

    fn event(buffer: &Self::Buffer, index: usize) -> Event {
        EpollPoller::event(buffer, index)
    }

    fn descriptor(&self) -> RawFd {
        self.epoll.descriptor()
    }

    fn close(&self) {
        self.epoll.close();
    }
}

/// The host: it counts what it is told, and runs closures.
#[derive(Default)]
pub struct TestHost {
    pub waits: Rc<Waits>,
    pub parked: Cell<usize>,
    pub unparked: Cell<usize>,
    pub polled: Cell<usize>,
    pub skipped: Cell<usize>,
    pub refuses_turns: Cell<bool>,
    pub interrupt_when_polled: Cell<bool>,
}

impl Host for TestHost {
    type Poller = TestPoller;
    type Clock = TestClock;
    type Callback = Callback;
    type Value = usize;

    fn run(&self, reactor: &Loop, callback: Callback) {
        if callback.is_cancelled() {
            return self.skipped.set(self.skipped.get() + 1);
        }
        (callback.0.call)(reactor);
    }

    fn is_cancelled(&self, callback: &Callback) -> bool {
        callback.is_cancelled()
    }

    fn unscheduled(&self, callback: &Callback) {
        callback.0.in_heap.store(false, Ordering::Relaxed);
    }

    fn may_turn(&self) -> bool {
        !self.refuses_turns.get()
    }

    fn park(&self) {
        self.parked.set(self.parked.get() + 1);
    }

    fn unpark(&self) {
        self.unparked.set(self.unparked.get() + 1);
    }

    fn polled(&self, reactor: &Loop) {
        self.polled.set(self.polled.get() + 1);
        if self.interrupt_when_polled.take() {
            reactor.interrupt();
        }
    }

    fn visit(callback: &Callback, visitor: &mut dyn FnMut(&usize)) {
        visitor(&Arc::strong_count(&callback.0));
    }
}

type Call = Box<dyn Fn(&Loop) + Send + Sync>;

struct Job {
    call: Call,
    cancelled: AtomicBool,
    in_heap: AtomicBool,
}

/// A callback and, as a clone, the handle to it.
#[derive(Clone)]
pub struct Callback(Arc<Job>);

impl Callback {
    pub fn new(call: impl Fn(&Loop) + Send + Sync + 'static) -> Self {
        let (cancelled, in_heap) = Default::default();
        Callback(Arc::new(Job { call: Box::new(call), cancelled, in_heap }))
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// Cancels as a host does: the reactor hears of it while the timer is in its heap.
    pub fn cancel(&self, reactor: &Loop) {
        if !self.0.cancelled.swap(true, Ordering::Relaxed) && self.0.in_heap.load(Ordering::Relaxed)
        {
            drop(reactor.timer_cancelled());
        }
    }
}

/// A reactor at time zero that has taken its first turn, in which the waker says that it can be
/// written to.
pub fn reactor() -> Loop {
    let host = TestHost::default();
    let clock = TestClock::default();
    let epoll = EpollPoller::new().unwrap();
    let poller = TestPoller { epoll, clock: clock.clone(), waits: host.waits.clone() };
    let reactor = Reactor::new(host, poller, clock).unwrap();
    turn(&reactor);
    reactor.host().waits.take();
    reactor.host().polled.set(0);
    reactor
}

/// Takes one turn that does not sleep.
pub fn turn(reactor: &Loop) {
    reactor.stop();
    reactor.run().unwrap();
}

/// Takes turns that do not sleep, as many as are needed. A thousand are too many.
pub fn turn_until(reactor: &Loop, mut done: impl FnMut() -> bool) {
    for number in 0..1000 {
        if done() {
            return;
        }
        turn(reactor);
        // Whatever the kernel still has on its way gets the time to arrive.
        if number > 50 {
            peer::wait_a_moment(reactor.poll_descriptor());
        }
    }
    panic!("a thousand turns have not brought it about");
}

pub fn call_soon(reactor: &Loop, call: impl Fn(&Loop) + Send + Sync + 'static) -> Callback {
    let callback = Callback::new(call);
    reactor.call_soon(callback.clone());
    callback
}

pub fn call_at(
    reactor: &Loop,
    when: Nanos,
    call: impl Fn(&Loop) + Send + Sync + 'static,
) -> Callback {
    let callback = Callback::new(call);
    callback.0.in_heap.store(true, Ordering::Relaxed);
    reactor.call_at(when, callback.clone());
    callback
}

/// What has happened, in order; written from callbacks.
pub struct Log<T>(Arc<Mutex<Vec<T>>>);

impl<T> Clone for Log<T> {
    fn clone(&self) -> Self {
        Log(self.0.clone())
    }
}

impl<T> Default for Log<T> {
    fn default() -> Self {
        Log(Arc::default())
    }
}

impl<T: Send + 'static> Log<T> {
    pub fn push(&self, entry: T) {
        self.0.lock().unwrap().push(entry);
    }

    /// The entries since the last time.
    pub fn take(&self) -> Vec<T> {
        std::mem::take(&mut self.0.lock().unwrap())
    }

    pub fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// A callback that writes one entry.
    pub fn writer(&self, entry: T) -> impl Fn(&Loop) + Send + Sync + 'static
    where
        T: Clone + Sync,
    {
        let log = self.clone();
        move |_| log.push(entry.clone())
    }
}

/// Counts how many of its clones were dropped.
#[derive(Default)]
pub struct DropCounter(Arc<AtomicUsize>);

impl DropCounter {
    pub fn guard(&self) -> DropGuard {
        DropGuard(self.0.clone())
    }

    pub fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

pub struct DropGuard(Arc<AtomicUsize>);

impl Drop for DropGuard {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A reactor that other threads may leave callbacks for.
#[derive(Clone, Copy)]
pub struct Door(*const Loop);

// SAFETY: a door reaches only `call_soon_threadsafe` and `wake`, which touch the inbox and the
// waker; both are made for several threads. Tests join their threads before the reactor goes.
unsafe impl Send for Door {}

impl Door {
    pub fn to(reactor: &Loop) -> Self {
        Door(reactor)
    }

    pub fn call(&self, callback: Callback) {
        // SAFETY: the reactor outlives every thread that holds a door, as said above.
        unsafe { &*self.0 }.call_soon_threadsafe(callback);
    }

    pub fn wake(&self) {
        // SAFETY: as above.
        unsafe { &*self.0 }.wake();
    }
}
