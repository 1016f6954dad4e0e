//! Certificates: real ones are read right, and no bytes at all are read with a panic.

use std::net::IpAddr;

use proptest::collection::vec;
use proptest::prelude::*;
use rcgen::string::Ia5String;
use rcgen::{CertificateParams, DnType, DnValue, KeyPair, SanType, SerialNumber, date_time_ymd};
use sennit_wire::certificate::{Certificate, read};

fn ia5(text: &str) -> Ia5String {
    text.try_into().unwrap()
}

fn made(change: impl FnOnce(&mut CertificateParams)) -> Vec<u8> {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    change(&mut params);
    params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
}

fn full() -> Vec<u8> {
    made(|params| {
        params.serial_number = Some(SerialNumber::from_slice(&[0x12, 0x34, 0x56]));
        params.not_before = date_time_ymd(1999, 12, 31);
        params.not_after = date_time_ymd(2096, 2, 29);
        params.distinguished_name.push(DnType::OrganizationName, "Some Body");
        params.distinguished_name.push(DnType::CommonName, "Jörg's service");
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        params.subject_alt_names = vec![
            SanType::DnsName(ia5("Example.ORG")),
            SanType::URI(ia5("spiffe://example.org/service")),
            SanType::Rfc822Name(ia5("root@example.org")),
            SanType::IpAddress(address),
            SanType::IpAddress("2001:db8::1".parse().unwrap()),
            SanType::DnsName(ia5("*.example.org")),
        ];
    })
}

#[test]
fn every_kind_of_name_is_read() {
    let expected = Certificate {
        serial: vec![0x12, 0x34, 0x56],
        common_name: Some("Jörg's service".to_owned()),
        not_before: 946_598_400,
        not_after: 3_981_312_000,
        dns_names: vec!["example.org".to_owned(), "*.example.org".to_owned()],
        uris: vec!["spiffe://example.org/service".to_owned()],
        emails: vec!["root@example.org".to_owned()],
        addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::1".parse().unwrap()],
    };
    assert_eq!(read(&full()), Ok(expected));
}

#[test]
fn a_certificate_without_names_has_none() {
    let found = read(&made(|_| {})).unwrap();
    assert_eq!(found.common_name, None);
    assert!(found.dns_names.is_empty() && found.uris.is_empty());
}

#[test]
fn each_kind_of_text_is_decoded() {
    let values = [
        DnValue::PrintableString("plain".try_into().unwrap()),
        DnValue::TeletexString("plain".try_into().unwrap()),
        DnValue::BmpString("plain".try_into().unwrap()),
        DnValue::Ia5String("plain".try_into().unwrap()),
        DnValue::Utf8String("plain".to_owned()),
    ];
    for value in values {
        let der = made(|params| params.distinguished_name.push(DnType::CommonName, value));
        assert_eq!(read(&der).unwrap().common_name.as_deref(), Some("plain"));
    }
}

#[test]
fn times_are_those_of_the_calendar() {
    for (year, month, day, seconds) in [
        (1970, 1, 1, 0),
        (2000, 2, 29, 951_782_400),
        (2049, 12, 31, 2_524_521_600),
        (2050, 1, 1, 2_524_608_000),
        (2100, 3, 1, 4_107_542_400),
        (9999, 12, 31, 253_402_214_400),
    ] {
        let der = made(|params| params.not_after = date_time_ymd(year, month, day));
        assert_eq!(read(&der).unwrap().not_after, seconds, "{year}-{month}-{day}");
    }
}

#[test]
fn every_beginning_of_a_certificate_is_malformed() {
    let der = full();
    for length in 0..der.len() {
        let error = read(&der[..length]).unwrap_err();
        assert!(error.to_string().starts_with("the certificate cannot be read"));
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_it_down(bytes in vec(any::<u8>(), 0..400)) {
        let _ = read(&bytes);
    }

    #[test]
    fn nor_does_a_certificate_with_bytes_changed(
        changes in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        thread_local! { static DER: Vec<u8> = full(); }
        let mut der = DER.with(Clone::clone);
        for (index, byte) in changes {
            let place = index.index(der.len());
            der[place] = byte;
        }
        if let Ok(found) = read(&der) {
            prop_assert!(found.dns_names.iter().chain(&found.uris).all(|name| name.is_ascii()));
        }
    }
}
