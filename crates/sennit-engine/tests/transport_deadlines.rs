//! A transport hands its deadlines to what stands above it.

mod common;

use common::connection::{Heard, connection, start};
use common::peer::unix_pair;
use common::{call_at, reactor};
use sennit_engine::clock::MILLISECOND;

#[test]
fn a_protocol_hears_of_its_deadline() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let connection = start(&reactor, ours);
    assert!(connection.wake_at(&reactor, 105 * MILLISECOND));
    call_at(&reactor, 500 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(connection.protocol().take(), [Heard::Deadline(110 * MILLISECOND)]);
}

#[test]
fn a_connection_that_has_not_begun_or_is_over_has_no_deadlines() {
    let reactor = reactor();
    let (ours, _peer) = unix_pair();
    let (theirs, _other) = unix_pair();
    assert!(!connection(ours).wake_at(&reactor, MILLISECOND));
    let connection = start(&reactor, theirs);
    assert!(connection.wake_at(&reactor, 100 * MILLISECOND));
    connection.abort(&reactor);
    call_at(&reactor, 500 * MILLISECOND, |reactor| reactor.stop());
    reactor.run().unwrap();
    assert_eq!(connection.protocol().take(), [Heard::Lost(None)]);
    assert!(!connection.wake_at(&reactor, 900 * MILLISECOND));
}
