//! A session and the bytes that wait around it.
//!
//! Laws:
//! - What was queued in the clear before TLS began leaves in the clear, before the handshake.
//! - Plaintext waits for its reader here only where the reader's buffer was too small for it.
//! - A connection at rest holds no buffer: received and sent bytes lie in buffers that all
//!   connections of a thread share, and only what could not be finished is kept.

use std::cell::Cell;
use std::io;
use std::os::fd::RawFd;

use super::{Details, Fault, Phase, Session};
use crate::clock::Nanos;
use crate::socket;

/// Ciphertext that one read can bring.
const RECEIVE_SIZE: usize = 128 * 1024;

/// A record at most (RFC 5246, section 6.2.3; RFC 8446, section 5.2 allows less).
const RECORD_SIZE: usize = 5 + 16 * 1024 + 2048;

/// Plaintext that is encrypted before the kernel is asked to take it.
pub const SEAL_SIZE: usize = 64 * 1024;

thread_local! {
    /// Where ciphertext is received and decrypted.
    static INCOMING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where plaintext is collected.
    static PLAIN: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    /// Where ciphertext is made.
    static OUTGOING: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// What came of a look at the socket.
pub enum Outcome {
    /// Plaintext is in the caller's buffer. False: more may be there.
    Data(usize, bool),
    /// Nothing for the caller now.
    Blocked,
    /// The handshake is done.
    Secured,
    /// The peer has sent all.
    End,
}

/// The half of us that writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Open,
    /// `close_notify` is on its way.
    Ended,
}

/// TLS between a stream and its socket.
pub struct Secure {
    session: Box<dyn Session>,
    phase: Phase,
    writing: Writing,
    /// An incomplete record or handshake message, from its first byte.
    rest: Vec<u8>,
    /// Plaintext that did not fit into the caller's buffer, from `taken` on.
    plain: Vec<u8>,
    taken: usize,
    /// What has ended the session, for whoever has read what came before it.
    fault: Option<Box<Fault>>,
    /// Ciphertext that the kernel has not taken, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    /// How long the handshake may take, and when it must be done.
    timeout: Nanos,
    deadline: Nanos,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Secure").field("phase", &self.phase).finish_non_exhaustive()
    }
}

impl Secure {
    /// TLS from here on; `before` was queued in the clear. A client's first message is made now.
    pub fn new(
        mut session: Box<dyn Session>,
        timeout: Nanos,
        before: Vec<u8>,
    ) -> Result<Self, Fault> {
        let (mut plain, mut outgoing) = (Vec::new(), before);
        if let Some(fault) = session.receive(&mut [], &mut plain, &mut outgoing).fault {
            return Err(fault);
        }
        Ok(Secure {
            session,
            phase: Phase::Handshaking,
            writing: Writing::Open,
            rest: Vec::new(),
            plain,
            taken: 0,
            fault: None,
            outgoing,
            sent: 0,
            timeout,
            deadline: Nanos::MAX,
        })
    }

    /// The time of the handshake begins, once; when it must be done.
    pub fn begin_handshake(&mut self, now: Nanos) -> Option<Nanos> {
        if self.is_open() || self.deadline != Nanos::MAX {
            return None;
        }
        self.deadline = now.saturating_add(self.timeout);
        Some(self.deadline)
    }

    /// What is wrong if the handshake is not done by now.
    pub fn late_by(&self, now: Nanos) -> Option<Fault> {
        let is_late = !self.is_open() && now >= self.deadline;
        is_late.then(|| Fault::deadline(self.timeout as f64 / 1e9))
    }

    /// What the two ends have agreed upon.
    pub fn details(&self) -> Details {
        self.session.details()
    }

    /// Whether application data can be sent.
    pub fn is_open(&self) -> bool {
        self.phase != Phase::Handshaking
    }

    /// Ciphertext that waits to be sent, in bytes.
    pub fn queued(&self) -> usize {
        self.outgoing.len() - self.sent
    }

    /// Reads the socket and gives plaintext.
    pub fn receive(&mut self, descriptor: RawFd, buffer: &mut [u8]) -> io::Result<Outcome> {
        if !self.plain.is_empty() {
            let count = self.take_plain(buffer);
            // Only a look at the socket tells whether more is there.
            return Ok(Outcome::Data(count, false));
        }
        if self.phase == Phase::PeerClosed {
            return Ok(Outcome::End);
        }
        let result = self.receive_into(descriptor, buffer);
        if result.is_err() {
            // The alert tells the peer why; nobody waits for it to be taken. What has come and is
            // not read would make the end of the connection a reset, which overtakes it.
            let _ = self.send(descriptor);
            socket::discard_input(descriptor);
        }
        result
    }

    fn receive_into(&mut self, descriptor: RawFd, buffer: &mut [u8]) -> io::Result<Outcome> {
        loop {
            self.check()?;
            let before = self.phase;
            let drained = match self.look(descriptor, buffer.len()) {
                Ok(drained) => drained,
                Err(error) if socket::would_block(&error) => return Ok(Outcome::Blocked),
                Err(error) => return Err(error),
            };
            if before == Phase::Handshaking && self.is_open() {
                // The owner asks again, and finds what has come behind the handshake; if it does
                // so later, that lies in no more memory than it needs.
                self.plain.shrink_to_fit();
                return Ok(Outcome::Secured);
            }
            if !self.plain.is_empty() {
                let count = self.take_plain(buffer);
                let is_all = self.plain.is_empty() && self.phase == Phase::Open;
                return Ok(Outcome::Data(count, drained && is_all && self.fault.is_none()));
            }
            if self.phase == Phase::PeerClosed {
                return Ok(Outcome::End);
            }
            if drained && self.fault.is_none() {
                return Ok(Outcome::Blocked);
            }
        }
    }

