//! Bytes into a server's TLS session, in pieces of the size that the
//! first byte says: whatever they are, it ends in order, keeps little and says it in words.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sennit_engine::tls::identity::Identity;
use sennit_engine::tls::server::{ClientCertificate, Versions};
use sennit_engine::tls::{Phase, ServerSettings, TlsServer};

static SERVER: LazyLock<TlsServer> = LazyLock::new(|| {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (certificates, key) = (made.cert.pem().into_bytes(), made.signing_key.serialize_pem());
    TlsServer::new(&ServerSettings {
        identities: vec![Identity { name: "a".to_owned(), certificates, key: key.into_bytes() }],
        alpn: vec![b"h2".to_vec()],
        versions: Versions { tls12: true, tls13: true },
        client_certificate: ClientCertificate::Ignored,
        client_ca: Vec::new(),
        tickets: true,
    })
    .unwrap()
});

fuzz_target!(|data: &[u8]| {
    let [piece, input @ ..] = data else { return };
    let mut session = SERVER.session().unwrap();
    let (mut rest, mut plain, mut outgoing) = (Vec::new(), Vec::new(), Vec::new());
    for piece in input.chunks(usize::from(*piece).max(1)) {
        rest.extend_from_slice(piece);
        let progress = session.receive(&mut rest, &mut plain, &mut outgoing);
        rest.drain(..progress.used);
        assert!(progress.phase == Phase::Handshaking && plain.is_empty(), "without a key");
        if let Some(fault) = progress.fault {
            return assert!(!fault.message.is_empty());
        }
    }
});
