//! The other side of a connection: an ordinary program with an ordinary socket.
#![allow(clippy::disallowed_types)] // std's sockets are what the peer is made of

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;

use sennit_engine::socket;

/// An address of this machine with a port that the kernel picks.
pub fn any_port() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

/// Our end and the peer's end of a UNIX connection; neither blocks.
pub fn unix_pair() -> (OwnedFd, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.set_nonblocking(true).unwrap();
    theirs.set_nonblocking(true).unwrap();
    (ours.into(), theirs)
}

/// Our end and the peer's end of a TCP connection; neither blocks.
pub fn tcp_pair() -> (OwnedFd, TcpStream) {
    let listener = socket::listen(&any_port(), 1).unwrap();
    let address = socket::local_address(listener.as_raw_fd()).unwrap().unwrap();
    let theirs = TcpStream::connect(address).unwrap();
    theirs.set_nonblocking(true).unwrap();
    theirs.set_nodelay(true).unwrap();
    wait_readable(listener.as_raw_fd());
    let (ours, _) = socket::accept(listener.as_raw_fd()).unwrap();
    (ours, theirs)
}

/// Our end and the peer's end of a connection that keeps the borders between sends.
pub fn packet_pair() -> (OwnedFd, OwnedFd) {
    let mut pair = [0; 2];
    let kind = libc::SOCK_SEQPACKET | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: `pair` has room for two descriptors.
    let result = unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, pair.as_mut_ptr()) };
    assert_eq!(result, 0);
    // SAFETY: the kernel has just given us both; nobody else owns them.
    unsafe { (OwnedFd::from_raw_fd(pair[0]), OwnedFd::from_raw_fd(pair[1])) }
}

/// The next packet, `None` when there is none now.
pub fn next_packet(peer: &OwnedFd) -> Option<Vec<u8>> {
    let mut buffer = vec![0; 1 << 20];
    match socket::receive(peer.as_raw_fd(), &mut buffer) {
        Ok(count) => Some(buffer[..count].to_vec()),
        Err(error) if socket::would_block(&error) => None,
        Err(error) => panic!("{error}"),
    }
}

fn poll(descriptor: RawFd, milliseconds: i32) -> bool {
    let mut poll = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: `poll` is one valid entry.
    unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
}

/// Waits in the kernel until something can be read, without spinning.
pub fn wait_readable(descriptor: RawFd) {
    assert!(poll(descriptor, 30_000), "nothing has come within 30 s");
}

/// Waits in the kernel until something can be read, but not for long.
pub fn wait_a_moment(descriptor: RawFd) {
    poll(descriptor, 10);
}

/// Reads what is there now: the bytes, and whether the stream has ended.
pub fn read_now(peer: &mut impl Read) -> (Vec<u8>, bool) {
    let mut all = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        match peer.read(&mut buffer) {
            Ok(0) => return (all, true),
            Ok(count) => all.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (all, false),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Writes until the kernel takes no more, and returns how many bytes it took.
pub fn fill(peer: &mut impl Write) -> usize {
    let piece = [b'.'; 64 * 1024];
    let mut total = 0;
    loop {
        match peer.write(&piece) {
            Ok(count) => total += count,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return total,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Closes a TCP connection with a reset instead of an orderly end.
pub fn reset(peer: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    // SAFETY: the pointer and the length name `linger`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            peer.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size_of_val(&linger) as u32,
        )
    };
    assert_eq!(result, 0);
    drop(peer);
}

/// Makes a socket's buffer for one direction as small as the kernel allows.
pub fn shrink_buffer(socket: RawFd, name: i32) {
    let size: libc::c_int = 1;
    // SAFETY: the pointer and the length name `size`, which outlives the call.
    let result = unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            name,
            (&raw const size).cast(),
            size_of_val(&size) as u32,
        )
    };
    assert_eq!(result, 0);
}

/// How many descriptors this process has open.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
