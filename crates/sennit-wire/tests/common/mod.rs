//! Feeds a reader the same bytes in many ways and writes down what came out.
#![allow(dead_code)] // each test file uses its part

use sennit_wire::http1::{
    Event, FieldSlots, Framing, Limits, RemoteProtocolError, RequestKind, RequestReader,
    ResponseReader,
};

/// An event that owns its bytes. Neighbouring data is joined: how data is cut is no promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Head { start: String, fields: Vec<(String, Vec<u8>)>, framing: Framing, flags: Vec<bool> },
    Data(Vec<u8>),
    End,
}

/// What became of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    pub events: Vec<Seen>,
    pub error: Option<RemoteProtocolError>,
    /// Bytes that the reader has not used up.
    pub left: usize,
    /// What the reader says when the peer closes then.
    pub eof_is_fine: bool,
}

impl Outcome {
    pub fn heads(&self) -> usize {
        self.events.iter().filter(|event| matches!(event, Seen::Head { .. })).count()
    }

    pub fn body(&self) -> Vec<u8> {
        self.events
            .iter()
            .flat_map(|event| if let Seen::Data(data) = event { data.as_slice() } else { &[] })
            .copied()
            .collect()
    }
}

/// The two readers under one roof.
pub trait Reader {
    fn step(
        &mut self,
        limits: &Limits,
        input: &[u8],
    ) -> Result<(usize, Option<Seen>), RemoteProtocolError>;
    fn eof_is_fine(&mut self) -> bool;
    /// Whether the bytes behind belong to nobody: closed, or another protocol.
    fn is_over(&self) -> bool;
}

pub struct Server {
    reader: RequestReader,
    last: bool,
}

impl Server {
    pub fn new() -> Self {
        Self { reader: RequestReader::new(), last: false }
    }
}

impl Reader for Server {
    fn step(
        &mut self,
        limits: &Limits,
        input: &[u8],
    ) -> Result<(usize, Option<Seen>), RemoteProtocolError> {
        let mut slots = FieldSlots::new();
        let step = self.reader.next_event(limits, input, &mut slots)?;
        let seen = match step.event {
            Event::NeedData => None,
            Event::Data(data) => Some(Seen::Data(data.to_vec())),
            Event::End => Some(Seen::End),
            Event::Head(head) => {
                assert!(step.consumed >= head.bytes.len() && step.consumed <= input.len());
                assert!(input[..step.consumed].ends_with(head.bytes));
                self.last = !head.keep_alive || head.upgrade;
                Some(Seen::Head {
                    start: format!("{} {} {:?}", head.method, head.target, head.version),
                    fields: own(head.fields),
                    framing: head.framing,
                    flags: vec![head.keep_alive, head.expect_continue, head.upgrade],
                })
            }
        };
        Ok((step.consumed, seen))
    }

    fn eof_is_fine(&mut self) -> bool {
        self.reader.receive_eof().is_ok()
    }

    fn is_over(&self) -> bool {
        self.last && self.reader.is_between_messages()
    }
}

pub struct Client {
    reader: ResponseReader,
    kind: RequestKind,
    last: bool,
}

impl Client {
    pub fn new(kind: RequestKind) -> Self {
        let mut reader = ResponseReader::new();
        reader.expect(kind);
        Self { reader, kind, last: false }
    }
}

impl Reader for Client {
    fn step(
        &mut self,
        limits: &Limits,
        input: &[u8],
    ) -> Result<(usize, Option<Seen>), RemoteProtocolError> {
        self.reader.expect(self.kind);
        let mut slots = FieldSlots::new();
        let step = self.reader.next_event(limits, input, &mut slots)?;
        let seen = match step.event {
            Event::NeedData => None,
            Event::Data(data) => Some(Seen::Data(data.to_vec())),
            Event::End => Some(Seen::End),
            Event::Head(head) => {
                assert!(input[..step.consumed].ends_with(head.bytes));
                self.last = head.status >= 200 && !head.keep_alive || head.upgrade;
                Some(Seen::Head {
                    start: format!(
                        "{} {} {:?}",
                        head.status,
                        String::from_utf8_lossy(head.reason),
                        head.version
                    ),
                    fields: own(head.fields),
                    framing: head.framing,
                    flags: vec![head.keep_alive, head.upgrade],
                })
            }
        };
        Ok((step.consumed, seen))
    }

    fn eof_is_fine(&mut self) -> bool {
        self.reader.receive_eof().is_ok()
    }

    fn is_over(&self) -> bool {
        self.last && self.reader.is_idle()
    }
}

fn own(fields: &[sennit_wire::http1::Field<'_>]) -> Vec<(String, Vec<u8>)> {
    fields.iter().map(|field| (field.name.to_owned(), field.value.to_vec())).collect()
}

/// Feeds `pieces` one after the other, as a connection would.
pub fn feed<'p>(
    mut reader: impl Reader,
    limits: &Limits,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> Outcome {
    let mut held = Vec::new();
    let mut outcome = Outcome { events: Vec::new(), error: None, left: 0, eof_is_fine: false };
    for piece in pieces {
        held.extend_from_slice(piece);
        while outcome.error.is_none() && !reader.is_over() {
            match reader.step(limits, &held) {
                Ok((consumed, seen)) => {
                    assert!(consumed <= held.len(), "used more than there is");
                    held.drain(..consumed);
                    let Some(seen) = seen else { break };
                    note(&mut outcome.events, seen);
                }
                Err(error) => outcome.error = Some(error),
            }
        }
    }
    if let Some(error) = outcome.error {
        assert_eq!(reader.step(limits, &held), Err(error), "an error is for ever");
        // How much of a bad message was used up is no promise.
        held.clear();
    }
    outcome.left = held.len();
    outcome.eof_is_fine = outcome.error.is_none() && reader.eof_is_fine();
    outcome
}

fn note(events: &mut Vec<Seen>, seen: Seen) {
    if let (Some(Seen::Data(before)), Seen::Data(data)) = (events.last_mut(), &seen) {
        assert!(!data.is_empty(), "data is never empty");
        before.extend_from_slice(data);
        return;
    }
    events.push(seen);
}

/// Feeds `input` whole and byte by byte, and demands the same outcome.
pub fn feed_both_ways<R: Reader>(make: impl Fn() -> R, limits: &Limits, input: &[u8]) -> Outcome {
    let whole = feed(make(), limits, [input]);
    let dripped = feed(make(), limits, input.chunks(1));
    assert_eq!(whole, dripped, "{:?}", input.escape_ascii().to_string());
    whole
}

/// Cuts `input` at the given places, which need not be in order.
pub fn cut<'i>(input: &'i [u8], places: &[usize]) -> Vec<&'i [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place % (input.len() + 1)).collect();
    places.sort_unstable();
    let mut pieces = Vec::new();
    let mut start = 0;
    for place in places {
        pieces.push(&input[start..place]);
        start = place;
    }
    pieces.push(&input[start..]);
    pieces
}
