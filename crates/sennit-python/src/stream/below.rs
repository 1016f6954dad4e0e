//! The transport below: our own, which is asked natively, or any other of asyncio's kind.

use std::ffi::CStr;

use pyo3_ffi as ffi;
use sennit_wire::framing::Framing;

use super::error;
use super::inbox::joined;
use crate::globals::globals;
use crate::kit::{Object, Outcome, Raised, raise};
use crate::transport::NativeTransport;

/// Frames from this size on are sent without a copy, in pieces.
const WITHOUT_COPY: usize = 16 * 1024;

/// What a protocol stands on.
#[derive(Clone)]
pub enum Below {
    /// Our own transport.
    Native(NativeTransport),
    /// Another one.
    Foreign(Object),
}

impl Below {
    /// Looks what kind of transport it is.
    pub fn new(transport: &Object) -> Self {
        match NativeTransport::new(transport) {
            Some(native) => Below::Native(native),
            None => Below::Foreign(transport.clone()),
        }
    }

    /// The transport.
    pub fn object(&self) -> &Object {
        match self {
            Below::Native(native) => native.object(),
            Below::Foreign(transport) => transport,
        }
    }

    fn call(transport: &Object, method: &CStr) -> Outcome<Object> {
        transport.attribute(method)?.call(&[])
    }

    /// Queues bytes; how many they are.
    #[inline]
    pub fn write(&self, data: *mut ffi::PyObject) -> Outcome<usize> {
        match self {
            Below::Native(native) => native.write(data),
            Below::Foreign(transport) => {
                let size = with_bytes(data, |bytes| Ok(bytes.len()))?;
                transport.attribute(c"write")?.call(&[data])?;
                Ok(size)
            }
        }
    }

    /// Queues a frame with what stands around it; how many bytes that is.
    pub fn write_frame(&self, framing: &Framing, frame: *mut ffi::PyObject) -> Outcome<usize> {
        with_bytes(frame, |bytes| {
            let envelope = framing.envelope(bytes).map_err(error::local)?;
            let (head, tail) = (envelope.head(), envelope.tail());
            match self {
                Below::Foreign(transport) => {
                    let whole = joined(&[head, bytes, tail])?;
                    transport.attribute(c"write")?.call(&[whole.as_ptr()])?;
                }
                Below::Native(native) if bytes.len() >= WITHOUT_COPY && is_bytes(frame) => {
                    native.write_owned(head.to_vec())?;
                    // SAFETY: a live object; GIL.
                    native.write_shared(unsafe { Object::from_borrowed(frame) })?;
                    native.write_owned(tail.to_vec())?;
                }
                Below::Native(native) => native.write_owned([head, bytes, tail].concat())?,
            }
            Ok(head.len() + bytes.len() + tail.len())
        })
    }

    /// Lets no data through.
    pub fn pause_reading(&self) -> Outcome<()> {
        match self {
            Below::Native(native) => native.pause_reading(),
            Below::Foreign(transport) => drop(Below::call(transport, c"pause_reading")?),
        }
        Ok(())
    }

    /// Lets data through again.
    pub fn resume_reading(&self) -> Outcome<()> {
        match self {
            Below::Native(native) => native.resume_reading(),
            Below::Foreign(transport) => drop(Below::call(transport, c"resume_reading")?),
        }
        Ok(())
    }

    /// Sends the end after what is queued.
    pub fn write_eof(&self) -> Outcome<()> {
        Below::call(self.object(), c"write_eof").map(drop)
    }

    /// Sends what is queued, then closes.
    pub fn close(&self) -> Outcome<()> {
        match self {
            Below::Native(native) => native.close(),
            Below::Foreign(transport) => drop(Below::call(transport, c"close")?),
        }
        Ok(())
    }

    /// Closes at once. Our own transport hands the reason to `connection_lost`.
    pub fn abort(&self, reason: Option<Object>) -> Outcome<()> {
        match self {
            Below::Native(native) => native.abort(reason),
            Below::Foreign(transport) => drop(Below::call(transport, c"abort")?),
        }
        Ok(())
    }

    /// Whether it was closed, or the peer is gone.
    pub fn is_closing(&self) -> Outcome<bool> {
        match self {
            Below::Native(native) => Ok(native.is_closing()),
            Below::Foreign(transport) => Below::call(transport, c"is_closing")?.truth(),
        }
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> Outcome<usize> {
        match self {
            Below::Native(native) => Ok(native.queued()),
            Below::Foreign(transport) => {
                let size = Below::call(transport, c"get_write_buffer_size")?;
                let pointer = size.as_ptr();
                // SAFETY: one live object.
                unsafe { crate::kit::Args::new(&pointer, 1).integer(0) }.map(|size| size as usize)
            }
        }
    }

    /// Whether the next piece of data may go to a protocol.
    #[inline]
    pub fn flows_to(&self, protocol: *mut ffi::PyObject) -> Outcome<bool> {
        match self {
            Below::Native(native) => Ok(native.flows_to(protocol)),
            Below::Foreign(transport) => {
                if Below::call(transport, c"is_closing")?.truth()? {
                    return Ok(false);
                }
                Ok(Below::call(transport, c"get_protocol")?.as_ptr() == protocol)
            }
        }
    }

    /// The loop that serves it.
    #[inline]
    pub fn event_loop(&self) -> Outcome<Object> {
        match self {
            Below::Native(native) => match native.event_loop() {
                Some(event_loop) => Ok(event_loop),
                None => running_loop(),
            },
            Below::Foreign(_) => running_loop(),
        }
    }
}

/// The loop that runs.
pub fn running_loop() -> Outcome<Object> {
    globals().stream.running_loop.call(&[])
}

/// Whether an object is exact bytes, which never change.
fn is_bytes(object: *mut ffi::PyObject) -> bool {
    // SAFETY: a live object; GIL.
    unsafe { ffi::PyBytes_CheckExact(object) != 0 }
}

/// Lends the bytes of a bytes-like object.
pub fn with_bytes<T>(
    data: *mut ffi::PyObject,
    body: impl FnOnce(&[u8]) -> Outcome<T>,
) -> Outcome<T> {
    // SAFETY: the argument is live for the call; a view is released after its use; GIL.
    unsafe {
        if ffi::PyBytes_CheckExact(data) != 0 {
            let start = ffi::PyBytes_AS_STRING(data).cast::<u8>();
            return body(std::slice::from_raw_parts(start, ffi::PyBytes_Size(data) as usize));
        }
        if ffi::PyObject_CheckBuffer(data) == 0 {
            let class = CStr::from_ptr((*ffi::Py_TYPE(data)).tp_name).to_string_lossy();
            let message = format!("data must be a bytes-like object, not '{class}'");
            return Err(raise(ffi::PyExc_TypeError, &message));
        }
        let mut view: ffi::Py_buffer = std::mem::zeroed();
        if ffi::PyObject_GetBuffer(data, &mut view, ffi::PyBUF_SIMPLE) < 0 {
            return Err(Raised);
        }
        let bytes = match view.len {
            // An empty buffer need not have an address.
            0 => &[],
            length => std::slice::from_raw_parts(view.buf.cast::<u8>(), length as usize),
        };
        let result = body(bytes);
        ffi::PyBuffer_Release(&mut view);
        result
    }
}
