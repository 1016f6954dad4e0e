//! Datagrams: many of them with one system call, and the addresses they come from.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::{address, check};

/// Datagrams that one call can bring.
pub const BATCH: usize = 32;

/// Room for each, as asyncio's: UDP has none above 64 KiB (RFC 768), UNIX datagrams may be longer.
/// What no datagram has reached costs no memory.
const ROOM: usize = 256 * 1024;

/// A socket address in the kernel's own form, of any family.
#[derive(Clone, Copy)]
pub struct RawAddress {
    storage: libc::sockaddr_storage,
    length: libc::socklen_t,
}

impl std::fmt::Debug for RawAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_tuple("RawAddress").field(&self.bytes()).finish()
    }
}

impl PartialEq for RawAddress {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for RawAddress {}

impl RawAddress {
    /// No address: what a datagram without a sender comes from.
    pub fn none() -> Self {
        // SAFETY: all-zero is a valid sockaddr_storage.
        RawAddress { storage: unsafe { std::mem::zeroed() }, length: 0 }
    }

    /// An address with an IP.
    pub fn ip(address: &SocketAddr) -> Self {
        let (storage, length) = address::to_raw(address);
        RawAddress { storage, length }
    }

    /// The address of a UNIX socket: a path, or a name behind a zero byte. `None`: it is too long.
    pub fn unix(path: &[u8]) -> Option<Self> {
        let mut raw = Self::none();
        let place = (&raw mut raw.storage).cast::<libc::sockaddr_un>();
        let start = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        let room = size_of::<libc::sockaddr_un>() - start;
        let is_named = path.first() == Some(&0);
        if path.len() + usize::from(!is_named) > room {
            return None;
        }
        // SAFETY: a sockaddr_storage has room and alignment for every family; the length of the
        // path was checked.
        unsafe {
            (*place).sun_family = libc::AF_UNIX as libc::sa_family_t;
            let to = (&raw mut (*place).sun_path).cast::<u8>();
            std::ptr::copy_nonoverlapping(path.as_ptr(), to, path.len());
        }
        raw.length = (start + path.len() + usize::from(!is_named)) as libc::socklen_t;
        Some(raw)
    }

    /// The address, where it has an IP.
    pub fn to_ip(&self) -> Option<SocketAddr> {
        if self.length == 0 { None } else { address::from_raw(&self.storage) }
    }

    /// The path or name of a UNIX socket; empty where it has none.
    pub fn to_unix(&self) -> &[u8] {
        let start = std::mem::offset_of!(libc::sockaddr_un, sun_path);
        let path = self.bytes().get(start..).unwrap_or_default();
        match path {
            [0, ..] => path,
            _ => path.split(|byte| *byte == 0).next().unwrap_or_default(),
        }
    }

    /// The bytes that count.
    pub fn bytes(&self) -> &[u8] {
        let length = (self.length as usize).min(size_of_val(&self.storage));
        // SAFETY: the storage has that many bytes, all of them set.
        unsafe { std::slice::from_raw_parts((&raw const self.storage).cast::<u8>(), length) }
    }
}

/// What a datagram has come as.
#[derive(Debug)]
pub struct Arrived<'a> {
    /// Its bytes.
    pub data: &'a [u8],
    /// Where it has come from.
    pub from: &'a RawAddress,
    /// Whether it was longer than there was room for.
    pub is_cut: bool,
}

/// Room for the datagrams of one call. Large, and touched only as far as datagrams reach.
pub struct Batch {
    buffers: Vec<u8>,
    names: Vec<RawAddress>,
    pieces: Vec<libc::iovec>,
    messages: Vec<libc::mmsghdr>,
}

impl Default for Batch {
    fn default() -> Self {
        let mut buffers = vec![0; BATCH * ROOM];
        let mut names = vec![RawAddress::none(); BATCH];
        let mut pieces: Vec<libc::iovec> = buffers
            .chunks_exact_mut(ROOM)
            .map(|buffer| libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: ROOM })
            .collect();
        let messages = pieces
            .iter_mut()
            .zip(&mut names)
            .map(|(piece, name)| {
                // SAFETY: all-zero is a valid mmsghdr.
                let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
                message.msg_hdr.msg_name = (&raw mut name.storage).cast();
                message.msg_hdr.msg_iov = piece;
                message.msg_hdr.msg_iovlen = 1;
                message
            })
            .collect();
        Batch { buffers, names, pieces, messages }
    }
}

