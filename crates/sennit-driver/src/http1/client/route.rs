//! How an origin is reached: where it is, and what is spoken beneath HTTP.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use sennit_engine::tls::{Session, TlsClient};
use sennit_engine::{Host, Reactor, socket};

use super::tunnel::Proxy;

/// Addresses of one origin that are tried; whoever answers a look-up decides how many there are.
const MAX_PLACES: usize = 16;

/// Where a connection is made to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An address of the network.
    Address(SocketAddr),
    /// The path of a UNIX socket; it begins with a zero byte where it is no file.
    Path(Vec<u8>),
}

impl Place {
    /// A socket that is being connected: writability tells.
    pub(super) fn connect<H: Host>(&self, reactor: &Reactor<H>) -> io::Result<OwnedFd> {
        match self {
            Place::Address(address) => reactor.host().connect(reactor, address),
            Place::Path(path) => socket::start_local_stream(path),
        }
    }
}

/// TLS with an origin: the settings, and the name that its certificate must be for.
#[derive(Clone)]
pub struct Tls {
    /// The client's end.
    pub settings: TlsClient,
    /// A DNS name or an address.
    pub server_name: String,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Tls {
    pub(super) fn session(&self) -> io::Result<Box<dyn Session>> {
        Ok(self.settings.session(&self.server_name)?)
    }
}

/// How an origin is reached.
#[derive(Debug, Clone, Default)]
pub struct Route {
    /// Tried in turn, each beside the one before it where that is silent.
    pub places: Rc<[Place]>,
    /// Asked for a tunnel to the origin; `None`: the places are the origin's own, or those of a proxy that gets
    /// absolute targets.
    pub proxy: Option<Rc<Proxy>>,
    /// What is spoken beneath HTTP; `None`: nothing.
    pub tls: Option<Rc<Tls>>,
}

impl Route {
    /// A route over some places, of which a bounded number is tried.
    #[must_use]
    pub fn new(mut places: Vec<Place>, proxy: Option<Proxy>, tls: Option<Tls>) -> Self {
        places.truncate(MAX_PLACES);
        Route { places: places.into(), proxy: proxy.map(Rc::new), tls: tls.map(Rc::new) }
    }

    /// The same over other places.
    #[must_use]
    pub fn over(&self, places: Vec<Place>) -> Self {
        Route { places: Route::new(places, None, None).places, ..self.clone() }
    }
}
