//! The server's reader: requests out of the bytes of one connection.
//!
//! Laws:
//! - A head is judged when it is complete; its lines are judged as they come.
//! - Which bytes come in one piece changes neither the events nor the fault.
//! - After an error the reader answers the same error for ever: the end of the bad message is unknown.

use super::body::{BodyReader, Piece};
use super::error::{Fault, RemoteProtocolError};
use super::fields::Facts;
use super::head::{HeadScan, Side, lines_end_well, skip_blank_lines};
use super::target::{self, TargetForm};
use super::{Event, Field, FieldSlots, Framing, Limits, Step, Version};

/// A complete, checked request head. Everything in it is borrowed: from the input and from the slots.
#[derive(Clone, Copy, Debug)]
pub struct RequestHead<'a, 'f> {
    /// A token, as sent: methods are case-sensitive (RFC 9110 section 9.1).
    pub method: &'a str,
    /// As sent, ASCII: path with query, absolute URI, `host:port` for CONNECT, or `*` for OPTIONS.
    pub target: &'a str,
    /// Which of these forms it has.
    pub form: TargetForm,
    /// What the client speaks.
    pub version: Version,
    /// Field lines in the order of arrival.
    pub fields: &'f [Field<'a>],
    /// How the body is delimited; never [`Framing::UntilClose`].
    pub framing: Framing,
    /// Whether the client lets the connection live on (RFC 9112 section 9.3).
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body. False for HTTP/1.0 and without a body
    /// (RFC 9110 section 10.1.1).
    pub expect_continue: bool,
    /// Whether the client offers to leave HTTP behind this message: `connection: upgrade` with `upgrade`, or
    /// CONNECT. A server that agrees stops asking this reader once the body is over; the rest of the input belongs
    /// to the other protocol. One that declines goes on as usual.
    pub upgrade: bool,
    /// Whether the client takes trailer fields: `te: trailers` (RFC 9110 section 10.1.4).
    pub takes_trailers: bool,
    /// Value of the one Host field, checked: `host` or `host:port`. `None` from HTTP/1.0 only, empty with `*` only. Agrees
    /// with the authority of an absolute target.
    pub host: Option<&'a [u8]>,
    /// The whole head with its blank line.
    pub bytes: &'a [u8],
}

/// Reads the requests of one connection. 32 bytes; holds no input and no limits.
///
/// ```
/// use sennit_wire::http1::{Event, FieldSlots, Limits, RequestReader};
///
/// let limits = Limits::default();
/// let mut reader = RequestReader::new();
/// let mut slots = FieldSlots::new();
/// let input = b"GET /tea HTTP/1.1\r\nHost: example.org\r\n\r\n";
/// let step = reader.next_event(&limits, input, &mut slots)?;
/// assert_eq!(step.consumed, input.len());
/// assert!(matches!(step.event, Event::Head(head) if head.target == "/tea" && head.keep_alive));
/// # Ok::<(), sennit_wire::http1::RemoteProtocolError>(())
/// ```
#[derive(Clone, Debug)]
pub struct RequestReader {
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    /// Before or inside a head: how far it was examined, blank lines before it.
    Head {
        scan: HeadScan,
        blank_lines: u8,
    },
    Body(BodyReader),
    Failed(Fault),
}

