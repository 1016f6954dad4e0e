//! HTTP in Python: handlers and clients above the driver.
//!
//! | file | what it is |
//! | --- | --- |
//! | [`server`] | `core.HttpServer`: a driver's server as an object |
//! | [`application`] | a Python handler as the driver's application |
//! | [`step`], [`adapter`] | a handler's first step, and its coroutine once it has suspended |
//! | [`body_stream`], [`writing`] | bodies that come piece by piece, in and out |
//! | [`file_body`] | a piece of a file as a body |
//! | [`request`], [`request_values`], [`request_connection`] | `Request`, what its body says, what it knows of its peer |
//! | [`response`], [`response_methods`] | `Response`, and its making and changing |
//! | [`helpers`] | what Python helps messages with: cookies, charsets, JSON, forms |
//! | [`headers`], [`header_block`], [`header_methods`] | `Headers`: a view of a message's field lines |
//! | [`fields`], [`names`] | fields out of Python objects, names as Python objects |
//! | [`router`] | `core.Router`: finds the handler of a request |
//! | [`client`] | `core.HttpClient`: a driver's client as an object |
//! | [`native`] | the drivers without Python, for measurements |
//! | [`settings`] | settings out of dicts, counters into them |
//! | [`ready`] | something to await that is there already |

mod adapter;
mod application;
mod body_stream;
mod client;
mod fields;
mod file_body;
mod header_block;
mod header_methods;
mod headers;
mod helpers;
mod names;
pub mod native;
mod ready;
mod request;
mod request_connection;
mod request_values;
mod response;
mod response_methods;
mod router;
mod server;
mod settings;
mod step;
mod writing;

pub use application::{Guest, errors};
pub use fields::{render_fields, render_trailers};
pub use helpers::set_message_helpers;
pub use server::fixed_limits;
pub use settings::dict_of;

use pyo3_ffi as ffi;

use crate::kit::{Object, Outcome, Raised, intern};

/// What is needed of asyncio to make a task current.
pub struct AsyncioParts {
    pub task_type: Object,
    pub create_task: Object,
    pub context_only: Object,
    pub loop_and_context: Object,
    pub log_destroy_pending: Object,
    pub register_task: Object,
    pub unregister_task: Object,
    pub cancelled_error: Object,
    /// Loop to current task, where this Python keeps it in a dict.
    current_tasks: Option<Object>,
    enter_task: Object,
    leave_task: Object,
}

impl AsyncioParts {
    /// Looks everything up.
    pub fn new() -> Outcome<Self> {
        let tasks = Object::import(c"asyncio.tasks")?;
        let native = Object::import(c"_asyncio")?;
        let current_tasks = native.attribute(c"_current_tasks").ok();
        if current_tasks.is_none() {
            // SAFETY: GIL.
            unsafe { ffi::PyErr_Clear() };
        }
        let (loop_name, context_name) = (intern(c"loop")?, intern(c"context")?);
        // SAFETY: the tuples count their own references; GIL.
        let (context_only, loop_and_context) = unsafe {
            (
                Object::owned(ffi::PyTuple_Pack(1, context_name.as_ptr()))?,
                Object::owned(ffi::PyTuple_Pack(2, loop_name.as_ptr(), context_name.as_ptr()))?,
            )
        };
        Ok(AsyncioParts {
            task_type: native.attribute(c"Task")?,
            create_task: intern(c"create_task")?,
            context_only,
            loop_and_context,
            log_destroy_pending: intern(c"_log_destroy_pending")?,
            register_task: tasks.attribute(c"_register_task")?,
            unregister_task: tasks.attribute(c"_unregister_task")?,
            cancelled_error: Object::import(c"asyncio.exceptions")?.attribute(c"CancelledError")?,
            current_tasks,
            enter_task: tasks.attribute(c"_enter_task")?,
            leave_task: tasks.attribute(c"_leave_task")?,
        })
    }

    /// Makes a task the current one of its loop.
    #[inline]
    pub fn enter_task(&self, event_loop: &Object, task: &Object) -> Outcome<()> {
        let Some(current) = &self.current_tasks else {
            return self.enter_task.call(&[event_loop.as_ptr(), task.as_ptr()]).map(drop);
        };
        // SAFETY: a live dict, key and value; GIL.
        match unsafe { ffi::PyDict_SetItem(current.as_ptr(), event_loop.as_ptr(), task.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }

    /// Undoes `enter_task`.
    #[inline]
    pub fn leave_task(&self, event_loop: &Object, task: &Object) -> Outcome<()> {
        let Some(current) = &self.current_tasks else {
            return self.leave_task.call(&[event_loop.as_ptr(), task.as_ptr()]).map(drop);
        };
        // SAFETY: a live dict and key; GIL.
        match unsafe { ffi::PyDict_DelItem(current.as_ptr(), event_loop.as_ptr()) } {
            0 => Ok(()),
            _ => Err(Raised),
        }
    }
}

/// The types of this room.
pub struct HttpTypes {
    pub adapter_type: Object,
    pub ready_type: Object,
    pub request_type: Object,
    pub response_type: Object,
    pub file_body_type: Object,
    pub body_stream_type: Object,
    pub router_type: Object,
    pub server_type: Object,
    pub client_type: Object,
    pub headers_type: Object,
    pub field_names: names::FieldNames,
}

impl HttpTypes {
    /// Makes them.
    pub fn new() -> Outcome<Self> {
        Ok(HttpTypes {
            adapter_type: adapter::make_type()?,
            ready_type: ready::make_type()?,
            request_type: request::make_type()?,
            response_type: response::make_type()?,
            file_body_type: file_body::make_type()?,
            body_stream_type: body_stream::make_type()?,
            router_type: router::make_type()?,
            server_type: server::make_type()?,
            client_type: client::make_type()?,
            headers_type: headers::make_type()?,
            field_names: names::FieldNames::new()?,
        })
    }
}
