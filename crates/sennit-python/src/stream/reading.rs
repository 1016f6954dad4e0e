//! Reading: what can be awaited, when it is there, and who waits.
//!
//! What has come can be read, whatever has happened since; only `close()` by this program ends reading at once. A
//! reading that cannot succeed any more says why: the end of the stream, the loss of the connection, a
//! limit. It takes nothing then, but for `IncompleteReadError`, which has what there was.

use pyo3_ffi as ffi;
use sennit_wire::framing::{Framing, MAX_SEPARATOR, MAX_SIZE, Separator};

use super::below::{Below, with_bytes};
use super::error::{self, raise_ours};
use super::object::{Incoming, Life, NEVER, Outgoing, Reader, StreamObject};
use super::operation::{self, Progress};
use super::waiter::{Fate, Waiter};
use super::wanted::Wanted;
use crate::globals::globals;
use crate::kit::{
    Args, Keywords, Object, Outcome, Raised, keywords, no_arguments, none, one_argument, raise, row,
};

/// What `read()` takes at most unless it is told otherwise.
const READ_SIZE: usize = 64 * 1024;

impl StreamObject {
    /// Before an operation looks for the first time.
    #[inline]
    pub fn begin(&self, wanted: &Wanted) -> Outcome<()> {
        if !wanted.is_read() {
            return Ok(());
        }
        let fields = self.fields();
        if let Some(reader) = &fields.reader
            && reader.waiter.fate() == Fate::Pending
        {
            let (name, other) = (wanted.name(), reader.wanted.name());
            let message = format!(
                "{name} while {other} waits for data in another task; one task at a time may read a stream"
            );
            return Err(raise_ours(c"BusyError", &message));
        }
        if matches!(wanted, Wanted::Until(_) | Wanted::Frame { .. }) {
            fields.inbox.search_anew();
        }
        Ok(())
    }

    /// Looks whether what is wanted is there, and takes it.
    #[inline]
    pub fn attempt(&self, wanted: &Wanted) -> Outcome<Progress> {
        match *wanted {
            Wanted::Room => return self.attempt_room(),
            Wanted::Closed => return self.attempt_closed(),
            _ => {}
        }
        let fields = self.fields();
        if matches!(fields.life, Life::Closing | Life::Closed) {
            let message = format!("{} after close()", wanted.name());
            return Err(raise_ours(c"ClosedError", &message));
        }
        let taken = match *wanted {
            Wanted::Some(size) if fields.inbox.len() > 0 || size == 0 => fields.inbox.take(size)?,
            Wanted::Chunk if fields.inbox.len() > 0 => fields.inbox.take(READ_SIZE)?,
            Wanted::Exactly(size) if fields.inbox.len() >= size => fields.inbox.take(size)?,
            Wanted::Until(framing) | Wanted::Frame { framing, .. } => {
                match fields.inbox.find(&framing) {
                    Ok(Some(found)) if matches!(wanted, Wanted::Until(_)) => {
                        fields.inbox.take_frame(found.with_envelope())?
                    }
                    Ok(Some(found)) => fields.inbox.take_frame(found)?,
                    Ok(None) => return self.attempt_end(wanted),
                    Err(fault) => return Err(error::raise_made(error::remote(&fault))),
                }
            }
            _ => return self.attempt_end(wanted),
        };
        if fields.incoming == Incoming::Paused {
            self.resume_if_low()?;
        }
        Ok(Progress::Ready(taken))
    }

    /// There is not enough: whether more can come.
    #[cold]
    fn attempt_end(&self, wanted: &Wanted) -> Outcome<Progress> {
        let fields = self.fields();
        match (fields.life, fields.incoming) {
            (Life::Lost, incoming) if incoming != Incoming::Ended || fields.error().is_some() => {
                let cause = fields.error().cloned();
                return Err(error::raise_made(error::connection_lost(cause.as_ref())));
            }
            (_, Incoming::Ended) => {}
            _ => return Ok(Progress::Wait),
        }
        let stop = || {
            // SAFETY: reading a static of the interpreter; GIL.
            unsafe { ffi::PyErr_SetNone(ffi::PyExc_StopAsyncIteration) };
            Err(Raised)
        };
        match *wanted {
            Wanted::Chunk => stop(),
            Wanted::Exactly(size) => self.raise_incomplete(Some(size)),
            Wanted::Until(_) => self.raise_incomplete(None),
            Wanted::Frame { framing, stops } => match fields.inbox.receive_eof(&framing) {
                Ok(()) if stops => stop(),
                Ok(()) => Ok(Progress::Ready(none())),
                Err(fault) => Err(error::raise_made(error::remote(&fault))),
            },
            _ => Ok(Progress::Ready(Object::bytes(b"")?)),
        }
    }

