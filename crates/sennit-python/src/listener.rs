//! Accepted connections become Python protocols.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_engine::Reactor;
use sennit_engine::listener::Acceptor;
use sennit_engine::transport::WriteLimits;

use crate::host::PythonHost;
use crate::kit::{Object, Outcome, Raised, os_error};
use crate::transport::{self, Beginning};

/// A protocol factory and the server that counts its connections.
pub struct ProtocolAcceptor {
    factory: Object,
    server: Object,
    /// Each connection gets a copy of the context in which the server was started.
    context: Object,
    /// The server's end of TLS, and how many seconds a handshake may take.
    tls: Option<(Object, f64)>,
    limits: Option<Rc<WriteLimits>>,
}

impl ProtocolAcceptor {
    /// An acceptor in the current context.
    pub fn new(
        factory: Object,
        server: Object,
        tls: Option<(Object, f64)>,
        limits: Option<Rc<WriteLimits>>,
    ) -> Outcome<Self> {
        // SAFETY: GIL.
        let context = unsafe { Object::owned(ffi::PyContext_CopyCurrent())? };
        Ok(ProtocolAcceptor { factory, server, context, tls, limits })
    }

    fn open(
        &self,
        reactor: &Reactor<PythonHost>,
        socket: OwnedFd,
        peer: Option<SocketAddr>,
    ) -> Outcome<()> {
        let context = self.context.clone();
        // SAFETY: a live context that nobody else enters: it is the listener's own; GIL.
        unsafe {
            if ffi::PyContext_Enter(context.as_ptr()) < 0 {
                return Err(Raised);
            }
        }
        let result = self.factory.call(&[]).and_then(|protocol| {
            let handshake = match &self.tls {
                Some((settings, timeout)) => Some(crate::tls::handshake(settings, None, *timeout)?),
                None => None,
            };
            let accepted = Some((peer, self.server.clone()));
            let limits = self.limits.clone();
            let beginning = Beginning { accepted, handshake, waiter: None, limits };
            transport::open(reactor.host().event_loop(), socket, protocol, beginning)
        });
        // SAFETY: it was entered above.
        unsafe { ffi::PyContext_Exit(context.as_ptr()) };
        result.map(drop)
    }
}

impl Acceptor<PythonHost> for ProtocolAcceptor {
    fn accepted(&self, reactor: &Reactor<PythonHost>, socket: OwnedFd, peer: Option<SocketAddr>) {
        if self.open(reactor, socket, peer).is_err()
            && let Some(exception) = reactor.host().catch(reactor)
        {
            let message = "Error on transport creation for incoming connection";
            reactor.host().report(reactor, message, &exception, &[(c"server", &self.server)]);
        }
    }

    fn exhausted(&self, reactor: &Reactor<PythonHost>, error: io::Error) {
        let message = "socket.accept() out of system resource: accepting rests for 100 ms; raise \
                       the descriptor limit (ulimit -n) or lower the number of connections";
        match os_error(&error) {
            Ok(exception) => {
                reactor.host().report(reactor, message, &exception, &[(c"server", &self.server)])
            }
            Err(Raised) => drop(reactor.host().catch(reactor)),
        }
    }

    fn visit(&self, visitor: &mut dyn FnMut(&*mut ffi::PyObject)) {
        visitor(&self.factory.as_ptr());
        visitor(&self.server.as_ptr());
        visitor(&self.context.as_ptr());
        if let Some((settings, _)) = &self.tls {
            visitor(&settings.as_ptr());
        }
    }
}

/// An address as Python's `socket` writes it: `(host, port)`, or four items for IPv6.
pub fn address_object(address: &SocketAddr) -> Outcome<Object> {
    let host = Object::text(&address.ip().to_string())?;
    let port = Object::integer(i64::from(address.port()))?;
    // SAFETY: the tuples count their own references; GIL.
    unsafe {
        match address {
            SocketAddr::V4(_) => Object::owned(ffi::PyTuple_Pack(2, host.as_ptr(), port.as_ptr())),
            SocketAddr::V6(v6) => {
                let flow = Object::integer(i64::from(v6.flowinfo()))?;
                let scope = Object::integer(i64::from(v6.scope_id()))?;
                let items = (host.as_ptr(), port.as_ptr(), flow.as_ptr(), scope.as_ptr());
                Object::owned(ffi::PyTuple_Pack(4, items.0, items.1, items.2, items.3))
            }
        }
    }
}
