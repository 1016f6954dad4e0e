//! Writing, closing, and what of it can be awaited.

use pyo3_ffi as ffi;

use super::below::Below;
use super::error::{self, raise_ours};
use super::object::{Life, Outgoing, StreamObject};
use super::operation::{self, Progress};
use super::waiter::Fate;
use super::wanted::Wanted;
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised, keywords, no_arguments, none, one_argument, row};

impl StreamObject {
    /// What is below, if it takes data: a reference of its own, because a write may tell the stream to pause.
    #[inline]
    pub fn writable(&self) -> Outcome<Below> {
        let fields = self.fields();
        if fields.life == Life::Open
            && fields.outgoing != Outgoing::Ended
            && let Some(below) = &fields.below
        {
            return Ok(below.clone());
        }
        Err(self.raise_unwritable())
    }

    #[cold]
    fn raise_unwritable(&self) -> Raised {
        let fields = self.fields();
        match fields.life {
            Life::New => raise_ours(c"ClosedError", "write() before the stream is connected"),
            Life::Lost => {
                let cause = fields.error().cloned();
                error::raise_made(error::connection_lost(cause.as_ref()))
            }
            Life::Open => raise_ours(c"ClosedError", "write() after write_eof()"),
            Life::Closing | Life::Closed => raise_ours(c"ClosedError", "write() after close()"),
        }
    }

    /// Counts what was written; what can be awaited.
    #[inline]
    pub fn written(&self, size: usize) -> Outcome<Object> {
        let fields = self.fields();
        fields.sent += size as u64;
        if fields.outgoing == Outgoing::Full {
            return operation::make(self, Wanted::Room);
        }
        Ok(globals().stream.done.clone())
    }

    /// Whether the write queue has room.
    pub fn attempt_room(&self) -> Outcome<Progress> {
        let fields = self.fields();
        match fields.life {
            Life::Lost | Life::Closed if fields.error().is_some() => {
                let cause = fields.error().cloned();
                Err(error::raise_made(error::connection_lost(cause.as_ref())))
            }
            Life::Open | Life::Closing if fields.outgoing == Outgoing::Full => Ok(Progress::Wait),
            _ => Ok(Progress::Ready(none())),
        }
    }

    /// Whether the connection is over.
    pub fn attempt_closed(&self) -> Outcome<Progress> {
        let fields = self.fields();
        match fields.life {
            Life::Open | Life::Closing => Ok(Progress::Wait),
            // It was lost while what was written had still to be sent.
            Life::Closed if fields.error().is_some() => match fields.error().cloned() {
                Some(reason) if is_deadline(&reason) => Err(error::set(&reason)),
                cause => Err(error::raise_made(error::connection_lost(cause.as_ref()))),
            },
            Life::New | Life::Lost | Life::Closed => Ok(Progress::Ready(none())),
        }
    }

    fn end(&self, action: impl FnOnce(&Below) -> Outcome<()>) -> Outcome<Object> {
        let fields = self.fields();
        let Some(below) = fields.below.clone().filter(|_| fields.life == Life::Open) else {
            if fields.life == Life::New {
                fields.life = Life::Closed;
            }
            return Ok(none());
        };
        fields.life = Life::Closing;
        // Whoever reads hears that there is nothing to read any more.
        let reader = fields.reader.as_ref().map(|reader| reader.waiter.clone());
        action(&below)?;
        self.mind_write_deadline()?;
        if let Some(reader) = reader {
            reader.wake_soon(Fate::Done)?;
        }
        Ok(none())
    }
}

fn is_deadline(exception: &Object) -> bool {
    crate::http::errors(c"DeadlineError")
        .and_then(|class| crate::globals::is_instance(exception.as_ptr(), &class))
        .unwrap_or(false)
}

one_argument!(write, StreamObject, |this, data| {
    let size = this.writable()?.write(data)?;
    this.written(size)
});

one_argument!(writelines, StreamObject, |this, pieces| {
    let mut size = 0;
    // SAFETY: the iterator and its items are owned while they are used; GIL.
    unsafe {
        let iterator = Object::owned(ffi::PyObject_GetIter(pieces))?;
        loop {
            let piece = ffi::PyIter_Next(iterator.as_ptr());
            if piece.is_null() {
                break if ffi::PyErr_Occurred().is_null() { Ok(()) } else { Err(Raised) };
            }
            let piece = Object::owned(piece)?;
            size += this.writable()?.write(piece.as_ptr())?;
        }?;
    }
    this.written(size)
});

no_arguments!(write_eof, StreamObject, |this| {
    let below = this.writable()?;
    this.fields().outgoing = Outgoing::Ended;
    below.write_eof()?;
    Ok(none())
});

no_arguments!(close, StreamObject, |this| this.end(Below::close));

no_arguments!(abort, StreamObject, |this| {
    let below = this.below();
    if this.fields().life == Life::Closing {
        // What waits to be sent is not waited for any more.
        below.as_ref().map_or(Ok(()), |below| below.abort(None))?;
    }
    this.end(|below| below.abort(None))
});

no_arguments!(wait_closed, StreamObject, |this| operation::make(this, Wanted::Closed));

no_arguments!(is_closing, StreamObject, |this| {
    let fields = this.fields();
    let closing = match (fields.life, fields.below.clone()) {
        (Life::New, _) => false,
        (Life::Open, Some(below)) => below.is_closing()?,
        _ => true,
    };
    Ok(Object::boolean(closing))
});

keywords!(get_extra_info, StreamObject, |this, args, keywords| {
    args.expect("get_extra_info", 1, 2)?;
    let given = keywords.named("get_extra_info", &[c"name", c"default"])?;
    let default = args.0.get(1).copied().or(given[1]);
    // SAFETY: None is immortal; GIL.
    let default = default.unwrap_or(unsafe { ffi::Py_None() });
    match this.below() {
        Some(below) => below.object().attribute(c"get_extra_info")?.call(&[args.0[0], default]),
        // SAFETY: a live argument; GIL.
        None => Ok(unsafe { Object::from_borrowed(default) }),
    }
});

no_arguments!(statistics, StreamObject, |this| super::settings::statistics(this));

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(one c"write", write,
            c"write($self, data, /)\n--\n\nQueue bytes; await it to wait while too much is queued."),
        row!(one c"writelines", writelines,
            c"writelines($self, pieces, /)\n--\n\nQueue several pieces, as write."),
        row!(noargs c"write_eof", write_eof, c"Send the end of the stream after what is queued."),
        row!(noargs c"close", close, c"Send what is queued, then close."),
        row!(noargs c"abort", abort, c"Close at once; what is queued is lost."),
        row!(noargs c"wait_closed", wait_closed, c"Wait for the end of the connection."),
        row!(noargs c"is_closing", is_closing, c"Whether it is closing or closed."),
        row!(keywords c"get_extra_info", get_extra_info,
            c"get_extra_info($self, name, default=None)\n--\n\nWhat the transport knows."),
        row!(noargs c"statistics", statistics, c"Counters of the stream, as a dict of ints."),
    ]
}
