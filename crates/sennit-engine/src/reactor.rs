//! The reactor: one thread, one poller, turn after turn.
//!
//! A turn is five steps, in this order:
//!
//! 1. *poll*: ask the poller what is ready, sleeping only when nothing else is to be done;
//! 2. *dispatch*: hand each readiness to its source, and each coarse deadline that has passed;
//! 3. *timers*: move what is due, and what other threads have left in the inbox, behind the
//!    ready queue;
//! 4. *run*: run what the ready queue held at this moment; what is added meanwhile waits a turn;
//! 5. *flush*: send what was written outside a dispatch.
//!
//! No borrow is held while a source or the host is called. The host's lock (Python's GIL) is what
//! serialises access from threads that break the rule and call in from outside: while the reactor
//! is parked it touches nothing but the poller's own buffer.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::time::Duration;

use crossbeam_queue::SegQueue;

use crate::clock::{Clock, MILLISECOND, Nanos};
use crate::host::{Host, Idle, Source};
use crate::poller::{Event, Interest, Poller, Readiness};
use crate::sources::{Sources, Token};
use crate::timer::{TimerHeap, Wheel};
use crate::waker::{Wake, Waker};

/// The loop's scratch buffer: what one `recv` can bring at most. A connection gets 256 KiB a turn.
pub const SCRATCH_SIZE: usize = 256 * 1024;

/// While callbacks are ready the poller is asked at least every so many turns (or when the coarse
/// clock has moved): one poll costs as much as two callbacks.
const TURNS_WITHOUT_POLL: u32 = 16;

/// A busy loop lets other threads in at least this often; CPython's own switch interval is 5 ms.
const LET_OTHERS_IN: Nanos = 5 * MILLISECOND;

/// Where a reactor is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Not running; may be run.
    Idle,
    /// In its turns.
    Running,
    /// In its last turn.
    Stopping,
    /// Stopped by the host in the middle of a turn; the rest of the turn waits.
    Interrupted,
    /// Closed for good.
    Closed,
}

enum Ready<C> {
    Callback(C),
    Notify(Token),
}

/// Counters of one reactor.
#[derive(Debug, Default, Clone, Copy)]
pub struct Statistics {
    /// Turns taken.
    pub turns: u64,
    /// Times the poller was asked.
    pub polls: u64,
    /// Callbacks run.
    pub callbacks: u64,
    /// Readiness reports handed to sources.
    pub dispatched: u64,
}

/// One event loop. Everything takes `&self`: the host may call in at any time.
pub struct Reactor<H: Host> {
    host: H,
    poller: H::Poller,
    clock: H::Clock,
    waker: Waker,
    state: Cell<State>,
    sources: RefCell<Sources<H>>,
    ready: RefCell<VecDeque<Ready<H::Callback>>>,
    timers: RefCell<TimerHeap<H::Callback>>,
    wheel: RefCell<Wheel>,
    inbox: SegQueue<H::Callback>,
    to_flush: RefCell<VecDeque<Token>>,
    /// Whose turn it is; after a panic, whose turn it was.
    serving: Cell<Token>,
    /// Sources whose coarse deadline has passed and who have not heard yet.
    due: RefCell<VecDeque<Token>>,
    /// Sources that hear again in the next turn; each at most once, what it hears is with it.
    again: RefCell<VecDeque<Token>>,
    events: Cell<Option<<H::Poller as Poller>::Buffer>>,
    scratch: Cell<Option<Box<[u8]>>>,
    turn_time: Cell<Nanos>,
    parked_at: Cell<Nanos>,
    polled_at: Cell<Nanos>,
    turns_since_poll: Cell<u32>,
    statistics: Cell<Statistics>,
}

