//! A client with a Rust caller, origins on the other end of real sockets, and time moved by hand.

use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::rc::Rc;

use sennit_driver::http1::client::{
    BodyRead, Caller, Client, Failure, OriginId, Outgoing, Place, Proxy, RequestId, Response,
    Route, Settings,
};
use sennit_engine::{EpollPoller, Nanos, Reactor};

use super::{HandClock, Idle, Sleepless};

/// What has become of a request, named by the caller.
pub type Outcome = (usize, Result<Response, Failure>);

/// Notes what it is told.
#[derive(Default)]
pub struct Notes {
    pub outcomes: RefCell<Vec<Outcome>>,
    pub heads: RefCell<Vec<(usize, Response)>>,
    pub moved: Cell<usize>,
}

impl Caller<Idle> for Notes {
    type Call = usize;

    fn finished(&self, _: &Reactor<Idle>, call: usize, outcome: Result<Response, Failure>) {
        self.outcomes.borrow_mut().push((call, outcome));
    }

    fn headed(&self, _: &Reactor<Idle>, call: &usize, head: Response) {
        self.heads.borrow_mut().push((*call, head));
    }

    fn moved(&self, _: &Reactor<Idle>, _: &usize) {
        self.moved.set(self.moved.get() + 1);
    }
}

pub struct World {
    pub reactor: Reactor<Idle>,
    pub client: Rc<Client<Idle, Notes>>,
    clock: HandClock,
}

impl World {
    pub fn new(settings: Settings) -> Self {
        let clock = HandClock::default();
        let poller = Sleepless(EpollPoller::new().unwrap());
        let reactor = Reactor::new(Idle, poller, clock.clone()).unwrap();
        let client = Client::new(&reactor, Notes::default(), settings);
        World { reactor, client, clock }
    }

    pub fn notes(&self) -> &Notes {
        self.client.caller()
    }

    /// A new origin, behind a proxy if there is one.
    pub fn origin(&self, proxy: Option<Proxy>) -> Origin {
        thread_local!(static COUNT: Cell<usize> = const { Cell::new(0) });
        let number = COUNT.replace(COUNT.get() + 1);
        // Of the abstract namespace: nothing of it stays.
        let thread = format!("{:?}", std::thread::current().id());
        let name = format!("sennit-{}-{thread}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixListener::bind_addr(&address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let place = Place::Path([b"\0", name.as_bytes()].concat());
        let id = self.client.add_origin(Route::new(vec![place], proxy, None));
        Origin { id, listener }
    }

    pub fn get(&self, origin: &Origin, call: usize) -> RequestId {
        self.client.request(&self.reactor, get(origin), call)
    }

    /// Turns, as many as one event can need.
    pub fn turns(&self) {
        for _ in 0..6 {
            self.reactor.stop();
            self.reactor.run().unwrap();
        }
    }

    pub fn pass(&self, time: Nanos) {
        self.clock.0.set(self.clock.0.get() + time);
        self.turns();
    }

    /// All that there is of a response's body, and whether more may come.
    pub fn read(&self, id: RequestId) -> (Vec<u8>, Option<BodyRead>) {
        let mut all = Vec::new();
        loop {
            match self.client.read_body(&self.reactor, id) {
                BodyRead::Data(data) => all.extend(data),
                BodyRead::Nothing => return (all, None),
                over => return (all, Some(over)),
            }
            self.turns();
        }
    }
}

/// A GET without a time limit.
pub fn get(origin: &Origin) -> Outgoing {
    let bytes = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec();
    Outgoing::whole(origin.id, bytes, Nanos::MAX)
}

/// Whoever is there to answer.
pub struct Origin {
    pub id: OriginId,
    listener: UnixListener,
}

impl Origin {
    /// The next connection, if one was made.
    pub fn accept(&self) -> Option<Wire> {
        let (socket, _) = self.listener.accept().ok()?;
        socket.set_nonblocking(true).unwrap();
        Some(Wire(socket))
    }
}

/// The origin's end of a connection.
pub struct Wire(UnixStream);

impl Wire {
    /// Sends what the kernel takes; how much that is.
    pub fn send(&mut self, world: &World, bytes: &[u8]) -> usize {
        let sent = self.0.write(bytes).unwrap_or(0);
        world.turns();
        sent
    }

    /// What has come.
    pub fn receive(&mut self, world: &World) -> Vec<u8> {
        let (mut all, mut buffer) = (Vec::new(), [0; 65536]);
        while let Ok(count @ 1..) = self.0.read(&mut buffer) {
            all.extend_from_slice(&buffer[..count]);
            world.turns();
        }
        all
    }

    /// Whether the client has closed it; what has come is thrown away.
    pub fn is_over(&mut self, world: &World) -> bool {
        self.receive(world);
        !matches!(self.0.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    }

    pub fn end(&self, world: &World) {
        let _ = self.0.shutdown(Shutdown::Write);
        world.turns();
    }
}
