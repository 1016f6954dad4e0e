//! A connected socket and its write queue: verbs that say what happened, and no callback.
//!
//! Laws:
//! - A read that comes up short has drained the socket, unless the peer has closed.
//! - Bytes leave in the order in which they were queued, with as few calls as the kernel allows.
//! - After a failed write the stream takes nothing more; the owner closes it.
//! - With TLS beneath, the same verbs speak of plaintext; what is queued before the handshake is
//!   done waits for it.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use crate::clock::Nanos;
use crate::file::FilePiece;
use crate::socket;
use crate::tls::secure::{Outcome, SEAL_SIZE, Secure};
use crate::tls::{Details, Fault, Session};

/// Pieces handed to the kernel in one call; its own limit is 1024.
const MAX_PIECES: usize = 64;

/// Bytes of files, or of plaintext to be encrypted, that one flush sends: a peer that takes them as fast as they come
/// would keep the others waiting.
const FILES_AT_ONCE: usize = 1024 * 1024;

/// What a read has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// Bytes have come.
    Data {
        /// How many.
        count: usize,
        /// Whether that was all that is there now.
        drained: bool,
    },
    /// The peer has sent all that it will send.
    End,
    /// Nothing is there now.
    Blocked,
    /// The TLS handshake is done; what came behind it is there for the next read.
    Secured,
}

/// What a flush has reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flushed {
    /// Everything is with the kernel.
    All,
    /// The kernel is full; writability will tell.
    Blocked,
    /// The kernel would take more, and it is the others' turn: nothing will tell, ask again.
    Yielded,
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

/// What the write queue holds.
#[derive(Debug)]
pub enum Piece<B> {
    /// Bytes in memory.
    Bytes(Chunk<B>),
    /// Bytes in a file.
    File(FilePiece),
}

impl<B: AsRef<[u8]>> Piece<B> {
    /// Its bytes.
    pub fn length(&self) -> usize {
        match self {
            Piece::Bytes(chunk) => chunk.as_ref().len(),
            Piece::File(file) => file.length(),
        }
    }
}

/// A connected, non-blocking socket.
#[derive(Debug)]
pub struct Stream<B> {
    socket: OwnedFd,
    queue: VecDeque<Piece<B>>,
    /// Bytes of the first piece that are sent already.
    sent: usize,
    queued: usize,
    secure: Option<Box<Secure>>,
}

impl<B: AsRef<[u8]>> Stream<B> {
    /// Takes over a connected, non-blocking socket.
    pub fn new(socket: OwnedFd) -> Self {
        Stream { socket, queue: VecDeque::new(), sent: 0, queued: 0, secure: None }
    }

    /// The socket's descriptor.
    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Bytes that wait to be sent.
    #[inline]
    pub fn queued(&self) -> usize {
        self.queued + self.secure.as_ref().map_or(0, |secure| secure.queued())
    }

    /// Speaks TLS from here on. What is queued already leaves in the clear before it.
    pub fn start_tls(&mut self, session: Box<dyn Session>, timeout: Nanos) -> io::Result<()> {
        let before = self.take_queued()?;
        self.secure = Some(Box::new(Secure::new(session, timeout, before)?));
        Ok(())
    }

    /// What is queued, as bytes in memory.
    fn take_queued(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(self.queued);
        while let Some(first) = self.queue.pop_front() {
            let sent = std::mem::take(&mut self.sent);
            match first {
                Piece::Bytes(chunk) => bytes.extend_from_slice(&chunk.as_ref()[sent..]),
                Piece::File(file) => {
                    let mut at = bytes.len();
                    bytes.resize(at + file.length() - sent, 0);
                    while at < bytes.len() {
                        let done = file.length() - (bytes.len() - at);
                        at += file.read(done, &mut bytes[at..])?;
                    }
                }
            }
        }
        self.queued = 0;
        Ok(bytes)
    }

    /// The same connection for an owner with other bytes; what waits to be sent goes with it.
    pub fn hand_over<C: AsRef<[u8]>>(mut self) -> io::Result<Stream<C>> {
        let waiting = self.take_queued()?;
        let mut stream = Stream {
            socket: self.socket,
            queue: VecDeque::new(),
            sent: 0,
            queued: 0,
            secure: self.secure,
        };
        stream.push(Chunk::Owned(waiting));
        Ok(stream)
    }

