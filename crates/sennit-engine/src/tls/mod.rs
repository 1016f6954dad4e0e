//! TLS beneath a stream: ciphertext and plaintext, told apart from the socket.
//!
//! | room | what it is |
//! | --- | --- |
//! | [`session`] | one end of a TLS connection by rustls, without a socket |
//! | [`secure`] | a session and the bytes that wait around it: what a [`crate::stream::Stream`] holds |
//! | [`server`], [`client`] | settings of the two ends, checked and made ready once |
//! | [`identity`] | certificates with their keys, and which of them a name gets |
//! | [`fault`] | what can go wrong, in words that say whose fault it is |
//!
//! [`Session`] is the one trait: rustls is behind it now, and another library can be.

use std::sync::atomic::{AtomicU64, Ordering};

pub mod client;
pub mod fault;
pub mod identity;
pub mod secure;
pub mod server;
pub mod session;

pub use client::{ClientSettings, TlsClient};
pub use fault::{Fault, FaultKind};
pub use server::{ServerSettings, TlsServer};

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No application data can be sent yet.
    Handshaking,
    /// Both ways.
    Open,
    /// The peer has said that it sends no more (`close_notify`).
    PeerClosed,
}

/// What a session has made of ciphertext.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Bytes at the front that are done with; the rest is incomplete.
    pub used: usize,
    /// How far the session has come.
    pub phase: Phase,
    /// What ends the session; nothing may be asked of it afterwards. What came before counts.
    pub fault: Option<Fault>,
}

/// How the handshakes of one set of settings have ended.
#[derive(Debug, Default)]
pub struct Handshakes {
    done: AtomicU64,
    resumed: AtomicU64,
    failed: AtomicU64,
}

impl Handshakes {
    /// Those that were done.
    pub fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Those of them that resumed an earlier session.
    pub fn resumed(&self) -> u64 {
        self.resumed.load(Ordering::Relaxed)
    }

    /// Those that came to nothing: refused, too late, or left.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }
}

/// What the two ends have agreed upon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Details {
    /// `TLSv1.3` or `TLSv1.2`.
    pub version: &'static str,
    /// The cipher suite's name.
    pub cipher: String,
    /// The protocol chosen by ALPN (RFC 7301).
    pub alpn: Option<Vec<u8>>,
    /// The name that the client has asked for (RFC 6066, section 3).
    pub server_name: Option<String>,
    /// The peer's certificates, its own first, in DER.
    pub peer_certificates: Vec<Vec<u8>>,
    /// DNS names of the peer's own certificate.
    pub peer_names: Vec<String>,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
}

/// One end of a TLS connection: bytes in, bytes out, no socket.
pub trait Session {
    /// Reads records at the front of `incoming`: plaintext goes to `plain`, what the peer must
    /// hear to `outgoing`. After a fault `outgoing` has the alert that tells the peer.
    fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Progress;

    /// Encrypts. `rest` is what [`Session::receive`] has left.
    fn seal(&mut self, rest: &mut [u8], plain: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Fault>;

    /// Says that no more will be sent (`close_notify`).
    fn close(&mut self, rest: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Fault>;

    /// What the two ends have agreed upon.
    fn details(&self) -> Details;
}
