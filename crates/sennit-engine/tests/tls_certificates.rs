//! Who is believed: certificates of every kind of wrongness, names, clients' certificates, and
//! sessions that are resumed.

mod common;

use std::io::ErrorKind;

use common::tls::{
    Authority, BOTH, Cut, End, ONLY_12, ONLY_13, client_settings, connected, connected_to,
    server_settings, settle,
};
use rcgen::{ExtendedKeyUsagePurpose, IsCa, date_time_ymd};
use sennit_engine::tls::client::Trust;
use sennit_engine::tls::identity::Identity;
use sennit_engine::tls::server::{ClientCertificate, Versions};
use sennit_engine::tls::{Fault, FaultKind, Phase, ServerSettings, TlsClient, TlsServer};

/// What a client that trusts an authority says of a server's certificate for `a.example`, and
/// what the server hears.
fn judged(trusted: &Authority, shown: Identity) -> (Fault, Fault) {
    let server = TlsServer::new(&server_settings(vec![shown])).unwrap();
    let client = TlsClient::new(&client_settings(trusted)).unwrap();
    let (client, server) = connected(&client, &server);
    (client.fault.unwrap(), server.fault.unwrap())
}

#[test]
fn a_certificate_that_is_wrong_is_refused_with_its_reason() {
    let authority = Authority::new();
    let early = authority.sign(&["a.example"], |params| {
        params.not_before = date_time_ymd(2300, 1, 1);
        params.not_after = date_time_ymd(2400, 1, 1);
    });
    let usage = authority.sign(&["a.example"], |params| {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let leaf = authority.sign(&["a.example"], |params| {
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    let between = authority.intermediate();
    for (shown, reason) in [
        (authority.expired("a.example"), "has expired"),
        (early, "not valid for another"),
        (authority.server("b.example"), "is for b.example, not for \"a.example\""),
        (Authority::named("other").server("a.example"), "signed by nobody that is trusted"),
        (Authority::new().server("a.example"), "has the same name but another key"),
        (between.server("a.example"), "signed by nobody that is trusted"),
        (usage, "another purpose"),
        (leaf, "authority's certificate as its own"),
    ] {
        let (ours, theirs) = judged(&authority, shown);
        assert_eq!((ours.kind, theirs.kind), (FaultKind::Certificate, FaultKind::Protocol));
        assert!(ours.message.contains(reason), "{ours}");
        assert!(theirs.message.contains("refused the TLS connection"), "{theirs}");
    }
    let mut whole = between.server("a.example");
    whole.certificates.extend(between.pem());
    let server = TlsServer::new(&server_settings(vec![whole])).unwrap();
    let client = TlsClient::new(&client_settings(&authority)).unwrap();
    assert_eq!(connected(&client, &server).0.fault, None);
}

#[test]
fn whoever_believes_anybody_still_wants_the_key_of_the_certificate() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let server = TlsServer::new(&server_settings(vec![stranger.expired("b.example")])).unwrap();
    let mut settings = client_settings(&authority);
    settings.trust = Trust::Anybody;
    let (client, server) = connected(&TlsClient::new(&settings).unwrap(), &server);
    assert_eq!((client.fault, server.fault), (None, None));
    assert_eq!(client.session.details().peer_names, ["b.example"]);
}

#[test]
fn settings_that_make_no_sense_say_so() {
    let authority = Authority::new();
    let good = authority.server("a.example");
    let swapped = Identity { key: authority.server("b.example").key, ..good.clone() };
    let empty = Identity { certificates: b"nothing here".to_vec(), ..good.clone() };
    let keyless = Identity { key: b"nothing here".to_vec(), ..good.clone() };
    let locked =
        b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let locked = Identity { key: locked.to_vec(), ..good.clone() };
    for (identities, reason) in [
        (vec![], "needs a certificate"),
        (vec![swapped], "the key does not fit the certificate a.example"),
        (vec![good.clone(), empty], "holds no certificate"),
        (vec![keyless], "the key of a.example cannot be read"),
        (vec![locked], "take the passphrase off"),
    ] {
        let fault = TlsServer::new(&server_settings(identities)).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Settings);
        assert!(fault.message.contains(reason), "{fault}");
        assert_eq!(std::io::Error::from(fault).kind(), ErrorKind::InvalidInput);
    }
    let none = Versions { tls12: false, tls13: false };
    let settings = ServerSettings { versions: none, ..server_settings(vec![good]) };
    assert_eq!(TlsServer::new(&settings).unwrap_err().kind, FaultKind::Settings);
    let client = TlsClient::new(&client_settings(&authority)).unwrap();
    for name in ["", "two words", "a..b", "fe80::1%eth0"] {
        let fault = client.session(name).map(drop).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Settings);
    }
}

/// The names of the certificate that a client gets which asks for a name and believes anybody.
fn shown_for(name: &str, server: &TlsServer) -> Vec<String> {
    let mut settings = client_settings(&Authority::new());
    settings.trust = Trust::Anybody;
    let client = TlsClient::new(&settings).unwrap();
    let (client, _server) = connected_to(name, &client, server);
    assert_eq!(client.fault, None);
    client.session.details().peer_names
}

#[test]
fn a_name_gets_its_certificate_and_everybody_else_the_first() {
    let authority = Authority::new();
    let identities = ["first.example", "*.wild.example", "own.wild.example", "first.example"];
    let identities = identities.map(|name| authority.server(name)).to_vec();
    let server = TlsServer::new(&server_settings(identities)).unwrap();
    for (asked, shown) in [
        ("first.example", "first.example"),
        ("a.wild.example", "*.wild.example"),
        ("A.Wild.EXAMPLE", "*.wild.example"),
        ("own.wild.example", "own.wild.example"),
        ("own.wild.example.", "own.wild.example"),
        ("wild.example", "first.example"),
        ("a.b.wild.example", "first.example"),
        ("unknown.example", "first.example"),
        ("127.0.0.1", "first.example"),
        ("::1", "first.example"),
    ] {
        assert_eq!(shown_for(asked, &server), [shown], "{asked}");
    }
}

#[test]
fn addresses_and_wildcards_are_verified() {
    let authority = Authority::new();
    let identity = authority.sign(&["127.0.0.1", "::1", "*.wild.example"], |_| {});
    let server = TlsServer::new(&server_settings(vec![identity])).unwrap();
    let client = TlsClient::new(&client_settings(&authority)).unwrap();
    for (name, is_good) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("a.wild.example", true),
        ("A.WILD.EXAMPLE.", true),
        ("127.0.0.2", false),
        ("wild.example", false),
        ("a.b.wild.example", false),
    ] {
        let (ours, theirs) = connected_to(name, &client, &server);
        assert_eq!(ours.fault.is_none(), is_good, "{name}");
        let asked = theirs.session.details().server_name;
        let is_name = !name.contains([':', '1']);
        assert_eq!(asked.is_some(), is_name, "{name}");
    }
}