    /// Receives once and decrypts what has come. True: that was all that is there.
    fn look(&mut self, descriptor: RawFd, wanted: usize) -> io::Result<bool> {
        let kept = self.rest.len();
        if kept > RECORD_SIZE {
            return self.look_behind(descriptor);
        }
        let mut incoming = INCOMING.take();
        incoming.resize(RECEIVE_SIZE, 0);
        incoming[..kept].copy_from_slice(&self.rest);
        // No more than the caller has room for, but always a whole record.
        let end = (kept + wanted.max(SEAL_SIZE)).min(incoming.len());
        let result = socket::receive(descriptor, &mut incoming[kept..end]);
        if let Ok(count @ 1..) = result {
            let used = self.open(&mut incoming[..kept + count]);
            match &incoming[used..kept + count] {
                [] => self.rest = Vec::new(),
                rest => {
                    self.rest.clear();
                    self.rest.extend_from_slice(rest);
                }
            }
        }
        INCOMING.set(incoming);
        match result? {
            0 => Err(Fault::truncated(self.phase).into()),
            count => Ok(kept + count < end),
        }
    }

    /// As [`Secure::look`], behind a handshake message of many records: it stays where it is, so
    /// that a peer which sends it byte by byte does not have it copied for each of them.
    fn look_behind(&mut self, descriptor: RawFd) -> io::Result<bool> {
        let kept = self.rest.len();
        if kept >= RECEIVE_SIZE {
            return Err(
                Fault::protocol("a TLS handshake message is cut into too many records").into()
            );
        }
        let mut rest = std::mem::take(&mut self.rest);
        rest.resize(kept + RECORD_SIZE, 0);
        let result = socket::receive(descriptor, &mut rest[kept..]);
        rest.truncate(kept + *result.as_ref().unwrap_or(&0));
        if let Ok(1..) = result {
            let used = self.open(&mut rest);
            rest.drain(..used);
        }
        if rest.len() <= RECORD_SIZE {
            rest.shrink_to_fit();
        }
        self.rest = rest;
        match result? {
            0 => Err(Fault::truncated(self.phase).into()),
            count => Ok(count < RECORD_SIZE),
        }
    }

    /// Decrypts what has come. Returns how many bytes are done with.
    fn open(&mut self, incoming: &mut [u8]) -> usize {
        self.plain = PLAIN.take();
        self.borrow_outgoing();
        let progress = self.session.receive(incoming, &mut self.plain, &mut self.outgoing);
        if self.plain.is_empty() {
            PLAIN.set(std::mem::take(&mut self.plain));
        }
        self.return_outgoing();
        self.phase = progress.phase;
        self.fault = progress.fault.map(Box::new);
        progress.used
    }

    /// Moves plaintext to the caller.
    fn take_plain(&mut self, buffer: &mut [u8]) -> usize {
        let waiting = &self.plain[self.taken..];
        let count = waiting.len().min(buffer.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.taken += count;
        if self.taken == self.plain.len() {
            let mut done = std::mem::take(&mut self.plain);
            self.taken = 0;
            done.clear();
            PLAIN.set(done);
        }
        count
    }

    fn borrow_outgoing(&mut self) {
        if self.outgoing.capacity() == 0 {
            self.outgoing = OUTGOING.take();
        }
    }

    fn return_outgoing(&mut self) {
        if self.sent == self.outgoing.len() {
            let mut done = std::mem::take(&mut self.outgoing);
            self.sent = 0;
            done.clear();
            if done.capacity() <= 2 * SEAL_SIZE {
                OUTGOING.set(done);
            }
        }
    }

    /// Nothing may be asked of a session after its fault.
    fn check(&self) -> Result<(), Fault> {
        self.fault.as_ref().map_or(Ok(()), |fault| Err(Fault::clone(fault)))
    }

    /// Encrypts plaintext behind what waits already.
    pub fn seal(&mut self, plain: &[u8]) -> io::Result<()> {
        self.check()?;
        self.borrow_outgoing();
        Ok(self.session.seal(&mut self.rest, plain, &mut self.outgoing)?)
    }

    /// Whether the peer was told that no more will be sent, or cannot be told.
    pub fn has_ended(&self) -> bool {
        self.writing == Writing::Ended || !self.is_open() || self.fault.is_some()
    }

    /// Says that no more will be sent; once.
    pub fn end(&mut self) -> io::Result<()> {
        if !self.has_ended() {
            self.writing = Writing::Ended;
            self.borrow_outgoing();
            self.session.close(&mut self.rest, &mut self.outgoing)?;
        }
        Ok(())
    }

    /// Sends ciphertext. True: all of it is with the kernel.
    pub fn send(&mut self, descriptor: RawFd) -> io::Result<bool> {
        while self.sent < self.outgoing.len() {
            match socket::send(descriptor, &self.outgoing[self.sent..]) {
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if socket::would_block(&error) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        self.return_outgoing();
        Ok(true)
    }
}
