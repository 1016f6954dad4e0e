//! What a transport tells a stream, and the stream's deadlines.
//!
//! Our own transport gives data by [`deliver`], from a dispatch: the reader's task runs right there. Everything else,
//! and all that another transport tells, comes by asyncio's methods, which may be called from within a task; there
//! whoever waits runs in its place among the loop's callbacks.

use pyo3_ffi as ffi;
use sennit_engine::{Nanos, Reactor};

use super::below::{Below, with_bytes};
use super::error::raise_ours;
use super::object::{Incoming, Life, NEVER, Outgoing, StreamObject};
use super::waiter::{Fate, Waiter};
use super::wanted::Wanted;
use crate::globals::globals;
use crate::host::PythonHost;
use crate::kit::{Object, Outcome, Raised, no_arguments, none, one_argument, row};

/// Data of our own transport, in the reactor's buffer.
#[inline]
pub fn deliver(stream: &Object, reactor: &Reactor<PythonHost>, data: &[u8]) {
    let this = StreamObject::of(stream);
    this.fields().received += data.len() as u64;
    // SAFETY: the buffer lies still until this has returned.
    unsafe { this.fields().inbox.lend(data) };
    if let Some(waiter) = this.reader_to_wake() {
        waiter.wake_now(reactor);
    }
    this.fields().inbox.end_loan();
    if this.pause_if_high().is_err() {
        drop(reactor.host().catch(reactor));
    }
}

/// The reactor was closed under the stream.
pub fn abandoned(stream: &Object) {
    let fields = StreamObject::of(stream).fields();
    fields.life = match fields.life {
        Life::New | Life::Open | Life::Lost => Life::Lost,
        Life::Closing | Life::Closed => Life::Closed,
    };
    // Nobody is left to wake them.
    let rare = fields.rare.as_mut();
    let waiters =
        rare.map(|rare| (std::mem::take(&mut rare.writers), std::mem::take(&mut rare.closers)));
    let reader = fields.reader.take();
    drop((waiters, reader));
}

/// The coarse deadline of our own transport.
pub fn deadline_passed(stream: &Object, now: Nanos) -> Outcome<()> {
    StreamObject::of(stream).deadline_passed(now)
}

impl StreamObject {
    /// Who reads, if that is of use by now.
    #[inline]
    fn reader_to_wake(&self) -> Option<Waiter> {
        let reader = self.fields().reader.as_ref()?;
        if reader.waiter.fate() != Fate::Pending {
            return None;
        }
        let (waiter, wanted) = (reader.waiter.clone(), reader.wanted);
        self.is_there(&wanted).then_some(waiter)
    }

    fn wake_reader(&self, fate: Fate) -> Outcome<()> {
        let waiter = self.fields().reader.as_ref().map(|reader| reader.waiter.clone());
        waiter.map_or(Ok(()), |waiter| waiter.wake_soon(fate))
    }

    fn wake_writers(&self, fate: Fate) -> Outcome<()> {
        let waiters = self.fields().rare.as_mut().map(|rare| std::mem::take(&mut rare.writers));
        waiters.unwrap_or_default().iter().try_for_each(|waiter| waiter.wake_soon(fate))
    }

    fn wake_closers(&self, fate: Fate) -> Outcome<()> {
        let waiters = self.fields().rare.as_mut().map(|rare| std::mem::take(&mut rare.closers));
        waiters.unwrap_or_default().iter().try_for_each(|waiter| waiter.wake_soon(fate))
    }

    // --- deadlines --------------------------------------------------------------------------------

    fn now(&self) -> Outcome<Nanos> {
        match &self.fields().below {
            Some(Below::Native(native)) => Ok(native.now()),
            _ => {
                let time = super::below::running_loop()?.attribute(c"time")?.call(&[])?;
                let pointer = time.as_ptr();
                // SAFETY: one live object.
                let seconds = unsafe { crate::kit::Args::new(&pointer, 1) }.float(0)?;
                Ok((seconds * 1e9) as Nanos)
            }
        }
    }

