//! The two errors of this protocol: what the peer did wrong, what our own caller did wrong.
//!
//! A fault is small and `Copy`; its words are made only when somebody prints it. Rule and hint of every fault
//! stand in one table, [`Fault::rule_and_hint`].

use std::fmt;

/// The peer broke the protocol or passed a limit. The connection cannot be used further: where one message
/// ends is no longer known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteProtocolError {
    /// The rule that was broken, as `RFC 9112 section 2.2`.
    pub rule: &'static str,
    /// The HTTP status that says so: for a request what the server answers (400, 414, 417, 421, 431, 501, 505), for a
    /// response what a gateway would tell its own client (502).
    pub hint: u16,
    /// What exactly happened.
    pub fault: Fault,
}

impl RemoteProtocolError {
    #[cold]
    pub(crate) fn new(fault: Fault) -> Self {
        let (rule, hint) = fault.rule_and_hint();
        Self { rule, hint, fault }
    }

    /// The same fault in a response: nobody can answer the server, a gateway tells its client 502.
    pub(crate) fn in_response(self) -> Self {
        Self { hint: 502, ..self }
    }
}

impl From<Fault> for RemoteProtocolError {
    #[cold]
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

impl fmt::Display for RemoteProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for RemoteProtocolError {}

/// What a peer did. Sizes are bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the words of each stand in `Display` below, once
pub enum Fault {
    StartLineTooLong { size: u64, limit: u64 },
    HeadTooLarge { size: u64, limit: u64 },
    TooManyFields { count: u64, limit: u64 },
    TrailerTooLarge { size: u64, limit: u64 },
    ChunkExtensionTooLarge { size: u64, limit: u64 },
    TooManyBlankLines { limit: u64 },
    TooManyInterimResponses { limit: u64 },
    BareLineFeed,
    BareCarriageReturn,
    BadMethod { byte: u8 },
    BadRequestLine,
    BadTarget { byte: u8 },
    BadTargetForm,
    AsteriskTarget,
    ConnectTarget,
    ConnectBody,
    ForeignScheme,
    BadVersion,
    UnsupportedVersion { major: u8, minor: u8 },
    BadStatusLine,
    LineFolding,
    EmptyFieldName,
    MissingColon,
    SpaceBeforeColon,
    BadFieldName { byte: u8 },
    BadFieldValue { byte: u8 },
    MissingHost,
    RepeatedHost,
    BadHost,
    HostMismatch,
    BadContentLength,
    RepeatedContentLength,
    LengthAndCoding,
    CodingInHttp10,
    RepeatedTransferEncoding,
    NotChunked,
    UnknownTransferCoding,
    UnknownExpectation,
    BadChunkSize { byte: u8 },
    ChunkSizeTooLong { limit: u64 },
    BadChunkExtension { byte: u8 },
    BadChunkEnd { byte: u8 },
    UnexpectedUpgrade,
    UnexpectedResponse,
    Incomplete,
}

impl Fault {
    /// The broken rule, and the status that answers a request which broke it.
    fn rule_and_hint(self) -> (&'static str, u16) {
        use Fault as F;
        match self {
            F::StartLineTooLong { .. } => ("RFC 9112 section 3", 414),
            F::HeadTooLarge { .. } | F::TooManyFields { .. } | F::TrailerTooLarge { .. } => {
                ("RFC 6585 section 5", 431)
            }
            F::ChunkExtensionTooLarge { .. } | F::BadChunkExtension { .. } => {
                ("RFC 9112 section 7.1.1", 400)
            }
            F::TooManyBlankLines { .. } | F::BareLineFeed | F::BareCarriageReturn => {
                ("RFC 9112 section 2.2", 400)
            }
            F::TooManyInterimResponses { .. } => ("RFC 9110 section 15.2", 502),
            F::BadMethod { .. } => ("RFC 9112 section 3.1", 400),
            F::BadRequestLine => ("RFC 9112 section 3", 400),
            F::BadTarget { .. } | F::BadTargetForm => ("RFC 9112 section 3.2", 400),
            F::AsteriskTarget => ("RFC 9112 section 3.2.4", 400),
            F::ConnectTarget => ("RFC 9112 section 3.2.3", 400),
            F::ConnectBody => ("RFC 9110 section 9.3.6", 400),
            F::ForeignScheme => ("RFC 9110 section 7.4", 421),
            F::BadVersion => ("RFC 9112 section 2.3", 400),
            F::UnsupportedVersion { .. } => ("RFC 9110 section 15.6.6", 505),
            F::BadStatusLine => ("RFC 9112 section 4", 502),
            F::LineFolding => ("RFC 9112 section 5.2", 400),
            F::SpaceBeforeColon => ("RFC 9112 section 5.1", 400),
            F::EmptyFieldName | F::BadFieldName { .. } => ("RFC 9110 section 5.1", 400),
            F::MissingColon => ("RFC 9112 section 5", 400),
            F::BadFieldValue { .. } => ("RFC 9110 section 5.5", 400),
            F::MissingHost | F::RepeatedHost => ("RFC 9112 section 3.2", 400),
            F::BadHost => ("RFC 9110 section 7.2", 400),
            F::HostMismatch => ("RFC 9112 section 3.2.2", 400),
            F::BadContentLength | F::RepeatedContentLength | F::LengthAndCoding | F::NotChunked => {
                ("RFC 9112 section 6.3", 400)
            }
            F::CodingInHttp10 | F::RepeatedTransferEncoding => ("RFC 9112 section 6.1", 400),
            F::UnknownTransferCoding => ("RFC 9112 section 6.1", 501),
            F::UnknownExpectation => ("RFC 9110 section 10.1.1", 417),
            F::BadChunkSize { .. } | F::ChunkSizeTooLong { .. } | F::BadChunkEnd { .. } => {
                ("RFC 9112 section 7.1", 400)
            }
            F::UnexpectedUpgrade => ("RFC 9110 section 15.2.2", 502),
            F::UnexpectedResponse => ("RFC 9112 section 9.2", 502),
            F::Incomplete => ("RFC 9112 section 8", 400),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Fault as F;
        match *self {
            F::StartLineTooLong { size, limit } => {
                over(f, "start line is at least", size, limit, "max_request_line")
            }
            F::HeadTooLarge { size, limit } => {
                over(f, "head is at least", size, limit, "max_head_size")
            }
            F::TooManyFields { count, limit } => {
                let (count, limit) = (Grouped(count), Grouped(limit));
                write!(f, "head has at least {count} fields, limit {limit} (max_header_count)")
            }
            F::TrailerTooLarge { size, limit } => {
                over(f, "trailer section is at least", size, limit, "max_trailer_size")
            }
            F::ChunkExtensionTooLarge { size, limit } => {
                over(f, "chunk extensions are at least", size, limit, "max_chunk_extension")
            }
            F::TooManyBlankLines { limit } => {
                write!(f, "more than {limit} blank lines before a start line")
            }
            F::TooManyInterimResponses { limit } => {
                write!(
                    f,
                    "more than {limit} interim (1xx) responses to one request (max_interim_responses)"
                )
            }
            F::BadMethod { byte } => write!(f, "method has {}; it must be a token", Byte(byte)),
            F::BadTarget { byte } => {
                write!(f, "request target has {}; it must be percent-encoded", Byte(byte))
            }
            F::UnsupportedVersion { major, minor } => {
                write!(f, "version is HTTP/{major}.{minor}; only HTTP/1.1 and HTTP/1.0 are served")
            }
            F::BadFieldName { byte } => {
                write!(f, "field name has {}; it must be a token", Byte(byte))
            }
            F::BadFieldValue { byte } => {
                write!(f, "field value has {}; control characters are not allowed", Byte(byte))
            }
            F::BadChunkSize { byte } => {
                write!(f, "chunk size has {}; it must be hexadecimal digits", Byte(byte))
            }
            F::ChunkSizeTooLong { limit } => write!(f, "chunk size has more than {limit} digits"),
            F::BadChunkExtension { byte } => {
                write!(
                    f,
                    "chunk extension has {}; it must be ;name, ;name=token or ;name=\"text\"",
                    Byte(byte)
                )
            }
            F::BadChunkEnd { byte } => {
                write!(f, "chunk data is followed by {}, not by CRLF", Byte(byte))
            }
            other => f.write_str(other.words()),
        }
    }
}

impl Fault {
    /// The words of the faults that carry no value.
    fn words(self) -> &'static str {
        use Fault as F;
        match self {
            F::BareLineFeed => "line ends with LF alone; lines must end with CRLF",
            F::BareCarriageReturn => "CR is not followed by LF; lines must end with CRLF",
            F::BadRequestLine => {
                "request line is not: method, one space, target, one space, version"
            }
            F::BadTargetForm => {
                "request target is neither a path, an absolute URI with an authority, nor allowed for this method"
            }
            F::AsteriskTarget => "request target is * and the method is not OPTIONS",
            F::ConnectTarget => {
                "CONNECT needs host:port as its target, and only CONNECT may have it"
            }
            F::ForeignScheme => "scheme of the target is neither http nor https",
            F::ConnectBody => {
                "CONNECT announces a body; what follows its head belongs to the tunnel"
            }
            F::BadVersion => "version is not HTTP/ followed by digit, dot, digit",
            F::BadStatusLine => {
                "status line is not: version, one space, three digits, reason phrase"
            }
            F::LineFolding => "field line starts with whitespace; folded lines are not accepted",
            F::EmptyFieldName => "field name is empty",
            F::MissingColon => "field line has no colon",
            F::SpaceBeforeColon => "whitespace between field name and colon",
            F::MissingHost => "HTTP/1.1 request without Host; send exactly one",
            F::RepeatedHost => "more than one Host; send exactly one",
            F::BadHost => "Host is not host or host:port",
            F::HostMismatch => "Host differs from the authority of the request target",
            F::BadContentLength => "Content-Length is not one decimal number below 2^64",
            F::RepeatedContentLength => "more than one Content-Length; send exactly one",
            F::LengthAndCoding => "both Content-Length and Transfer-Encoding; send one of them",
            F::CodingInHttp10 => "Transfer-Encoding in an HTTP/1.0 message",
            F::RepeatedTransferEncoding => "more than one Transfer-Encoding; send exactly one",
            F::NotChunked => "Transfer-Encoding does not end with a plain chunked",
            F::UnknownTransferCoding => "transfer coding other than chunked",
            F::UnknownExpectation => "expectation other than 100-continue",
            F::UnexpectedUpgrade => "101 Switching Protocols without a request to upgrade",
            F::UnexpectedResponse => "bytes from the server while no request is outstanding",
            F::Incomplete => "peer closed in the middle of a message",
            _ => "protocol error",
        }
    }
}

fn over(f: &mut fmt::Formatter<'_>, fact: &str, size: u64, limit: u64, name: &str) -> fmt::Result {
    write!(f, "{fact} {} bytes, limit {} ({name})", Grouped(size), Grouped(limit))
}

/// A number with a comma between thousands.
struct Grouped(u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            return write!(f, "{}", self.0);
        }
        write!(f, "{},{:03}", Grouped(self.0 / 1_000), self.0 % 1_000)
    }
}

