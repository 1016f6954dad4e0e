//! The settings of a client's end, checked and made ready once.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, UnbufferedClientConnection};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::identity::{Identity, certify};
use super::server::{Versions, roots};
use super::{Fault, Handshakes, Session, session};

/// Whose certificates a server may show.
#[derive(Debug, Clone)]
pub enum Trust {
    /// Those of the system's authorities.
    System,
    /// Those of these authorities, in PEM.
    Given(Vec<u8>),
    /// Any: whoever sits between us and the server can read and change everything.
    Anybody,
}

/// What a client's end is made of.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// Whose certificates a server may show.
    pub trust: Trust,
    /// Our own certificate, for servers that ask for one.
    pub identity: Option<Identity>,
    /// Protocols by preference (ALPN, RFC 7301).
    pub alpn: Vec<Vec<u8>>,
    /// Versions that may be spoken.
    pub versions: Versions,
}

/// A client's end, ready to make sessions.
#[derive(Debug, Clone)]
pub struct TlsClient {
    settings: Arc<ClientConfig>,
    handshakes: Arc<Handshakes>,
}

/// The system's authorities, read once: there are over a hundred.
fn system_roots() -> Result<Arc<RootCertStore>, Fault> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let roots = ROOTS.get_or_init(|| {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(roots)
    });
    if roots.is_empty() {
        return Err(Fault::settings(
            "the system has no certificate authorities to trust: install them \
             (ca-certificates), or give one (ca)",
        ));
    }
    Ok(Arc::clone(roots))
}

/// Believes every certificate; signatures are still checked.
#[derive(Debug)]
struct BelieveAnybody(Arc<CryptoProvider>);

impl ServerCertVerifier for BelieveAnybody {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

impl TlsClient {
    /// Checks the settings.
    pub fn new(settings: &ClientSettings) -> Result<Self, Fault> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&settings.versions.supported()?)
            .map_err(|error| Fault::settings(error.to_string()))?;
        let builder = match &settings.trust {
            Trust::System => builder.with_root_certificates(system_roots()?),
            Trust::Given(pem) => builder.with_root_certificates(roots("ca", pem)?),
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(BelieveAnybody(provider.clone()))),
        };
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                let certified = SingleCertAndKey::from(certify(&provider, identity)?);
                builder.with_client_cert_resolver(Arc::new(certified))
            }
        };
        config.alpn_protocols = settings.alpn.clone();
        Ok(TlsClient { settings: Arc::new(config), handshakes: Arc::default() })
    }

    /// A session for one connection to a server of a name, which its certificate must be for.
    pub fn session(&self, name: &str) -> Result<Box<dyn Session>, Fault> {
        let server_name = ServerName::try_from(name.to_owned()).map_err(|_| {
            Fault::settings(format!(
                "{name:?} is neither a DNS name nor an address, and a certificate can be for \
                 nothing else (server_name)"
            ))
        })?;
        let connection = UnbufferedClientConnection::new(Arc::clone(&self.settings), server_name)?;
        Ok(session::client(connection, name.to_owned(), Arc::clone(&self.handshakes)))
    }

    /// How the handshakes have ended so far.
    pub fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }
}