    /// A reader begins to wait.
    #[inline]
    pub fn set_read_deadline(&self) -> Outcome<()> {
        let now = self.now()?;
        let fields = self.fields();
        fields.read_deadline = now.saturating_add(fields.read_timeout);
        if fields.read_deadline < fields.armed_at { self.arm(now) } else { Ok(()) }
    }

    /// Somebody waits for what is queued to be sent, or it is to be sent before the end.
    pub fn mind_write_deadline(&self) -> Outcome<()> {
        let fields = self.fields();
        let wants = fields.outgoing == Outgoing::Full || fields.life == Life::Closing;
        if fields.write_timeout == 0 || !wants || fields.write_deadline != NEVER {
            return Ok(());
        }
        let (now, queued) = (self.now()?, self.queued()?);
        let fields = self.fields();
        fields.write_deadline = now.saturating_add(fields.write_timeout);
        fields.rare().queued = queued;
        if fields.write_deadline < fields.armed_at { self.arm(now) } else { Ok(()) }
    }

    fn queued(&self) -> Outcome<usize> {
        self.below().map_or(Ok(0), |below| below.queued())
    }

    /// Has the deadlines looked at, no later than the first of them.
    #[cold]
    fn arm(&self, now: Nanos) -> Outcome<()> {
        let fields = self.fields();
        let when = fields.read_deadline.min(fields.write_deadline);
        if when == NEVER {
            return Ok(());
        }
        if let Some(Below::Native(native)) = &fields.below {
            // A connection that has not begun yet has nothing to be late with.
            fields.armed_at = if native.wake_at(when) { when } else { NEVER };
            return Ok(());
        }
        fields.armed_at = when;
        let delay = Object::float(when.saturating_sub(now) as f64 / 1e9)?;
        // SAFETY: a live object; GIL.
        let check =
            unsafe { Object::from_borrowed(self.as_ptr()) }.attribute(c"_check_deadlines")?;
        let event_loop = super::below::running_loop()?;
        let arguments = [event_loop.as_ptr(), delay.as_ptr(), check.as_ptr()];
        let timer = Object::call_method(&globals().stream.call_later, &arguments)?;
        let old = self.fields().rare().timer.replace(timer);
        old.map_or(Ok(()), |old| old.attribute(c"cancel")?.call(&[]).map(drop))
    }

    fn deadline_passed(&self, now: Nanos) -> Outcome<()> {
        self.fields().armed_at = NEVER;
        if self.fields().read_deadline <= now {
            self.fields().read_deadline = NEVER;
            self.wake_reader(Fate::Expired)?;
        }
        if self.fields().write_deadline <= now {
            self.write_deadline_passed(now)?;
        }
        self.arm(now)
    }

    fn write_deadline_passed(&self, now: Nanos) -> Outcome<()> {
        let queued = self.queued()?;
        let fields = self.fields();
        fields.write_deadline = NEVER;
        if queued < fields.rare().queued {
            // The peer is slow, but it takes something.
            fields.write_deadline = now.saturating_add(fields.write_timeout);
            fields.rare().queued = queued;
            return Ok(());
        }
        if fields.life == Life::Closing {
            let message = self.write_deadline_message(queued);
            let text = Object::text(&message)?;
            let reason = crate::http::errors(c"DeadlineError")?.call(&[text.as_ptr()])?;
            let old = self.fields().rare().error.replace(reason.clone());
            drop(old);
            return self.below().map_or(Ok(()), |below| below.abort(Some(reason)));
        }
        self.wake_writers(Fate::Expired)
    }

    fn write_deadline_message(&self, queued: usize) -> String {
        let seconds = self.fields().write_timeout as f64 / 1e9;
        format!("the peer took nothing of {queued} queued bytes for {seconds} s (write_timeout)")
    }

    /// Raises the error of a wait that a deadline has ended.
    pub fn raise_deadline(&self, wanted: &Wanted) -> Raised {
        if !wanted.is_read() {
            let message = self.write_deadline_message(self.queued().unwrap_or(0));
            return raise_ours(c"DeadlineError", &message);
        }
        let seconds = self.fields().read_timeout as f64 / 1e9;
        let (name, there) = (wanted.name(), self.fields().inbox.len());
        let message =
            format!("{name} took longer than {seconds} s (read_timeout); {there} bytes are unread");
        raise_ours(c"DeadlineError", &message)
    }
}