impl<H: Host> Reactor<H> {
    /// A reactor for a host. Its waker is registered; nothing runs yet.
    pub fn new(host: H, poller: H::Poller, clock: H::Clock) -> io::Result<Self> {
        let waker = Waker::new()?;
        poller.add(waker.descriptor(), Token::NONE, Interest::Edge)?;
        let now = clock.now();
        Ok(Reactor {
            host,
            poller,
            waker,
            state: Cell::new(State::Idle),
            sources: RefCell::default(),
            ready: RefCell::default(),
            timers: RefCell::default(),
            wheel: RefCell::new(Wheel::new(now)),
            inbox: SegQueue::new(),
            to_flush: RefCell::default(),
            serving: Cell::new(Token::NONE),
            due: RefCell::default(),
            again: RefCell::default(),
            events: Cell::new(None),
            scratch: Cell::new(None),
            turn_time: Cell::new(now),
            parked_at: Cell::new(now),
            polled_at: Cell::new(0),
            turns_since_poll: Cell::new(0),
            statistics: Cell::default(),
            clock,
        })
    }

    /// The program that this reactor works for.
    pub fn host(&self) -> &H {
        &self.host
    }

    /// The clock of this reactor.
    pub fn clock(&self) -> &H::Clock {
        &self.clock
    }

    /// The exact time.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// The time at which this turn's dispatch began: good enough for deadlines, and free.
    pub fn turn_time(&self) -> Nanos {
        self.turn_time.get()
    }

    /// Where the reactor is in its life.
    pub fn state(&self) -> State {
        self.state.get()
    }

    /// The descriptor behind the poller.
    pub fn poll_descriptor(&self) -> RawFd {
        self.poller.descriptor()
    }

    /// The counters so far.
    pub fn statistics(&self) -> Statistics {
        self.statistics.get()
    }

    /// How many callbacks wait in the ready queue.
    pub fn ready_len(&self) -> usize {
        self.ready.borrow().len()
    }

    /// How many timers are set, cancelled ones that were not swept yet included.
    pub fn timer_len(&self) -> usize {
        self.timers.borrow().len()
    }

    /// How many descriptors are registered.
    pub fn source_len(&self) -> usize {
        self.sources.borrow().len()
    }

    // --- callbacks ------------------------------------------------------------------------------

    /// Runs a callback in the next turn, after what waits already.
    #[inline]
    pub fn call_soon(&self, callback: H::Callback) {
        self.ready.borrow_mut().push_back(Ready::Callback(callback));
    }

    /// Leaves a callback for the reactor; may be called from any thread that the host lets in.
    pub fn call_soon_threadsafe(&self, callback: H::Callback) {
        self.inbox.push(callback);
        self.waker.wake();
    }

    /// Makes a sleeping reactor take a turn.
    pub fn wake(&self) {
        self.waker.wake();
    }

    /// As [`Reactor::wake`], in two steps: what this gives is to be sent when the host's lock is free,
    /// or the reactor would wake up only to wait for that.
    pub fn call_to_wake(&self) -> Option<Wake> {
        self.waker.call()
    }

    /// Runs a callback when the clock has reached `when`.
    pub fn call_at(&self, when: Nanos, callback: H::Callback) {
        self.timers.borrow_mut().push(when, callback);
    }

    /// A timer that is still set was cancelled by the host. Gives back what was swept out.
    #[must_use]
    pub fn timer_cancelled(&self) -> Vec<H::Callback> {
        let mut timers = self.timers.borrow_mut();
        if timers.note_cancelled() {
            timers.sweep(|callback| self.host.is_cancelled(callback))
        } else {
            Vec::new()
        }
    }

    // --- sources --------------------------------------------------------------------------------

    /// Watches a descriptor for a source, which is held until [`Reactor::remove`].
    pub fn register(
        &self,
        descriptor: RawFd,
        interest: Interest,
        source: Rc<dyn Source<H>>,
    ) -> io::Result<Token> {
        let token = self.sources.borrow_mut().insert(source);
        match self.poller.add(descriptor, token, interest) {
            Ok(()) => Ok(token),
            Err(error) => {
                let refused = self.sources.borrow_mut().remove(token);
                drop(refused);
                Err(error)
            }
        }
    }

