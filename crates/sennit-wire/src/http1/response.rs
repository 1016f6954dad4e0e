//! The client's reader: responses out of the bytes of one connection.
//!
//! Laws:
//! - A response answers a request: without [`ResponseReader::expect`] every byte is an error.
//! - Interim responses (1xx) come before the final one, a bounded number of them.
//! - What a body is depends on the request as well (RFC 9112 section 6.3).
//! - As with requests, which bytes come in one piece changes nothing, and an error is for ever.

use super::body::{BodyReader, Piece};
use super::error::{Fault, RemoteProtocolError};
use super::fields::Facts;
use super::head::{HeadScan, Side, lines_end_well, skip_blank_lines};
use super::{Event, Field, FieldSlots, Framing, Limits, Step, Version};

/// What a response answers, as far as it decides about the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// Any request not named below.
    Ordinary,
    /// HEAD: the response has no body whatever its fields say.
    Head,
    /// CONNECT: a 2xx answer turns the connection into a tunnel.
    Connect,
    /// A request with `connection: upgrade`: 101 changes the protocol.
    Upgrade,
}

/// A complete, checked response head. Everything in it is borrowed: from the input and from the slots.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a, 'f> {
    /// 100 to 999. Below 200 the reader goes on waiting for the final response.
    pub status: u16,
    /// As sent; may be empty, may hold bytes above 0x7F.
    pub reason: &'a [u8],
    /// What the server speaks.
    pub version: Version,
    /// Field lines in the order of arrival.
    pub fields: &'f [Field<'a>],
    /// How the body is delimited.
    pub framing: Framing,
    /// Whether the connection may be used for another request once the body is over.
    pub keep_alive: bool,
    /// Whether HTTP ends with this head: 101 to an upgrade, 2xx to CONNECT. The rest of the input belongs to
    /// the other protocol; this reader is done.
    pub upgrade: bool,
    /// The whole head with its blank line.
    pub bytes: &'a [u8],
}

/// Reads the responses of one connection. Holds no input and no limits.
#[derive(Clone, Debug)]
pub struct ResponseReader {
    state: State,
    request: RequestKind,
    interim: u8,
}

#[derive(Clone, Debug)]
enum State {
    /// No request is outstanding.
    Idle,
    /// Before or inside a head: how far it was examined, blank lines before it.
    Head {
        scan: HeadScan,
        blank_lines: u8,
    },
    Body(BodyReader),
    /// Another protocol took over.
    Upgraded,
    Failed(Fault),
}

impl State {
    const START: Self = Self::Head { scan: HeadScan::NEW, blank_lines: 0 };
}

