//! The drivers under a host without Python: an origin that is never the bottleneck, and a client that
//! shows what Python adds. The GIL is let go for as long as they run.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3_ffi as ffi;
use sennit_driver::http1::client::{
    Caller, Client, Failure, Outgoing, Place, Response, Route, Settings as ClientSettings,
};
use sennit_driver::http1::server::{
    Answer, AnswerBody, AnswerHead, Application, Connection, Serial, Server,
    Settings as ServerSettings,
};
use sennit_engine::clock::{MILLISECOND, Nanos, SECOND};
use sennit_engine::listener::Descriptor;
use sennit_engine::{EpollPoller, Host, MonotonicClock, Reactor};
use sennit_wire::http1::{
    Connection as Persistence, RequestHead, RequestParts, encode_request_head,
};

use crate::kit::{Args, Object, Outcome, guard, raise, row};

/// What both sides of a measurement agree on.
const BODY: &[u8] = b"Hello, World!";

/// How often the host looks whether somebody wants it to end.
const LOOK: Nanos = 50 * MILLISECOND;

static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn stop(_signal: libc::c_int) {
    STOP.store(true, Ordering::Relaxed);
}

/// SIGTERM and SIGINT end what runs here; Python's own handlers come back afterwards.
struct Signals([libc::sighandler_t; 2]);

const SIGNALS: [libc::c_int; 2] = [libc::SIGTERM, libc::SIGINT];

impl Signals {
    fn take() -> Self {
        STOP.store(false, Ordering::Relaxed);
        // SAFETY: the handler does nothing but store to an atomic.
        Signals(
            SIGNALS.map(|number| unsafe {
                libc::signal(number, stop as *const () as libc::sighandler_t)
            }),
        )
    }
}

impl Drop for Signals {
    fn drop(&mut self) {
        for (number, before) in SIGNALS.into_iter().zip(self.0) {
            // SAFETY: what was installed before is installed again.
            unsafe { libc::signal(number, before) };
        }
    }
}

/// What a timer of this host is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Timer {
    Answers,
    Look,
}

/// An answer that is due at a time.
type Due = (Nanos, Rc<Connection<RustHost, Delayed>>, Serial);

struct RustHost {
    delayed: RefCell<VecDeque<Due>>,
}

impl Host for RustHost {
    type Poller = EpollPoller;
    type Clock = MonotonicClock;
    type Callback = Timer;
    type Value = ();

    fn run(&self, reactor: &Reactor<Self>, timer: Timer) {
        match timer {
            Timer::Answers => self.answer_due(reactor),
            Timer::Look if STOP.load(Ordering::Relaxed) => reactor.stop(),
            Timer::Look => reactor.call_at(reactor.now() + LOOK, Timer::Look),
        }
    }

    fn is_cancelled(&self, _timer: &Timer) -> bool {
        false
    }
}

impl RustHost {
    fn answer_due(&self, reactor: &Reactor<Self>) {
        let now = reactor.now();
        loop {
            let next = self.delayed.borrow().front().map(|(when, _, _)| *when);
            match next {
                None => return,
                Some(when) if when > now => return reactor.call_at(when, Timer::Answers),
                Some(_) => {}
            }
            let due = self.delayed.borrow_mut().pop_front();
            if let Some((_, connection, serial)) = due {
                let _ = connection.answer(reactor, serial, hello());
            }
        }
    }
}

fn hello() -> Answer<'static, &'static [u8]> {
    Answer {
        head: AnswerHead {
            status: 200,
            content_type: Some(b"text/plain; charset=utf-8"),
            fields: b"",
        },
        body: AnswerBody::Borrowed(BODY),
    }
}

/// Answers each request after the same time.
struct Delayed {
    wait: Nanos,
}

impl Application<RustHost> for Delayed {
    type Bytes = &'static [u8];
    type Pending = ();

    fn request(
        &self,
        reactor: &Reactor<RustHost>,
        connection: &Rc<Connection<RustHost, Self>>,
        serial: Serial,
        _head: &RequestHead<'_, '_>,
    ) -> Option<()> {
        if self.wait == 0 {
            let _ = connection.answer(reactor, serial, hello());
            return None;
        }
        let when = reactor.turn_time() + self.wait;
        let first = {
            let mut delayed = reactor.host().delayed.borrow_mut();
            delayed.push_back((when, connection.clone(), serial));
            delayed.len() == 1
        };
        if first {
            reactor.call_at(when, Timer::Answers);
        }
        Some(())
    }
}

/// Counts responses, and stops at the last.
struct Counting {
    left: Cell<u64>,
    answered: Cell<u64>,
}

impl Caller<RustHost> for Counting {
    type Call = ();

    fn finished(&self, reactor: &Reactor<RustHost>, _call: (), outcome: Result<Response, Failure>) {
        if outcome.is_ok_and(|response| response.status == 200 && response.body() == BODY) {
            self.answered.set(self.answered.get() + 1);
        }
        self.left.set(self.left.get() - 1);
        if self.left.get() == 0 {
            reactor.stop();
        }
    }
}

