//! Streams with `await`, and frames: protocols that take their bytes from the engine natively.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`reading`], [`writing`] | what can be awaited at a `core.Stream`, and when it is there |
//! | [`events`] | what a transport tells a stream; deadlines |
//! | [`operation`], [`waiter`], [`wanted`] | something to await, what its task waits for, what it wants |
//! | [`frames`] | `core.StreamFrames`: a stream, frame by frame |
//! | [`frame_protocol`] | `core.FrameProtocol`: a protocol that is called with each frame |
//! | [`inbox`], [`below`] | what has come and was not read; the transport, ours or somebody else's |
//! | [`framing`] | framings out of Python's |
//! | [`error`] | the errors of `sennit.errors` |
//!
//! | life of a stream | may become | when |
//! | --- | --- | --- |
//! | New | Open | `connection_made` |
//! | Open | Closing | `close` or `abort` by this program |
//! | Open | Lost | `connection_lost` |
//! | Closing | Closed | `connection_lost` |

mod below;
mod error;
mod events;
mod frame_protocol;
mod frames;
mod framing;
mod inbox;
mod object;
mod operation;
mod reading;
mod settings;
mod waiter;
mod wanted;
mod writing;

use pyo3_ffi as ffi;

pub use self::events::{abandoned, deadline_passed, deliver};
pub use self::frame_protocol::{bind_frames, deliver_frames, deliver_frames_soon};
pub use self::waiter::{call_soon_in, is_wake_up};
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised, intern, none, vectorcall};

/// The types of this room, and what it looks up of asyncio.
pub struct StreamTypes {
    pub stream_type: Object,
    pub frames_type: Object,
    pub frame_protocol_type: Object,
    waiter_type: Object,
    operation_type: Object,
    /// Something to await that is there already.
    done: Object,
    /// A future of asyncio's own that has a result already, and no loop.
    pub finished: Object,
    pub call_soon: Object,
    call_later: Object,
    pub invalid_state_error: Object,
    running_loop: Object,
    stream_data_received: Object,
    frames_data_received: Object,
}

impl StreamTypes {
    /// Makes and finds them.
    pub fn new() -> Outcome<Self> {
        let operation_type = operation::make_type()?;
        let done = operation::make_done(&operation_type)?;
        let stream_type = object::make_type()?;
        let frame_protocol_type = frame_protocol::make_type()?;
        Ok(StreamTypes {
            stream_data_received: stream_type.attribute(c"data_received")?,
            frames_data_received: frame_protocol_type.attribute(c"data_received")?,
            stream_type,
            frame_protocol_type,
            frames_type: frames::make_type()?,
            waiter_type: waiter::make_type()?,
            operation_type,
            done,
            finished: finished_future()?,
            call_soon: intern(c"call_soon")?,
            call_later: intern(c"call_later")?,
            invalid_state_error: Object::import(c"asyncio.exceptions")?
                .attribute(c"InvalidStateError")?,
            running_loop: Object::import(c"asyncio")?.attribute(c"get_running_loop")?,
        })
    }
}

fn finished_future() -> Outcome<Object> {
    let no_loop = Object::import(c"types")?.attribute(c"SimpleNamespace")?.call(&[])?;
    // SAFETY: live objects, and a class of the interpreter's; GIL.
    let status = unsafe {
        let get_debug = (&raw mut ffi::PyBool_Type).cast();
        ffi::PyObject_SetAttrString(no_loop.as_ptr(), c"get_debug".as_ptr(), get_debug)
    };
    if status < 0 {
        return Err(Raised);
    }
    let class = Object::import(c"_asyncio")?.attribute(c"Future")?;
    let name = intern(c"loop")?;
    let arguments = [no_loop.as_ptr()];
    // SAFETY: a new tuple counts its name; one value for the one keyword; GIL.
    let future = unsafe {
        let names = Object::owned(ffi::PyTuple_Pack(1, name.as_ptr()))?;
        let result = vectorcall(class.as_ptr(), arguments.as_ptr(), 0, names.as_ptr());
        Object::owned(result)?
    };
    future.attribute(c"set_result")?.call(&[none().as_ptr()])?;
    Ok(future)
}

/// Whether data may be given to a protocol behind Python's back: it is of our class, and nobody has
/// overridden how it takes its data.
fn is_native(protocol: &Object, class: &Object, method: &Object) -> Outcome<bool> {
    // SAFETY: a live object and a live type; GIL.
    unsafe {
        let own = ffi::Py_TYPE(protocol.as_ptr());
        if ffi::PyType_IsSubtype(own, class.as_ptr().cast()) == 0 {
            return Ok(false);
        }
        let found = Object::from_borrowed(own.cast()).attribute(c"data_received")?;
        Ok(found.as_ptr() == method.as_ptr())
    }
}

/// Whether a protocol is a stream that is fed natively.
pub fn is_native_stream(protocol: &Object) -> Outcome<bool> {
    let types = &globals().stream;
    is_native(protocol, &types.stream_type, &types.stream_data_received)
}

/// Whether a protocol splits its data into frames natively.
pub fn is_native_frames(protocol: &Object) -> Outcome<bool> {
    let types = &globals().stream;
    is_native(protocol, &types.frame_protocol_type, &types.frames_data_received)
}
