//! One end of a TLS connection by rustls, driven without its own buffers: records are decrypted
//! where they were received, and encrypted where they are sent from.

use std::cell::RefCell;

use rustls::client::UnbufferedClientConnection;
use rustls::server::UnbufferedServerConnection;
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus,
};
use rustls::{CommonState, HandshakeKind, ProtocolVersion};

use super::{Details, Fault, Phase, Progress, Session};

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
}

/// A server's end.
pub(super) fn server(connection: UnbufferedServerConnection) -> Box<dyn Session> {
    Box::new(Rustls { connection, phase: Phase::Handshaking, server_name: None })
}

/// A client's end, which asks for a name.
pub(super) fn client(connection: UnbufferedClientConnection, name: String) -> Box<dyn Session> {
    Box::new(Rustls { connection, phase: Phase::Handshaking, server_name: Some(name) })
}

/// What one step of rustls has come to.
enum Step {
    Again,
    Rest,
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
    /// One status of rustls. Returns the bytes to discard from the front of `incoming`.
    fn step(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<(usize, Step), Fault> {
        let UnbufferedStatus { mut discard, state, .. } = self.connection.process(incoming);
        let step = match state.map_err(Fault::from)? {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    let record = record.map_err(Fault::from)?;
                    discard += record.discard;
                    plain.extend_from_slice(record.payload);
                }
                Step::Again
            }
            ConnectionState::EncodeTlsData(mut data) => {
                encode(&mut data, outgoing)?;
                Step::Again
            }
            // What was encoded is in `outgoing`, which is sent in order, once.
            ConnectionState::TransmitTlsData(data) => {
                data.done();
                Step::Again
            }
            ConnectionState::PeerClosed => {
                self.phase = Phase::PeerClosed;
                Step::Again
            }
            _ => Step::Rest,
        };
        Ok((discard, step))
    }

    /// Collects the alert that tells the peer of a fault.
    fn encode_alert(&mut self, outgoing: &mut Vec<u8>) {
        // The first status after a fault is the alert; whatever else comes, there is no more.
        if let ConnectionState::EncodeTlsData(mut data) =
            match self.connection.process(&mut []).state {
                Ok(state) => state,
                Err(_) => return,
            }
        {
            let _ = encode(&mut data, outgoing);
        }
    }

    fn note_progress(&mut self) {
        if self.phase == Phase::Handshaking && !self.connection.common().is_handshaking() {
            self.phase = Phase::Open;
        }
        if self.server_name.is_none() {
            self.server_name = ASKED_NAME.take();
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
                    let start = outgoing.len();
                    outgoing.resize(start + room, 0);
                    let result = write(&mut traffic, &mut outgoing[start..]);
                    outgoing.truncate(start + result.as_ref().copied().unwrap_or(0));
                    return result
                        .map(drop)
                        .map_err(|error| Fault::protocol(&format!("TLS: {error}")));
                }
                ConnectionState::EncodeTlsData(mut data) => encode(&mut data, outgoing)?,
                ConnectionState::TransmitTlsData(data) => data.done(),
                ConnectionState::PeerClosed => self.phase = Phase::PeerClosed,
                _ => return Ok(()),
            }
        }
    }
}

impl<C: Connection> Session for Rustls<C> {
    fn receive(
        &mut self,
        incoming: &mut [u8],
        plain: &mut Vec<u8>,
        outgoing: &mut Vec<u8>,
    ) -> Result<Progress, Fault> {
        let mut used = 0;
        loop {
            match self.step(&mut incoming[used..], plain, outgoing) {
                Ok((count, Step::Again)) => used += count,
                Ok((count, Step::Rest)) => {
                    used += count;
                    self.note_progress();
                    return Ok(Progress { used, phase: self.phase });
                }
                Err(fault) => {
                    self.encode_alert(outgoing);
                    return Err(fault.explained(&incoming[used..]));
                }
            }
        }
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
