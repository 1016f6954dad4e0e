//! Answers that are written piece by piece: what the Python half, which waits, asks of a request.

use std::borrow::Cow;
use std::rc::Rc;

use pyo3_ffi as ffi;
use sennit_driver::http1::server::{Begun, PieceRefused, Room, Serial};
use sennit_engine::stream::{Chunk, Piece};

use super::application::{Held, PythonConnection, raise_ours};
use super::fields::field_lines;
use super::file_body;
use super::helpers::Helper;
use super::ready;
use super::request::Request;
use super::response::{self, BodyBytes, Response};
use crate::kit::{
    Object, Outcome, Raised, no_arguments, none, one_argument, positional, raise, row,
};

/// The coroutine that sends a response in pieces; `None` for what is no such response.
#[inline]
pub fn coroutine_for(value: &Object, request: &Object) -> Outcome<Option<Object>> {
    if response::pieces_of(value).is_none() {
        return Ok(None);
    }
    Helper::Pieces.get()?.call(&[request.as_ptr(), value.as_ptr()]).map(Some)
}

type Parts = (Rc<PythonConnection>, Serial, Rc<Held>);

fn gone() -> Raised {
    raise_ours(c"ConnectionLostError", "the connection is gone; nobody reads the answer")
}

fn parts(request: &Request) -> Outcome<Parts> {
    let (connection, serial) = request.parts().ok_or_else(gone)?;
    let held = connection.server().application().held().ok_or_else(gone)?;
    Ok((connection, serial, held))
}

fn refused(refusal: PieceRefused) -> Raised {
    match refusal {
        PieceRefused::Gone => gone(),
        PieceRefused::TooLong => {
            raise_ours(c"LocalProtocolError", "the body is longer than its content-length")
        }
        PieceRefused::TooShort(left) => {
            let message = format!("the body ends {left} bytes before its content-length");
            raise_ours(c"LocalProtocolError", &message)
        }
    }
}

// _begin_answer(response, length, is_text) -> bool: whether a body is to follow
positional!(begin_answer, Request, |this, args| {
    args.expect("_begin_answer", 3, 3)?;
    let response = args.object(0);
    if args.object(2).truth()? && response::pieces_of(&response).is_some() {
        Response::of(&response).change(|block| {
            block.content_type.get_or_insert(Cow::Borrowed(response::TEXT));
        });
    }
    let (connection, serial, held) = parts(this)?;
    let length = args.optional(1).map(|_| args.integer(1)).transpose()?;
    let length = length.and_then(|length| u64::try_from(length).ok());
    let reactor = held.state()?.reactor();
    let begun = response::with_head(&response, |head| {
        connection.begin_answer(reactor, serial, head, length)
    });
    match begun {
        Some(begun) => Ok(Object::boolean(begun == Begun::Body)),
        // SAFETY: reading a static of the interpreter; GIL.
        None => Err(raise(unsafe { ffi::PyExc_TypeError }, "the first argument is no response")),
    }
});

#[cold]
fn no_piece(piece: &Object) -> Raised {
    let text = Object::represent(piece).unwrap_or_default();
    let shown: String = text.chars().take(80).collect();
    let message = format!("a piece of the body is {shown}; pieces are str or bytes");
    // SAFETY: reading a static of the interpreter; GIL.
    raise(unsafe { ffi::PyExc_TypeError }, &message)
}

// _send_piece(piece) -> bool: whether more is welcome
one_argument!(send_piece, Request, |this, piece| {
    // SAFETY: a live argument; GIL.
    let piece = unsafe { Object::from_borrowed(piece) };
    let piece = match BodyBytes::new(piece.clone())? {
        Some(bytes) => Piece::Bytes(Chunk::Shared(bytes)),
        None => match file_body::piece_of(&piece) {
            Some(file) => Piece::File(file),
            None => return Err(no_piece(&piece)),
        },
    };
    let (connection, serial, held) = parts(this)?;
    let reactor = held.state()?.reactor();
    let room = connection.send_piece(reactor, serial, piece).map_err(refused)?;
    Ok(Object::boolean(room == Room::Free))
});

// _wait_for_room() -> awaitable
no_arguments!(wait_for_room, Request, |this| {
    let (connection, serial, held) = parts(this)?;
    if connection.ask_for_room(serial) == Room::Free {
        return ready::make(none());
    }
    let future = held.event_loop().attribute(c"create_future")?.call(&[])?;
    drop(this.wait_for_room(Some(future.clone())));
    Ok(future)
});

// _end_answer(trailers)
one_argument!(end_answer, Request, |this, trailers| {
    let pointer = trailers;
    // SAFETY: a live argument; GIL.
    let trailers = unsafe { crate::kit::Args::new(&pointer, 1) }.bytes(0)?;
    let (connection, serial, held) = parts(this)?;
    let ended = connection.end_answer(held.state()?.reactor(), serial, trailers);
    ended.map(|()| none()).map_err(refused)
});

// send_early_hints(headers) -> bool
one_argument!(send_early_hints, Request, |this, headers| {
    // SAFETY: a live argument; GIL.
    let headers = unsafe { Object::from_borrowed(headers) };
    let lines = field_lines(&headers)?;
    let (connection, serial, held) = parts(this)?;
    let reactor = held.state()?.reactor();
    Ok(Object::boolean(connection.send_interim(reactor, serial, 103, &lines)))
});

/// The rows of these methods in the table of `core.Request`.
pub fn rows() -> Vec<ffi::PyMethodDef> {
    vec![
        row!(positional c"_begin_answer", begin_answer,
            c"_begin_answer(response, length, is_text): write the head; whether a body is to follow."),
        row!(one c"_send_piece", send_piece, c"Write a piece of the body; whether more is welcome."),
        row!(noargs c"_wait_for_room", wait_for_room, c"To be awaited until more is welcome."),
        row!(one c"_end_answer", end_answer, c"End the body, with checked lines of trailer fields."),
        row!(one c"send_early_hints", send_early_hints,
            c"send_early_hints($self, headers, /)\n--\n\n\
              Send 103 Early Hints (RFC 8297) before the answer.\n\n\
              headers: a mapping or pairs, such as link fields.\n\
              Returns False if the client knows no interim responses, or has its answer already."),
    ]
}

/// More of an answer is welcome: tells who waits.
pub fn tell_room(request: &Request) -> Outcome<()> {
    let Some(waiter) = request.wait_for_room(None) else { return Ok(()) };
    let names = &crate::globals::globals().names;
    if !Object::call_method(&names.done, &[waiter.as_ptr()])?.truth()? {
        Object::call_method(&names.set_result, &[waiter.as_ptr(), none().as_ptr()])?;
    }
    Ok(())
}
