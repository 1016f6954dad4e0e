//! The socket calls: each a thin, safe function around one system call.

mod address;
pub mod datagram;

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

pub use address::{local_address, peer_address};

/// The longest queue of connections that nobody has accepted yet; the kernel cuts it to
/// `net.core.somaxconn`. asyncio asks for 100, and a burst of more than that waits a second.
pub const FULL_BACKLOG: i32 = 65_535;

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_size(result: libc::ssize_t) -> io::Result<usize> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result as usize) }
}

fn set_flag(socket: RawFd, level: i32, name: i32) -> io::Result<()> {
    let one: libc::c_int = 1;
    // SAFETY: the pointer and the length name `one`, which outlives the call.
    check(unsafe {
        libc::setsockopt(socket, level, name, (&raw const one).cast(), size_of_val(&one) as u32)
    })?;
    Ok(())
}

/// Opens a non-blocking stream socket for an address's family.
pub fn open_stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let socket = check(unsafe { libc::socket(family, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Sends small writes at once instead of waiting for the peer's acknowledgement. An accepted
/// socket inherits this from its listener.
pub fn set_no_delay(socket: RawFd) -> io::Result<()> {
    set_flag(socket, libc::IPPROTO_TCP, libc::TCP_NODELAY)
}

/// Puts a descriptor into non-blocking mode.
pub fn set_non_blocking(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    let flags = check(unsafe { libc::fcntl(descriptor, libc::F_GETFL) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::fcntl(descriptor, libc::F_SETFL, flags | libc::O_NONBLOCK) })?;
    Ok(())
}

/// Starts to connect. True: connected already. False: writability will tell.
pub fn start_connect(socket: RawFd, address: &SocketAddr) -> io::Result<bool> {
    let (raw, length) = address::to_raw(address);
    // SAFETY: `raw` holds a socket address of `length` bytes and outlives the call.
    match check(unsafe { libc::connect(socket, (&raw const raw).cast(), length) }) {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A stream socket that is being connected, or is connected already: writability tells. Small
/// writes are sent at once.
pub fn start_stream(address: &SocketAddr) -> io::Result<OwnedFd> {
    let socket = open_stream(address)?;
    set_no_delay(socket.as_raw_fd())?;
    start_connect(socket.as_raw_fd(), address)?;
    Ok(socket)
}

/// Whether an error says that this process, or the system, has no descriptor left.
pub fn lacks_descriptors(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// A UNIX stream socket that is connected to a path. A path that begins with a zero byte is no file, but a name in
/// the kernel.
pub fn start_local_stream(path: &[u8]) -> io::Result<OwnedFd> {
    // SAFETY: all-zero is a valid sockaddr_un.
    let mut raw: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    // One byte is left for the zero that ends the path of a file.
    if path.is_empty() || path.len() >= raw.sun_path.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    raw.sun_family = libc::AF_UNIX as libc::sa_family_t;
    for (place, byte) in raw.sun_path.iter_mut().zip(path) {
        *place = *byte as libc::c_char;
    }
    let is_file = path.first() != Some(&0);
    let length =
        std::mem::offset_of!(libc::sockaddr_un, sun_path) + path.len() + usize::from(is_file);
    let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers.
    let socket = check(unsafe { libc::socket(libc::AF_UNIX, kind, 0) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: `raw` holds a socket address of `length` bytes and outlives the call.
    let connected = check(unsafe {
        libc::connect(socket.as_raw_fd(), (&raw const raw).cast(), length as libc::socklen_t)
    });
    match connected {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// Binds a TCP socket and listens on it. An address still in TIME_WAIT may be reused.
pub fn listen(address: &SocketAddr, backlog: i32) -> io::Result<OwnedFd> {
    let socket = open_stream(address)?;
    set_flag(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    if address.is_ipv6() {
        set_flag(socket.as_raw_fd(), libc::IPPROTO_IPV6, libc::IPV6_V6ONLY)?;
    }
    set_no_delay(socket.as_raw_fd())?;
    let (raw, length) = address::to_raw(address);
    // SAFETY: `raw` holds a socket address of `length` bytes and outlives the call.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const raw).cast(), length) })?;
    // SAFETY: no pointers.
    check(unsafe { libc::listen(socket.as_raw_fd(), backlog) })?;
    Ok(socket)
}

/// Takes one waiting connection, non-blocking, with its peer where that has an IP address.
pub fn accept(listener: RawFd) -> io::Result<(OwnedFd, Option<SocketAddr>)> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    let (socket, peer) = address::read_with(|raw, length| {
        // SAFETY: `read_with` hands out a valid address buffer and its length.
        unsafe { libc::accept4(listener, raw, length, flags) }
    })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok((unsafe { OwnedFd::from_raw_fd(socket) }, peer))
}

/// A descriptor that stands for nothing but its own number.
pub fn open_nothing() -> io::Result<OwnedFd> {
    // SAFETY: a path that ends in zero.
    let descriptor = check(unsafe { libc::open(c"/dev/null".as_ptr(), libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just given us this descriptor; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// The error that is pending on a socket: how an asynchronous connect has ended.
pub fn take_error(socket: RawFd) -> io::Result<Option<io::Error>> {
    let mut error: libc::c_int = 0;
    let mut length = size_of_val(&error) as libc::socklen_t;
    // SAFETY: the pointers name two locals that outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_ERROR,
            (&raw mut error).cast(),
            &mut length,
        )
    })?;
    Ok((error != 0).then(|| io::Error::from_raw_os_error(error)))
}

/// Reads what is there, zero at the end of the stream.
#[inline]
pub fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer and the length name one writable slice.
    check_size(unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) })
}

/// Throws away what is there, without copying it.
pub fn discard_input(socket: RawFd) {
    const AT_MOST: usize = 1 << 20;
    // SAFETY: TCP and UNIX sockets write nothing to the buffer under MSG_TRUNC (tcp(7)), so that it
    // may be null. Whatever comes of it, the socket is about to be closed.
    unsafe {
        libc::recv(socket, std::ptr::null_mut(), AT_MOST, libc::MSG_TRUNC | libc::MSG_DONTWAIT);
    }
}

/// Writes what the kernel takes. A peer that is gone is an error, not a signal.
#[inline]
pub fn send(socket: RawFd, bytes: &[u8]) -> io::Result<usize> {
    let flags = libc::MSG_NOSIGNAL;
    // SAFETY: the pointer and the length name one readable slice.
    check_size(unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), flags) })
}

/// Writes several pieces with one call. `more`: others follow at once, so that packets may wait to be full.
pub fn send_vectored(socket: RawFd, pieces: &[IoSlice<'_>], more: bool) -> io::Result<usize> {
    // SAFETY: all-zero is a valid msghdr: no name, no pieces, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = pieces.as_ptr().cast_mut().cast();
    message.msg_iovlen = pieces.len();
    let flags = if more { libc::MSG_NOSIGNAL | libc::MSG_MORE } else { libc::MSG_NOSIGNAL };
    // SAFETY: IoSlice has the layout of iovec; the kernel only reads the pieces.
    check_size(unsafe { libc::sendmsg(socket, &message, flags) })
}

/// Bytes that were sent and that the peer has not taken, as far as the kernel tells (SIOCOUTQ of tcp(7), unix(7)).
pub fn untaken(socket: RawFd) -> Option<usize> {
    let mut count: libc::c_int = 0;
    // SAFETY: the pointer names a local that outlives the call.
    let result = unsafe { libc::ioctl(socket, libc::TIOCOUTQ, &raw mut count) };
    if result < 0 { None } else { usize::try_from(count).ok() }
}

/// Bytes that a TCP connection has brought and taken, as the kernel counts them (TCP_INFO of tcp(7)); `None` for other
/// sockets. Asking costs a call, not asking nothing.
pub fn carried(socket: RawFd) -> Option<(u64, u64)> {
    // include/uapi/linux/tcp.h: where the fields lie is part of the kernel's promise, and all of them are there since
    // Linux 4.19. The end of the peer's stream is counted as a byte of it.
    const RECEIVED: usize = 128;
    const SENT: usize = 200;
    const SENT_AGAIN: usize = 208;
    const ENDED: [u8; 4] = [6, 8, 9, 11]; // TIME_WAIT, CLOSE_WAIT, LAST_ACK, CLOSING
    let mut info = [0_u8; 256];
    let mut length = size_of_val(&info) as libc::socklen_t;
    // SAFETY: the pointers name two locals of that size that outlive the call.
    check(unsafe {
        libc::getsockopt(
            socket,
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            (&raw mut info).cast(),
            &mut length,
        )
    })
    .ok()?;
    let field = |at: usize| {
        let bytes = info.get(at..at + 8).filter(|_| at + 8 <= length as usize)?;
        bytes.try_into().ok().map(u64::from_ne_bytes)
    };
    let end = u64::from(ENDED.contains(&info[0]));
    let sent = field(SENT)?.saturating_sub(field(SENT_AGAIN)?);
    Some((field(RECEIVED)?.saturating_sub(end), sent))
}

/// Makes closing a reset, not an end. Best effort: a socket of another kind has no such choice.
pub fn reset_on_close(socket: RawFd) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = size_of_val(&linger) as libc::socklen_t;
    // SAFETY: the pointer names a local of that size that outlives the call.
    unsafe {
        libc::setsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            (&raw const linger).cast(),
            size,
        );
    }
}

/// Tells the peer that no more bytes will come.
pub fn shutdown_write(socket: RawFd) -> io::Result<()> {
    // SAFETY: no pointers.
    check(unsafe { libc::shutdown(socket, libc::SHUT_WR) })?;
    Ok(())
}

/// Whether an error only says that nothing can be done right now.
#[inline]
pub fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