impl Default for ResponseReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ResponseReader {
    /// A reader without an outstanding request.
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::Idle, request: RequestKind::Ordinary, interim: 0 }
    }

    /// Announces the request whose response comes next. For pipelined requests: call it again when the response
    /// before is over. Has no effect while a response is being read or after an error.
    pub fn expect(&mut self, request: RequestKind) {
        if matches!(self.state, State::Idle) {
            *self = Self { state: State::START, request, interim: 0 };
        }
    }

    /// Whether no response is outstanding: the connection may go back to a pool.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        matches!(self.state, State::Idle)
    }

    /// Looks at the front of `input`, which is everything received and not yet used up, and gives one event.
    ///
    /// # Errors
    ///
    /// The first rule of RFC 9110, RFC 9112 or `limits` that the input breaks, with hint 502. Bytes while no request
    /// is outstanding (RFC 9112 section 9.2). 101 to a request that asked for no upgrade.
    pub fn next_event<'a, 'f>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
        slots: &'f mut FieldSlots<'a>,
    ) -> Result<Step<'a, ResponseHead<'a, 'f>>, RemoteProtocolError> {
        let answer = match &mut self.state {
            State::Head { .. } => self.read_head(limits, input, slots),
            State::Body(_) => self.read_body(limits, input),
            State::Idle if !input.is_empty() => Err(Fault::UnexpectedResponse),
            State::Idle | State::Upgraded => Ok(Step { consumed: 0, event: Event::NeedData }),
            State::Failed(fault) => Err(*fault),
        };
        answer.map_err(|fault| self.fail(fault))
    }

    /// Tells that the server has sent its last byte. True says that this ended a body
    /// ([`Framing::UntilClose`]), as [`Event::End`] would.
    ///
    /// # Errors
    ///
    /// [`Fault::Incomplete`] while a response is awaited or in the middle of one (RFC 9112 section 8).
    pub fn receive_eof(&mut self) -> Result<bool, RemoteProtocolError> {
        match &self.state {
            State::Idle | State::Upgraded => Ok(false),
            State::Body(body) if body.ends_at_close() => {
                self.state = State::Idle;
                Ok(true)
            }
            State::Failed(fault) => Err(RemoteProtocolError::new(*fault).in_response()),
            _ => Err(self.fail(Fault::Incomplete)),
        }
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> RemoteProtocolError {
        self.state = State::Failed(fault);
        RemoteProtocolError::new(fault).in_response()
    }

    fn read_body<'a, 'f>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
    ) -> Result<Step<'a, ResponseHead<'a, 'f>>, Fault> {
        let State::Body(body) = &mut self.state else {
            return Ok(Step { consumed: 0, event: Event::NeedData });
        };
        let (consumed, piece) = body.next(limits, input)?;
        let event = match piece {
            Piece::NeedData => Event::NeedData,
            Piece::Data(data) => Event::Data(data),
            Piece::End => {
                self.state = State::Idle;
                Event::End
            }
        };
        Ok(Step { consumed, event })
    }

    fn read_head<'a, 'f>(
        &mut self,
        limits: &Limits,
        mut input: &'a [u8],
        slots: &'f mut FieldSlots<'a>,
    ) -> Result<Step<'a, ResponseHead<'a, 'f>>, Fault> {
        let need_data = |consumed| Ok(Step { consumed, event: Event::NeedData });
        let State::Head { scan, blank_lines } = &mut self.state else {
            return need_data(0);
        };
        let mut skipped = 0;
        if matches!(input.first(), None | Some(b'\r' | b'\n')) && scan.is_fresh() {
            let (length, waits) = skip_blank_lines(input, blank_lines)?;
            input = input.get(length..).unwrap_or_default();
            skipped = length;
            if waits || input.is_empty() {
                return need_data(skipped);
            }
        }
        let fresh = scan.is_fresh();
        let mut end = input.len().min(limits.max_head_size);
        if !fresh {
            match scan.advance(limits, input, Side::Response)? {
                Some(found) => end = found,
                None => return need_data(skipped),
            }
        }
        let refused = match parse(limits, input.get(..end).unwrap_or_default(), slots, self.request)
        {
            Ok(head) => {
                self.accept(limits, &head)?;
                return Ok(Step { consumed: skipped + head.bytes.len(), event: Event::Head(head) });
            }
            Err(refused) => refused,
        };
        // The scan says why, so that the fault is the same however the head was cut.
        if fresh && scan.advance(limits, input, Side::Response)?.is_none() {
            return need_data(skipped);
        }
        Err(refused)
    }

    /// The state behind a head.
    fn accept(&mut self, limits: &Limits, head: &ResponseHead<'_, '_>) -> Result<(), Fault> {
        self.state = match head.framing {
            _ if head.upgrade => State::Upgraded,
            Framing::None if head.status < 200 => {
                let limit = limits.max_interim_responses;
                if self.interim >= limit {
                    return Err(Fault::TooManyInterimResponses { limit: u64::from(limit) });
                }
                self.interim += 1;
                State::START
            }
            Framing::None => State::Idle,
            framing => State::Body(BodyReader::new(framing)),
        };
        Ok(())
    }
}

/// Parses a head that starts at the front of `window`. A fault stands only if the lines are found to be well
/// formed and complete.
fn parse<'a, 'f>(
    limits: &Limits,
    window: &'a [u8],
    slots: &'f mut FieldSlots<'a>,
    request: RequestKind,
) -> Result<ResponseHead<'a, 'f>, Fault> {
    let mut response = httparse::Response::new(&mut []);
    let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut response,
        window,
        &mut slots.0,
    );
    let (Ok(httparse::Status::Complete(length)), Some(status)) = (parsed, response.code) else {
        return Err(Fault::BadStatusLine);
    };
    let version = if response.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let fields: &'f [Field<'a>] = response.headers;
    let bytes = window.get(..length).unwrap_or_default();
    let line = memchr::memchr(b'\n', bytes).map_or(0, |feed| feed.saturating_sub(1));
    let well_formed = (100..=999).contains(&status) && lines_end_well(bytes, line, fields);
    if line > limits.max_request_line || fields.len() > limits.max_header_count || !well_formed {
        return Err(Fault::BadStatusLine);
    }
    let mut facts = Facts::default();
    for field in fields {
        facts.take_of_response(field)?;
    }
    let announced = facts.framing(version)?;
    let upgrade = match (status, request) {
        (101, RequestKind::Upgrade) => true,
        (101, _) => return Err(Fault::UnexpectedUpgrade),
        (200..=299, RequestKind::Connect) => true,
        _ => false,
    };
    // RFC 9112 section 6.3, in its order: no body; as announced; until close.
    let bodiless =
        upgrade || request == RequestKind::Head || matches!(status, 100..=199 | 204 | 304);
    let framing = if bodiless { Framing::None } else { announced.unwrap_or(Framing::UntilClose) };
    Ok(ResponseHead {
        status,
        // Version, space, status, space.
        reason: bytes.get(13..line).unwrap_or_default(),
        version,
        fields,
        framing,
        keep_alive: facts.keeps_alive(version) && framing != Framing::UntilClose && !upgrade,
        upgrade,
        bytes,
    })
}
