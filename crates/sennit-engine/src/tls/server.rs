//! The settings of a server's end, checked and made ready once.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::server::{
    NoServerSessionStorage, ServerConfig, UnbufferedServerConnection, WebPkiClientVerifier,
};

use super::identity::{ByName, Identity, parse_certificates};
use super::{Fault, Handshakes, Session, session};

/// Whether a client must show a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientCertificate {
    /// It is not asked for one.
    Ignored,
    /// It is asked, and may have none; one that it shows must be good.
    Optional,
    /// It must show a good one.
    Required,
}

/// Versions of TLS that may be spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Versions {
    /// TLS 1.2 (RFC 5246).
    pub tls12: bool,
    /// TLS 1.3 (RFC 8446).
    pub tls13: bool,
}

impl Versions {
    /// The versions as rustls names them.
    pub(super) fn supported(self) -> Result<Vec<&'static rustls::SupportedProtocolVersion>, Fault> {
        let mut found = Vec::new();
        if self.tls13 {
            found.push(&rustls::version::TLS13);
        }
        if self.tls12 {
            found.push(&rustls::version::TLS12);
        }
        if found.is_empty() {
            return Err(Fault::settings("versions is empty: name \"1.2\", \"1.3\" or both"));
        }
        Ok(found)
    }
}

/// What a server's end is made of.
#[derive(Debug, Clone)]
pub struct ServerSettings {
    /// Certificates and keys; the first is for clients that ask for no name or an unknown one.
    pub identities: Vec<Identity>,
    /// Protocols by preference (ALPN, RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Versions that may be spoken.
    pub versions: Versions,
    /// Whether clients must show a certificate.
    pub client_certificate: ClientCertificate,
    /// Whose certificates clients may show, in PEM.
    pub client_ca: Vec<u8>,
    /// Whether sessions can be resumed, by tickets whose keys change every six hours.
    pub tickets: bool,
}

/// A server's end, ready to make sessions.
#[derive(Debug, Clone)]
pub struct TlsServer {
    settings: Arc<ServerConfig>,
    /// By what rule clients are let in.
    admission: Arc<(ClientCertificate, Vec<u8>)>,
    handshakes: Arc<Handshakes>,
}

/// Roots out of PEM.
pub(super) fn roots(name: &str, pem: &[u8]) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    for certificate in parse_certificates(name, pem)? {
        roots.add(certificate).map_err(|error| {
            Fault::settings(format!("{name} holds a certificate that is no authority: {error}"))
        })?;
    }
    Ok(roots)
}

impl TlsServer {
    /// Checks the settings.
    pub fn new(settings: &ServerSettings) -> Result<Self, Fault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let by_name = ByName::new(&provider, &settings.identities)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&settings.versions.supported()?)
            .map_err(|error| Fault::settings(error.to_string()))?;
        let builder = match settings.client_certificate {
            ClientCertificate::Ignored => builder.with_no_client_auth(),
            wanted => {
                let roots = Arc::new(roots("client_ca", &settings.client_ca)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = match wanted {
                    ClientCertificate::Optional => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                let verifier = verifier
                    .build()
                    .map_err(|error| Fault::settings(format!("client_ca: {error}")))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(by_name));
        config.alpn_protocols = settings.alpn.clone();
        // Tickets keep no state here, so that a flood of handshakes cannot fill a cache.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        if settings.tickets {
            config.ticketer =
                aws_lc_rs::Ticketer::new().map_err(|error| Fault::internal(&error.to_string()))?;
        } else {
            config.send_tls13_tickets = 0;
        }
        let admission = Arc::new((settings.client_certificate, settings.client_ca.clone()));
        Ok(TlsServer { settings: Arc::new(config), admission, handshakes: Arc::default() })
    }

    /// Goes on with the counters of another, and with its ticket keys, so that its sessions can be
    /// resumed here; not where clients were let in by another rule, because a client that resumes
    /// shows no certificate.
    #[must_use]
    pub fn with_tickets_of(&self, other: &TlsServer) -> Self {
        let mut config = ServerConfig::clone(&self.settings);
        let have_tickets = config.ticketer.enabled() && other.settings.ticketer.enabled();
        if have_tickets && self.admission == other.admission {
            config.ticketer = Arc::clone(&other.settings.ticketer);
        }
        TlsServer {
            settings: Arc::new(config),
            admission: Arc::clone(&self.admission),
            handshakes: Arc::clone(&other.handshakes),
        }
    }

    /// A session for one connection.
    pub fn session(&self) -> Result<Box<dyn Session>, Fault> {
        let connection = UnbufferedServerConnection::new(Arc::clone(&self.settings))?;
        Ok(session::server(connection, Arc::clone(&self.handshakes)))
    }

    /// How the handshakes have ended so far.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }
}