    fn raise_incomplete(&self, expected: Option<usize>) -> Outcome<Progress> {
        let partial = self.fields().inbox.take(usize::MAX)?;
        Err(error::raise_made(error::incomplete(&partial, expected)))
    }

    /// Whether a reader would get something, be it an error.
    #[inline]
    pub fn is_there(&self, wanted: &Wanted) -> bool {
        let inbox = &mut self.fields().inbox;
        match wanted {
            Wanted::Some(_) | Wanted::Chunk => inbox.len() > 0,
            Wanted::Exactly(size) => inbox.len() >= *size,
            Wanted::Until(framing) | Wanted::Frame { framing, .. } => {
                !matches!(inbox.find(framing), Ok(None))
            }
            Wanted::Room | Wanted::Closed => false,
        }
    }

    /// Leaves something to wait for.
    #[inline]
    pub fn wait(&self, wanted: &Wanted) -> Outcome<Waiter> {
        let event_loop = match &self.fields().below {
            Some(below) => below.event_loop()?,
            None => super::below::running_loop()?,
        };
        let waiter = Waiter::new(event_loop)?;
        match wanted {
            Wanted::Room => self.fields().rare().writers.push(waiter.clone()),
            Wanted::Closed => self.fields().rare().closers.push(waiter.clone()),
            _ => return self.wait_for_data(wanted, waiter),
        }
        self.mind_write_deadline()?;
        Ok(waiter)
    }

    #[inline]
    fn wait_for_data(&self, wanted: &Wanted, waiter: Waiter) -> Outcome<Waiter> {
        let fields = self.fields();
        let before = fields.reader.replace(Reader { waiter: waiter.clone(), wanted: *wanted });
        // What was begun and is waited for may be more than may lie unread.
        let is_paused = fields.incoming == Incoming::Paused;
        let has_deadline = fields.read_timeout > 0;
        drop(before);
        if is_paused {
            self.resume()?;
        }
        if has_deadline {
            self.set_read_deadline()?;
        }
        Ok(waiter)
    }

    /// A waiter is not waited for any more.
    #[inline]
    pub fn forget(&self, waiter: &Waiter) {
        let is_it = |other: &Waiter| other.object().as_ptr() == waiter.object().as_ptr();
        let fields = self.fields();
        if fields.reader.as_ref().is_some_and(|reader| is_it(&reader.waiter)) {
            fields.read_deadline = NEVER;
            let reader = fields.reader.take();
            drop(reader);
            return;
        }
        if let Some(rare) = &mut fields.rare {
            let mut dropped = Vec::new();
            for list in [&mut rare.writers, &mut rare.closers] {
                dropped.extend(list.iter().position(is_it).map(|place| list.swap_remove(place)));
            }
            drop(dropped);
        }
    }

    /// The peer has to wait: more is unread than may be, and nobody waits for it.
    #[inline]
    pub fn pause_if_high(&self) -> Outcome<()> {
        let fields = self.fields();
        let waited_for =
            fields.reader.as_ref().is_some_and(|reader| reader.waiter.fate() == Fate::Pending);
        let flows = fields.incoming == Incoming::Flowing && fields.life == Life::Open;
        if fields.inbox.kept() <= fields.max_buffered || waited_for || !flows {
            return Ok(());
        }
        fields.incoming = Incoming::Paused;
        self.below().as_ref().map_or(Ok(()), Below::pause_reading)
    }

    fn resume_if_low(&self) -> Outcome<()> {
        let fields = self.fields();
        if fields.inbox.len() > fields.max_buffered / 2 { Ok(()) } else { self.resume() }
    }

    fn resume(&self) -> Outcome<()> {
        let fields = self.fields();
        if fields.incoming != Incoming::Paused {
            return Ok(());
        }
        fields.incoming = Incoming::Flowing;
        self.below().as_ref().map_or(Ok(()), Below::resume_reading)
    }
}

fn size(function: &str, name: &str, value: *mut ffi::PyObject) -> Outcome<usize> {
    // SAFETY: the argument is live for the call; GIL.
    let number = unsafe { Args::new(&value, 1) }.integer(0)?;
    usize::try_from(number).map_err(|_| {
        let message = format!("{function}: {name} is {number}; it must not be negative");
        // SAFETY: reading a static of the interpreter; GIL.
        raise(unsafe { ffi::PyExc_ValueError }, &message)
    })
}

