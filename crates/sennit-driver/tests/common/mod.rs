//! A server with a Rust application, peers on the other end of real sockets, and time moved by hand.
#![allow(dead_code)] // each test program uses its part
#![allow(clippy::disallowed_types)] // std's sockets are what the peers are made of

#[allow(dead_code)]
pub mod client;

use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::RawFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use sennit_driver::http1::server::{
    Answer, AnswerBody, AnswerHead, Answered, Application, Begun, BodyState, Connection, Departed,
    PieceRefused, Portion, Room, Serial, Server, Settings, Statistics,
};
use sennit_engine::poller::Event;
use sennit_engine::stream::{Chunk, Piece, Stream};
use sennit_engine::{Clock, EpollPoller, Host, Interest, Nanos, Poller, Reactor, Token};
use sennit_wire::http1::RequestHead;

pub const MILLISECOND: Nanos = 1_000_000;
pub const SECOND: Nanos = 1_000 * MILLISECOND;

#[derive(Clone, Default)]
pub struct HandClock(Rc<Cell<Nanos>>);

impl Clock for HandClock {
    fn now(&self) -> Nanos {
        self.0.get()
    }

    fn coarse(&self) -> Nanos {
        self.0.get()
    }
}

/// The real epoll, which never sleeps.
pub struct Sleepless(EpollPoller);

impl Poller for Sleepless {
    type Buffer = <EpollPoller as Poller>::Buffer;

    fn add(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0.add(descriptor, token, interest)
    }

    fn change(&self, descriptor: RawFd, token: Token, interest: Interest) -> io::Result<()> {
        self.0.change(descriptor, token, interest)
    }

    fn remove(&self, descriptor: RawFd) -> io::Result<()> {
        self.0.remove(descriptor)
    }

    fn wait(&self, buffer: &mut Self::Buffer, _: Option<Duration>) -> io::Result<usize> {
        self.0.wait(buffer, Some(Duration::ZERO))
    }

    fn event(buffer: &Self::Buffer, index: usize) -> Event {
        EpollPoller::event(buffer, index)
    }

