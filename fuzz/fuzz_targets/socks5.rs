//! A SOCKS5 handshake: whatever the proxy says, in whatever pieces, it ends alike, and uses up no more than was said.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sennit_wire::socks5::{Answer, Handshake, Host, Request};

/// What was sent, how much was used up, and how it has ended.
fn shake(request: &Request, input: &[u8], piece: usize) -> (Vec<u8>, usize, String) {
    let (mut handshake, mut sent) = Handshake::start(request.clone());
    let mut used = 0;
    for end in (piece..input.len()).step_by(piece).chain([input.len()]) {
        loop {
            match handshake.take(&input[used..end]) {
                Ok(Answer::NeedData) => break,
                Ok(Answer::Send(count, bytes)) => {
                    used += count;
                    sent.extend(bytes);
                }
                Ok(Answer::Done(count)) => return (sent, used + count, "done".to_owned()),
                Err(refusal) => return (sent, used, refusal.to_string()),
            }
            assert!(used <= end);
        }
    }
    (sent, used, "waits".to_owned())
}

fuzz_target!(|data: (String, u16, Option<(Vec<u8>, Vec<u8>)>, u8, Vec<u8>)| {
    let (host, port, credentials, piece, input) = data;
    let host = match host.parse() {
        Ok(address) => Host::Address(address),
        Err(_) => Host::Name(host.as_bytes().into()),
    };
    let credentials = credentials.as_ref().map(|(user, password)| (&user[..], &password[..]));
    let Ok(request) = Request::new(host, port, credentials) else { return };
    let whole = shake(&request, &input, input.len().max(1));
    assert_eq!(whole, shake(&request, &input, usize::from(piece).max(1)));
});
