//! Two TLS sessions against each other in memory: however the bytes are cut, whatever comes
//! between them.

mod common;

use std::io::{Read, Write};
use std::sync::Arc;

use common::random::Random;
use common::tls::{
    Authority, BOTH, Cut, End, ONLY_12, ONLY_13, carry, client_settings, pair, server_settings,
    settle,
};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use sennit_engine::tls::{FaultKind, Phase, TlsClient, TlsServer};

/// A record with a payload in the clear.
fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
    let mut record = vec![kind, 3, 3];
    record.extend((payload.len() as u16).to_be_bytes());
    record.extend(payload);
    record
}

#[test]
fn any_cut_of_the_bytes_gives_the_same() {
    for versions in [ONLY_12, ONLY_13] {
        let (server, client) = pair(versions);
        for seed in 0..16 {
            let mut random = Random::seeded(seed);
            let mut left = End::new(client.session("a.example").unwrap());
            let mut right = End::new(server.session().unwrap());
            let most = [3, 50, 1000, 20_000][seed as usize % 4];
            settle(&mut left, &mut right, &mut Cut::Randomly(&mut random, most));
            assert_eq!((left.phase, right.phase), (Phase::Open, Phase::Open));
            let (mut sent, mut echoed) = (Vec::new(), Vec::new());
            for _ in 0..6 {
                let size = [0, 1, 100, 17_000, 40_000][random.below(5) as usize];
                let piece = random.bytes(size);
                left.seal(&piece);
                sent.extend(piece);
                carry(&mut left, &mut right, &mut Cut::Randomly(&mut random, most));
                let plain = std::mem::take(&mut right.plain);
                right.seal(&plain);
                carry(&mut right, &mut left, &mut Cut::Randomly(&mut random, most));
                echoed.append(&mut left.plain);
            }
            assert!(sent == echoed);
            left.close();
            carry(&mut left, &mut right, &mut Cut::Into(1));
            assert_eq!(right.phase, Phase::PeerClosed);
            assert!(left.rest.is_empty() && right.rest.is_empty());
        }
    }
}

/// A client of rustls itself, which can do what ours never does.
fn foreign_client(authority: &Authority) -> rustls::ClientConnection {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&authority.pem()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("a.example").unwrap();
    rustls::ClientConnection::new(Arc::new(config), name).unwrap()
}

/// Carries everything both ways until nobody has anything to say. Returns what the foreign client
/// has read.
fn exchange(foreign: &mut rustls::ClientConnection, ours: &mut End, cut: Cut<'_>) -> Vec<u8> {
    let (mut heard, mut cut) = (Vec::new(), cut);
    loop {
        let mut sent = Vec::new();
        while foreign.wants_write() {
            foreign.write_tls(&mut sent).unwrap();
        }
        let answer = std::mem::take(&mut ours.outgoing);
        if sent.is_empty() && answer.is_empty() {
            return heard;
        }
        cut.each(&sent, |piece| ours.feed(piece));
        let mut answer = answer.as_slice();
        while !answer.is_empty() {
            foreign.read_tls(&mut answer).unwrap();
            let count = foreign.process_new_packets().unwrap().plaintext_bytes_to_read();
            let start = heard.len();
            heard.resize(start + count, 0);
            foreign.reader().read_exact(&mut heard[start..]).unwrap();
        }
    }
}

