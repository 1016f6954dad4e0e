//! `core.FrameProtocol`: a protocol that is called with each frame.
//!
//! Frames are cut out of the reactor's buffer: one bytes object and one call for each. After each call it is
//! looked again: the callback may have closed the connection, paused it, changed the framing, put another protocol in
//! this one's place or taken the bytes that are left.

use std::cell::UnsafeCell;

use pyo3_ffi as ffi;
use sennit_wire::framing::Framing;

use super::below::{Below, with_bytes};
use super::error::{self, raise_ours};
use super::framing;
use super::inbox::Inbox;
use crate::globals::globals;
use crate::kit::{
    Head, Object, Outcome, Raised, TypeSpec, doc, getter, guard, no_arguments, none, one_argument,
    row,
};

/// What a protocol does with what comes.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Delivery {
    /// Nothing is under way.
    #[default]
    Idle,
    /// Frames are handed out right now.
    Running,
    /// The program wants none.
    Paused,
    /// The framing was broken; only another framing goes on.
    Failed,
}

#[derive(Default)]
struct Fields {
    below: Option<Below>,
    framing: Option<Framing>,
    inbox: Inbox,
    delivery: Delivery,
}

/// A protocol.
#[repr(C)]
struct ProtocolObject {
    head: Head,
    weak_references: *mut ffi::PyObject,
    fields: UnsafeCell<Fields>,
}

/// Frames out of data of our own transport.
pub fn deliver_frames(protocol: &Object, data: &[u8]) -> Outcome<()> {
    of(protocol).received(data)
}

/// Tells a protocol of its transport, whatever its `connection_made` does.
pub fn bind_frames(protocol: &Object, transport: &Object) {
    let old = of(protocol).fields().below.replace(Below::new(transport));
    drop(old);
}

/// Reading was resumed: hands out what has come already, in its place among the loop's callbacks.
pub fn deliver_frames_soon(protocol: &Object) -> Outcome<()> {
    let fields = of(protocol).fields();
    if fields.inbox.len() == 0 || fields.delivery == Delivery::Running {
        return Ok(());
    }
    let Some(below) = fields.below.clone() else { return Ok(()) };
    let (event_loop, deliver) = (below.event_loop()?, protocol.attribute(c"_deliver")?);
    let arguments = [event_loop.as_ptr(), deliver.as_ptr()];
    Object::call_method(&globals().stream.call_soon, &arguments).map(drop)
}

fn of(protocol: &Object) -> &ProtocolObject {
    // SAFETY: whoever hands in the object has checked its type; it lives as long as the reference.
    unsafe { &*protocol.as_ptr().cast::<ProtocolObject>() }
}

impl ProtocolObject {
    fn as_ptr(&self) -> *mut ffi::PyObject {
        self.head.get()
    }

    #[allow(clippy::mut_from_ref)] // one thread at a time has the GIL, and no two borrows overlap
    fn fields(&self) -> &mut Fields {
        // SAFETY: nothing that runs Python is called while a borrow lives.
        unsafe { &mut *self.fields.get() }
    }

    fn below(&self) -> Outcome<Below> {
        self.fields().below.clone().ok_or_else(|| {
            let message = "the protocol has no transport: it is not connected, or its connection_made \
                           does not call super().connection_made(transport)";
            raise_ours(c"ClosedError", message)
        })
    }

    /// The framing: what was set, else what the class says.
    #[inline]
    fn framing(&self) -> Outcome<Framing> {
        if let Some(framing) = self.fields().framing {
            return Ok(framing);
        }
        // SAFETY: a live object; GIL.
        let this = unsafe { Object::from_borrowed(self.as_ptr()) };
        let framing = framing::of(&this.attribute(c"framing")?)?;
        self.fields().framing = Some(framing);
        Ok(framing)
    }

    fn received(&self, data: &[u8]) -> Outcome<()> {
        let fields = self.fields();
        if fields.delivery != Delivery::Idle {
            // A call from within a call, or after a pause: its turn comes.
            fields.inbox.keep(data);
            return Ok(());
        }
        // SAFETY: the data lies still until this has returned.
        unsafe { fields.inbox.lend(data) };
        let result = self.deliver();
        self.fields().inbox.end_loan();
        result
    }

    /// Hands out frames as long as there are some, and somebody wants them.
    fn deliver(&self) -> Outcome<()> {
        if self.fields().delivery != Delivery::Idle {
            return Ok(());
        }
        self.fields().delivery = Delivery::Running;
        let result = self.hand_out();
        let fields = self.fields();
        if fields.delivery == Delivery::Running {
            fields.delivery = Delivery::Idle;
        }
        result
    }