    /// Holds a source that has no descriptor, for its deadlines and notifications, until
    /// [`Reactor::remove`].
    pub fn attach(&self, source: Rc<dyn Source<H>>) -> Token {
        self.sources.borrow_mut().insert(source)
    }

    /// Changes how a descriptor is watched.
    pub fn change(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.poller.change(descriptor, token, interest)
    }

    /// Stops watching a descriptor that stays open.
    pub fn unwatch(&self, descriptor: RawFd) -> io::Result<()> {
        self.poller.remove(descriptor)
    }

    /// Forgets a source; events that are already reported for it find nobody. The source is given
    /// back, to be dropped where nothing is borrowed.
    pub fn remove(&self, token: Token) -> Option<Rc<dyn Source<H>>> {
        self.sources.borrow_mut().remove(token)
    }

    /// Calls [`Source::flush`] at the end of this turn.
    pub fn flush_later(&self, token: Token) {
        self.to_flush.borrow_mut().push_back(token);
    }

    /// Calls [`Source::notified`] in the next turn, in its place among the callbacks.
    pub fn notify_later(&self, token: Token) {
        self.ready.borrow_mut().push_back(Ready::Notify(token));
    }

    /// Dispatches a readiness again in the next turn: for a source that stopped before it met
    /// `EAGAIN`, which an edge-triggered poller will not report a second time. However often it is
    /// asked for, and whatever the poller adds to it, the source is dispatched once.
    pub fn dispatch_again(&self, token: Token, readiness: Readiness) {
        if self.sources.borrow_mut().note_again(token, readiness) {
            self.again.borrow_mut().push_back(token);
        }
    }

    /// Calls [`Source::deadline`] at `when` or up to 10 ms later.
    pub fn wake_source_at(&self, when: Nanos, token: Token) {
        self.wheel.borrow_mut().insert(when, token);
    }

    /// Lends the scratch buffer for one dispatch; give it back with [`Reactor::return_scratch`].
    pub fn take_scratch(&self) -> Box<[u8]> {
        self.scratch.take().unwrap_or_else(|| vec![0; SCRATCH_SIZE].into_boxed_slice())
    }

    /// Gives the scratch buffer back.
    pub fn return_scratch(&self, scratch: Box<[u8]>) {
        self.scratch.set(Some(scratch));
    }

    // --- turns ----------------------------------------------------------------------------------

    /// Makes the current turn the last, or the next one if the reactor does not run.
    pub fn stop(&self) {
        if matches!(self.state.get(), State::Idle | State::Running) {
            self.state.set(State::Stopping);
        }
    }

    /// Leaves [`Reactor::run`] before anything else is called; what was not run yet stays.
    pub fn interrupt(&self) {
        if self.state.get() != State::Closed {
            self.state.set(State::Interrupted);
        }
    }

    /// Takes turns until [`Reactor::stop`] or [`Reactor::interrupt`].
    pub fn run(&self) -> io::Result<()> {
        if self.state.get() == State::Idle {
            self.state.set(State::Running);
        }
        let _run = Run(self);
        // The first turn of a run asks the poller: it may be the only one.
        self.turns_since_poll.set(TURNS_WITHOUT_POLL);
        loop {
            self.turn()?;
            if self.state.get() != State::Running {
                return Ok(());
            }
        }
    }

    fn interrupted(&self) -> bool {
        matches!(self.state.get(), State::Interrupted | State::Closed)
    }

    /// Takes one turn: poll, dispatch, timers, run, flush.
    fn turn(&self) -> io::Result<()> {
        if !self.host.may_turn() {
            self.interrupt();
            return Ok(());
        }
        self.count(|statistics| statistics.turns += 1);
        self.poll_and_dispatch()?;
        self.collect_timers();
        self.collect_inbox();
        self.run_ready();
        self.flush();
        Ok(())
    }

