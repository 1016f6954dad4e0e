//! Answers: whole, or a head whose body follows piece by piece.

use std::rc::Rc;

use sennit_engine::stream::Piece;
use sennit_engine::{Host, Reactor};
use sennit_wire::http1::{
    self, CHUNK_END, ResponseParts, encode_chunk_size, encode_continue, encode_response_head,
};

use super::super::answer::{
    self, Answer, AnswerHead, Answered, Begun, COPY_AT_MOST, Delimiter, PieceRefused, Rest, Room,
    is_bodiless,
};
use super::super::body::Remainder;
use super::super::{Application, State as ServerState};
use super::{Connection, HIGH_WATER, LINGER, LOW_WATER, Offer, Phase, Serial};

/// Written pieces up to this size wait for the end of the turn, so that they leave together.
const SEND_AT_ONCE: usize = 32 * 1024;

impl<H: Host, A: Application<H>> Connection<H, A> {
    /// Whether a request still waits for its answer.
    pub fn awaits_answer(&self, serial: Serial) -> bool {
        let inner = self.inner.borrow();
        inner.phase == Phase::Handling && inner.exchange.serial == serial
    }

    /// Whether nobody is there any more to hear the answer to a request, or the rest of it.
    pub fn is_gone(&self, serial: Serial) -> bool {
        let inner = self.inner.borrow();
        inner.phase == Phase::Closed || inner.exchange.serial != serial
    }

    /// Whether the client has ended its sending side, or the connection is gone.
    pub fn is_disconnected(&self) -> bool {
        let inner = self.inner.borrow();
        inner.peer_gone || inner.peer_ended || inner.phase == Phase::Closed
    }

    fn awaits_body(&self, serial: Serial) -> bool {
        let inner = self.inner.borrow();
        inner.phase == Phase::Answering && inner.exchange.serial == serial
    }

    /// Whether this answer is the last of its connection, as far as is known before it.
    fn is_last(&self, status: u16, in_pieces: bool) -> bool {
        let inner = self.inner.borrow();
        let is_used_up = inner.exchange.serial.0 >= self.server.settings().max_requests;
        if is_used_up {
            self.server.count(|statistics| statistics.connections_used_up += 1);
        }
        is_used_up
            || !inner.exchange.keep_alive
            || inner.peer_ended
            || inner.body.as_ref().is_some_and(|body| body.ends_connection(in_pieces))
            || inner.exchange.offer.ends_with(status)
            || matches!(self.server.state(), ServerState::Draining | ServerState::Stopped)
    }

    /// Whether an answer would say that a tunnel begins, which this is not.
    fn is_no_tunnel(&self, status: u16) -> bool {
        (200..300).contains(&status) && self.inner.borrow().exchange.offer == Offer::Tunnel
    }

    /// What an answer says of the connection.
    fn persistence(&self, is_last: bool) -> Option<http1::Connection> {
        match self.inner.borrow().exchange.is_old {
            _ if is_last => Some(http1::Connection::Close),
            true => Some(http1::Connection::KeepAlive),
            false => None,
        }
    }

    /// Answers a request.
    pub fn answer(
        self: &Rc<Self>,
        reactor: &Reactor<H>,
        serial: Serial,
        answer: Answer<'_, A::Bytes>,
    ) -> Answered {
        if !self.awaits_answer(serial) {
            return Answered::Gone;
        }
        if self.is_no_tunnel(answer.head.status) {
            return Answered::NoTunnel;
        }
        let is_last = self.is_last(answer.head.status, false);
        let parts =
            ResponseParts { connection: self.persistence(is_last), ..ResponseParts::default() };
        {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            let is_head = inner.exchange.is_head;
            let rest = self.server.with_date(reactor, |date| {
                let parts = ResponseParts { date, ..parts };
                answer::encode(&mut inner.out, answer, parts, !is_head)
            });
            if !matches!(rest, Rest::Nothing) {
                inner.queue_out();
            }
            match (rest, inner.stream.as_mut()) {
                (Rest::Bytes(chunk), Some(stream)) => stream.push(chunk),
                (Rest::File(file), Some(stream)) => stream.push_file(file),
                _ => {}
            }
            inner.exchange.is_last = is_last;
        }
        self.complete(reactor);
        Answered::Yes
    }

