//! The states of a transport: of its life, of each half, of what its protocol was told.

/// Where a transport is in its life; the module's page has the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Both ways.
    Open,
    /// Sends what is left, reads nothing.
    Draining,
    /// Over; the protocol has not heard yet.
    Lost,
    /// Over; the descriptor is closed.
    Closed,
}

/// The reading half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Data goes to the protocol.
    Flowing,
    /// The protocol wants none for now.
    Paused,
    /// The peer has sent all.
    Ended,
}

/// The writing half.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writing {
    /// Takes data.
    Flowing,
    /// Takes no more; the end is sent after what waits.
    Ending,
    /// The end is sent.
    Ended,
}

/// What the protocol was told last about its writing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pressure {
    /// `resume_writing`, or nothing yet.
    Low,
    /// `pause_writing`.
    High,
}

/// Why nothing is sent right now although the socket might take it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cork {
    Out,
    Dispatch,
    Turn,
}

/// A write that came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteRefused {
    /// `write_eof` was called before.
    AfterEof,
}
