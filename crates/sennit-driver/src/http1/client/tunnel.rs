//! Asking a proxy for a tunnel, before anything is said to the origin.

use std::fmt;

use sennit_wire::http1::{
    Event, FieldSlots, Limits, RemoteProtocolError, RequestKind, ResponseReader,
};
use sennit_wire::socks5;

/// How a proxy is asked.
#[derive(Debug, Clone)]
pub enum Proxy {
    /// With the head of a CONNECT request (RFC 9110 section 9.3.6).
    Connect(Vec<u8>),
    /// By SOCKS5 (RFC 1928).
    Socks5(socks5::Request),
}

/// Why there is no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// CONNECT was answered with another status than 2xx.
    Status(u16),
    /// SOCKS5 has an answer of its own.
    Socks5(socks5::Refusal),
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(407) => to.write_str("the proxy wants credentials (407)"),
            Self::Status(status) => write!(to, "the proxy has answered CONNECT with {status}"),
            Self::Socks5(refusal) => refusal.fmt(to),
        }
    }
}

/// What the bytes of a proxy have led to; the numbers are those of bytes used up.
pub(super) enum Asked {
    NeedData,
    Send(usize, Vec<u8>),
    Done(usize),
}

/// What has gone wrong.
pub(super) enum Failed {
    Refused(Refusal),
    Protocol(RemoteProtocolError),
}

/// A proxy that was asked.
pub(super) enum Tunnel {
    Connect(ResponseReader),
    Socks5(Box<socks5::Handshake>),
}

impl Tunnel {
    /// Begins to ask, with the bytes that are to be sent first.
    pub fn start(proxy: &Proxy) -> (Self, Vec<u8>) {
        match proxy {
            Proxy::Connect(head) => {
                let mut reader = ResponseReader::new();
                reader.expect(RequestKind::Connect);
                (Tunnel::Connect(reader), head.clone())
            }
            Proxy::Socks5(request) => {
                let (handshake, greeting) = socks5::Handshake::start(request.clone());
                (Tunnel::Socks5(Box::new(handshake)), greeting)
            }
        }
    }

    /// Looks at everything that has come and was not used up.
    pub fn take(&mut self, limits: &Limits, input: &[u8]) -> Result<Asked, Failed> {
        let reader = match self {
            Tunnel::Connect(reader) => reader,
            Tunnel::Socks5(handshake) => {
                return match handshake.take(input) {
                    Ok(socks5::Answer::NeedData) => Ok(Asked::NeedData),
                    Ok(socks5::Answer::Send(used, bytes)) => Ok(Asked::Send(used, bytes)),
                    Ok(socks5::Answer::Done(used)) => Ok(Asked::Done(used)),
                    Err(refusal) => Err(Failed::Refused(Refusal::Socks5(refusal))),
                };
            }
        };
        let mut at = 0;
        loop {
            let mut slots = FieldSlots::new();
            let rest = input.get(at..).unwrap_or_default();
            let step = reader.next_event(limits, rest, &mut slots).map_err(Failed::Protocol)?;
            at += step.consumed;
            match step.event {
                Event::Head(head) if head.status < 200 => {}
                Event::Head(head) if head.upgrade => return Ok(Asked::Done(at)),
                Event::Head(head) => return Err(Failed::Refused(Refusal::Status(head.status))),
                // An interim response is used up with what follows it: heads are short.
                Event::NeedData | Event::Data(_) | Event::End => {
                    return Ok(if at == 0 { Asked::NeedData } else { Asked::Send(at, Vec::new()) });
                }
            }
        }
    }
}