    fn count(&self, change: impl FnOnce(&mut Statistics)) {
        let mut statistics = self.statistics.get();
        change(&mut statistics);
        self.statistics.set(statistics);
    }

    fn has_work(&self) -> bool {
        self.state.get() != State::Running
            || !self.ready.borrow().is_empty()
            || !self.again.borrow().is_empty()
            || !self.to_flush.borrow().is_empty()
            || !self.due.borrow().is_empty()
            || !self.inbox.is_empty()
    }

    fn poll_and_dispatch(&self) -> io::Result<()> {
        let busy = self.has_work();
        if busy && self.may_skip_poll() {
            return Ok(());
        }
        self.turns_since_poll.set(0);
        let timeout = if busy { Some(Duration::ZERO) } else { self.sleep_time() };
        let mut events = self.events.take().unwrap_or_default();
        let count = self.wait(&mut events, timeout)?;
        self.count(|statistics| statistics.polls += 1);
        // One look at the clock for everything that wants to know when this was.
        let now = self.clock.now();
        self.turn_time.set(now);
        self.polled_at.set(now);
        let mut reports = Reports { reactor: self, events: Some(events), next: 0, count };
        self.host.polled(self);
        // Only what waits now: what is asked for from here on is for the next turn.
        let leftovers = self.again.borrow().len();
        while !self.interrupted() {
            let Some(event) = reports.next() else { break };
            if !self.waits_for_its_share(event) {
                self.dispatch(event.token, event.readiness);
            }
        }
        drop(reports);
        self.dispatch_leftovers(leftovers);
        self.dispatch_deadlines();
        Ok(())
    }

    /// Whether so little has happened since the last poll that another can wait.
    fn may_skip_poll(&self) -> bool {
        let turns = self.turns_since_poll.get() + 1;
        self.turns_since_poll.set(turns);
        turns < TURNS_WITHOUT_POLL
            && self.again.borrow().is_empty()
            && self.state.get() == State::Running
            && self.clock.coarse() <= self.polled_at.get()
    }

    #[inline(always)] // as `sleep`
    fn sleep_time(&self) -> Option<Duration> {
        let timer = self.timers.borrow().next_due();
        let deadline = self.wheel.borrow().next_due();
        // A timer is exact; a deadline is not, and the coarse clock costs less.
        let timer = timer.map(|due| due.saturating_sub(self.clock.now()));
        let deadline = deadline.map(|due| due.saturating_sub(self.clock.coarse()));
        let time = match (timer, deadline) {
            (Some(one), Some(other)) => one.min(other),
            (one, other) => one.or(other)?,
        };
        Some(Duration::from_nanos(time))
    }

    fn wait(
        &self,
        events: &mut <H::Poller as Poller>::Buffer,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if !self.clock.passes() {
            return self.wait_by_hand(events, timeout == Some(Duration::ZERO));
        }
        if timeout == Some(Duration::ZERO) {
            let coarse = self.clock.coarse();
            if coarse.saturating_sub(self.parked_at.get()) < LET_OTHERS_IN {
                return self.poller.wait(events, timeout);
            }
            self.parked_at.set(coarse);
            self.host.park();
            let count = self.poller.wait(events, timeout);
            self.host.unpark();
            return count;
        }
        self.sleep(events, timeout)
    }

    /// Under a clock that does not pass by itself: what is ready comes first, then the host says
    /// what happens to the time. A program that spins does not stop it for ever.
    #[cold]
    #[inline(never)]
    fn wait_by_hand(
        &self,
        events: &mut <H::Poller as Poller>::Buffer,
        is_busy: bool,
    ) -> io::Result<usize> {
        let count = self.poller.wait(events, Some(Duration::ZERO))?;
        if count > 0 || (is_busy && !self.clock.has_spun()) {
            return Ok(count);
        }
        let due = self.sleep_time().map(|time| self.clock.now() + time.as_nanos() as Nanos);
        if is_busy && due.is_none() {
            return Ok(0);
        }
        match self.host.idle(self, due) {
            Idle::Sleep(time) if !is_busy => self.sleep(events, time),
            _ => Ok(0),
        }
    }

