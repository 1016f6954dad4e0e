//! A piece of a file on its way to a socket, without a detour through our memory where there is a shorter way.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::rc::Rc;

/// A piece of an open, regular file. The file's own position is neither used nor moved, so that any number of
/// connections may send the same file at a time.
#[derive(Debug, Clone)]
pub struct FilePiece {
    file: Rc<OwnedFd>,
    offset: u64,
    length: usize,
}

impl FilePiece {
    /// `length` bytes from `offset` on.
    pub fn new(file: Rc<OwnedFd>, offset: u64, length: usize) -> Self {
        FilePiece { file, offset, length }
    }

    /// Bytes that are to be sent.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Has the kernel move bytes from the file to a socket, at most `limit` of them.
    pub(crate) fn send(&self, socket: RawFd, sent: usize, limit: usize) -> io::Result<usize> {
        let mut at = self.position(sent)?;
        let count = (self.length - sent).min(limit);
        // SAFETY: two live descriptors, and a pointer to a local that outlives the call.
        let moved = unsafe { libc::sendfile(socket, self.file.as_raw_fd(), &mut at, count) };
        self.check(moved)
    }

    /// Reads into memory, for a socket that has to encrypt.
    pub(crate) fn read(&self, sent: usize, buffer: &mut [u8]) -> io::Result<usize> {
        let at = self.position(sent)?;
        let count = (self.length - sent).min(buffer.len());
        // SAFETY: the pointer names a writable slice of at least that length.
        let read =
            unsafe { libc::pread(self.file.as_raw_fd(), buffer.as_mut_ptr().cast(), count, at) };
        self.check(read)
    }

    fn position(&self, sent: usize) -> io::Result<libc::off_t> {
        libc::off_t::try_from(self.offset.saturating_add(sent as u64))
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    }

    /// A file that ends before what was promised of it breaks the connection: the peer would wait for ever.
    fn check(&self, result: isize) -> io::Result<usize> {
        match result {
            0 => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter while it was sent",
            )),
            count if count > 0 => Ok(count as usize),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// The size of a regular file in bytes; `None` for anything else.
pub fn regular_size(file: &OwnedFd) -> io::Result<Option<u64>> {
    // SAFETY: all-zero is a valid stat, and the pointer names a local that outlives the call.
    let (result, status) = unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        (libc::fstat(file.as_raw_fd(), &mut status), status)
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_regular = status.st_mode & libc::S_IFMT == libc::S_IFREG;
    Ok(is_regular.then_some(status.st_size as u64))
}
