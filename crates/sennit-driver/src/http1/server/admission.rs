//! Who may connect: so many from one address. And how somebody is refused whom nobody has room for.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::str::FromStr;

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

/// The addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        truncated(address, self.bits) == Some(self.address)
    }
}

impl FromStr for Network {
    type Err = ();

    /// Reads `ADDRESS` or `ADDRESS/BITS`; bits behind those are dropped.
    fn from_str(text: &str) -> Result<Self, ()> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(drop)?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(drop)?;
        let bits = bits.unwrap_or(if address.is_ipv4() { 32 } else { 128 });
        Ok(Network { address: truncated(address, bits).ok_or(())?, bits })
    }
}

/// An address with zeros behind so many bits; none for more bits than it has.
fn truncated(address: IpAddr, bits: u8) -> Option<IpAddr> {
    match address {
        IpAddr::V4(address) => {
            let rest = 32_u32.checked_sub(bits.into())?;
            let mask = u32::MAX.checked_shl(rest).unwrap_or(0);
            Some(IpAddr::V4((address.to_bits() & mask).into()))
        }
        IpAddr::V6(address) => {
            let rest = 128_u32.checked_sub(bits.into())?;
            let mask = u128::MAX.checked_shl(rest).unwrap_or(0);
            Some(IpAddr::V6((address.to_bits() & mask).into()))
        }
    }
}

/// What one customer of an IPv6 provider has at least (RFC 6177): any of its addresses can be taken.
const IPV6_BITS: u8 = 64;

/// Connections that are open, by address.
#[derive(Debug, Default)]
pub(super) struct Addresses {
    open: HashMap<IpAddr, u32>,
    trusted: Vec<Network>,
}

impl Addresses {
    pub fn new(trusted: Vec<Network>) -> Self {
        Addresses { open: HashMap::new(), trusted }
    }

    /// What is counted. Loopback and trusted proxies are not: everybody behind such a proxy has its address.
    fn counted(&self, peer: Option<SocketAddr>) -> Option<IpAddr> {
        let address = peer?.ip().to_canonical();
        if address.is_loopback() || self.trusted.iter().any(|network| network.contains(address)) {
            return None;
        }
        if address.is_ipv4() { Some(address) } else { truncated(address, IPV6_BITS) }
    }

    /// Counts one more, if there may be one more.
    pub fn admit(&mut self, peer: Option<SocketAddr>, most: u32) -> bool {
        let Some(address) = self.counted(peer) else { return true };
        let open = self.open.entry(address).or_insert(0);
        if *open >= most {
            return false;
        }
        *open += 1;
        true
    }

    /// One is gone.
    pub fn leave(&mut self, peer: Option<SocketAddr>) {
        let Some(address) = self.counted(peer) else { return };
        if let Some(open) = self.open.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&address);
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
        assert!(addresses.open.is_empty());
    }

    #[test]
    fn ipv6_is_counted_by_its_network() {
        let mut addresses = Addresses::default();
        assert!(addresses.admit(peer("[2001:db8:0:1::1]:1"), 1));
        assert!(!addresses.admit(peer("[2001:db8:0:1:ffff::2]:1"), 1));
        assert!(addresses.admit(peer("[2001:db8:0:2::1]:1"), 1));
        addresses.leave(peer("[2001:db8:0:1::9]:1"));
        assert!(addresses.admit(peer("[2001:db8:0:1::3]:1"), 1));
    }

    #[test]
    fn trusted_proxies_are_not_counted() {
        let networks = ["10.0.0.0/8", "192.0.2.1", "2001:db8::/32"].map(str::parse);
        let mut addresses = Addresses::new(networks.into_iter().flatten().collect());
        for one in ["10.9.9.9:1", "[::ffff:10.0.0.1]:1", "192.0.2.1:1", "[2001:db8:ffff::1]:1"] {
            assert!(addresses.admit(peer(one), 0), "{one}");
        }
        for one in ["11.0.0.1:1", "192.0.2.2:1", "[2001:db9::1]:1"] {
            assert!(!addresses.admit(peer(one), 0), "{one}");
        }
    }

    #[test]
    fn networks_are_read() {
        let good = ["0.0.0.0/0", "::/0", "::1", "1.2.3.4/32", "10.1.1.1/8"];
        assert!(good.iter().all(|text| text.parse::<Network>().is_ok()));
        for bad in ["", "/", "1.2.3.4/33", "::/129", "1.2.3/8", "1.2.3.4/", "1.2.3.4/-1", "h/8"] {
            assert_eq!(bad.parse::<Network>(), Err(()), "{bad}");
        }
        assert_eq!("10.1.1.1/8".parse::<Network>(), "10.0.0.0/8".parse());
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
        assert!(addresses.open.is_empty());
    }

    #[test]
    fn the_length_of_the_refusal_is_right() {
        let text = std::str::from_utf8(REFUSAL).unwrap_or("");
        let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        assert!(text.contains(&format!("content-length: {}\r\n", body.len())));
    }
}