    #[inline(always)] // the second caller, which is cold, must not cost the first one a call
    fn sleep(
        &self,
        events: &mut <H::Poller as Poller>::Buffer,
        timeout: Option<Duration>,
    ) -> io::Result<usize> {
        if !self.waker.fall_asleep() {
            self.waker.wake_up();
            return self.poller.wait(events, Some(Duration::ZERO));
        }
        self.host.park();
        let count = self.poller.wait(events, timeout);
        self.host.unpark();
        self.waker.wake_up();
        self.parked_at.set(self.clock.coarse());
        count
    }

    /// A source that is to be dispatched again anyway does not get a second share of the turn
    /// because of a new edge: it hears of both together.
    fn waits_for_its_share(&self, event: Event) -> bool {
        !self.again.borrow().is_empty()
            && self.sources.borrow_mut().join_again(event.token, event.readiness)
    }

    #[inline]
    fn serve(&self, token: Token, call: impl FnOnce()) {
        self.serving.set(token);
        call();
        self.serving.set(Token::NONE);
    }

    /// After a panic has come out of [`Reactor::run`]: throws away the source whose turn it was, because
    /// its state is not to be trusted. False: it was no source's turn.
    pub fn discard_failed(&self) -> bool {
        let failed = self.remove(self.serving.replace(Token::NONE));
        let found = failed.is_some();
        if let Some(source) = failed {
            source.abandoned(self);
        }
        found
    }

    fn dispatch(&self, token: Token, readiness: Readiness) {
        if token == Token::NONE {
            return;
        }
        let source = self.sources.borrow().get(token).cloned();
        if let Some(source) = source {
            self.count(|statistics| statistics.dispatched += 1);
            self.serve(token, || source.ready(self, readiness));
        }
    }

    fn dispatch_leftovers(&self, count: usize) {
        for _ in 0..count {
            if self.interrupted() {
                return;
            }
            let Some(token) = self.again.borrow_mut().pop_front() else { return };
            let readiness = self.sources.borrow_mut().take_again(token);
            if let Some(readiness) = readiness {
                self.dispatch(token, readiness);
            }
        }
    }

    fn dispatch_deadlines(&self) {
        let now = self.turn_time.get();
        if self.wheel.borrow().is_due(now) {
            let mut due = Vec::new();
            self.wheel.borrow_mut().collect(now, &mut due);
            self.due.borrow_mut().extend(due);
        }
        while !self.interrupted() {
            let Some(token) = self.due.borrow_mut().pop_front() else { return };
            let source = self.sources.borrow().get(token).cloned();
            if let Some(source) = source {
                self.serve(token, || source.deadline(self, now));
            }
        }
    }

    fn collect_timers(&self) {
        let mut timers = self.timers.borrow_mut();
        if timers.is_empty() {
            return;
        }
        let now = self.clock.now();
        while let Some(callback) = timers.pop_due(now) {
            if self.host.is_cancelled(&callback) {
                timers.forget_cancelled();
            }
            self.host.unscheduled(&callback);
            self.ready.borrow_mut().push_back(Ready::Callback(callback));
        }
    }

    fn collect_inbox(&self) {
        if self.inbox.is_empty() {
            return;
        }
        self.waker.wake_up();
        // At most what is there now: a thread that never stops calling must not stop the loop.
        for _ in 0..self.inbox.len() {
            match self.inbox.pop() {
                Some(callback) => self.call_soon(callback),
                None => break,
            }
        }
    }

    fn run_ready(&self) {
        let waiting = self.ready.borrow().len();
        for done in 0..waiting {
            if self.interrupted() {
                self.count(|statistics| statistics.callbacks += done as u64);
                return;
            }
            let next = self.ready.borrow_mut().pop_front();
            match next {
                Some(Ready::Callback(callback)) => self.host.run(self, callback),
                Some(Ready::Notify(token)) => {
                    let source = self.sources.borrow().get(token).cloned();
                    if let Some(source) = source {
                        self.serve(token, || source.notified(self));
                    }
                }
                None => break,
            }
        }
        self.count(|statistics| statistics.callbacks += waiting as u64);
    }