impl Batch {
    /// Receives what is there, up to [`BATCH`] datagrams; how many have come. Fewer than that: the
    /// socket is drained, unless an error waits.
    pub fn receive(&mut self, socket: RawFd) -> io::Result<usize> {
        debug_assert_eq!(self.pieces.len(), self.messages.len());
        for message in &mut self.messages {
            message.msg_hdr.msg_namelen = size_of::<libc::sockaddr_storage>() as u32;
            message.msg_hdr.msg_flags = 0;
        }
        let count = self.messages.len() as libc::c_uint;
        let messages = self.messages.as_mut_ptr();
        // SAFETY: each header names a buffer, a piece and a name of this batch, whose vectors are
        // never resized, so that they lie where they lay when the headers were made.
        let received =
            check(unsafe { libc::recvmmsg(socket, messages, count, 0, std::ptr::null_mut()) })?;
        Ok(received as usize)
    }

    /// One of the datagrams that the last call has brought.
    pub fn get(&mut self, index: usize) -> Option<Arrived<'_>> {
        let message = self.messages.get(index)?;
        let length = (message.msg_len as usize).min(ROOM);
        let is_cut = message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0;
        let name = self.names.get_mut(index)?;
        name.length = message.msg_hdr.msg_namelen;
        let start = index * ROOM;
        Some(Arrived { data: self.buffers.get(start..start + length)?, from: name, is_cut })
    }
}

/// Datagrams that the kernel has dropped because the socket's buffer was full (SO_MEMINFO, socket(7)); `None` where
/// nobody knows.
pub fn drops(socket: RawFd) -> Option<u64> {
    // include/uapi/linux/sock_diag.h; kept beside others by every socket since Linux 4.12.
    const DROPS: usize = 8;
    let mut counts = [0_u32; DROPS + 1];
    let mut length = size_of_val(&counts) as libc::socklen_t;
    // SAFETY: the pointers name two locals of that size that outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            (&raw mut counts).cast(),
            &mut length,
        )
    })
    .ok()?;
    (length as usize == size_of_val(&counts)).then(|| u64::from(counts[DROPS]))
}

/// Sends datagrams with one call; how many the kernel has taken, in order. An error is the first
/// one's.
pub fn send_batch(socket: RawFd, datagrams: &[(IoSlice<'_>, &RawAddress)]) -> io::Result<usize> {
    let mut messages = [const { std::mem::MaybeUninit::<libc::mmsghdr>::uninit() }; BATCH];
    let count = datagrams.len().min(BATCH);
    for (place, (data, to)) in messages.iter_mut().zip(datagrams) {
        // SAFETY: all-zero is a valid mmsghdr.
        let mut message: libc::mmsghdr = unsafe { std::mem::zeroed() };
        if to.length > 0 {
            message.msg_hdr.msg_name = (&raw const to.storage).cast_mut().cast();
            message.msg_hdr.msg_namelen = to.length;
        }
        message.msg_hdr.msg_iov = (&raw const *data).cast_mut().cast();
        message.msg_hdr.msg_iovlen = 1;
        place.write(message);
    }
    let flags = libc::MSG_NOSIGNAL;
    let headers = messages.as_mut_ptr().cast::<libc::mmsghdr>();
    // SAFETY: `count` headers were written; what they name outlives the call, which only reads it;
    // an IoSlice has the layout of an iovec.
    let sent = check(unsafe { libc::sendmmsg(socket, headers, count as libc::c_uint, flags) })?;
    Ok(sent as usize)
}

/// Sends one datagram.
pub fn send_to(socket: RawFd, data: &[u8], to: &RawAddress) -> io::Result<()> {
    let name = match to.length {
        0 => std::ptr::null(),
        _ => (&raw const to.storage).cast(),
    };
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: pointers and lengths name one readable slice and one address.
    super::check_size(unsafe {
        libc::sendto(socket, data.as_ptr().cast(), data.len(), flags, name, to.length)
    })?;
    Ok(())
}