    /// An answer is all written: the connection goes on to the next request, or to its end.
    fn complete(&self, reactor: &Reactor<H>) {
        let is_corked = {
            let mut inner = self.inner.borrow_mut();
            // The body's memory goes with the answer, not with the next request.
            let mut body = inner.body.take();
            let remainder = body.as_ref().map_or(Remainder::Nothing, |body| body.remainder());
            inner.exchange.is_answered = true;
            if inner.exchange.is_last || remainder == Remainder::Unwanted {
                inner.close();
                // What is left of it, or was sent for another protocol, comes behind our last byte.
                inner.sends_on |=
                    remainder != Remainder::Nothing || inner.exchange.offer != Offer::None;
            } else if remainder == Remainder::Skipped {
                if let Some(body) = body.as_mut() {
                    body.skip();
                }
                inner.body = body;
                inner.phase = Phase::Skipping;
                inner.phase_deadline = reactor.turn_time().saturating_add(LINGER);
            } else {
                inner.phase = Phase::Idle;
                let patience = self.server.settings().keep_alive_timeout;
                inner.phase_deadline = reactor.turn_time().saturating_add(patience);
            }
            inner.dispatching
        };
        self.server.count(|statistics| statistics.answered += 1);
        let pending = self.pending.take();
        drop(pending);
        if !is_corked {
            self.send(reactor);
            self.go_on(reactor);
        }
    }

    /// Writes the head of an answer whose body follows in pieces. Without a length it comes in chunks, and ends
    /// with the connection for a client that knows none.
    pub fn begin_answer(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        head: AnswerHead<'_>,
        length: Option<u64>,
    ) -> Begun {
        if !self.awaits_answer(serial) {
            return Begun::Gone;
        }
        if self.is_no_tunnel(head.status) {
            return Begun::NoTunnel;
        }
        let (is_old, is_head) = {
            let exchange = &self.inner.borrow().exchange;
            (exchange.is_old, exchange.is_head)
        };
        let length = if head.status == 205 { Some(0) } else { length };
        let delimiter = match length {
            _ if is_head || is_bodiless(head.status) => Delimiter::None,
            Some(length) => Delimiter::Length(length),
            None if is_old => Delimiter::Close,
            None => Delimiter::Chunks,
        };
        let is_last = self.is_last(head.status, true) || delimiter == Delimiter::Close;
        let parts = ResponseParts {
            status: head.status,
            content_type: head.content_type,
            fields: head.fields,
            content_length: length,
            chunked: length.is_none() && !is_old && head.status != 304,
            connection: self.persistence(is_last),
            ..ResponseParts::default()
        };
        {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            self.server.with_date(reactor, |date| {
                encode_response_head(&mut inner.out, &ResponseParts { date, ..parts });
            });
            inner.exchange.is_last = is_last;
            inner.exchange.delimiter = delimiter;
            inner.phase = Phase::Answering;
        }
        if delimiter == Delimiter::None {
            self.complete(reactor);
            return Begun::Complete;
        }
        self.cork(reactor);
        Begun::Body
    }

    /// Writes a piece of an answer's body; an empty one is nothing.
    pub fn send_piece(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        piece: Piece<A::Bytes>,
    ) -> Result<Room, PieceRefused> {
        if !self.awaits_body(serial) {
            return Err(PieceRefused::Gone);
        }
        let length = piece.length();
        let waits = {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            let is_chunked = match &mut inner.exchange.delimiter {
                Delimiter::Length(left) => {
                    *left = left.checked_sub(length as u64).ok_or(PieceRefused::TooLong)?;
                    false
                }
                delimiter => *delimiter == Delimiter::Chunks && length > 0,
            };
            if is_chunked {
                encode_chunk_size(&mut inner.out, length);
            }
            match piece {
                Piece::Bytes(chunk) if length <= COPY_AT_MOST => {
                    inner.out.extend_from_slice(chunk.as_ref());
                }
                piece => {
                    inner.queue_out();
                    match (piece, inner.stream.as_mut()) {
                        (Piece::Bytes(chunk), Some(stream)) => stream.push(chunk),
                        (Piece::File(file), Some(stream)) => stream.push_file(file),
                        _ => {}
                    }
                }
            }
            if is_chunked {
                inner.out.extend_from_slice(CHUNK_END);
            }
            inner.queued() + inner.out.len()
        };
        if waits > SEND_AT_ONCE && !self.inner.borrow().dispatching {
            self.send(reactor);
            self.arm(reactor);
        } else {
            self.cork(reactor);
        }
        Ok(self.room(serial))
    }

