//! The client's side of SOCKS5: what is said to a proxy before it passes bytes on.
//!
//! Source: RFC 1928 (the protocol), RFC 1929 (user name and password).
//!
//! Laws:
//! - An answer is used up only when it is whole; which bytes come in one piece changes nothing.
//! - What stands behind the last answer belongs to the tunnel.

use std::fmt;
use std::net::IpAddr;

const VERSION: u8 = 5;
const NO_AUTHENTICATION: u8 = 0;
const PASSWORD: u8 = 2;
const CONNECT: u8 = 1;
const PASSWORD_VERSION: u8 = 1;

/// Whom a proxy is to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    /// An address.
    Address(IpAddr),
    /// A name that the proxy looks up, 1 to 255 bytes.
    Name(Box<[u8]>),
}

/// What a proxy is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    host: Host,
    port: u16,
    credentials: Option<Credentials>,
}

/// 1 to 255 bytes each.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Credentials {
    user: Box<[u8]>,
    password: Box<[u8]>,
}

/// What cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unaskable {
    /// A name of no byte, or of more than 255.
    Name,
    /// A user name or password of no byte, or of more than 255.
    Credentials,
}

impl fmt::Display for Unaskable {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::Name => "a host's name has 1 to 255 bytes for a SOCKS5 proxy",
            Self::Credentials => "user name and password have 1 to 255 bytes for a SOCKS5 proxy",
        })
    }
}

impl std::error::Error for Unaskable {}

/// Why there is no tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The proxy speaks something else.
    NotSocks,
    /// The proxy wants another way of authentication.
    NoMethod,
    /// The proxy does not take the credentials.
    Credentials,
    /// The proxy has not made the connection; the code is that of RFC 1928 section 6.
    Failed(u8),
}

impl fmt::Display for Refusal {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str(match self {
            Self::NotSocks => "the proxy does not answer as SOCKS5",
            Self::NoMethod => "the proxy wants credentials, or others than user name and password",
            Self::Credentials => "the proxy has refused the user name and password",
            Self::Failed(2) => "the proxy's rules do not allow the connection",
            Self::Failed(3) => "the proxy cannot reach the network",
            Self::Failed(4) => "the proxy cannot reach the host",
            Self::Failed(5) => "the host has refused the proxy's connection",
            Self::Failed(6) => "the proxy's connection has expired on its way",
            Self::Failed(7 | 8) => "the proxy does not know such requests or addresses",
            Self::Failed(_) => "the proxy has failed",
        })
    }
}

impl Request {
    /// A request.
    ///
    /// # Errors
    ///
    /// Something does not fit into its one byte of length.
    pub fn new(
        host: Host,
        port: u16,
        credentials: Option<(&[u8], &[u8])>,
    ) -> Result<Self, Unaskable> {
        let fits = |bytes: &[u8]| (1..=255).contains(&bytes.len());
        match (&host, credentials) {
            (Host::Name(name), _) if !fits(name) => Err(Unaskable::Name),
            (_, Some((user, password))) if !fits(user) || !fits(password) => {
                Err(Unaskable::Credentials)
            }
            _ => Ok(Request {
                host,
                port,
                credentials: credentials.map(|(user, password)| Credentials {
                    user: user.into(),
                    password: password.into(),
                }),
            }),
        }
    }

    fn greeting(&self) -> Vec<u8> {
        match self.credentials {
            None => vec![VERSION, 1, NO_AUTHENTICATION],
            Some(_) => vec![VERSION, 2, NO_AUTHENTICATION, PASSWORD],
        }
    }

    fn password(&self) -> Option<Vec<u8>> {
        let Credentials { user, password } = self.credentials.as_ref()?;
        let mut bytes = vec![PASSWORD_VERSION, user.len() as u8];
        bytes.extend_from_slice(user);
        bytes.push(password.len() as u8);
        bytes.extend_from_slice(password);
        Some(bytes)
    }

    fn connect(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION, CONNECT, 0];
        match &self.host {
            Host::Address(IpAddr::V4(address)) => {
                bytes.push(1);
                bytes.extend_from_slice(&address.octets());
            }
            Host::Address(IpAddr::V6(address)) => {
                bytes.push(4);
                bytes.extend_from_slice(&address.octets());
            }
            Host::Name(name) => {
                bytes.push(3);
                bytes.push(name.len() as u8);
                bytes.extend_from_slice(name);
            }
        }
        bytes.extend_from_slice(&self.port.to_be_bytes());
        bytes
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Method,
    Password,
    Reply,
}

/// What the bytes of a proxy have led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// It is not whole yet.
    NeedData,
    /// These bytes are to be sent next; so many were used up.
    Send(usize, Vec<u8>),
    /// The tunnel is there; so many bytes were used up.
    Done(usize),
}

/// A conversation with a proxy.
#[derive(Debug, Clone)]
pub struct Handshake {
    request: Request,
    state: State,
}

impl Handshake {
    /// Begins one, with the bytes that are to be sent first.
    #[must_use]
    pub fn start(request: Request) -> (Self, Vec<u8>) {
        let greeting = request.greeting();
        (Handshake { request, state: State::Method }, greeting)
    }

    /// Looks at everything that has come and was not used up.
    ///
    /// # Errors
    ///
    /// There will be no tunnel.
    pub fn take(&mut self, input: &[u8]) -> Result<Answer, Refusal> {
        match (self.state, input) {
            (State::Method | State::Reply, [version, ..]) if *version != VERSION => {
                Err(Refusal::NotSocks)
            }
            (State::Method, [_, method, ..]) => {
                let next = match *method {
                    NO_AUTHENTICATION => {
                        self.state = State::Reply;
                        self.request.connect()
                    }
                    PASSWORD => {
                        self.state = State::Password;
                        self.request.password().ok_or(Refusal::NoMethod)?
                    }
                    _ => return Err(Refusal::NoMethod),
                };
                Ok(Answer::Send(2, next))
            }
            // Some proxies answer with their own version here; the status is what counts.
            (State::Password, [_, 0, ..]) => {
                self.state = State::Reply;
                Ok(Answer::Send(2, self.request.connect()))
            }
            (State::Password, [_, _, ..]) => Err(Refusal::Credentials),
            (State::Reply, [_, code, ..]) if *code != 0 => Err(Refusal::Failed(*code)),
            (State::Reply, [_, _, _, kind, rest @ ..]) => {
                let address = match (kind, rest) {
                    (1, _) => 4,
                    (4, _) => 16,
                    (3, [length, ..]) => 1 + usize::from(*length),
                    (3, []) => return Ok(Answer::NeedData),
                    _ => return Err(Refusal::NotSocks),
                };
                match rest.len() >= address + 2 {
                    true => Ok(Answer::Done(4 + address + 2)),
                    false => Ok(Answer::NeedData),
                }
            }
            _ => Ok(Answer::NeedData),
        }
    }
}