    fn hand_out(&self) -> Outcome<()> {
        let name = &globals().names.frame_received;
        while self.fields().delivery == Delivery::Running {
            let framing = self.framing()?;
            let inbox = &mut self.fields().inbox;
            let frame = match inbox.find(&framing) {
                Ok(Some(found)) => inbox.take_frame(found)?,
                Ok(None) => return Ok(()),
                Err(fault) => return self.fail(error::remote(&fault)?),
            };
            Object::call_method(name, &[self.as_ptr(), frame.as_ptr()])?;
            let Some(below) = self.fields().below.clone() else { continue };
            if self.fields().inbox.len() > 0 && !below.flows_to(self.as_ptr())? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// The framing is broken: nothing more is read, and the program is told.
    #[cold]
    fn fail(&self, fault: Object) -> Outcome<()> {
        self.fields().delivery = Delivery::Failed;
        if let Some(below) = self.fields().below.clone() {
            below.pause_reading()?;
        }
        Object::call_method(&globals().names.frame_error, &[self.as_ptr(), fault.as_ptr()])
            .map(drop)
    }

    /// Goes on reading, in this turn's order.
    fn go_on(&self) -> Outcome<()> {
        let fields = self.fields();
        if matches!(fields.delivery, Delivery::Paused | Delivery::Failed) {
            fields.delivery = Delivery::Idle;
        }
        // SAFETY: a live object; GIL.
        let this = unsafe { Object::from_borrowed(self.as_ptr()) };
        if let Some(below) = self.fields().below.clone()
            && !below.is_closing()?
        {
            below.resume_reading()?;
            deliver_frames_soon(&this)?;
        }
        Ok(())
    }
}

one_argument!(connection_made, ProtocolObject, |this, transport| {
    // SAFETY: a live argument; GIL.
    let below = Below::new(&unsafe { Object::from_borrowed(transport) });
    let old = this.fields().below.replace(below);
    drop(old);
    Ok(none())
});

one_argument!(data_received, ProtocolObject, |this, data| {
    // A buffer that could change under the frames is copied first.
    // SAFETY: a live argument; GIL.
    let data = if unsafe { ffi::PyBytes_CheckExact(data) } != 0 {
        // SAFETY: as above.
        unsafe { Object::from_borrowed(data) }
    } else {
        with_bytes(data, Object::bytes)?
    };
    with_bytes(data.as_ptr(), |bytes| this.received(bytes))?;
    Ok(none())
});

no_arguments!(eof_received, ProtocolObject, |this| {
    let framing = this.framing()?;
    let fields = this.fields();
    if matches!(fields.delivery, Delivery::Idle | Delivery::Running)
        && let Err(fault) = fields.inbox.receive_eof(&framing)
    {
        this.fail(error::remote(&fault)?)?;
    }
    Ok(none())
});

one_argument!(ignore, ProtocolObject, |_this, _argument| Ok(none()));
no_arguments!(ignore_nothing, ProtocolObject, |_this| Ok(none()));

one_argument!(frame_error, ProtocolObject, |this, fault| {
    // SAFETY: a live argument; GIL.
    let fault = unsafe { Object::from_borrowed(fault) };
    this.below()?.abort(Some(fault))?;
    Ok(none())
});

one_argument!(frame_received, ProtocolObject, |_this, _frame| {
    // SAFETY: reading a static of the interpreter; GIL.
    let class = unsafe { ffi::PyExc_NotImplementedError };
    Err(crate::kit::raise(class, "a FrameProtocol defines frame_received(self, frame)"))
});

one_argument!(send_frame, ProtocolObject, |this, frame| {
    let framing = this.framing()?;
    this.below()?.write_frame(&framing, frame)?;
    Ok(none())
});

one_argument!(set_framing, ProtocolObject, |this, framing| {
    // SAFETY: a live argument; GIL.
    let framing = framing::of(&unsafe { Object::from_borrowed(framing) })?;
    let fields = this.fields();
    fields.framing = Some(framing);
    fields.inbox.search_anew();
    if fields.delivery == Delivery::Failed {
        this.go_on()?;
    } else if fields.delivery == Delivery::Idle && fields.inbox.len() > 0 {
        // SAFETY: a live object; GIL.
        deliver_frames_soon(&unsafe { Object::from_borrowed(this.as_ptr()) })?;
    }
    Ok(none())
});

no_arguments!(pause_frames, ProtocolObject, |this| {
    if matches!(this.fields().delivery, Delivery::Idle | Delivery::Running) {
        this.fields().delivery = Delivery::Paused;
        this.below()?.pause_reading()?;
    }
    Ok(none())
});

no_arguments!(resume_frames, ProtocolObject, |this| {
    if this.fields().delivery == Delivery::Paused {
        this.go_on()?;
    }
    Ok(none())
});

no_arguments!(take_buffered, ProtocolObject, |this| this.fields().inbox.take(usize::MAX));

no_arguments!(deliver, ProtocolObject, |this| {
    if let Some(below) = this.fields().below.clone()
        && below.flows_to(this.as_ptr())?
    {
        this.deliver()?;
    }
    Ok(none())
});

getter!(transport, ProtocolObject, |this| {
    Ok(this.fields().below.as_ref().map_or_else(none, |below| below.object().clone()))
});
getter!(buffered, ProtocolObject, |this| Object::integer(this.fields().inbox.len() as i64));

unsafe extern "C" fn new(
    class: *mut ffi::PyTypeObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> *mut ffi::PyObject {
    guard(|| {
        // SAFETY: CPython calls with a live class, whose allocator gives zeroed memory; the fields are
        // written before anybody sees the object.
        unsafe {
            let object = Object::owned(((*class).tp_alloc.ok_or(Raised)?)(class, 0))?;
            let this = object.as_ptr().cast::<ProtocolObject>();
            (&raw mut (*this).fields).write(UnsafeCell::new(Fields::default()));
            Ok(object)
        }
    })
}

unsafe extern "C" fn init(
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
    _: *mut ffi::PyObject,
) -> i32 {
    0
}

unsafe extern "C" fn traverse(
    object: *mut ffi::PyObject,
    visit: ffi::visitproc,
    argument: *mut std::ffi::c_void,
) -> i32 {
    // SAFETY: the collector calls with a live protocol whose fields are written.
    unsafe {
        let fields = &*(*object.cast::<ProtocolObject>()).fields.get();
        if let Some(below) = &fields.below {
            let status = visit(below.object().as_ptr(), argument);
            if status != 0 {
                return status;
            }
        }
        visit(ffi::Py_TYPE(object).cast(), argument)
    }
}

unsafe extern "C" fn clear(object: *mut ffi::PyObject) -> i32 {
    // SAFETY: what is taken out is dropped afterwards; GIL.
    drop(unsafe { (*(*object.cast::<ProtocolObject>()).fields.get()).below.take() });
    0
}

unsafe extern "C" fn dealloc(object: *mut ffi::PyObject) {
    // SAFETY: CPython calls this once, with a dead protocol.
    unsafe {
        ffi::PyObject_GC_UnTrack(object.cast());
        let this = object.cast::<ProtocolObject>();
        if !(*this).weak_references.is_null() {
            ffi::PyObject_ClearWeakRefs(object);
        }
        clear(object);
        std::ptr::drop_in_place((*this).fields.get());
        let class = ffi::Py_TYPE(object);
        ffi::PyObject_GC_Del(object.cast());
        ffi::Py_DECREF(class.cast());
    }
}

/// `core.FrameProtocol`.
pub fn make_type() -> Outcome<Object> {
    TypeSpec::new(c"sennit._native.core.FrameProtocol", size_of::<ProtocolObject>())
        .flags(ffi::Py_TPFLAGS_BASETYPE)
        .slot(ffi::Py_tp_new, new as *mut _)
        .slot(ffi::Py_tp_init, init as *mut _)
        .slot(ffi::Py_tp_dealloc, dealloc as *mut _)
        .slot(ffi::Py_tp_traverse, traverse as *mut _)
        .slot(ffi::Py_tp_clear, clear as *mut _)
        .slot(ffi::Py_tp_doc, doc(c"A protocol that is called with each frame."))
        .weak_references(std::mem::offset_of!(ProtocolObject, weak_references))
        .getters(&[
            (c"transport", transport, c"The transport below; None before there is one."),
            (c"buffered", buffered, c"Bytes that came and were not handed out."),
        ])
        .methods(vec![
            row!(one c"connection_made", connection_made, c"The transport is there."),
            row!(one c"data_received", data_received, c"Bytes have come."),
            row!(noargs c"eof_received", eof_received, c"The peer has sent all."),
            row!(one c"connection_lost", ignore, c"The connection is over."),
            row!(noargs c"pause_writing", ignore_nothing, c"The write queue is full."),
            row!(noargs c"resume_writing", ignore_nothing, c"The write queue has room."),
            row!(one c"frame_received", frame_received, c"A frame has come."),
            row!(one c"frame_error", frame_error, c"The peer has broken the framing."),
            row!(one c"send_frame", send_frame, c"Queue a frame."),
            row!(one c"set_framing", set_framing, c"Use another framing for what comes next."),
            row!(noargs c"pause_reading", pause_frames, c"Hand out no frames, read no more."),
            row!(noargs c"resume_reading", resume_frames, c"Hand out frames again."),
            row!(noargs c"take_buffered", take_buffered, c"Everything that was not handed out."),
            row!(noargs c"_deliver", deliver, c"Hand out what is there."),
        ])
        .build()
}
