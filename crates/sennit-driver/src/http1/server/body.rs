//! The body of the request that is being answered: collected whole when the application asks for it.

use sennit_engine::clock::{Nanos, SECOND};
use sennit_wire::http1::RemoteProtocolError;

use super::Settings;

/// Why a body will never be complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFailure {
    /// It breaks the protocol.
    Protocol(RemoteProtocolError),
    /// It is larger than `max_body_size`, this number of bytes.
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

/// Slow starters have this long before the rate is looked at.
const GRACE: Nanos = 10 * SECOND;

/// The body of one request.
#[derive(Debug)]
pub(super) struct Body {
    pub state: BodyState,
    pub bytes: Vec<u8>,
    /// The client waits for `100 Continue` before it sends anything.
    pub expects_continue: bool,
    /// The length that the head has announced; none for chunks.
    announced: Option<u64>,
    asked_at: Nanos,
    last_byte_at: Nanos,
}

impl Body {
    pub fn new(expects_continue: bool, announced: Option<u64>) -> Self {
        Body {
            state: BodyState::Waiting,
            bytes: Vec::new(),
            expects_continue,
            announced,
            asked_at: 0,
            last_byte_at: 0,
        }
    }

    pub fn is_complete(&self) -> bool {
        self.state == BodyState::Complete
    }

    pub fn take_in(&mut self, data: &[u8], now: Nanos, settings: &Settings) {
        self.last_byte_at = now;
        self.expects_continue = false;
        if matches!(self.state, BodyState::Failed(_)) {
            return;
        }
        if self.bytes.len() + data.len() > settings.max_body_size {
            self.bytes = Vec::new();
            self.state = BodyState::Failed(BodyFailure::TooLarge(settings.max_body_size));
            return;
        }
        self.bytes.extend_from_slice(data);
    }

    /// The application asks. A body that announces to be too large is not waited for.
    pub fn ask(&mut self, now: Nanos, settings: &Settings) {
        let limit = settings.max_body_size;
        if self.announced.is_some_and(|length| length > limit as u64) {
            self.fail(BodyFailure::TooLarge(limit));
            return;
        }
        self.state = BodyState::Asked;
        self.asked_at = now;
        self.last_byte_at = now;
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
            self.bytes = Vec::new();
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
        let earned = (self.bytes.len() as u64)
            .saturating_mul(SECOND)
            .checked_div(settings.min_body_rate)
            .unwrap_or(Nanos::MAX);
        let starved = self.asked_at.saturating_add(GRACE).saturating_add(earned);
        Some(silent.min(starved))
    }
}
