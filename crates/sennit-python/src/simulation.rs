//! The seam of `sennit.testing`: a clock that Python moves, and connections that Python makes up.
//!
//! A subclass of `core.Loop` that says `_manual_clock = True` gets a [`ManualClock`], once, when a
//! loop is made. Such a loop has two more methods, written in Python:
//!
//! - `_idle(due)`: nothing is ready, and nothing is due before `due` nanoseconds (None: ever). It
//!   answers None when it has moved the clock or found work, else for how many seconds by the
//!   system's clock the loop may sleep; infinity: until something comes.
//! - `_open_stream(host, port)`: a connected, non-blocking descriptor, or a negative error number.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{FromRawFd, OwnedFd};
use std::time::Duration;

use pyo3_ffi as ffi;
use sennit_engine::{Clock, Idle, ManualClock, MonotonicClock, Nanos, Reactor};

use crate::event_loop::LoopObject;
use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{Args, Object, Outcome, none, one_argument, raise, row};

/// The clock of a Python loop, chosen when the loop is made.
pub enum LoopClock {
    /// The system's.
    Monotonic(MonotonicClock),
    /// One that moves only when Python says so.
    Manual(ManualClock),
}

impl LoopClock {
    /// The clock that a class of loops asks for.
    pub fn of_class(class: &Object) -> Outcome<Self> {
        let name = globals().names._manual_clock.as_ptr();
        // SAFETY: a live class and an interned string; GIL.
        let is_manual = unsafe { ffi::PyObject_HasAttr(class.as_ptr(), name) } != 0
            && class.attribute(c"_manual_clock")?.truth()?;
        Ok(match is_manual {
            true => LoopClock::Manual(ManualClock::default()),
            false => LoopClock::Monotonic(MonotonicClock),
        })
    }
}

impl Clock for LoopClock {
    #[inline]
    fn now(&self) -> Nanos {
        match self {
            LoopClock::Monotonic(clock) => clock.now(),
            LoopClock::Manual(clock) => clock.now(),
        }
    }

    #[inline]
    fn coarse(&self) -> Nanos {
        match self {
            LoopClock::Monotonic(clock) => clock.coarse(),
            LoopClock::Manual(clock) => clock.coarse(),
        }
    }

    fn unix_seconds(&self) -> u64 {
        match self {
            LoopClock::Monotonic(clock) => clock.unix_seconds(),
            LoopClock::Manual(clock) => clock.unix_seconds(),
        }
    }

    #[inline]
    fn passes(&self) -> bool {
        matches!(self, LoopClock::Monotonic(_))
    }

    fn has_spun(&self) -> bool {
        match self {
            LoopClock::Monotonic(clock) => clock.has_spun(),
            LoopClock::Manual(clock) => clock.has_spun(),
        }
    }
}

/// Asks a loop what happens to its time.
pub fn idle(event_loop: *mut ffi::PyObject, due: Option<Nanos>) -> Outcome<Idle> {
    let due = match due {
        Some(due) => Object::integer(i64::try_from(due).unwrap_or(i64::MAX))?,
        None => none(),
    };
    let answer = Object::call_method(&globals().names._idle, &[event_loop, due.as_ptr()])?;
    if answer.is_none() {
        return Ok(Idle::Look);
    }
    let pointer = answer.as_ptr();
    // SAFETY: one live argument; GIL.
    let seconds = unsafe { Args::new(&pointer, 1) }.float(0)?;
    // What is too large for a duration is as good as for ever.
    Ok(Idle::Sleep(Duration::try_from_secs_f64(seconds).ok()))
}

/// Asks a loop for a connection.
pub fn connect(
    event_loop: *mut ffi::PyObject,
    address: &SocketAddr,
) -> Outcome<io::Result<OwnedFd>> {
    let host = Object::text(&address.ip().to_string())?;
    let port = Object::integer(i64::from(address.port()))?;
    let arguments = [event_loop, host.as_ptr(), port.as_ptr()];
    let answer = Object::call_method(&globals().names._open_stream, &arguments)?;
    let pointer = answer.as_ptr();
    // SAFETY: one live argument; GIL.
    let number = unsafe { Args::new(&pointer, 1) }.integer(0)? as i32;
    Ok(if number < 0 {
        Err(io::Error::from_raw_os_error(number.saturating_neg()))
    } else {
        // SAFETY: the Python half gives the descriptor away.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    })
}

/// Tells a loop's exception handler that the simulated network has failed.
#[cold]
pub fn report(reactor: &Reactor<PythonHost>) -> io::Error {
    if let Some(error) = reactor.host().catch(reactor) {
        reactor.host().report(reactor, "the simulated network has failed", &error, &[]);
    }
    io::Error::from_raw_os_error(libc::EIO)
}

// _move_clock(nanoseconds): a time that is over changes nothing.
one_argument!(move_clock, LoopObject, |this, time| {
    let pointer = time;
    // SAFETY: a live argument; GIL.
    let time = unsafe { Args::new(&pointer, 1) }.integer(0)?;
    let LoopClock::Manual(clock) = this.state().reactor().clock() else {
        // SAFETY: reading a static of the interpreter; GIL.
        return Err(raise(
            unsafe { ffi::PyExc_RuntimeError },
            "the clock of this loop moves itself",
        ));
    };
    clock.move_to(u64::try_from(time).unwrap_or(0));
    Ok(none())
});

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![row!(one c"_move_clock", move_clock, c"Move a manual clock to a time in nanoseconds.")]
}