fn reactor() -> std::io::Result<Reactor<RustHost>> {
    let host = RustHost { delayed: RefCell::default() };
    Reactor::new(host, EpollPoller::new()?, MonotonicClock)
}

/// Lets the GIL go while something runs that touches no Python object.
fn without_gil<T>(body: impl FnOnce() -> T) -> T {
    // SAFETY: this thread holds the GIL and takes it again before anything else happens.
    let state = unsafe { ffi::PyEval_SaveThread() };
    let result = body();
    // SAFETY: the state is the one saved above.
    unsafe { ffi::PyEval_RestoreThread(state) };
    result
}

fn serve(descriptor: RawFd, wait: Nanos) -> std::io::Result<u64> {
    let reactor = reactor()?;
    let settings = ServerSettings {
        keep_alive_timeout: 600 * SECOND,
        max_requests: u32::MAX,
        ..Default::default()
    };
    let server = Server::new(Delayed { wait }, settings);
    server.listen(&reactor, Descriptor::Lent(descriptor), None)?;
    reactor.call_at(reactor.now() + LOOK, Timer::Look);
    let result = reactor.run();
    drop(reactor.close());
    result.map(|()| server.statistics().answered)
}

fn fetch(address: SocketAddr, head: Vec<u8>, count: u64, concurrency: u64) -> std::io::Result<u64> {
    let reactor = reactor()?;
    let settings = ClientSettings {
        max_connections: concurrency,
        keep_alive: concurrency < count,
        ..ClientSettings::default()
    };
    let counting = Counting { left: Cell::new(count), answered: Cell::new(0) };
    let client = Client::new(&reactor, counting, settings);
    let origin = client.add_origin(Route::new(vec![Place::Address(address)], None, None));
    for _ in 0..count {
        let outgoing = Outgoing::whole(origin, head.clone(), 60 * SECOND);
        client.request(&reactor, outgoing, ());
    }
    reactor.call_at(reactor.now() + LOOK, Timer::Look);
    let result = if count == 0 { Ok(()) } else { reactor.run() };
    let answered = client.caller().answered.get();
    drop(reactor.close());
    result.map(|()| answered)
}

/// `serve_delayed(descriptor, wait_s) -> int`: answers every request on a listening descriptor after a
/// time, until SIGTERM or SIGINT; how many were answered.
pub fn serve_delayed(args: Args<'_>) -> Outcome<Object> {
    args.expect("serve_delayed", 2, 2)?;
    let descriptor = args.integer(0)? as RawFd;
    let wait = (args.float(1)? * 1e9) as Nanos;
    let signals = Signals::take();
    let answered = without_gil(|| serve(descriptor, wait));
    drop(signals);
    Object::integer(answered? as i64)
}

/// `fetch_many(address, target, host, count, concurrency) -> int`: GETs one URL many times at once; how
/// many were answered rightly.
pub fn fetch_many(args: Args<'_>) -> Outcome<Object> {
    args.expect("fetch_many", 5, 5)?;
    let Ok(address) = args.text(0)?.parse::<SocketAddr>() else {
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_ValueError }, "the address is no HOST:PORT"));
    };
    let (count, concurrency) = (args.integer(3)? as u64, args.integer(4)?.max(1) as u64);
    let parts = RequestParts {
        method: "GET",
        target: args.text(1)?,
        host: args.text(2)?,
        fields: b"",
        content_length: None,
        chunked: false,
        connection: (concurrency >= count).then_some(Persistence::Close),
    };
    let mut head = Vec::new();
    encode_request_head(&mut head, &parts).map_err(|error| {
        super::application::raise_ours(c"LocalProtocolError", &error.to_string())
    })?;
    let signals = Signals::take();
    let answered = without_gil(|| fetch(address, head, count, concurrency));
    drop(signals);
    let interrupted = STOP.load(Ordering::Relaxed);
    let answered = answered?;
    if interrupted {
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(unsafe { ffi::PyExc_KeyboardInterrupt }, ""));
    }
    Object::integer(answered as i64)
}

unsafe extern "C" fn serve_delayed_function(
    _: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    guard(|| serve_delayed(unsafe { Args::new(arguments, count) }))
}

unsafe extern "C" fn fetch_many_function(
    _: *mut ffi::PyObject,
    arguments: *mut *mut ffi::PyObject,
    count: isize,
) -> *mut ffi::PyObject {
    // SAFETY: CPython's fast-call convention vouches for the arguments.
    guard(|| fetch_many(unsafe { Args::new(arguments, count) }))
}

/// The functions of the module.
pub fn table() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(positional c"serve_delayed", serve_delayed_function,
            c"serve_delayed($module, descriptor, wait_s, /)\n--\n\nAnswer each request after a time, natively."),
        row!(positional c"fetch_many", fetch_many_function,
            c"fetch_many($module, address, target, host, count, concurrency, /)\n--\n\nGET one URL many times, natively."),
    ]
}
