//! A connected socket and its write queue: verbs that say what happened, and no callback.
//!
//! Laws:
//! - A read that comes up short has drained the socket, unless the peer has closed.
//! - Bytes leave in the order in which they were queued, with as few calls as the kernel allows.
//! - After a failed write the stream takes nothing more; the owner closes it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::socket;

/// Pieces handed to the kernel in one call; its own limit is 1024.
const MAX_PIECES: usize = 64;

/// What a read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// So many bytes.
    Data(usize),
    /// The peer has sent all that it will send.
    End,
    /// Nothing is there now.
    Blocked,
}

/// What a flush has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is with the kernel.
    All,
    /// The kernel is full; writability will tell.
    Blocked,
}

/// A piece of the write queue: the host's own immutable bytes, or a copy.
#[derive(Debug)]
pub enum Chunk<B> {
    /// Bytes that the host keeps alive and unchanged.
    Shared(B),
    /// Bytes copied for us.
    Owned(Vec<u8>),
}

impl<B: AsRef<[u8]>> AsRef<[u8]> for Chunk<B> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Chunk::Shared(bytes) => bytes.as_ref(),
            Chunk::Owned(bytes) => bytes,
        }
    }
}

/// A connected, non-blocking socket.
#[derive(Debug)]
pub struct Stream<B> {
    socket: OwnedFd,
    queue: VecDeque<Chunk<B>>,
    /// Bytes of the first piece that are sent already.
    sent: usize,
    queued: usize,
}

impl<B: AsRef<[u8]>> Stream<B> {
    /// Takes over a connected, non-blocking socket.
    pub fn new(socket: OwnedFd) -> Self {
        Stream { socket, queue: VecDeque::new(), sent: 0, queued: 0 }
    }

    /// The socket's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Reads once.
    #[inline]
    pub fn receive(&self, buffer: &mut [u8]) -> io::Result<Received> {
        match socket::receive(self.descriptor(), buffer) {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Data(count)),
            Err(error) if socket::would_block(&error) => Ok(Received::Blocked),
            Err(error) => Err(error),
        }
    }

    /// Queues a piece; empty ones are passed over.
    pub fn push(&mut self, chunk: Chunk<B>) {
        let length = chunk.as_ref().len();
        if length > 0 {
            self.queued += length;
            self.queue.push_back(chunk);
        }
    }

    /// Sends bytes that stay the caller's, and queues a copy of what the kernel does not take.
    pub fn send_or_queue(&mut self, bytes: &[u8]) -> io::Result<Flushed> {
        let sent = if self.queue.is_empty() { self.send_once(bytes)? } else { 0 };
        if sent == bytes.len() {
            return Ok(Flushed::All);
        }
        self.push(Chunk::Owned(bytes[sent..].to_vec()));
        Ok(Flushed::Blocked)
    }

    fn send_once(&self, bytes: &[u8]) -> io::Result<usize> {
        match socket::send(self.descriptor(), bytes) {
            Err(error) if socket::would_block(&error) => Ok(0),
            result => result,
        }
    }

    /// Sends what is queued until it is gone or the kernel is full.
    pub fn flush(&mut self) -> io::Result<Flushed> {
        while let Some(first) = self.queue.front() {
            let result = if self.queue.len() == 1 {
                socket::send(self.descriptor(), &first.as_ref()[self.sent..])
            } else {
                self.send_pieces()
            };
            match result {
                Ok(count) => self.drop_sent(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if socket::would_block(&error) => return Ok(Flushed::Blocked),
                Err(error) => return Err(error),
            }
        }
        if self.queue.capacity() > MAX_PIECES {
            self.queue = VecDeque::new();
        }
        Ok(Flushed::All)
    }

    fn send_pieces(&self) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
        let mut count = 0;
        for (slot, chunk) in pieces.iter_mut().zip(&self.queue) {
            let skip = if count == 0 { self.sent } else { 0 };
            *slot = IoSlice::new(&chunk.as_ref()[skip..]);
            count += 1;
        }
        socket::send_vectored(self.descriptor(), &pieces[..count])
    }

    fn drop_sent(&mut self, mut count: usize) {
        self.queued -= count;
        while let Some(first) = self.queue.front() {
            let left = first.as_ref().len() - self.sent;
            if count < left {
                self.sent += count;
                return;
            }
            count -= left;
            self.sent = 0;
            self.queue.pop_front();
        }
    }

    /// Throws away what waits to be sent, and gives it back to be dropped.
    #[must_use]
    pub fn discard(&mut self) -> VecDeque<Chunk<B>> {
        self.queued = 0;
        self.sent = 0;
        std::mem::take(&mut self.queue)
    }

    /// Tells the peer that no more bytes will come.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self.descriptor())
    }

    /// Gives the socket to somebody else.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }
}
