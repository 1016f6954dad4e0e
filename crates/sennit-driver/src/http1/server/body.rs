//! The body of the request that is being answered: collected whole, or handed on in pieces, when the application asks.

use sennit_engine::clock::{Nanos, SECOND};
use sennit_wire::http1::RemoteProtocolError;

use super::Settings;

/// Why a body will never be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFailure {
    /// It breaks the protocol.
    Protocol(RemoteProtocolError),
    /// It is larger than the limit that it was asked for with, this number of bytes.
    TooLarge(usize),
    /// It came too slowly.
    TooSlow,
    /// The connection ended before the body did.
    Lost,
    /// The request was answered before its body was asked for.
    Answered,
}

/// How far a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyState {
    /// More is to come. Nothing is read until the application asks.
    Waiting,
    /// More is to come, and the application waits for it.
    Asked,
    /// All of it is here; so it is where there is none.
    Complete,
    /// It will never be complete.
    Failed(BodyFailure),
}

/// What the application waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// The end of the body, which may be this large.
    Whole(usize),
    /// Whatever comes next.
    Piece,
}

/// What becomes of the rest of a body when its request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Remainder {
    /// Nothing is left.
    Nothing,
    /// It is thrown away, and the next request comes behind it.
    Skipped,
    /// It is not worth to be received: the connection ends.
    Unwanted,
}

/// A body of at most this size is thrown away if nobody wants it, so that its connection lives on (nginx 5 s of any size,
/// Node all of it). A larger one costs more than the next connection does.
pub const SKIP_AT_MOST: u64 = 64 * 1024;

/// Which limit a slow body runs into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Slowness {
    /// `body_timeout`.
    Silence,
    /// `min_body_rate`.
    Rate,
}

/// Slow starters have this long before the rate is looked at.
pub const RATE_GRACE: Nanos = 10 * SECOND;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Body {
    pub state: BodyState,
    /// What is here and was not taken.
    pub bytes: Vec<u8>,
    /// The client waits for `100 Continue` before it sends anything.
    pub expects_continue: bool,
    /// It did so when its head came.
    has_expected: bool,
    /// The application has asked for it.
    was_asked: bool,
    portion: Portion,
    /// The application reads it as it comes, so that it may yet become complete beside an answer.
    pub is_streamed: bool,
    /// The length that the head has announced; none for chunks.
    announced: Option<u64>,
    received: u64,
    /// When the application began to wait, less the time for which it has waited before.
    asked_at: Nanos,
    waited: Nanos,
    last_byte_at: Nanos,
}

impl Body {
    pub fn new(expects_continue: bool, announced: Option<u64>) -> Self {
        Body {
            state: BodyState::Waiting,
            bytes: Vec::new(),
            expects_continue,
            has_expected: expects_continue,
            was_asked: false,
            portion: Portion::Piece,
            is_streamed: false,
            announced,
            received: 0,
            asked_at: 0,
            waited: 0,
            last_byte_at: 0,
        }
    }

    /// Whether the application has read it to its end.
    pub fn is_read(&self) -> bool {
        self.was_asked && self.is_complete()
    }

    /// What is to become of the rest once the request is answered. This depends on what was announced and asked for, never
    /// on how much happens to have come: any cut of the bytes gives the same.
    pub fn remainder(&self) -> Remainder {
        self.remainder_of(self.announced.unwrap_or(self.received))
    }

    fn remainder_of(&self, size: u64) -> Remainder {
        match self.state {
            BodyState::Failed(_) => Remainder::Unwanted,
            BodyState::Complete if self.was_asked => Remainder::Nothing,
            // Who waits for 100 and gets an answer may send the body or leave it out (RFC 9110 section 10.1.1): what
            // follows could be either.
            _ if self.has_expected && !self.was_asked => Remainder::Unwanted,
            _ if size > SKIP_AT_MOST => Remainder::Unwanted,
            BodyState::Complete => Remainder::Nothing,
            BodyState::Waiting | BodyState::Asked => Remainder::Skipped,
        }
    }