keywords!(read, StreamObject, |this, args, keywords| {
    let most = optional_size("read", args, keywords, 0)?.unwrap_or(READ_SIZE);
    operation::make(this, Wanted::Some(most))
});

/// The argument `max_size` at a place, or by its name.
#[inline]
fn optional_size(
    function: &str,
    args: Args<'_>,
    keywords: Keywords<'_>,
    place: usize,
) -> Outcome<Option<usize>> {
    if args.0.len() == place && keywords.is_empty() {
        return Ok(None);
    }
    args.expect(function, place, place + 1)?;
    let named = keywords.only(function, &globals().names.max_size)?;
    let value = match args.optional(place) {
        Some(value) => Some(value.as_ptr()),
        None => named,
    };
    value.map(|value| size(function, "max_size", value)).transpose()
}

one_argument!(read_exactly, StreamObject, |this, count| {
    operation::make(this, Wanted::Exactly(size("read_exactly", "size", count)?))
});

keywords!(read_until, StreamObject, |this, args, keywords| {
    let max_size = optional_size("read_until", args, keywords, 1)?.unwrap_or(MAX_SIZE);
    let separator = with_bytes(args.0[0], |bytes| {
        Separator::new(bytes).ok_or_else(|| {
            let message =
                format!("separator is {} bytes; it must be 1 to {MAX_SEPARATOR}", bytes.len());
            // SAFETY: reading a static of the interpreter; GIL.
            raise(unsafe { ffi::PyExc_ValueError }, &message)
        })
    })?;
    operation::make(this, Wanted::Until(Framing::Separated { separator, max_size }))
});

keywords!(readline, StreamObject, |this, args, keywords| {
    let max_size = optional_size("readline", args, keywords, 0)?.unwrap_or(MAX_SIZE);
    let separator = Separator::LINE_FEED;
    operation::make(this, Wanted::Until(Framing::Separated { separator, max_size }))
});

one_argument!(frames, StreamObject, |this, framing| super::frames::make(this, framing));

no_arguments!(at_eof, StreamObject, |this| {
    let fields = this.fields();
    let ended = fields.incoming == Incoming::Ended || fields.life == Life::Lost;
    Ok(Object::boolean(ended && fields.inbox.len() == 0))
});

// Whether whoever takes the stream over finds it as its first user has: nothing is under way in
// either direction.
no_arguments!(is_at_rest, StreamObject, |this| {
    let Some(below) = this.below() else { return Ok(Object::boolean(false)) };
    let fields = this.fields();
    let at_rest = fields.life == Life::Open
        && fields.incoming == Incoming::Flowing
        && fields.outgoing == Outgoing::Flowing
        && fields.reader.is_none()
        && fields.inbox.len() == 0;
    Ok(Object::boolean(at_rest && !below.is_closing()? && below.queued()? == 0))
});

no_arguments!(take_buffered, StreamObject, |this| {
    let taken = this.fields().inbox.take(usize::MAX)?;
    this.resume()?;
    Ok(taken)
});

/// `__aiter__`.
pub unsafe extern "C" fn iterator(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: a live object; GIL.
    crate::kit::guard(|| Ok(unsafe { Object::from_borrowed(this) }))
}

/// `__anext__`.
pub unsafe extern "C" fn next(this: *mut ffi::PyObject) -> *mut ffi::PyObject {
    // SAFETY: CPython calls with a live stream.
    crate::kit::guard(|| operation::make(unsafe { &*this.cast::<StreamObject>() }, Wanted::Chunk))
}

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(keywords c"read", read,
            c"read($self, max_size=65536)\n--\n\nWhat is there, at least one byte; b\"\" at the end."),
        row!(one c"read_exactly", read_exactly,
            c"read_exactly($self, size, /)\n--\n\nSo many bytes."),
        row!(keywords c"read_until", read_until,
            c"read_until($self, separator, max_size=None)\n--\n\nUp to a separator, with it."),
        row!(keywords c"readline", readline,
            c"readline($self, max_size=None)\n--\n\nA line with its line feed."),
        row!(one c"frames", frames, c"frames($self, framing, /)\n--\n\nThis stream, frame by frame."),
        row!(noargs c"at_eof", at_eof, c"Whether the peer has sent all, and all was read."),
        row!(noargs c"_is_at_rest", is_at_rest, c"Whether nothing is under way in either direction."),
        row!(noargs c"take_buffered", take_buffered, c"Everything unread, at once."),
    ]
}