    fn flush(&self) {
        // The child of a fork leaves what was written before to its parent.
        if self.to_flush.borrow().is_empty() || self.host.is_foreign() {
            return;
        }
        // What a flush asks for in turn waits for the next one: it may go on for ever.
        let waiting = self.to_flush.borrow().len();
        for _ in 0..waiting {
            let Some(token) = self.to_flush.borrow_mut().pop_front() else { return };
            let source = self.sources.borrow().get(token).cloned();
            if let Some(source) = source {
                self.serve(token, || source.flush(self));
            }
        }
    }

    // --- the end --------------------------------------------------------------------------------

    /// Closes the reactor: its descriptors are given back, every source is abandoned, every
    /// callback is returned to be dropped.
    #[must_use = "the callbacks are the host's to drop"]
    pub fn close(&self) -> Vec<H::Callback> {
        self.state.set(State::Closed);
        // First of all: in the child of a fork nothing may be taken out of the parent's set.
        self.poller.close();
        self.waker.close();
        let sources: Vec<_> = self.sources.borrow().iter().cloned().collect();
        for source in sources {
            source.abandoned(self);
        }
        let left = std::mem::take(&mut *self.sources.borrow_mut());
        drop(left);
        self.to_flush.borrow_mut().clear();
        self.again.borrow_mut().clear();
        self.due.borrow_mut().clear();
        let mut callbacks = self.timers.borrow_mut().drain();
        let ready = std::mem::take(&mut *self.ready.borrow_mut());
        callbacks.extend(ready.into_iter().filter_map(|ready| match ready {
            Ready::Callback(callback) => Some(callback),
            Ready::Notify(_) => None,
        }));
        callbacks.extend(std::iter::from_fn(|| self.inbox.pop()));
        callbacks
    }

    /// Shows a collector every value that is held here. Safe in the middle of a turn: what is
    /// borrowed at that moment is passed over, which only keeps it alive.
    pub fn visit(&self, visitor: &mut dyn FnMut(&H::Value)) {
        if let Ok(ready) = self.ready.try_borrow() {
            for entry in ready.iter() {
                if let Ready::Callback(callback) = entry {
                    H::visit(callback, visitor);
                }
            }
        }
        if let Ok(timers) = self.timers.try_borrow() {
            timers.iter().for_each(|callback| H::visit(callback, visitor));
        }
        if let Ok(sources) = self.sources.try_borrow() {
            sources.iter().for_each(|source| source.visit(visitor));
        }
    }
}

/// While this lives the reactor runs; it ends with a stop, an error or a panic of the host.
struct Run<'a, H: Host>(&'a Reactor<H>);

impl<H: Host> Drop for Run<'_, H> {
    fn drop(&mut self) {
        if self.0.state.get() != State::Closed {
            self.0.state.set(State::Idle);
        }
    }
}

/// The reports of one poll. Edges are reported once: what was not handed out, because of an
/// interrupt or a panic, is kept for the next turn.
struct Reports<'a, H: Host> {
    reactor: &'a Reactor<H>,
    events: Option<<H::Poller as Poller>::Buffer>,
    next: usize,
    count: usize,
}

impl<H: Host> Reports<'_, H> {
    #[inline]
    fn next(&mut self) -> Option<Event> {
        let events = self.events.as_ref().filter(|_| self.next < self.count)?;
        self.next += 1;
        Some(H::Poller::event(events, self.next - 1))
    }
}

impl<H: Host> Drop for Reports<'_, H> {
    fn drop(&mut self) {
        while let Some(event) = self.next() {
            self.reactor.dispatch_again(event.token, event.readiness);
        }
        self.reactor.events.set(self.events.take());
    }
}