    /// Whether it is known when an answer begins that the connection ends with it. Beside an answer in pieces a body that is
    /// read may yet become complete.
    pub fn ends_connection(&self, in_pieces: bool) -> bool {
        let may_go_on =
            in_pieces && self.is_streamed && !matches!(self.state, BodyState::Failed(_));
        !may_go_on && self.remainder_of(self.announced.unwrap_or(0)) == Remainder::Unwanted
    }

    /// From here on nobody wants it.
    pub fn skip(&mut self) {
        self.bytes = Vec::new();
        self.state = BodyState::Waiting;
    }

    /// Throws bytes away. False: these are too many.
    pub fn skip_bytes(&mut self, count: usize) -> bool {
        self.received = self.received.saturating_add(count as u64);
        self.received <= SKIP_AT_MOST
    }

    pub fn is_complete(&self) -> bool {
        self.state == BodyState::Complete
    }

    /// Whether a piece that comes now is waited for as it is.
    pub fn wants_piece(&self) -> bool {
        self.state == BodyState::Asked && self.portion == Portion::Piece
    }

    /// Gives the bytes that are here.
    pub fn take(&mut self) -> Vec<u8> {
        self.is_streamed = true;
        self.was_asked = true;
        std::mem::take(&mut self.bytes)
    }

    /// Notes bytes that somebody else keeps.
    pub fn note(&mut self, count: usize, now: Nanos) {
        self.last_byte_at = now;
        self.expects_continue = false;
        self.received = self.received.saturating_add(count as u64);
    }

    /// Keeps bytes. False: with them the body is too large.
    pub fn take_in(&mut self, data: &[u8], now: Nanos) -> bool {
        self.note(data.len(), now);
        if matches!(self.state, BodyState::Failed(_)) {
            return true;
        }
        self.bytes.extend_from_slice(data);
        self.check_size()
    }

    /// The application asks. A body that announces to be too large is not waited for; false says so.
    pub fn ask(&mut self, portion: Portion, now: Nanos) -> bool {
        self.portion = portion;
        self.was_asked = true;
        self.is_streamed |= portion == Portion::Piece;
        if let (Portion::Whole(limit), Some(length)) = (portion, self.announced)
            && length > limit as u64
        {
            return self.refuse(limit);
        }
        if self.state == BodyState::Waiting {
            self.state = BodyState::Asked;
            self.asked_at = now.saturating_sub(self.waited);
            self.last_byte_at = now;
        }
        self.check_size()
    }

    fn check_size(&mut self) -> bool {
        match self.portion {
            Portion::Whole(limit) if self.bytes.len() > limit => self.refuse(limit),
            _ => true,
        }
    }

    fn refuse(&mut self, limit: usize) -> bool {
        self.bytes = Vec::new();
        self.state = BodyState::Failed(BodyFailure::TooLarge(limit));
        false
    }

    /// The application has got what it has waited for; nothing more is read for it.
    pub fn rest(&mut self, now: Nanos) {
        if self.state == BodyState::Asked {
            self.state = BodyState::Waiting;
            self.waited = now.saturating_sub(self.asked_at);
        }
    }

    pub fn end(&mut self) {
        if !matches!(self.state, BodyState::Failed(_)) {
            self.state = BodyState::Complete;
        }
    }

    /// True if the application waits and must be told.
    pub fn fail(&mut self, failure: BodyFailure) -> bool {
        let waited = self.state == BodyState::Asked;
        if matches!(self.state, BodyState::Waiting | BodyState::Asked) {
            if self.portion != Portion::Piece {
                self.bytes = Vec::new();
            }
            self.state = BodyState::Failed(failure);
        }
        waited
    }

    /// When a body from which no further byte comes is too slow, and by which limit.
    pub fn deadline(&self, settings: &Settings) -> Option<(Nanos, Slowness)> {
        if self.state != BodyState::Asked {
            return None;
        }
        let silent = self.last_byte_at.saturating_add(settings.body_timeout);
        let earned = self
            .received
            .saturating_mul(SECOND)
            .checked_div(settings.min_body_rate)
            .unwrap_or(Nanos::MAX);
        let starved = self.asked_at.saturating_add(RATE_GRACE).saturating_add(earned);
        Some(match silent <= starved {
            true => (silent, Slowness::Silence),
            false => (starved, Slowness::Rate),
        })
    }
}