#[test]
fn a_key_update_of_the_peer_is_answered_before_what_is_sent_next() {
    for size in [1, 16_000, 16_384, 40_000] {
        let authority = Authority::new();
        let server = TlsServer::new(&server_settings(vec![authority.server("a.example")])).unwrap();
        let mut foreign = foreign_client(&authority);
        let mut ours = End::new(server.session().unwrap());
        exchange(&mut foreign, &mut ours, Cut::Not);
        for round in 0..3 {
            foreign.refresh_traffic_keys().unwrap();
            foreign.writer().write_all(b"behind new keys").unwrap();
            exchange(&mut foreign, &mut ours, Cut::Into(1 + round * 10));
            assert_eq!(std::mem::take(&mut ours.plain), b"behind new keys");
            let answer = vec![round as u8; size];
            ours.seal(&answer);
            assert_eq!(exchange(&mut foreign, &mut ours, Cut::Not), answer);
        }
        foreign.refresh_traffic_keys().unwrap();
        exchange(&mut foreign, &mut ours, Cut::Into(3));
        ours.close();
        exchange(&mut foreign, &mut ours, Cut::Not);
        assert!(foreign.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn another_record_in_the_middle_of_a_handshake_message_is_a_fault_and_no_panic() {
    let (server, client) = pair(BOTH);
    let hello = End::new(client.session("a.example").unwrap()).outgoing;
    for (kind, payload) in [(21, &[1, 0][..]), (23, b"data"), (20, &[1])] {
        let mut ours = End::new(server.session().unwrap());
        let mut bytes = record(22, &hello[5..hello.len() - 10]);
        bytes.extend(record(kind, payload));
        ours.feed(&bytes);
        assert_eq!(ours.fault.unwrap().kind, FaultKind::Protocol);
    }
}

#[test]
fn a_name_is_asked_for_in_ones_own_hello_only() {
    let authority = Authority::new();
    let mut settings = server_settings(vec![authority.server("a.example")]);
    settings.alpn = vec![b"ours".to_vec()];
    let server = TlsServer::new(&settings).unwrap();
    let mut wants = client_settings(&authority);
    wants.alpn = vec![b"theirs".to_vec()];
    let stranger = TlsClient::new(&wants).unwrap();
    wants.alpn.clear();
    let client = TlsClient::new(&wants).unwrap();
    let mut refused = End::new(server.session().unwrap());
    carry(&mut End::new(stranger.session("other.example").unwrap()), &mut refused, &mut Cut::Not);
    assert!(refused.is_over());
    let mut left = End::new(client.session("a.example").unwrap());
    let mut right = End::new(server.session().unwrap());
    settle(&mut left, &mut right, &mut Cut::Into(1));
    assert_eq!(right.session.details().server_name.as_deref(), Some("a.example"));
}

/// A server's end, before anything has come.
fn listening() -> End {
    End::new(pair(BOTH).0.session().unwrap())
}

#[test]
fn what_is_no_tls_is_named() {
    let tls10 = record(22, &[1, 0, 0, 40, 3, 1]);
    for (sent, reason) in [
        (&b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"[..], "plain text (\"GET / HTTP/1.1\\r\\n\")"),
        (b"\x80\x2e\x01\x00\x02\x00\x15", "no TLS record"),
        (b"\x00\x00\x00\x00\x00\x00", "no TLS record"),
        (b"\x16\x03\x01\xff\xff\x01", "TLS"),
        (b"\x16\x03\x01\x00\x00", "TLS"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "alert HandshakeFailure"),
    ] {
        for size in [1, sent.len()] {
            let mut ours = listening();
            for piece in sent.chunks(size) {
                if !ours.is_over() {
                    ours.feed(piece);
                }
            }
            let fault = ours.fault.expect(reason);
            assert_eq!(fault.kind, FaultKind::Protocol);
            // The first byte is enough to refuse it, but not to say what it is.
            assert!(size == 1 || fault.message.contains(reason), "{fault}");
        }
    }
    let mut ours = listening();
    ours.feed(&tls10);
    assert!(!ours.is_over(), "only part of a hello has come");
}

#[test]
fn a_hello_of_an_old_version_is_refused_with_an_alert() {
    for version in [0x00, 0x01, 0x02] {
        let mut hello = vec![3, version];
        hello.extend([7; 32]);
        hello.extend([0, 0, 2, 0xc0, 0x2b, 1, 0]);
        let mut message = vec![1, 0, 0, hello.len() as u8];
        message.extend(hello);
        let mut ours = listening();
        ours.feed(&record(22, &message));
        assert_eq!(ours.fault.unwrap().kind, FaultKind::Protocol);
        assert_eq!(ours.outgoing[..6], [21, 3, 3, 0, 2, 2], "a fatal alert");
    }
}

#[test]
fn a_close_in_the_handshake_is_no_connection() {
    for sent in [record(21, &[1, 0]), record(21, &[2, 0])] {
        let mut ours = listening();
        ours.feed(&sent);
        assert_eq!(ours.phase, Phase::Handshaking);
        let (_, client) = pair(BOTH);
        let mut ours = End::new(client.session("a.example").unwrap());
        ours.feed(&sent);
        assert_eq!(ours.phase, Phase::Handshaking);
    }
}

#[test]
fn floods_of_nothing_come_to_an_end() {
    let (_, client) = pair(BOTH);
    for versions in [ONLY_12, ONLY_13] {
        for flood in [record(21, &[1, 90]), record(22, &[]), record(23, &[]), record(20, &[1])] {
            let mut ours = listening();
            let mut hello = End::new(client.session("a.example").unwrap());
            if versions == ONLY_13 {
                carry(&mut hello, &mut ours, &mut Cut::Not);
            }
            for _ in 0..100 {
                if !ours.is_over() {
                    ours.feed(&flood);
                }
            }
            assert!(ours.is_over());
            assert!(ours.rest.len() < 1000);
        }
    }
}

#[test]
fn a_hello_is_no_larger_than_a_handshake_message_may_be() {
    let mut ours = listening();
    // It says that it is 16 MiB.
    ours.feed(&record(22, &[1, 255, 255, 255, 3, 3]));
    assert_eq!(ours.fault.unwrap().kind, FaultKind::Protocol);
}
