//! Certificates with their keys, and which of them a name gets.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{Fault, session};

/// A certificate chain and its key, both PEM.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Where the certificate came from, for errors.
    pub name: String,
    /// The certificate first, then those between it and its root.
    pub certificates: Vec<u8>,
    /// The private key, not encrypted.
    pub key: Vec<u8>,
}

/// Reads certificates out of PEM.
pub fn parse_certificates(name: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(Fault::settings(format!("{name} holds no certificate in PEM"))),
        Err(error) => Err(Fault::settings(format!("{name} cannot be read as PEM: {error}"))),
    }
}

fn parse_key(identity: &Identity) -> Result<PrivateKeyDer<'static>, Fault> {
    PrivateKeyDer::from_pem_slice(&identity.key).map_err(|error| {
        let is_locked = identity.key.windows(9).any(|part| part == b"ENCRYPTED");
        let hint = if is_locked { ": it is encrypted; take the passphrase off first" } else { "" };
        Fault::settings(format!("the key of {} cannot be read ({error}){hint}", identity.name))
    })
}

/// Makes an identity ready, and checks that key and certificate are a pair.
pub fn certify(provider: &CryptoProvider, identity: &Identity) -> Result<CertifiedKey, Fault> {
    let chain = parse_certificates(&identity.name, &identity.certificates)?;
    let key = provider.key_provider.load_private_key(parse_key(identity)?).map_err(|error| {
        Fault::settings(format!("the key of {} cannot be used: {error}", identity.name))
    })?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {
            Ok(certified)
        }
        Err(rustls::Error::InconsistentKeys(_)) => Err(Fault::settings(format!(
            "the key does not fit the certificate {}: give the key that the certificate was made \
             for",
            identity.name
        ))),
        Err(error) => Err(Fault::settings(format!(
            "the certificate {} cannot be used: {error}",
            identity.name
        ))),
    }
}

/// The DNS names that a certificate is for, in lower case.
pub fn dns_names(certificate: &[u8]) -> Vec<String> {
    let der = CertificateDer::from_slice(certificate);
    match webpki::EndEntityCert::try_from(&der) {
        Ok(parsed) => parsed.valid_dns_names().map(str::to_ascii_lowercase).collect(),
        Err(_) => Vec::new(),
    }
}

/// Picks a server's certificate by the name that a client asks for.
pub struct ByName {
    named: HashMap<String, Arc<CertifiedKey>>,
    first: Arc<CertifiedKey>,
}

impl fmt::Debug for ByName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ByName").field("names", &self.named.keys()).finish_non_exhaustive()
    }
}

impl ByName {
    /// Identities by the names in their certificates. The first one is for everybody else, and
    /// keeps a name that two certificates have.
    pub fn new(provider: &CryptoProvider, identities: &[Identity]) -> Result<Self, Fault> {
        let mut certified = Vec::new();
        for identity in identities {
            certified.push(Arc::new(certify(provider, identity)?));
        }
        let Some(first) = certified.first().cloned() else {
            return Err(Fault::settings("a TLS server needs a certificate and its key"));
        };
        let mut named = HashMap::new();
        for certified in &certified {
            let own = certified.cert.first();
            for name in own.map(|own| dns_names(own)).unwrap_or_default() {
                named.entry(name).or_insert_with(|| Arc::clone(certified));
            }
        }
        Ok(ByName { named, first })
    }

    /// An exact name is better than a wildcard, which stands for one label (RFC 6125).
    fn find(&self, name: &str) -> Option<&Arc<CertifiedKey>> {
        let name = name.to_ascii_lowercase();
        self.named.get(&name).or_else(|| {
            let (_, parent) = name.split_once('.')?;
            self.named.get(&format!("*.{parent}"))
        })
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name();
        session::note_asked_name(name);
        let found = name.and_then(|name| self.find(name)).unwrap_or(&self.first);
        Some(Arc::clone(found))
    }
}
