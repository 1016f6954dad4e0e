//! Addresses between the kernel's form and Python's, which costs five objects: those of the peers
//! that talk now are kept.

use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use pyo3_ffi as ffi;
use sennit_engine::socket::datagram::RawAddress;

use crate::kit::{Args, Object, Outcome, Raised, borrowed_slice, none, raise};
use crate::listener::address_object;

/// Peers whose addresses are kept; each has one place, and the last one that needs it has it.
const KEPT: usize = 256;

struct Kept {
    raw: RawAddress,
    object: Object,
}

/// The addresses of the peers that talk now.
#[derive(Default)]
pub struct Addresses {
    places: Vec<Option<Kept>>,
    /// Whether the socket speaks both families: IPv4 is IPv6 to the kernel then, and IPv4 to Python (RFC 4291, section
    /// 2.5.5.2).
    is_dual: bool,
    /// Where the peer stands that was heard last, who is nearly always the one that is answered.
    last: usize,
}

fn place_of(raw: &RawAddress) -> usize {
    // FNV-1a, over some thirty bytes: the last bits of address and port spread well.
    let hash = raw.bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32) as usize % KEPT
}

/// An address as Python's `socket` writes it.
fn object_of(raw: &RawAddress, is_dual: bool) -> Outcome<Object> {
    match raw.to_ip() {
        Some(SocketAddr::V6(address)) if is_dual && address.ip().to_ipv4_mapped().is_some() => {
            let ip = address.ip().to_canonical();
            return address_object(&SocketAddr::new(ip, address.port()));
        }
        Some(address) => return address_object(&address),
        None => {}
    }
    match raw.to_unix() {
        [] => Ok(none()),
        [0, ..] => Object::bytes(raw.to_unix()),
        path => {
            let path: &[u8] = path;
            // SAFETY: the pointer and the length name the slice; GIL.
            unsafe {
                Object::owned(ffi::PyUnicode_DecodeFSDefaultAndSize(
                    path.as_ptr().cast(),
                    path.len() as isize,
                ))
            }
        }
    }
}

impl Addresses {
    /// Those of a socket; a dual one speaks both IPv6 and IPv4.
    pub fn new(is_dual: bool) -> Self {
        Addresses { is_dual, ..Addresses::default() }
    }

    /// The Python object of an address that something has come from.
    #[inline]
    pub fn object(&mut self, raw: &RawAddress) -> Outcome<Object> {
        if self.places.is_empty() {
            self.places.resize_with(KEPT, || None);
        }
        let place = place_of(raw);
        if let Some(Some(kept)) = self.places.get(place)
            && kept.raw == *raw
        {
            self.last = place;
            return Ok(kept.object.clone());
        }
        let object = object_of(raw, self.is_dual)?;
        let kept = Kept { raw: *raw, object: object.clone() };
        if let Some(slot) = self.places.get_mut(place) {
            // Tuples, strings and integers: their end runs no foreign code.
            *slot = Some(kept);
            self.last = place;
        }
        Ok(object)
    }

    /// The address of a Python object.
    #[inline]
    pub fn raw(&self, object: *mut ffi::PyObject) -> Outcome<RawAddress> {
        if let Some(Some(kept)) = self.places.get(self.last)
            && kept.object.as_ptr() == object
        {
            return Ok(kept.raw);
        }
        raw_of(object, self.is_dual)
    }
}

fn wrong(message: &str) -> Raised {
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_ValueError }, message)
}

/// The address that a Python object writes: `(host, port, ...)`, or the path of a UNIX socket.
fn raw_of(object: *mut ffi::PyObject, is_dual: bool) -> Outcome<RawAddress> {
    // SAFETY: a live argument, whose type is checked before it is read; GIL.
    unsafe {
        if ffi::PyTuple_Check(object) != 0 {
            return ip_of(borrowed_slice(object), is_dual);
        }
        let mut encoded = std::ptr::null_mut::<ffi::PyObject>();
        if ffi::PyUnicode_FSConverter(object, (&raw mut encoded).cast()) == 0 {
            return Err(Raised);
        }
        let encoded = Object::owned(encoded)?;
        let pointer = encoded.as_ptr();
        RawAddress::unix(Args::new(&pointer, 1).bytes(0)?)
            .ok_or_else(|| wrong("the path of a UNIX socket is 107 bytes long at most"))
    }
}

fn ip_of(items: &[*mut ffi::PyObject], is_dual: bool) -> Outcome<RawAddress> {
    let args = Args(items);
    if !(2..=4).contains(&items.len()) {
        return Err(wrong("an address is (host, port), for IPv6 also with flow and scope"));
    }
    let (host, port) = (args.text(0)?, args.integer(1)?);
    let Ok(port) = u16::try_from(port) else {
        return Err(wrong(&format!("the port is {port}, it must be 0 to 65535")));
    };
    let Ok(ip) = host.parse::<IpAddr>() else {
        return Err(wrong(&format!(
            "{host:?} is no IP address; names are looked up before: getaddrinfo()"
        )));
    };
    let number = |index: usize| match items.len() > index {
        true => args.integer(index).map(|value| value as u32),
        false => Ok(0),
    };
    let address = match ip {
        IpAddr::V4(ip) if is_dual => SocketAddr::new(IpAddr::V6(ip.to_ipv6_mapped()), port),
        IpAddr::V4(_) => SocketAddr::new(ip, port),
        IpAddr::V6(ip) => SocketAddr::V6(SocketAddrV6::new(ip, port, number(2)?, number(3)?)),
    };
    Ok(RawAddress::ip(&address))
}
