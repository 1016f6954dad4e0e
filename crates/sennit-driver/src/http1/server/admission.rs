//! Who may connect: so many from one address. And how somebody is refused whom nobody has room for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use sennit_engine::stream::Stream;

/// What is said to a connection that there is no room for. It comes before the request; a client that has sent one
/// takes it for its answer (RFC 9110 section 15.6.4).
const REFUSAL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\n\
    retry-after: 1\r\ncontent-length: 45\r\nconnection: close\r\n\r\n\
    503 Service Unavailable\ntoo many connections\n";

/// Says no, as well as that can be done without waiting for anything.
pub(super) fn refuse(socket: OwnedFd) {
    let mut stream: Stream<Vec<u8>> = Stream::new(socket);
    // Whether it is heard is the peer's own affair.
    let _ = stream.send_or_queue(REFUSAL);
    let _ = stream.shutdown_write();
    // What lies unread would turn the end into a reset, which may take the answer away.
    stream.throw_input_away();
}

/// Connections that are open, by address.
#[derive(Debug, Default)]
pub(super) struct Addresses(HashMap<IpAddr, u32>);

/// The address that is counted: loopback is not, because everybody behind a proxy on this machine has it.
fn counted(peer: Option<SocketAddr>) -> Option<IpAddr> {
    let address = peer?.ip().to_canonical();
    (!address.is_loopback()).then_some(address)
}

impl Addresses {
    /// Counts one more, if there may be one more.
    pub fn admit(&mut self, peer: Option<SocketAddr>, most: u32) -> bool {
        let Some(address) = counted(peer) else { return true };
        let open = self.0.entry(address).or_insert(0);
        if *open >= most {
            return false;
        }
        *open += 1;
        true
    }

    /// One is gone.
    pub fn leave(&mut self, peer: Option<SocketAddr>) {
        let Some(address) = counted(peer) else { return };
        if let Some(open) = self.0.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.0.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Option<SocketAddr> {
        text.parse().ok()
    }

    #[test]
    fn an_address_may_have_so_many_connections_and_no_more() {
        let mut addresses = Addresses::default();
        assert!(addresses.admit(peer("10.0.0.1:1"), 2));
        assert!(addresses.admit(peer("10.0.0.1:2"), 2));
        assert!(!addresses.admit(peer("10.0.0.1:3"), 2));
        assert!(addresses.admit(peer("10.0.0.2:1"), 2));
        addresses.leave(peer("10.0.0.1:1"));
        assert!(addresses.admit(peer("10.0.0.1:4"), 2));
    }

    #[test]
    fn an_ipv4_address_in_an_ipv6_one_is_the_same_address() {
        let mut addresses = Addresses::default();
        assert!(addresses.admit(peer("10.0.0.1:1"), 1));
        assert!(!addresses.admit(peer("[::ffff:10.0.0.1]:2"), 1));
    }

    #[test]
    fn loopback_and_unix_sockets_are_not_counted() {
        let mut addresses = Addresses::default();
        for one in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
            assert!(addresses.admit(peer(one), 0));
        }
        assert!(addresses.admit(None, 0));
        assert!(addresses.0.is_empty());
    }

    #[test]
    fn nothing_is_kept_of_those_that_are_gone() {
        let mut addresses = Addresses::default();
        for port in 1..100 {
            assert!(addresses.admit(peer(&format!("10.0.0.1:{port}")), 256));
        }
        for port in 1..100 {
            addresses.leave(peer(&format!("10.0.0.1:{port}")));
        }
        assert!(addresses.0.is_empty());
    }

    #[test]
    fn the_length_of_the_refusal_is_right() {
        let text = std::str::from_utf8(REFUSAL).unwrap_or("");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
