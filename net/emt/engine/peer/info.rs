// SPDX-License-Identifier: GPL-2.0

//! What can be asked of a peer.

use super::{
    Peer,
    State, //
};
use crate::engine::{
    host::Types,
    time::{
        Instant,
        Nanos, //
    },
};

/// Where we stand with a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Standing {
    /// There is no association.
    Idle,
    /// One is being opened.
    Opening,
    /// There is one.
    Open,
}

/// What is known of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Info {
    pub(crate) standing: Standing,
    /// The smoothed round trip, or 0 if there is none.
    pub(crate) round_trip: Nanos,
    /// Since the association began; 0 if there is none.
    pub(crate) age: Nanos,
    /// Since the peer was last heard, or first known.
    pub(crate) silence: Nanos,
    /// Messages to the peer that are under way, and their bytes that it does not have yet.
    pub(crate) sending: (u32, u64),
    /// Messages to the peer that have not begun.
    pub(crate) waiting: u32,
    /// Messages to the peer whose socket had no room for them.
    pub(crate) parked: u32,
    /// Messages of several packets from the peer that are under way.
    pub(crate) receiving: u32,
}

impl<T: Types> Peer<T> {
    /// Returns what is known of the peer.
    pub(crate) fn info(&self, now: Instant) -> Info {
        let standing = match self.state {
            State::Idle => Standing::Idle,
            State::Opening(..) => Standing::Opening,
            State::Open(..) => Standing::Open,
        };
        Info {
            standing,
            round_trip: self.rtt.smoothed(),
            age: match standing {
                Standing::Open => now.since(self.begun),
                _ => 0,
            },
            silence: now.since(self.heard),
            sending: self.sending.under_way(),
            waiting: self.sending.waiting(),
            parked: self.parking.len(),
            receiving: self.receiving.len(),
        }
    }
}