    /// Whether more of an answer's body is welcome.
    fn room(&self, serial: Serial) -> Room {
        let inner = self.inner.borrow();
        let is_ours = inner.phase == Phase::Answering && inner.exchange.serial == serial;
        match is_ours && inner.queued() + inner.out.len() > HIGH_WATER {
            true => Room::Full,
            false => Room::Free,
        }
    }

    /// Asks to be told when more is welcome, unless it is so now.
    pub fn ask_for_room(&self, serial: Serial) -> Room {
        let room = self.room(serial);
        self.inner.borrow_mut().exchange.wants_room = room == Room::Full;
        room
    }

    /// Tells an application that has asked, once enough has left.
    pub(super) fn tell_room(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            let waits = inner.queued() + inner.out.len();
            if !inner.exchange.wants_room || waits > LOW_WATER {
                return;
            }
            inner.exchange.wants_room = false;
        }
        let Some(pending) = self.pending.take() else { return };
        self.server.application().room(reactor, &pending);
        self.put_back(reactor, pending);
    }

    /// Ends an answer's body. Trailer fields, each checked, go to clients that get chunks and have said that they take
    /// trailers; for others nobody knows whether they are kept (RFC 9110 section 6.5.1).
    pub fn end_answer(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        trailers: &[u8],
    ) -> Result<(), PieceRefused> {
        if !self.awaits_body(serial) {
            return Err(PieceRefused::Gone);
        }
        {
            let mut inner = self.inner.borrow_mut();
            match inner.exchange.delimiter {
                Delimiter::Length(0) | Delimiter::None | Delimiter::Close => {}
                Delimiter::Length(left) => return Err(PieceRefused::TooShort(left)),
                Delimiter::Chunks => {
                    inner.borrow_out(&self.server.out);
                    inner.out.extend_from_slice(b"0\r\n");
                    if inner.exchange.takes_trailers {
                        inner.out.extend_from_slice(trailers);
                    }
                    inner.out.extend_from_slice(b"\r\n");
                }
            }
        }
        self.complete(reactor);
        Ok(())
    }

    /// Sends an interim response (RFC 9110 section 15.2) before the answer. False: it cannot be sent, because the
    /// client knows none, or has its answer already.
    pub fn send_interim(
        &self,
        reactor: &Reactor<H>,
        serial: Serial,
        status: u16,
        fields: &[u8],
    ) -> bool {
        if !self.awaits_answer(serial) || self.inner.borrow().exchange.is_old {
            return false;
        }
        {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            let parts = ResponseParts { status, fields, ..ResponseParts::default() };
            encode_response_head(&mut inner.out, &parts);
        }
        self.cork(reactor);
        true
    }

    pub(super) fn write_continue(&self, reactor: &Reactor<H>) {
        {
            let mut inner = self.inner.borrow_mut();
            inner.borrow_out(&self.server.out);
            encode_continue(&mut inner.out);
        }
        self.cork(reactor);
    }

    /// Sees to it that what was written leaves: with this dispatch, or at the end of the turn.
    fn cork(&self, reactor: &Reactor<H>) {
        let asks = {
            let mut inner = self.inner.borrow_mut();
            let asks = !inner.dispatching && !inner.corked;
            inner.corked |= asks;
            asks
        };
        if asks {
            reactor.flush_later(self.token.get());
        }
    }

    /// Nobody will answer a request, or finish an answer: what was written is sent, then the connection ends.
    pub fn give_up(&self, reactor: &Reactor<H>, serial: Serial) {
        if !self.awaits_answer(serial) && !self.awaits_body(serial) {
            return;
        }
        let (is_corked, is_silent) = {
            let mut inner = self.inner.borrow_mut();
            // Only a reset tells a client of HTTP/1.0 that this was not the end of the body.
            let is_silent =
                inner.phase == Phase::Answering && inner.exchange.delimiter == Delimiter::Close;
            inner.close();
            inner.body = None;
            (inner.dispatching, is_silent)
        };
        let pending = self.pending.take();
        drop(pending);
        if is_silent {
            self.reset(reactor);
        } else if !is_corked {
            self.send(reactor);
            self.arm(reactor);
        }
    }
}
