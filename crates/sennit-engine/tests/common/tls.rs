//! Certificates made on the spot, and one end of a TLS connection in memory.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use sennit_engine::tls::client::Trust;
use sennit_engine::tls::identity::Identity;
use sennit_engine::tls::server::{ClientCertificate, Versions};
use sennit_engine::tls::{
    ClientSettings, Fault, Phase, ServerSettings, Session, TlsClient, TlsServer,
};

use super::random::Random;

pub const BOTH: Versions = Versions { tls12: true, tls13: true };
pub const ONLY_12: Versions = Versions { tls12: true, tls13: false };
pub const ONLY_13: Versions = Versions { tls12: false, tls13: true };

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params
}

impl Authority {
    pub fn new() -> Self {
        Self::named("authority")
    }

    pub fn named(name: &str) -> Self {
        let (params, key) = (authority_params(name), KeyPair::generate().unwrap());
        let pem = params.self_signed(&key).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    /// An authority between this one and others.
    pub fn intermediate(&self) -> Self {
        let (params, key) = (authority_params("between"), KeyPair::generate().unwrap());
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    pub fn pem(&self) -> Vec<u8> {
        self.pem.clone().into_bytes()
    }

    /// A certificate for names, changed as a test wants it.
    pub fn sign(&self, names: &[&str], change: impl Fn(&mut CertificateParams)) -> Identity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificates = params.signed_by(&key, &self.issuer).unwrap().pem().into_bytes();
        Identity { name: names.join(","), certificates, key: key.serialize_pem().into_bytes() }
    }

    pub fn server(&self, name: &str) -> Identity {
        self.sign(&[name], |_| {})
    }

    pub fn client(&self, name: &str) -> Identity {
        self.sign(&[name], |params| {
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        })
    }

    pub fn expired(&self, name: &str) -> Identity {
        self.sign(&[name], |params| {
            params.not_before = date_time_ymd(2019, 1, 1);
            params.not_after = date_time_ymd(2020, 1, 1);
        })
    }
}

/// A server's settings, to be changed.
pub fn server_settings(identities: Vec<Identity>) -> ServerSettings {
    ServerSettings {
        identities,
        alpn: Vec::new(),
        versions: BOTH,
        client_certificate: ClientCertificate::Ignored,
        client_ca: Vec::new(),
        tickets: true,
    }
}

/// A client's settings, to be changed.
pub fn client_settings(authority: &Authority) -> ClientSettings {
    ClientSettings {
        trust: Trust::Given(authority.pem()),
        identity: None,
        alpn: Vec::new(),
        versions: BOTH,
    }
}

/// A server for `a.example` and a client that trusts it, of the same versions.
pub fn pair(versions: Versions) -> (TlsServer, TlsClient) {
    let authority = Authority::new();
    let mut server = server_settings(vec![authority.server("a.example")]);
    let mut client = client_settings(&authority);
    (server.versions, client.versions) = (versions, versions);
    (TlsServer::new(&server).unwrap(), TlsClient::new(&client).unwrap())
}

/// One end of a connection.
pub struct End {
    pub session: Box<dyn Session>,
    pub rest: Vec<u8>,
    pub plain: Vec<u8>,
    pub outgoing: Vec<u8>,
    pub phase: Phase,
    pub fault: Option<Fault>,
}

impl End {
    pub fn new(session: Box<dyn Session>) -> Self {
        let (rest, plain, outgoing) = Default::default();
        let phase = Phase::Handshaking;
        let mut end = End { session, rest, plain, outgoing, phase, fault: None };
        end.feed(&[]);
        end
    }

    /// Takes ciphertext as it has come from the other end.
    pub fn feed(&mut self, bytes: &[u8]) {
        assert_eq!(self.fault, None, "nothing is asked of a session after its fault");
        self.rest.extend_from_slice(bytes);
        let progress = self.session.receive(&mut self.rest, &mut self.plain, &mut self.outgoing);
        self.phase = progress.phase;
        self.fault = progress.fault;
        self.rest.drain(..progress.used);
    }

    pub fn seal(&mut self, plain: &[u8]) {
        self.session.seal(&mut self.rest, plain, &mut self.outgoing).unwrap();
    }

    pub fn close(&mut self) {
        self.session.close(&mut self.rest, &mut self.outgoing).unwrap();
    }

    pub fn is_over(&self) -> bool {
        self.fault.is_some()
    }
}

/// How bytes are cut on their way.
pub enum Cut<'a> {
    Not,
    Into(usize),
    Randomly(&'a mut Random, u64),
}

impl Cut<'_> {
    fn next(&mut self, left: usize) -> usize {
        match self {
            Cut::Not => left,
            Cut::Into(size) => left.min(*size),
            Cut::Randomly(random, most) => left.min(1 + random.below(*most) as usize),
        }
    }

    pub fn each(&mut self, bytes: &[u8], mut take: impl FnMut(&[u8])) {
        let mut left = bytes;
        while !left.is_empty() {
            let (piece, behind) = left.split_at(self.next(left.len()));
            take(piece);
            left = behind;
        }
    }
}

/// Carries what one end has sent to the other.
pub fn carry(from: &mut End, to: &mut End, cut: &mut Cut<'_>) {
    let bytes = std::mem::take(&mut from.outgoing);
    cut.each(&bytes, |piece| {
        if !to.is_over() {
            to.feed(piece);
        }
    });
}

/// Carries everything both ways until nobody has anything to say.
pub fn settle(left: &mut End, right: &mut End, cut: &mut Cut<'_>) {
    while !left.outgoing.is_empty() || !right.outgoing.is_empty() {
        carry(left, right, cut);
        carry(right, left, cut);
    }
}

/// A client's and a server's end for `a.example`, after their handshake.
pub fn connected(client: &TlsClient, server: &TlsServer) -> (End, End) {
    connected_to("a.example", client, server)
}

/// As [`connected`], for a name.
pub fn connected_to(name: &str, client: &TlsClient, server: &TlsServer) -> (End, End) {
    let mut client = End::new(client.session(name).unwrap());
    let mut server = End::new(server.session().unwrap());
    settle(&mut client, &mut server, &mut Cut::Not);
    (client, server)
}