#[test]
fn protocols_are_chosen_as_the_server_prefers_or_refused() {
    let authority = Authority::new();
    let named = |names: &[&str]| names.iter().map(|name| name.as_bytes().to_vec()).collect();
    for (ours, theirs, chosen) in [
        (&["h2", "http/1.1"][..], &["http/1.1", "h2"][..], Ok(Some("h2"))),
        (&["h2"], &[], Ok(None)),
        (&[], &["h2"], Ok(None)),
        (&["h2"], &["smtp"], Err(())),
    ] {
        let mut server = server_settings(vec![authority.server("a.example")]);
        server.alpn = named(ours);
        let mut client = client_settings(&authority);
        client.alpn = named(theirs);
        let server = TlsServer::new(&server).unwrap();
        let (client, server) = connected(&TlsClient::new(&client).unwrap(), &server);
        match chosen {
            Ok(chosen) => {
                let chosen = chosen.map(|name: &str| name.as_bytes().to_vec());
                assert_eq!(server.session.details().alpn, chosen);
                assert_eq!(client.session.details().alpn, chosen);
            }
            Err(()) => {
                let fault = client.fault.unwrap().message;
                assert!(fault.contains("none of the protocols that we offer"), "{fault}");
                assert!(server.is_over());
            }
        }
    }
}