    fn descriptor(&self) -> RawFd {
        self.0.descriptor()
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A host that has nothing to run.
pub struct Idle;

pub enum Nothing {}

impl Host for Idle {
    type Poller = Sleepless;
    type Clock = HandClock;
    type Callback = Nothing;
    type Value = ();

    fn run(&self, _: &Reactor<Self>, callback: Nothing) {
        match callback {}
    }

    fn is_cancelled(&self, _: &Nothing) -> bool {
        false
    }
}

pub type TestConnection = Connection<Idle, App>;

/// A request that is not answered yet.
pub type Open = (Rc<TestConnection>, Serial, String);

type Key = (*const TestConnection, Serial);

pub const PIECE: &[u8] = &[b'p'; 10_000];

/// What a target means: `/now` and the like are answered with the target, `/others` answers what is open first,
/// `/size/N` with N bytes, `/status/N` with that status, `/body` with its body once that is there, `/part` when some of its body is there, `/stream` with its body taken piece by piece,
/// `/pieces/N` with N pieces of 10,000 bytes as there is room, `/leave` leaves HTTP, `/never` when the test says so.
#[derive(Default)]
pub struct App {
    pub open: RefCell<Vec<Open>>,
    /// What was taken of bodies in pieces, and how many pieces of answers are left.
    taken: RefCell<Vec<(Key, Vec<u8>)>>,
    left: RefCell<Vec<(Key, usize)>>,
    pub has_left: RefCell<Vec<Vec<u8>>>,
    /// Connections that have left live on until the test says so.
    pub keeps_departed: Cell<bool>,
    pub departed: RefCell<Vec<Departed<Idle, App>>>,
    pub is_aborted: Rc<Cell<bool>>,
    pub abandoned: Cell<usize>,
    pub failed: Cell<usize>,
    pub drained: Cell<usize>,
    pub orphaned: Cell<usize>,
}

impl App {
    pub fn reply(
        &self,
        reactor: &Reactor<Idle>,
        connection: &Rc<TestConnection>,
        serial: Serial,
        body: &[u8],
    ) -> bool {
        self.reply_with(reactor, connection, serial, 200, body) == Answered::Yes
    }

    fn reply_with(
        &self,
        reactor: &Reactor<Idle>,
        connection: &Rc<TestConnection>,
        serial: Serial,
        status: u16,
        body: &[u8],
    ) -> Answered {
        let body = AnswerBody::Shared(body.to_vec());
        let head = AnswerHead { status, content_type: None, fields: b"" };
        connection.answer(reactor, serial, Answer { head, body })
    }

    /// Answers when some of the body is here, whatever it is.
    fn reply_to_part(&self, reactor: &Reactor<Idle>, (connection, serial, _): &Open) {
        drop(connection.take_body(*serial));
        self.reply(reactor, connection, *serial, b"/part");
    }

    /// Takes what there is of a body, and asks for more until it is whole.
    fn take_pieces(&self, reactor: &Reactor<Idle>, open: &Open) {
        let (connection, serial, _) = open;
        let key = (Rc::as_ptr(connection), *serial);
        let piece = connection.take_body(*serial);
        self.note_piece(key, &piece);
        match connection.ask_for_body(reactor, *serial, Portion::Piece) {
            BodyState::Waiting | BodyState::Asked => {}
            BodyState::Complete => {
                let rest = connection.take_body(*serial);
                self.note_piece(key, &rest);
                let body = self.forget(key);
                self.reply(reactor, connection, *serial, &body);
            }
            BodyState::Failed(failure) => {
                self.forget(key);
                self.failed.set(self.failed.get() + 1);
                self.reply(reactor, connection, *serial, format!("{failure:?}").as_bytes());
            }
        }
    }

    fn note_piece(&self, key: Key, piece: &[u8]) {
        let mut taken = self.taken.borrow_mut();
        match taken.iter_mut().find(|(known, _)| *known == key) {
            Some((_, bytes)) => bytes.extend_from_slice(piece),
            None => taken.push((key, piece.to_vec())),
        }
    }

    fn forget(&self, key: Key) -> Vec<u8> {
        let mut taken = self.taken.borrow_mut();
        let place = taken.iter().position(|(known, _)| *known == key);
        place.map(|place| taken.swap_remove(place).1).unwrap_or_default()
    }

    /// Sends pieces while there is room, then waits for it.
    fn send_pieces(&self, reactor: &Reactor<Idle>, open: &Open) {
        let (connection, serial, _) = open;
        let key = (Rc::as_ptr(connection), *serial);
        loop {
            let left = {
                let mut left = self.left.borrow_mut();
                let Some((_, left)) = left.iter_mut().find(|(known, _)| *known == key) else {
                    return;
                };
                let before = *left;
                *left = before.saturating_sub(1);
                before
            };
            if left == 0 {
                self.left.borrow_mut().retain(|(known, _)| *known != key);
                connection.end_answer(reactor, *serial, b"x-end: yes\r\n").unwrap();
                return;
            }
            let piece = Piece::Bytes(Chunk::Shared(PIECE.to_vec()));
            let sent = connection.send_piece(reactor, *serial, piece);
            match sent {
                Ok(Room::Free) => {}
                Ok(Room::Full) if connection.ask_for_room(*serial) == Room::Full => return,
                Ok(Room::Full) => {}
                Err(refused) => {
                    assert_eq!(refused, PieceRefused::Gone);
                    self.left.borrow_mut().retain(|(known, _)| *known != key);
                    return;
                }
            }
        }
    }

    fn reply_with_body(&self, reactor: &Reactor<Idle>, open: &Open) {
        let (connection, serial, _) = open;
        let state = connection.body(*serial, |state, _| state);
        let bytes = match state {
            BodyState::Complete => connection.take_body(*serial),
            BodyState::Failed(failure) => {
                self.failed.set(self.failed.get() + 1);
                format!("{failure:?}").into_bytes()
            }
            BodyState::Waiting | BodyState::Asked => panic!("settled while {state:?}"),
        };
        self.reply(reactor, connection, *serial, &bytes);
    }
}

/// The status of a final answer that a text asks for; 200 if it asks for none.
fn status_of(text: &str) -> u16 {
    text.parse().ok().filter(|status| (200..600).contains(status)).unwrap_or(200)
}

impl Application<Idle> for App {
    type Bytes = Vec<u8>;
    type Pending = Open;

    fn request(
        &self,
        reactor: &Reactor<Idle>,
        connection: &Rc<TestConnection>,
        serial: Serial,
        head: &RequestHead<'_, '_>,
    ) -> Option<Open> {
        let open: Open = (connection.clone(), serial, head.target.to_owned());
        if let Some(size) = head.target.strip_prefix("/size/") {
            self.reply(
                reactor,
                connection,
                serial,
                &vec![b'x'; size.parse().unwrap_or(1).min(8_000_000)],
            );
        } else if head.target == "/body" {
            match connection.ask_for_body(
                reactor,
                serial,
                Portion::Whole(connection.server().settings().max_body_size),
            ) {
                BodyState::Waiting | BodyState::Asked => return Some(open),
                BodyState::Complete | BodyState::Failed(_) => self.reply_with_body(reactor, &open),
            }
        } else if head.target == "/part" {
            if !connection.take_body(serial).is_empty() {
                self.reply_to_part(reactor, &open);
                return None;
            }
            match connection.ask_for_body(reactor, serial, Portion::Piece) {
                BodyState::Waiting | BodyState::Asked => return Some(open),
                BodyState::Complete | BodyState::Failed(_) => self.reply_to_part(reactor, &open),
            }
        } else if let Some(status) = head.target.strip_prefix("/status/") {
            let status = status_of(status);
            assert_eq!(self.reply_with(reactor, connection, serial, status, b"x"), Answered::Yes);
        } else if head.method == "CONNECT" {
            // The port is the status.
            let status = status_of(head.target.rsplit(':').next().unwrap());
            let pieces = AnswerHead { status, content_type: None, fields: b"" };
            if self.reply_with(reactor, connection, serial, status, b"x") == Answered::NoTunnel {
                let begun = connection.begin_answer(reactor, serial, pieces, None);
                assert_eq!(begun, Begun::NoTunnel);
                let _ = self.reply_with(reactor, connection, serial, 500, b"no tunnel");
            }
        } else if head.target == "/stream" {
            self.take_pieces(reactor, &open);
            return connection.awaits_answer(serial).then_some(open);
        } else if let Some(count) = head.target.strip_prefix("/pieces/") {
            let count = count.parse().unwrap_or(1_usize).min(1000);
            let head = AnswerHead { status: 200, content_type: None, fields: b"" };
            if connection.begin_answer(reactor, serial, head, None) == Begun::Body {
                self.left.borrow_mut().push(((Rc::as_ptr(connection), serial), count));
                self.send_pieces(reactor, &open);
            }
            return Some(open);
        } else if head.target == "/leave" {
            let head = AnswerHead { status: 101, content_type: None, fields: b"upgrade: x\r\n" };
            if connection.leave_http(reactor, serial, head, open).is_some() {
                self.reply(reactor, connection, serial, b"stays");
            }
            return None;
        } else if head.target == "/others" {
            // Answers of other connections, in the middle of this one's dispatch.
            for (other, serial, target) in self.open.take() {
                assert!(self.reply(reactor, &other, serial, target.as_bytes()));
            }
            self.reply(reactor, connection, serial, b"/others");
        } else if head.target.starts_with("/never") {
            self.open.borrow_mut().push(open.clone());
            return Some(open);
        } else {
            self.reply(reactor, connection, serial, head.target.as_bytes());
        }
        None
    }

    fn body_settled(&self, reactor: &Reactor<Idle>, open: &Open) {
        match open.2.as_str() {
            "/stream" => self.take_pieces(reactor, open),
            "/part" => self.reply_to_part(reactor, open),
            _ => self.reply_with_body(reactor, open),
        }
    }

    fn body_piece(&self, reactor: &Reactor<Idle>, open: &Open, data: &[u8]) -> bool {
        let (connection, serial, target) = open;
        if target == "/part" {
            return false;
        }
        self.note_piece((Rc::as_ptr(connection), *serial), data);
        // Asked again in the very call: the next piece is collected.
        let _ = connection.ask_for_body(reactor, *serial, Portion::Piece);
        true
    }

    fn room(&self, reactor: &Reactor<Idle>, open: &Open) {
        self.send_pieces(reactor, open);
    }

    fn left(
        &self,
        _: &Reactor<Idle>,
        _: Open,
        mut stream: Stream<Vec<u8>>,
        input: Vec<u8>,
        departed: Departed<Idle, Self>,
    ) {
        if self.keeps_departed.get() {
            let is_aborted = self.is_aborted.clone();
            departed.on_abort(move |_| is_aborted.set(true));
            self.departed.borrow_mut().push(departed);
        }
        stream.push(Chunk::Owned(b"left".to_vec()));
        let _ = stream.flush();
        self.has_left.borrow_mut().push(input);
    }

    fn abandoned(&self, _: &Reactor<Idle>, (connection, serial, _): Open) {
        let key = (Rc::as_ptr(&connection), serial);
        self.forget(key);
        self.left.borrow_mut().retain(|(known, _)| *known != key);
        self.abandoned.set(self.abandoned.get() + 1);
        self.open
            .borrow_mut()
            .retain(|(connection, own, _)| *own != serial || connection.awaits_answer(*own));
    }

    fn drained(&self, _: &Reactor<Idle>) {
        self.drained.set(self.drained.get() + 1);
    }

    fn orphaned(&self) {
        self.orphaned.set(self.orphaned.get() + 1);
    }
}

pub struct World {
    pub reactor: Reactor<Idle>,
    pub server: Rc<Server<Idle, App>>,
    clock: HandClock,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let clock = HandClock::default();
        let poller = Sleepless(EpollPoller::new().unwrap());
        let reactor = Reactor::new(Idle, poller, clock.clone()).unwrap();
        World { reactor, server: Server::new(App::default(), settings), clock }
    }

    pub fn app(&self) -> &App {
        self.server.application()
    }

    pub fn counted(&self) -> Statistics {
        self.server.statistics()
    }

    /// A connection that the server has accepted.
    pub fn connect(&self) -> Peer {
        self.connect_from(None)
    }

    pub fn connect_from(&self, address: Option<&str>) -> Peer {
        let address = address.map(|address| address.parse().unwrap());
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        theirs.set_nonblocking(true).unwrap();
        self.server.accept(&self.reactor, ours.into(), address, None).unwrap();
        Peer { socket: theirs, got: Vec::new(), ended: false }
    }

    /// Turns, as many as one event can need.
    pub fn turns(&self) {
        for _ in 0..8 {
            self.turn();
        }
    }

    pub fn turn(&self) {
        self.reactor.stop();
        self.reactor.run().unwrap();
    }

    pub fn pass(&self, time: Nanos) {
        self.clock.0.set(self.clock.0.get() + time);
        self.turns();
    }

    /// Answers what was asked for with `/never`.
    pub fn answer_open(&self) -> usize {
        let open = self.app().open.take();
        open.iter()
            .filter(|(connection, serial, target)| {
                self.app().reply(&self.reactor, connection, *serial, target.as_bytes())
            })
            .count()
    }
}

/// The other end.
pub struct Peer {
    socket: UnixStream,
    pub got: Vec<u8>,
    pub ended: bool,
}

impl Peer {
    /// Sends what the kernel takes.
    pub fn send(&mut self, world: &World, bytes: &[u8]) -> usize {
        let sent = self.socket.write(bytes).unwrap_or(0);
        world.turns();
        sent
    }

    /// Sends without a turn.
    pub fn send_quietly(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
    }

    /// Takes at most so many bytes of what is there.
    pub fn receive(&mut self, world: &World, most: usize) -> usize {
        let mut buffer = vec![0; most];
        let count = match self.socket.read(&mut buffer) {
            Ok(0) => {
                self.ended = true;
                0
            }
            Ok(count) => {
                self.got.extend_from_slice(&buffer[..count]);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.ended = true;
                0
            }
        };
        world.turns();
        count
    }

    pub fn receive_all(&mut self, world: &World) {
        while self.receive(world, 1 << 20) > 0 {}
    }

    pub fn end(&self) {
        self.socket.shutdown(Shutdown::Write).unwrap();
    }

    /// Whether the server has ended the connection.
    pub fn is_over(&mut self, world: &World) -> bool {
        self.receive_all(world);
        self.ended
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.got).into_owned()
    }
}

/// Chance that can be repeated.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}
