//! Watchers: level-triggered callbacks for two directions of a descriptor that is not ours.

#![allow(clippy::disallowed_types)] // what is watched belongs to somebody else

mod common;

use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use common::peer::{fill, read_now, unix_pair};
use common::{Callback, DropCounter, Log, Loop, TestHost, reactor, turn};
use sennit_engine::watcher::{Direction, Watcher};

fn watch(
    reactor: &Loop,
    socket: &impl AsRawFd,
    direction: Direction,
    log: &Log<char>,
) -> std::rc::Rc<Watcher<TestHost>> {
    let name = if direction == Direction::Read { 'r' } else { 'w' };
    let callback = Callback::new(log.writer(name));
    Watcher::register(reactor, socket.as_raw_fd(), direction, callback).unwrap()
}

fn stream(socket: OwnedFd) -> std::os::unix::net::UnixStream {
    socket.into()
}

#[test]
fn a_reader_is_called_in_every_turn_until_everything_is_read() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let mut ours = stream(ours);
    let log = Log::default();
    watch(&reactor, &ours, Direction::Read, &log);
    turn(&reactor);
    assert_eq!(log.len(), 0);
    peer.write_all(b"abc").unwrap();
    for left in [3, 2, 1] {
        turn(&reactor);
        assert_eq!(log.take(), ['r'], "with {left} bytes left");
        ours.read_exact(&mut [0]).unwrap();
    }
    turn(&reactor);
    assert_eq!(log.len(), 0);
}

#[test]
fn a_writer_is_called_while_there_is_room() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let mut ours = stream(ours);
    let log = Log::default();
    watch(&reactor, &ours, Direction::Write, &log);
    turn(&reactor);
    turn(&reactor);
    assert_eq!(log.take(), ['w', 'w']);
    fill(&mut ours);
    turn(&reactor);
    assert_eq!(log.len(), 0);
    read_now(&mut peer);
    turn(&reactor);
    assert_eq!(log.take(), ['w']);
}

#[test]
fn each_direction_can_be_set_and_cleared_alone() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let log = Log::default();
    peer.write_all(b"x").unwrap();
    let watcher = watch(&reactor, &ours, Direction::Read, &log);
    let writer = Callback::new(log.writer('w'));
    let before = watcher.replace(&reactor, Direction::Write, Some(writer)).unwrap();
    assert!(before.is_none());
    turn(&reactor);
    assert_eq!(log.take(), ['r', 'w']);
    let before = watcher.replace(&reactor, Direction::Read, None).unwrap();
    assert!(before.is_some());
    turn(&reactor);
    assert_eq!((log.take(), watcher.is_empty()), (vec!['w'], false));
    watcher.replace(&reactor, Direction::Write, None).unwrap();
    turn(&reactor);
    assert_eq!((log.len(), watcher.is_empty(), reactor.source_len()), (0, true, 0));
}

#[test]
fn only_the_direction_that_is_ready_is_called() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let mut ours = stream(ours);
    let log = Log::default();
    let watcher = watch(&reactor, &ours, Direction::Read, &log);
    let writer = Callback::new(log.writer('w'));
    watcher.replace(&reactor, Direction::Write, Some(writer)).unwrap();
    turn(&reactor);
    assert_eq!(log.take(), ['w']);
    fill(&mut ours);
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(log.take(), ['r']);
}

#[test]
fn a_replaced_callback_is_given_back_and_the_new_one_is_called() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let (log, drops) = (Log::default(), DropCounter::default());
    let guard = drops.guard();
    let first = Callback::new(move |_| {
        let _ = &guard;
    });
    let watcher = Watcher::register(&reactor, ours.as_raw_fd(), Direction::Read, first).unwrap();
    let second = Callback::new(log.writer("second"));
    let before = watcher.replace(&reactor, Direction::Read, Some(second)).unwrap();
    assert_eq!(drops.count(), 0);
    drop(before);
    assert_eq!(drops.count(), 1);
    peer.write_all(b"x").unwrap();
    turn(&reactor);
    assert_eq!(log.take(), ["second"]);
}

#[test]
fn the_end_of_the_peer_calls_the_reader() {
    let reactor = reactor();
    let (ours, peer) = unix_pair();
    let log = Log::default();
    watch(&reactor, &ours, Direction::Read, &log);
    drop(peer);
    turn(&reactor);
    turn(&reactor);
    assert_eq!(log.take(), ['r', 'r']);
}

#[test]
fn a_watcher_of_a_closed_descriptor_can_still_be_cleared() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let log = Log::default();
    let watcher = watch(&reactor, &ours, Direction::Read, &log);
    drop(ours);
    turn(&reactor);
    watcher.replace(&reactor, Direction::Read, None).unwrap();
    assert_eq!((log.len(), reactor.source_len()), (0, 0));
}

#[test]
fn one_direction_of_a_closed_descriptor_can_be_cleared_but_none_can_be_set() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let log = Log::default();
    let watcher = watch(&reactor, &ours, Direction::Read, &log);
    let writer = || Some(Callback::new(log.writer('w')));
    watcher.replace(&reactor, Direction::Write, writer()).unwrap();
    drop(ours);
    assert!(watcher.replace(&reactor, Direction::Read, None).unwrap().is_some());
    assert!(watcher.replace(&reactor, Direction::Write, writer()).is_err());
}

#[test]
fn the_end_of_the_reactor_drops_the_callbacks_and_not_the_descriptor() {
    let reactor = reactor();
    let (ours, mut peer) = unix_pair();
    let drops = DropCounter::default();
    let guard = drops.guard();
    let callback = Callback::new(move |_| {
        let _ = &guard;
    });
    let watcher = Watcher::register(&reactor, ours.as_raw_fd(), Direction::Read, callback).unwrap();
    drop(reactor.close());
    assert_eq!((drops.count(), watcher.is_empty()), (1, true));
    stream(ours).write_all(b"still open").unwrap();
    assert_eq!(read_now(&mut peer).0, b"still open");
}
