//! What native protocols do with the transport below them, without going through Python.

use pyo3_ffi as ffi;
use sennit_engine::stream::Chunk;
use sennit_engine::transport::{Reading, State};
use sennit_engine::{Host, Nanos};

use super::TransportObject;
use super::arguments::chunk;
use super::methods::queue_chunk;
use super::protocol::SharedBytes;
use crate::globals::globals;
use crate::kit::{Object, Outcome};

/// One of our own transports.
#[derive(Clone)]
pub struct NativeTransport(Object);

impl NativeTransport {
    /// The transport, if it is one of ours.
    pub fn new(object: &Object) -> Option<Self> {
        let class = globals().transport_type.as_ptr().cast();
        // SAFETY: a live object; GIL.
        let is_ours = unsafe { ffi::Py_TYPE(object.as_ptr()) } == class;
        is_ours.then(|| NativeTransport(object.clone()))
    }

    /// The object.
    #[inline]
    pub fn object(&self) -> &Object {
        &self.0
    }

    #[inline]
    fn inner(&self) -> &TransportObject {
        // SAFETY: the type was checked when this was made.
        unsafe { &*self.0.as_ptr().cast::<TransportObject>() }
    }

    /// Queues a bytes-like object; how many bytes that was.
    #[inline]
    pub fn write(&self, data: *mut ffi::PyObject) -> Outcome<usize> {
        let chunk = chunk(data)?;
        let size = chunk.as_ref().len();
        queue_chunk(self.inner(), chunk).map(|()| size)
    }

    /// Queues a copy.
    pub fn write_owned(&self, data: Vec<u8>) -> Outcome<()> {
        queue_chunk(self.inner(), Chunk::Owned(data))
    }

    /// Queues exact bytes without a copy.
    pub fn write_shared(&self, data: Object) -> Outcome<()> {
        queue_chunk(self.inner(), Chunk::Shared(SharedBytes(data)))
    }

    /// Lets no data through.
    pub fn pause_reading(&self) {
        if let Some(engine) = self.inner().engine() {
            engine.pause_reading();
        }
    }

    /// Lets data through again.
    pub fn resume_reading(&self) {
        if let Some((engine, reactor)) = self.inner().parts() {
            engine.resume_reading(reactor);
        }
    }

    /// Whether the next piece of data may go to this protocol: nobody has closed, paused or replaced it.
    #[inline]
    pub fn flows_to(&self, protocol: *mut ffi::PyObject) -> bool {
        let this = self.inner();
        // SAFETY: as in `fields`.
        let own = unsafe { (*this.fields()).protocol.as_ref().map(Object::as_ptr) };
        own == Some(protocol)
            && this.engine().is_some_and(|engine| {
                engine.state() == State::Open && engine.reading() != Reading::Paused
            })
    }

    /// Whether it was closed, or the peer is gone.
    pub fn is_closing(&self) -> bool {
        self.inner().engine().is_none_or(|engine| engine.state() != State::Open)
    }

    /// Bytes that wait to be sent.
    pub fn queued(&self) -> usize {
        self.inner().engine().map_or(0, |engine| engine.queued())
    }

    /// Sends what is queued, then closes.
    pub fn close(&self) {
        if let Some((engine, reactor)) = self.inner().parts() {
            engine.close(reactor);
        }
    }

    /// Closes at once, with a reason for `connection_lost` if there is one.
    pub fn abort(&self, reason: Option<Object>) {
        if let Some(reason) = reason {
            // SAFETY: as in `fields`; the old value is dropped after the write.
            let old = unsafe { (*self.inner().fields()).rare().error.replace(reason) };
            drop(old);
        }
        if let Some((engine, reactor)) = self.inner().parts() {
            engine.abort(reactor);
        }
    }

    /// The loop.
    pub fn event_loop(&self) -> Option<Object> {
        // SAFETY: as in `fields`.
        unsafe { (*self.inner().fields()).event_loop.clone() }
    }

    /// The time at which the dispatch that runs has begun, in nanoseconds.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.inner().loop_state().map_or(0, |state| state.reactor().turn_time())
    }

    /// Has the protocol's deadlines looked at, at `when` or up to 10 ms later.
    pub fn wake_at(&self, when: Nanos) -> bool {
        let parts = self.inner().parts().filter(|(_, reactor)| !reactor.host().is_foreign());
        parts.is_some_and(|(engine, reactor)| engine.wake_at(reactor, when))
    }
}