// --- asyncio's protocol ---------------------------------------------------------------------------

one_argument!(connection_made, StreamObject, |this, transport| {
    // SAFETY: a live argument; GIL.
    let below = Below::new(&unsafe { Object::from_borrowed(transport) });
    let fields = this.fields();
    if fields.life == Life::Closed {
        // It was closed before there was anything to close.
        below.abort(None)?;
        return Ok(none());
    }
    fields.life = Life::Open;
    (fields.incoming, fields.outgoing) = (Incoming::Flowing, Outgoing::Flowing);
    let old = fields.below.replace(below);
    drop(old);
    Ok(none())
});

one_argument!(data_received, StreamObject, |this, data| {
    with_bytes(data, |bytes| {
        let fields = this.fields();
        fields.received += bytes.len() as u64;
        fields.inbox.keep(bytes);
        Ok(())
    })?;
    if let Some(waiter) = this.reader_to_wake() {
        waiter.wake_soon(Fate::Done)?;
    }
    this.pause_if_high()?;
    Ok(none())
});

no_arguments!(eof_received, StreamObject, |this| {
    this.fields().incoming = Incoming::Ended;
    this.wake_reader(Fate::Done)?;
    // TLS of asyncio's own kind has no half-closed connections.
    let is_half_open = match this.below() {
        Some(Below::Foreign(transport)) => {
            let name = Object::text("sslcontext")?;
            transport.attribute(c"get_extra_info")?.call(&[name.as_ptr()])?.is_none()
        }
        _ => true,
    };
    Ok(Object::boolean(is_half_open))
});

one_argument!(connection_lost, StreamObject, |this, reason| {
    // SAFETY: a live argument; GIL.
    let reason = unsafe { Object::from_borrowed(reason) };
    let fields = this.fields();
    fields.life = match fields.life {
        Life::Closing | Life::Closed => Life::Closed,
        Life::New | Life::Open | Life::Lost => Life::Lost,
    };
    let timer = fields.rare.as_mut().and_then(|rare| rare.timer.take());
    if reason.is_none() {
        fields.incoming = Incoming::Ended;
    } else if fields.error().is_none() {
        fields.rare().error = Some(reason);
    }
    (fields.read_deadline, fields.write_deadline) = (NEVER, NEVER);
    if let Some(timer) = timer {
        timer.attribute(c"cancel")?.call(&[])?;
    }
    this.wake_reader(Fate::Done)?;
    this.wake_writers(Fate::Done)?;
    this.wake_closers(Fate::Done)?;
    Ok(none())
});

no_arguments!(pause_writing, StreamObject, |this| {
    let fields = this.fields();
    if fields.outgoing == Outgoing::Flowing {
        fields.outgoing = Outgoing::Full;
    }
    Ok(none())
});

no_arguments!(resume_writing, StreamObject, |this| {
    let fields = this.fields();
    if fields.outgoing == Outgoing::Full {
        fields.outgoing = Outgoing::Flowing;
    }
    if fields.life == Life::Open {
        fields.write_deadline = NEVER;
    }
    this.wake_writers(Fate::Done)?;
    Ok(none())
});

no_arguments!(check_deadlines, StreamObject, |this| {
    if let Some(rare) = &mut this.fields().rare {
        let timer = rare.timer.take();
        drop(timer);
    }
    let now = this.now()?;
    this.deadline_passed(now)?;
    Ok(none())
});

/// The rows of this file.
pub fn methods() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(one c"connection_made", connection_made, c"The transport is there."),
        row!(one c"data_received", data_received, c"Bytes have come."),
        row!(noargs c"eof_received", eof_received, c"The peer has sent all."),
        row!(one c"connection_lost", connection_lost, c"The connection is over."),
        row!(noargs c"pause_writing", pause_writing, c"The write queue is full."),
        row!(noargs c"resume_writing", resume_writing, c"The write queue has room."),
        row!(noargs c"_check_deadlines", check_deadlines, c"Look at the deadlines."),
    ]
}
