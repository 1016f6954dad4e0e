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

/// Slow starters have this long before the rate is looked at.
const GRACE: Nanos = 10 * SECOND;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Body {
    pub state: BodyState,
    /// What is here and was not taken.
    pub bytes: Vec<u8>,
    /// The client waits for `100 Continue` before it sends anything.
    pub expects_continue: bool,
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
            portion: Portion::Piece,
            is_streamed: false,
            announced,
            received: 0,
            asked_at: 0,
            waited: 0,
            last_byte_at: 0,
        }
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

    /// When a body from which no further byte comes is too slow.
    pub fn deadline(&self, settings: &Settings) -> Option<Nanos> {
        if self.state != BodyState::Asked {
            return None;
        }
        let silent = self.last_byte_at.saturating_add(settings.body_timeout);
        let earned = self
            .received
            .saturating_mul(SECOND)
            .checked_div(settings.min_body_rate)
            .unwrap_or(Nanos::MAX);
        let starved = self.asked_at.saturating_add(GRACE).saturating_add(earned);
        Some(silent.min(starved))
    }
}