#[test]
fn versions_without_an_overlap_are_refused() {
    let authority = Authority::new();
    let mut server = server_settings(vec![authority.server("a.example")]);
    let mut client = client_settings(&authority);
    for (theirs, ours) in [(ONLY_12, ONLY_13), (ONLY_13, ONLY_12)] {
        (client.versions, server.versions) = (theirs, ours);
        let server = TlsServer::new(&server).unwrap();
        let (client, server) = connected(&TlsClient::new(&client).unwrap(), &server);
        assert_eq!(client.fault.unwrap().kind, FaultKind::Protocol);
        assert_eq!(server.fault.unwrap().kind, FaultKind::Protocol);
    }
}

/// Settings of a server that asks clients for certificates of an authority.
fn asking(authority: &Authority, wanted: ClientCertificate, versions: Versions) -> ServerSettings {
    let mut settings = server_settings(vec![authority.server("a.example")]);
    settings.client_certificate = wanted;
    settings.client_ca = authority.pem();
    settings.versions = versions;
    settings
}

fn showing(authority: &Authority, identity: Option<Identity>) -> TlsClient {
    let mut settings = client_settings(authority);
    settings.identity = identity;
    TlsClient::new(&settings).unwrap()
}

#[test]
fn clients_show_certificates_as_they_must() {
    use ClientCertificate::{Ignored, Optional, Required};
    let authority = Authority::new();
    let good = || Some(authority.client("client.example"));
    let wrong = || Some(Authority::new().client("client.example"));
    let usage = || {
        let server_only = [ExtendedKeyUsagePurpose::ServerAuth];
        Some(authority.sign(&["c.example"], |params| {
            params.extended_key_usages = server_only.to_vec();
        }))
    };
    let expired = || Some(authority.expired("client.example"));
    for versions in [ONLY_12, ONLY_13] {
        for (wanted, shown, accepted) in [
            (Ignored, None, true),
            (Ignored, wrong(), true),
            (Optional, None, true),
            (Optional, good(), true),
            (Optional, wrong(), false),
            (Required, None, false),
            (Required, good(), true),
            (Required, wrong(), false),
            (Required, usage(), false),
            (Required, expired(), false),
        ] {
            let is_shown = wanted != Ignored && shown.is_some();
            let settings = if wanted == Ignored {
                ServerSettings { versions, ..server_settings(vec![authority.server("a.example")]) }
            } else {
                asking(&authority, wanted, versions)
            };
            let client = showing(&authority, shown);
            for resumed in [false, accepted] {
                let server = TlsServer::new(&settings).unwrap();
                let (_, mut first) = connected(&client, &server);
                let (mut left, mut right) = (first, None);
                if resumed {
                    let (client, again) = connected(&client, &server);
                    (left, right) = (again, Some(client));
                    assert!(left.session.details().resumed);
                }
                first = left;
                assert_eq!(first.fault.is_none(), accepted, "{wanted:?} {:?}", first.fault);
                assert_eq!(first.phase == Phase::Open, accepted);
                if accepted && is_shown {
                    assert_eq!(first.session.details().peer_names, ["client.example"]);
                } else if accepted {
                    assert!(first.session.details().peer_certificates.is_empty());
                } else {
                    assert_eq!(first.fault.unwrap().kind, FaultKind::Certificate);
                }
                drop(right);
            }
        }
    }
}

fn is_resumed(client: &TlsClient, server: &TlsServer) -> bool {
    let (mut client, mut server) = connected(client, server);
    assert_eq!((&client.fault, &server.fault), (&None, &None));
    let details = server.session.details();
    assert_eq!(details.server_name.as_deref(), Some("a.example"));
    client.close();
    server.close();
    settle(&mut client, &mut server, &mut Cut::Not);
    details.resumed
}

