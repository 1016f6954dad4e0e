//! Other threads: their callbacks arrive, in order, and no wake-up is lost.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use common::{Callback, Door, DropCounter, Log, call_at, reactor, turn};
use sennit_engine::Clock;
use sennit_engine::clock::SECOND;

#[test]
fn a_call_from_another_thread_ends_an_endless_sleep() {
    let reactor = reactor();
    let door = Door::to(&reactor);
    let thread = thread::spawn(move || door.call(Callback::new(|reactor| reactor.stop())));
    reactor.run().unwrap();
    thread.join().unwrap();
    assert_eq!(reactor.host().parked, reactor.host().unparked);
}

#[test]
fn a_bare_wake_ends_an_endless_sleep_too() {
    let reactor = reactor();
    let door = Door::to(&reactor);
    // Nothing else could end this run: the host leaves it after the first poll.
    reactor.host().interrupt_when_polled.set(true);
    let thread = thread::spawn(move || door.wake());
    reactor.run().unwrap();
    thread.join().unwrap();
    assert_eq!(reactor.host().polled.get(), 1);
}

#[test]
fn a_wake_before_the_sleep_is_not_lost() {
    let reactor = reactor();
    reactor.wake();
    let log = Log::default();
    call_at(&reactor, SECOND, log.writer(()));
    call_at(&reactor, SECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    let zero = reactor.host().waits.take()[0];
    assert_eq!(zero.map(|wait| wait.as_nanos()), Some(0));
    assert_eq!((log.len(), reactor.clock().now()), (1, SECOND));
}

#[test]
fn no_wake_up_is_lost_however_it_falls() {
    const ROUNDS: usize = 20_000;
    let reactor = reactor();
    let door = Door::to(&reactor);
    let (answer, answered) = mpsc::channel();
    // Each round waits for the answer of the one before, so the reactor falls asleep each time
    // and the next call meets it at another point on its way there.
    let thread = thread::spawn(move || {
        for round in 0..ROUNDS {
            let answer = answer.clone();
            door.call(Callback::new(move |_| answer.send(round).unwrap()));
            for _ in 0..round % 64 {
                std::hint::spin_loop();
            }
            assert_eq!(answered.recv().unwrap(), round);
        }
        door.call(Callback::new(|reactor| reactor.stop()));
    });
    reactor.run().unwrap();
    thread.join().unwrap();
}

#[test]
fn many_threads_are_all_heard_each_in_its_own_order() {
    const THREADS: usize = 4;
    const CALLS: usize = 5_000;
    let reactor = reactor();
    let log = Log::default();
    let running = Arc::new(AtomicUsize::new(THREADS));
    let door = Door::to(&reactor);
    let threads: Vec<_> = (0..THREADS)
        .map(|name| {
            let (log, running) = (log.clone(), running.clone());
            thread::spawn(move || {
                for number in 0..CALLS {
                    door.call(Callback::new(log.writer((name, number))));
                }
                door.call(Callback::new(move |reactor| {
                    if running.fetch_sub(1, Ordering::Relaxed) == 1 {
                        reactor.stop();
                    }
                }));
            })
        })
        .collect();
    reactor.run().unwrap();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    let all = log.take();
    assert_eq!(all.len(), THREADS * CALLS);
    for name in 0..THREADS {
        let numbers = all.iter().filter(|entry| entry.0 == name).map(|entry| entry.1);
        assert!(numbers.eq(0..CALLS), "the calls of thread {name} are out of order");
    }
}

#[test]
fn everything_that_waits_in_the_inbox_runs_in_one_turn() {
    let reactor = reactor();
    let log = Log::default();
    for number in 0..10 {
        reactor.call_soon_threadsafe(Callback::new(log.writer(number)));
    }
    turn(&reactor);
    assert_eq!(log.take(), (0..10).collect::<Vec<_>>());
}

#[test]
fn a_callback_that_leaves_callbacks_in_the_inbox_does_not_stop_the_loop() {
    let reactor = reactor();
    let log = Log::default();
    fn again(reactor: &common::Loop, log: Log<()>) {
        log.push(());
        reactor.call_soon_threadsafe(Callback::new(move |reactor| again(reactor, log.clone())));
    }
    again(&reactor, log.clone());
    for expected in 2..10 {
        turn(&reactor);
        assert_eq!(log.len(), expected);
    }
}

#[test]
fn what_is_left_in_the_inbox_is_given_back_at_the_end() {
    let reactor = reactor();
    let drops = DropCounter::default();
    let door = Door::to(&reactor);
    let guard = drops.guard();
    let left = Callback::new(move |_| {
        let _ = &guard;
    });
    thread::spawn(move || door.call(left)).join().unwrap();
    let callbacks = reactor.close();
    assert_eq!((callbacks.len(), drops.count()), (1, 0));
    drop(callbacks);
    assert_eq!(drops.count(), 1);
}

#[test]
fn several_reactors_run_side_by_side_and_talk_to_each_other() {
    const ROUNDS: usize = 2_000;
    // A ball goes round three reactors, each in a thread of its own.
    let threads = 3;
    let (doors_out, doors_in) = mpsc::channel();
    let hits = Arc::new(AtomicUsize::new(0));
    let (finish, finished) = mpsc::channel::<()>();
    let finished = Arc::new(std::sync::Mutex::new(finished));
    let running: Vec<_> = (0..threads)
        .map(|_| {
            let (doors_out, finished) = (doors_out.clone(), finished.clone());
            thread::spawn(move || {
                let reactor = reactor();
                doors_out.send(Door::to(&reactor)).unwrap();
                reactor.run().unwrap();
                // No reactor goes before every door to it is out of use.
                let wait = finished.lock().unwrap().recv();
                assert!(wait.is_err());
            })
        })
        .collect();
    let doors: Vec<Door> = doors_in.iter().take(threads).collect();
    let ring = Arc::new(Ring(doors));
    throw(&ring, 0, ROUNDS, hits.clone());
    while hits.load(Ordering::Acquire) < ROUNDS {
        thread::yield_now();
    }
    for door in &ring.0 {
        door.call(Callback::new(|reactor| reactor.stop()));
    }
    drop(finish);
    running.into_iter().for_each(|thread| thread.join().unwrap());
}

struct Ring(Vec<Door>);

// SAFETY: as `Door` is `Send`: a shared door, too, reaches only the inbox and the waker.
unsafe impl Sync for Ring {}

fn throw(ring: &Arc<Ring>, to: usize, left: usize, hits: Arc<AtomicUsize>) {
    let next = ring.clone();
    ring.0[to].call(Callback::new(move |_| {
        hits.fetch_add(1, Ordering::AcqRel);
        if left > 1 {
            throw(&next, (to + 1) % next.0.len(), left - 1, hits.clone());
        }
    }));
}
