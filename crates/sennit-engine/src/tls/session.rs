//! One end of a TLS connection by rustls, driven without its own buffers: records are decrypted
//! where they were received, and encrypted where they are sent from.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::{Details, Fault, Handshakes, Phase, Progress, Session};

/// A record's plaintext at most (RFC 8446, section 5.1).
const RECORD: usize = 16 * 1024;

/// What a record adds at most: header, content type and tag; in TLS 1.2 an explicit nonce.
const OVERHEAD: usize = 5 + 8 + 1 + 16;

/// More than an alert needs as a record.
const ALERT: usize = 64;

thread_local! {
    /// The name that the ClientHello which is being processed asks for. rustls shows it only to
    /// whom it asks for a certificate.
    static ASKED_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Notes the name in a ClientHello, for the session that is processing it.
pub(super) fn note_asked_name(name: Option<&str>) {
    ASKED_NAME.set(name.map(str::to_owned));
}

/// The two kinds of connections, whose types in rustls have nothing in common but the shape.
trait Connection {
    type Data;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data>;

    fn common(&self) -> &CommonState;
}

impl Connection for UnbufferedServerConnection {
    type Data = rustls::server::ServerConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

impl Connection for UnbufferedClientConnection {
    type Data = rustls::client::ClientConnectionData;

    fn process<'c, 'i>(
        &'c mut self,
        incoming: &'i mut [u8],
    ) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(incoming)
    }

    fn common(&self) -> &CommonState {
        self
    }
}

/// A session over either kind.
struct Rustls<C> {
    connection: C,
    phase: Phase,
    server_name: Option<String>,
    /// Where the handshake is counted, once.
    handshakes: Option<Arc<Handshakes>>,
}

/// A server's end.
pub(super) fn server(
    connection: UnbufferedServerConnection,
    handshakes: Arc<Handshakes>,
) -> Box<dyn Session> {
    let handshakes = Some(handshakes);
    Box::new(Rustls { connection, phase: Phase::Handshaking, server_name: None, handshakes })
}

/// A client's end, which asks for a name.
pub(super) fn client(
    connection: UnbufferedClientConnection,
    name: String,
    handshakes: Arc<Handshakes>,
) -> Box<dyn Session> {
    let (server_name, handshakes) = (Some(name), Some(handshakes));
    Box::new(Rustls { connection, phase: Phase::Handshaking, server_name, handshakes })
}

/// What one step of rustls has come to.
enum Step {
    Again,
    Rest,
    PeerClosed,
    Fault(Fault),
}

fn encode<Data>(data: &mut EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) -> Result<(), Fault> {
    let start = outgoing.len();
    loop {
        match data.encode(&mut outgoing[start..]) {
            Ok(count) => {
                outgoing.truncate(start + count);
                return Ok(());
            }
            Err(EncodeError::InsufficientSize(error)) => {
                outgoing.resize(start + error.required_size, 0);
            }
            Err(error) => return Err(Fault::internal(&error.to_string())),
        }
    }
}

impl<C: Connection> Rustls<C> {
    /// One status of rustls. Returns the bytes to discard from the front of `incoming`, which
    /// are to be discarded after a fault as well.
    fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> (usize, Step) {
        let UnbufferedStatus { mut discard, state, .. } = self.connection.process(incoming);
        let step = match state {
            Err(error) => Step::Fault(error.into()),
            Ok(ConnectionState::ReadTraffic(mut traffic)) => loop {
                match traffic.next_record() {
                    Some(Ok(record)) => {
                        discard += record.discard;
                        plain.extend_from_slice(record.payload);
                    }
                    Some(Err(error)) => break Step::Fault(error.into()),
                    None => break Step::Again,
                }
            },
            Ok(ConnectionState::EncodeTlsData(mut data)) => match encode(&mut data, outgoing) {
                Ok(()) => Step::Again,
                Err(fault) => Step::Fault(fault),
            },
            // What was encoded is in `outgoing`, which is sent in order, once.
            Ok(ConnectionState::TransmitTlsData(data)) => {
                data.done();
                Step::Again
            }
            Ok(ConnectionState::PeerClosed) => Step::PeerClosed,
            Ok(_) => Step::Rest,
        };
        (discard, step)
    }

    /// Collects what was still to be said, at its end the alert that tells the peer of a fault.
    /// rustls must not be asked once more than that: it would look at the bad bytes again.
    fn encode_alert(&mut self, outgoing: &mut Vec<u8>) {
        while self.connection.common().wants_write() {
            let Ok(ConnectionState::EncodeTlsData(mut data)) =
                self.connection.process(&mut []).state
            else {
                return;
            };
            if encode(&mut data, outgoing).is_err() {
                return;
            }
        }
    }

    /// Reads records until there is nothing left to do.
    fn read(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Progress {
        let mut used = 0;
        loop {
            let (count, step) = self.step(&mut incoming[used..], plain, outgoing);
            used += count;
            if self.phase == Phase::Handshaking && !self.connection.common().is_handshaking() {
                self.phase = Phase::Open;
            }
            let fault = match step {
                Step::Again => continue,
                Step::Rest => None,
                Step::PeerClosed if self.phase == Phase::Open => {
                    self.phase = Phase::PeerClosed;
                    continue;
                }
                Step::PeerClosed => Some(Fault::truncated(self.phase)),
                Step::Fault(fault) => {
                    self.encode_alert(outgoing);
                    Some(fault.explained(&incoming[used..]))
                }
            };
            return Progress { used, phase: self.phase, fault };
        }
    }

    /// Brings rustls to the point where it can send, and sends by `write`.
    fn write(
        &mut self,
        rest: &mut [u8],
        room: usize,
        outgoing: &mut Vec<u8>,
        write: impl Fn(
            &mut rustls::unbuffered::WriteTraffic<'_, C::Data>,
            &mut [u8],
        ) -> Result<usize, EncryptError>,
    ) -> Result<(), Fault> {
        loop {
            let UnbufferedStatus { state, .. } = self.connection.process(rest);
            match state.map_err(Fault::from)? {
                ConnectionState::WriteTraffic(mut traffic) => {
                    return fill(outgoing, room, |outgoing| write(&mut traffic, outgoing));
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                // Both have said their last word.
                ConnectionState::Closed => return Ok(()),
                // Whoever writes has read first: all records are done with, and it is open.
                other => return Err(Fault::internal(&format!("{other:?} before a write"))),
            }
        }
    }
}

/// Has `write` fill room behind what is there. An answer to a key update of the peer's goes out
/// before anything else, and needs room that nobody could have known of.
fn fill(
    outgoing: &mut Vec<u8>,
    mut room: usize,
    mut write: impl FnMut(&mut [u8]) -> Result<usize, EncryptError>,
) -> Result<(), Fault> {
    let start = outgoing.len();
    loop {
        outgoing.resize(start + room, 0);
        match write(&mut outgoing[start..]) {
            Ok(count) => {
                outgoing.truncate(start + count);
                return Ok(());
            }
            Err(EncryptError::InsufficientSize(error)) if error.required_size > room => {
                room = error.required_size;
            }
            Err(error) => {
                outgoing.truncate(start);
                return Err(Fault::protocol(&format!("TLS: {error}")));
            }
        }
    }
}

impl<C> Drop for Rustls<C> {
    fn drop(&mut self) {
        if let Some(counted) = self.handshakes.take() {
            counted.failed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl<C: Connection> Session for Rustls<C> {
    fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Progress {
        if self.phase != Phase::Handshaking {
            return self.read(incoming, plain, outgoing);
        }
        // Whatever became of the session that noted a name last, the note was not for this one.
        ASKED_NAME.set(None);
        let progress = self.read(incoming, plain, outgoing);
        if let Some(name) = ASKED_NAME.take() {
            self.server_name = Some(name);
        }
        if self.phase != Phase::Handshaking
            && let Some(counted) = self.handshakes.take()
        {
            counted.done.fetch_add(1, Ordering::Relaxed);
            let resumed = self.connection.common().handshake_kind() == Some(HandshakeKind::Resumed);
            counted.resumed.fetch_add(u64::from(resumed), Ordering::Relaxed);
        }
        progress
    }

    fn seal(&mut self, rest: &mut [u8], plain: &[u8], outgoing: &mut Vec<u8>) -> Result<(), Fault> {
        let room = plain.len() + (plain.len() / RECORD + 1) * OVERHEAD;
        self.write(rest, room, outgoing, |traffic, room| traffic.encrypt(plain, room))
    }

    fn close(&mut self, rest: &mut [u8], outgoing: &mut Vec<u8>) -> Result<(), Fault> {
        self.write(rest, ALERT, outgoing, |traffic, room| traffic.queue_close_notify(room))
    }

    fn details(&self) -> Details {
        let common = self.connection.common();
        let peer_certificates: Vec<Vec<u8>> = common
            .peer_certificates()
            .unwrap_or_default()
            .iter()
            .map(|certificate| certificate.to_vec())
            .collect();
        let peer_names = peer_certificates
            .first()
            .map(|own| super::identity::dns_names(own))
            .unwrap_or_default();
        Details {
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                _ => "",
            },
            cipher: common
                .negotiated_cipher_suite()
                .and_then(|suite| suite.suite().as_str().map(str::to_owned))
                .unwrap_or_default(),
            alpn: common.alpn_protocol().map(<[u8]>::to_vec),
            server_name: self.server_name.clone(),
            peer_certificates,
            peer_names,
            resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        }
    }
}