#[test]
fn sessions_are_resumed_across_new_settings() {
    let authority = Authority::new();
    for versions in [ONLY_12, ONLY_13] {
        let mut settings = server_settings(vec![authority.server("a.example")]);
        settings.versions = versions;
        let before = TlsServer::new(&settings).unwrap();
        let client = TlsClient::new(&client_settings(&authority)).unwrap();
        assert!(!is_resumed(&client, &before));
        assert!(is_resumed(&client, &before));
        settings.identities = vec![authority.server("a.example")];
        let after = TlsServer::new(&settings).unwrap().with_tickets_of(&before);
        assert!(is_resumed(&client, &after));
        // Somebody else's tickets are no good, and neither are any where there are none.
        assert!(!is_resumed(&client, &TlsServer::new(&settings).unwrap()));
        settings.tickets = false;
        let without = TlsServer::new(&settings).unwrap().with_tickets_of(&before);
        assert!(!is_resumed(&client, &without));
        assert!(!is_resumed(&client, &without));
    }
}

#[test]
fn no_session_outlives_the_rule_by_which_its_client_was_let_in() {
    use ClientCertificate::{Optional, Required};
    let (authority, other) = (Authority::new(), Authority::new());
    for versions in [ONLY_12, ONLY_13] {
        // Let in without a certificate, which is required from then on.
        let optional = TlsServer::new(&asking(&authority, Optional, versions)).unwrap();
        let nobody = showing(&authority, None);
        assert!(!is_resumed(&nobody, &optional));
        assert!(is_resumed(&nobody, &optional));
        let required = TlsServer::new(&asking(&authority, Required, versions)).unwrap();
        let required = required.with_tickets_of(&optional);
        let (_, server) = connected(&nobody, &required);
        assert_eq!(server.fault.unwrap().kind, FaultKind::Certificate);
        // Let in by an authority that is believed no more.
        let known = showing(&authority, Some(authority.client("client.example")));
        assert!(!is_resumed(&known, &required));
        assert!(is_resumed(&known, &required));
        let mut settings = asking(&authority, Required, versions);
        settings.client_ca = other.pem();
        let stricter = TlsServer::new(&settings).unwrap().with_tickets_of(&required);
        let (_, server) = connected(&known, &stricter);
        assert_eq!(server.fault.unwrap().kind, FaultKind::Certificate);
        // The same rule, said again, changes nothing.
        let same = TlsServer::new(&asking(&authority, Required, versions)).unwrap();
        let known = showing(&authority, Some(authority.client("client.example")));
        assert!(!is_resumed(&known, &required));
        assert!(is_resumed(&known, &same.with_tickets_of(&required)));
    }
}

#[test]
fn details_say_what_was_agreed_upon() {
    let authority = Authority::new();
    for (versions, version, cipher) in [
        (ONLY_12, "TLSv1.2", "TLS_ECDHE_ECDSA_WITH_"),
        (ONLY_13, "TLSv1.3", "TLS13_"),
        (BOTH, "TLSv1.3", "TLS13_"),
    ] {
        let mut settings = server_settings(vec![authority.server("a.example")]);
        settings.versions = versions;
        let server = TlsServer::new(&settings).unwrap();
        let client = TlsClient::new(&client_settings(&authority)).unwrap();
        let mut early = End::new(server.session().unwrap());
        assert_eq!(early.session.details().version, "");
        early.feed(b"");
        let (client, server) = connected(&client, &server);
        for details in [client.session.details(), server.session.details()] {
            assert_eq!(details.version, version);
            assert!(details.cipher.starts_with(cipher), "{}", details.cipher);
            assert_eq!(details.server_name.as_deref(), Some("a.example"));
            assert!(!details.resumed);
        }
        assert_eq!(client.session.details().peer_certificates.len(), 1);
    }
}
