//! What can go wrong with TLS, in words that say whose fault it is and what to do.

use std::fmt;
use std::io;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use super::Phase;

/// Whose fault it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// Our settings make no sense.
    Settings,
    /// The peer's certificate is not to be trusted.
    Certificate,
    /// The peer breaks the protocol, or refuses us.
    Protocol,
    /// The connection ended without a goodbye.
    Truncated,
    /// The handshake took too long.
    Deadline,
    /// A mistake of ours.
    Internal,
}

/// What has gone wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Whose fault it is.
    pub kind: FaultKind,
    /// What it is.
    pub message: String,
}

impl Fault {
    fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        Fault { kind, message: message.into() }
    }

    /// Settings that make no sense.
    pub fn settings(message: impl Into<String>) -> Self {
        Self::new(FaultKind::Settings, message)
    }

    /// The peer breaks the protocol.
    pub fn protocol(message: &str) -> Self {
        Self::new(FaultKind::Protocol, message)
    }

    /// A mistake of ours.
    pub fn internal(message: &str) -> Self {
        Self::new(FaultKind::Internal, format!("TLS, please report: {message}"))
    }

    /// The handshake was not done in time.
    pub fn deadline(seconds: f64) -> Self {
        let message = format!("TLS handshake not done after {seconds} s (handshake_timeout)");
        Self::new(FaultKind::Deadline, message)
    }

    /// The peer's stream has ended without `close_notify`.
    pub fn truncated(phase: Phase) -> Self {
        let message = match phase {
            Phase::Handshaking => "the peer closed the connection in the TLS handshake",
            _ => {
                "the peer closed the connection without a TLS close_notify: what it wanted to \
                 send may be cut off (RFC 8446 section 6.1)"
            }
        };
        Self::new(FaultKind::Truncated, message)
    }

    /// Adds what the bytes say that were no TLS.
    #[must_use]
    pub fn explained(mut self, incoming: &[u8]) -> Self {
        let is_text = incoming.len() >= 4
            && incoming[..4].iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ');
        if is_text && self.kind == FaultKind::Protocol {
            let shown: String = incoming
                .iter()
                .take(16)
                .map(|byte| char::from(*byte))
                .flat_map(char::escape_default)
                .collect();
            self.message =
                format!("the peer sends plain text (\"{shown}\") where TLS was expected");
        }
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl From<Fault> for io::Error {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::Settings => io::ErrorKind::InvalidInput,
            FaultKind::Certificate | FaultKind::Protocol => io::ErrorKind::InvalidData,
            FaultKind::Truncated => io::ErrorKind::UnexpectedEof,
            FaultKind::Deadline => io::ErrorKind::TimedOut,
            FaultKind::Internal => io::ErrorKind::Other,
        };
        io::Error::new(kind, fault)
    }
}

impl From<rustls::Error> for Fault {
    fn from(error: rustls::Error) -> Self {
        use rustls::Error as E;
        match error {
            E::InvalidCertificate(reason) => {
                Self::new(FaultKind::Certificate, certificate_message(&reason))
            }
            E::NoCertificatesPresented => Self::new(
                FaultKind::Certificate,
                "the peer has shown no certificate, and one is required (client_certificate)",
            ),
            E::AlertReceived(alert) => Self::protocol(&alert_message(alert)),
            E::InvalidMessage(InvalidMessage::InvalidContentType) => {
                Self::protocol("the peer sends something that is no TLS record")
            }
            E::PeerIncompatible(reason) => Self::protocol(&incompatible_message(&reason)),
            other => Self::protocol(&format!("TLS: {other}")),
        }
    }
}

fn days(from: rustls::pki_types::UnixTime, to: rustls::pki_types::UnixTime) -> u64 {
    to.as_secs().saturating_sub(from.as_secs()) / 86_400
}

/// Names without the types that rustls writes around them: `DnsName("a.example")`.
fn plain_names(presented: &[String]) -> String {
    let plain: Vec<&str> = presented
        .iter()
        .map(|name| name.split(['"', '(', ')']).rfind(|part| !part.is_empty()).unwrap_or(name))
        .collect();
    if plain.is_empty() { "no name".to_owned() } else { plain.join(", ") }
}

fn certificate_message(reason: &CertificateError) -> String {
    use CertificateError as C;
    match reason {
        C::ExpiredContext { time, not_after } => format!(
            "the peer's certificate has expired {} days ago (notAfter {} s since 1970)",
            days(*not_after, *time),
            not_after.as_secs()
        ),
        C::NotValidYetContext { time, not_before } => format!(
            "the peer's certificate is not valid for another {} days (notBefore {} s since 1970)",
            days(*time, *not_before),
            not_before.as_secs()
        ),
        C::NotValidForNameContext { expected, presented } => format!(
            "the peer's certificate is for {}, not for {:?} (server_name says what to expect)",
            plain_names(presented),
            expected.to_str()
        ),
        C::UnknownIssuer => "the peer's certificate is signed by nobody that is trusted here: a \
                             certificate between it and its root is missing, or its authority \
                             must be given (ca)"
            .to_owned(),
        C::BadSignature => {
            "the peer's certificate is signed by somebody who has the same name but \
                            another key than an authority that is trusted here: the authority was \
                            made anew, or is not the one that was given (ca)"
                .to_owned()
        }
        C::InvalidPurposeContext { .. } | C::InvalidPurpose => {
            "the peer's certificate was made for another purpose than this end of a connection"
                .to_owned()
        }
        C::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            "the peer shows an authority's certificate as its own; to trust a self-signed one it \
             must be made as an end entity (basicConstraints CA:FALSE)"
                .to_owned()
        }
        other => format!("the peer's certificate is not to be trusted: {other}"),
    }
}

fn alert_message(alert: AlertDescription) -> String {
    use AlertDescription as A;
    let meaning = match alert {
        A::CertificateRequired => "it wants a certificate of ours (certificate, key)",
        A::UnknownCA | A::BadCertificate | A::CertificateUnknown | A::CertificateExpired => {
            "it does not trust our certificate"
        }
        A::HandshakeFailure => "it finds nothing in common with what we offer",
        A::ProtocolVersion => "it speaks no TLS version that is allowed here (versions)",
        A::UnrecognisedName => "it does not know the name that we ask for (server_name)",
        A::NoApplicationProtocol => "it speaks none of the protocols that we offer (alpn)",
        _ => "",
    };
    let colon = if meaning.is_empty() { "" } else { ": " };
    format!("the peer refused the TLS connection with the alert {alert:?}{colon}{meaning}")
}

fn incompatible_message(reason: &PeerIncompatible) -> String {
    format!("the peer and we have no way of TLS in common: {reason:?}")
}