impl State {
    const START: Self = Self::Head { scan: HeadScan::NEW, blank_lines: 0 };
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestReader {
    /// A reader before the first request.
    #[inline]
    #[must_use]
    pub const fn new() -> Self {
        Self { state: State::START }
    }

    /// Looks at the front of `input`, which is everything received and not yet used up, and gives one event.
    ///
    /// A head comes when it is complete; until then nothing of it is used up, so the input must be able to grow to
    /// [`Limits::max_head_size`] (or, inside a chunked body, [`Limits::max_trailer_size`]). Data comes as it lies in the
    /// input. Bytes behind a message are the next one, also when `keep_alive` is false: whoever closes then does not ask again.
    ///
    /// # Errors
    ///
    /// The first rule of RFC 9110, RFC 9112 or `limits` that the input breaks. The reader is of no use afterwards.
    #[inline]
    pub fn next_event<'a, 'f>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
        slots: &'f mut FieldSlots<'a>,
    ) -> Result<Step<'a, RequestHead<'a, 'f>>, RemoteProtocolError> {
        let answer = match &mut self.state {
            State::Head { .. } => self.read_head(limits, input, slots),
            State::Body(_) => self.read_body(limits, input),
            State::Failed(fault) => Err(*fault),
        };
        answer.map_err(|fault| self.fail(fault))
    }

    /// Tells that the client has sent its last byte.
    ///
    /// # Errors
    ///
    /// [`Fault::Incomplete`] in the middle of a head or a body (RFC 9112 section 8).
    pub fn receive_eof(&mut self) -> Result<(), RemoteProtocolError> {
        match self.state {
            _ if self.is_between_messages() => Ok(()),
            State::Failed(fault) => Err(fault.into()),
            _ => Err(self.fail(Fault::Incomplete)),
        }
    }

    /// Whether no byte of a request has been seen since the last one ended.
    #[inline]
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        matches!(&self.state, State::Head { scan, .. } if scan.is_fresh())
    }

    #[cold]
    fn fail(&mut self, fault: Fault) -> RemoteProtocolError {
        self.state = State::Failed(fault);
        fault.into()
    }

    fn read_body<'a, 'f>(
        &mut self,
        limits: &Limits,
        input: &'a [u8],
    ) -> Result<Step<'a, RequestHead<'a, 'f>>, Fault> {
        let State::Body(body) = &mut self.state else {
            return Ok(Step { consumed: 0, event: Event::NeedData });
        };
        let (consumed, piece) = body.next(limits, input)?;
        let event = match piece {
            Piece::NeedData => Event::NeedData,
            Piece::Data(data) => Event::Data(data),
            Piece::End => {
                self.state = State::START;
                Event::End
            }
        };
        Ok(Step { consumed, event })
    }

    #[inline]
    fn read_head<'a, 'f>(
        &mut self,
        limits: &Limits,
        mut input: &'a [u8],
        slots: &'f mut FieldSlots<'a>,
    ) -> Result<Step<'a, RequestHead<'a, 'f>>, Fault> {
        let State::Head { scan, blank_lines } = &mut self.state else {
            return Ok(Step { consumed: 0, event: Event::NeedData });
        };
        let mut skipped = 0;
        if matches!(input.first(), None | Some(b'\r' | b'\n')) && scan.is_fresh() {
            let (length, waits) = skip_blank_lines(input, blank_lines)?;
            input = input.get(length..).unwrap_or_default();
            skipped = length;
            if waits || input.is_empty() {
                return Ok(Step { consumed: skipped, event: Event::NeedData });
            }
        }
        let fresh = scan.is_fresh();
        let mut end = input.len().min(limits.max_head_size);
        if !fresh {
            match scan.advance(limits, input, Side::Request)? {
                Some(found) => end = found,
                None => {
                    return Ok(Step { consumed: skipped, event: Event::NeedData });
                }
            }
        }
        let refused = match parse(limits, input.get(..end).unwrap_or_default(), slots) {
            Ok(head) => {
                let consumed = skipped + head.bytes.len();
                self.state = match head.framing {
                    Framing::None => State::START,
                    framing => State::Body(BodyReader::new(framing)),
                };
                return Ok(Step { consumed, event: Event::Head(head) });
            }
            Err(refused) => refused,
        };
        // The scan says why, so that the fault is the same however the head was cut.
        if fresh && scan.advance(limits, input, Side::Request)?.is_none() {
            return Ok(Step { consumed: skipped, event: Event::NeedData });
        }
        Err(refused)
    }
}

/// Parses a head that starts at the front of `window`. A fault stands only if the lines are found to be well
/// formed and complete.
#[inline]
fn parse<'a, 'f>(
    limits: &Limits,
    window: &'a [u8],
    slots: &'f mut FieldSlots<'a>,
) -> Result<RequestHead<'a, 'f>, Fault> {
    let mut request = httparse::Request::new(&mut []);
    let Ok(httparse::Status::Complete(length)) =
        request.parse_with_uninit_headers(window, &mut slots.0)
    else {
        return Err(Fault::BadRequestLine);
    };
    let bytes = window.get(..length).unwrap_or_default();
    let (Some(method), Some(target)) = (request.method, request.path) else {
        return Err(Fault::BadRequestLine);
    };
    let version = if request.version == Some(1) { Version::Http11 } else { Version::Http10 };
    let fields: &'f [Field<'a>] = request.headers;
    // Method, space, target, space, version.
    let line = method.len() + target.len() + 10;
    if line > limits.max_request_line
        || fields.len() > limits.max_header_count
        || !lines_end_well(bytes, line, fields)
    {
        return Err(Fault::BadRequestLine);
    }
    let mut facts = Facts::default();
    for field in fields {
        facts.take(field)?;
    }
    let host = facts.host;
    let form = target::check_request(method, target, version, host)?;
    let framing = facts.framing(version)?.unwrap_or(Framing::None);
    let connect = form == TargetForm::Authority;
    if connect && framing != Framing::None {
        // A server that ignored the announcement would take the body for the next request, or for the tunnel.
        return Err(Fault::ConnectBody);
    }
    Ok(RequestHead {
        method,
        target,
        form,
        version,
        fields,
        framing,
        keep_alive: facts.keeps_alive(version),
        expect_continue: facts.expect_continue
            && version == Version::Http11
            && framing != Framing::None,
        upgrade: connect || facts.upgrades(version),
        takes_trailers: facts.takes_trailers && version == Version::Http11,
        host,
        bytes,
    })
}