    /// The time of a handshake begins; when it must be done.
    pub fn begin_handshake(&mut self, now: Nanos) -> Option<Nanos> {
        self.secure.as_mut().and_then(|secure| secure.begin_handshake(now))
    }

    /// What is wrong if a handshake is not done by now.
    pub fn late_by(&self, now: Nanos) -> Option<Fault> {
        self.secure.as_ref().and_then(|secure| secure.late_by(now))
    }

    /// Whether TLS is spoken.
    pub fn has_tls(&self) -> bool {
        self.secure.is_some()
    }

    /// Whether what is written can leave: TLS is not spoken, or its handshake is done.
    pub fn is_open(&self) -> bool {
        self.secure.as_ref().is_none_or(|secure| secure.is_open())
    }

    /// What TLS has agreed upon; `None` without it.
    pub fn tls_details(&self) -> Option<Details> {
        self.secure.as_ref().map(|secure| secure.details())
    }

    /// Reads once.
    #[inline]
    pub fn receive(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        if self.secure.is_some() {
            return self.receive_secure(buffer);
        }
        match socket::receive(self.descriptor(), buffer) {
            Ok(0) => Ok(Received::End),
            Ok(count) => Ok(Received::Data { count, drained: count < buffer.len() }),
            Err(error) if socket::would_block(&error) => Ok(Received::Blocked),
            Err(error) => Err(error),
        }
    }

    fn receive_secure(&mut self, buffer: &mut [u8]) -> io::Result<Received> {
        let descriptor = self.descriptor();
        let Some(secure) = self.secure.as_mut() else { return Ok(Received::Blocked) };
        Ok(match secure.receive(descriptor, buffer)? {
            Outcome::Data(count, drained) => Received::Data { count, drained },
            Outcome::End => Received::End,
            Outcome::Blocked => Received::Blocked,
            Outcome::Secured => Received::Secured,
        })
    }

    /// Queues a piece; empty ones are passed over.
    pub fn push(&mut self, chunk: Chunk<B>) {
        let length = chunk.as_ref().len();
        if length > 0 {
            self.queued += length;
            self.queue.push_back(Piece::Bytes(chunk));
        }
    }

    /// Queues a piece of a file.
    pub fn push_file(&mut self, file: FilePiece) {
        if file.length() > 0 {
            self.queued += file.length();
            self.queue.push_back(Piece::File(file));
        }
    }