/// A byte by its number, with its sign where it has one.
struct Byte(u8);

impl fmt::Display for Byte {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "byte 0x{:02X}", self.0)?;
        if self.0.is_ascii_graphic() {
            write!(f, " ({})", char::from(self.0))?;
        }
        Ok(())
    }
}

/// Our own caller asked for a message that must not be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalProtocolError {
    /// A field name is not a token (RFC 9110 section 5.1).
    BadFieldName,
    /// A field value has this byte: CR, LF, NUL or another control character (RFC 9110 section 5.5).
    BadFieldValue(u8),
    /// A field that the encoder writes itself, from its own argument.
    ReservedField(super::ReservedField),
    /// A field that may not stand in a trailer section (RFC 9110 section 6.5.1).
    NoTrailer,
    /// A method is not a token (RFC 9110 section 9.1).
    BadMethod,
    /// A request target is empty or has a byte that does not belong in one (RFC 9112 section 3.2).
    BadTarget,
    /// A host is not `host` or `host:port` (RFC 9110 section 7.2).
    BadHost,
}

impl LocalProtocolError {
    /// The rule that would be broken, as `RFC 9110 section 5.5`.
    #[must_use]
    pub const fn rule(self) -> &'static str {
        match self {
            Self::BadFieldName => "RFC 9110 section 5.1",
            Self::BadFieldValue(_) => "RFC 9110 section 5.5",
            Self::ReservedField(_) => "RFC 9112 section 6",
            Self::NoTrailer => "RFC 9110 section 6.5.1",
            Self::BadMethod => "RFC 9110 section 9.1",
            Self::BadTarget => "RFC 9112 section 3.2",
            Self::BadHost => "RFC 9110 section 7.2",
        }
    }
}

impl fmt::Display for LocalProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadFieldName => {
                f.write_str("field name is not a token: letters, digits and !#$%&'*+-.^_`|~ only")
            }
            Self::BadFieldValue(byte) => {
                write!(f, "field value has {}; control characters are not allowed", Byte(*byte))
            }
            Self::ReservedField(field) => {
                write!(
                    f,
                    "field {} is written by the encoder; set it by its own argument",
                    field.name()
                )
            }
            Self::NoTrailer => f.write_str(
                "field has no meaning in a trailer section; set it in the head of the message",
            ),
            Self::BadMethod => f.write_str("method is not a token"),
            Self::BadTarget => f.write_str("request target is empty or not percent-encoded"),
            Self::BadHost => f.write_str("host is not host or host:port"),
        }
    }
}

impl std::error::Error for LocalProtocolError {}