    /// Sends bytes that stay the caller's, and queues a copy of what the kernel does not take.
    pub fn send_or_queue(&mut self, bytes: &[u8]) -> io::Result<Flushed> {
        if let Some(secure) = self.secure.as_mut() {
            if !secure.is_open() || secure.queued() > 0 || !self.queue.is_empty() {
                self.push(Chunk::Owned(bytes.to_vec()));
                return self.flush();
            }
            let (now, later) = bytes.split_at(bytes.len().min(SEAL_SIZE));
            secure.seal(now)?;
            if !later.is_empty() {
                self.push(Chunk::Owned(later.to_vec()));
            }
            return self.flush();
        }
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
        if self.secure.is_some() {
            return self.flush_secure();
        }
        let mut from_files = 0;
        while let Some(first) = self.queue.front() {
            let result = match first {
                Piece::File(_) if from_files >= FILES_AT_ONCE => return Ok(Flushed::Yielded),
                Piece::File(file) => {
                    let moved = file.send(self.descriptor(), self.sent, FILES_AT_ONCE - from_files);
                    from_files += *moved.as_ref().unwrap_or(&0);
                    moved
                }
                Piece::Bytes(chunk) if self.queue.len() == 1 => {
                    socket::send(self.descriptor(), &chunk.as_ref()[self.sent..])
                }
                Piece::Bytes(_) => self.send_pieces(),
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

    fn flush_secure(&mut self) -> io::Result<Flushed> {
        let descriptor = self.descriptor();
        let queued = self.queued;
        loop {
            let Some(secure) = self.secure.as_mut() else { return Ok(Flushed::All) };
            if !secure.send(descriptor)? {
                return Ok(Flushed::Blocked);
            }
            if self.queue.is_empty() {
                return Ok(Flushed::All);
            }
            if !secure.is_open() {
                return Ok(Flushed::Blocked);
            }
            if queued - self.queued >= FILES_AT_ONCE {
                return Ok(Flushed::Yielded);
            }
            self.seal_some()?;
        }
    }

    /// Encrypts what the kernel may take next; small pieces share a record.
    fn seal_some(&mut self) -> io::Result<()> {
        let (Some(secure), Some(first)) = (self.secure.as_mut(), self.queue.front()) else {
            return Ok(());
        };
        if let Piece::Bytes(chunk) = first {
            let first = &chunk.as_ref()[self.sent..];
            if self.queue.len() == 1 || first.len() >= SEAL_SIZE {
                let count = first.len().min(SEAL_SIZE);
                secure.seal(&first[..count])?;
                self.drop_sent(count);
                return Ok(());
            }
        }
        let mut gathered = Vec::with_capacity(self.queued.min(SEAL_SIZE));
        let mut skip = self.sent;
        for piece in &self.queue {
            let sent = std::mem::take(&mut skip);
            let before = gathered.len();
            let count = (piece.length() - sent).min(SEAL_SIZE - before);
            match piece {
                Piece::Bytes(chunk) => {
                    gathered.extend_from_slice(&chunk.as_ref()[sent..sent + count]);
                }
                Piece::File(file) => {
                    gathered.resize(before + count, 0);
                    let read = file.read(sent, &mut gathered[before..])?;
                    gathered.truncate(before + read);
                    if read < count {
                        break;
                    }
                }
            }
            if gathered.len() == SEAL_SIZE {
                break;
            }
        }
        secure.seal(&gathered)?;
        self.drop_sent(gathered.len());
        Ok(())
    }

    fn send_pieces(&self) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); MAX_PIECES];
        let mut count = 0;
        for (slot, piece) in pieces.iter_mut().zip(&self.queue) {
            // What stands before a file waits for its first bytes, and leaves in one packet with them.
            let Piece::Bytes(chunk) = piece else { break };
            let skip = if count == 0 { self.sent } else { 0 };
            *slot = IoSlice::new(&chunk.as_ref()[skip..]);
            count += 1;
        }
        let more = count < self.queue.len();
        socket::send_vectored(self.descriptor(), &pieces[..count], more)
    }

    fn drop_sent(&mut self, mut count: usize) {
        self.queued -= count;
        while let Some(first) = self.queue.front() {
            let left = first.length() - self.sent;
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
    pub fn discard(&mut self) -> VecDeque<Piece<B>> {
        self.queued = 0;
        self.sent = 0;
        std::mem::take(&mut self.queue)
    }

    /// Whether a flush may say that no more will come: TLS has its own word for that, which has
    /// to be sent.
    pub fn end(&mut self) -> io::Result<()> {
        match self.secure.as_mut() {
            Some(secure) => secure.end(),
            None => Ok(()),
        }
    }

    /// Tells the peer that no more bytes will come.
    pub fn shutdown_write(&self) -> io::Result<()> {
        socket::shutdown_write(self.descriptor())
    }

    /// Throws away what has come and nobody will read. Closing a socket with unread bytes resets
    /// the connection, and that may take away what the peer has not read yet; behind a TLS
    /// handshake there nearly always are some (session tickets).
    pub fn discard_input(&self) {
        if self.secure.is_some() {
            socket::discard_input(self.descriptor());
        }
    }

    /// Has the kernel reset the connection when it is closed, instead of ending it in order.
    pub fn reset_on_close(&self) {
        socket::reset_on_close(self.descriptor());
    }

    /// Bytes that are with the kernel and not with the peer; `None` where nobody knows.
    pub fn untaken(&self) -> Option<usize> {
        socket::untaken(self.descriptor())
    }

    /// Throws away what has come, encrypted or not, before the socket is closed.
    pub fn throw_input_away(&self) {
        socket::discard_input(self.descriptor());
    }

    /// Gives the socket to somebody else.
    pub fn into_socket(self) -> OwnedFd {
        self.socket
    }
}
