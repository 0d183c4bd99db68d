// SPDX-License-Identifier: GPL-2.0

//! Whose turn it is to send what the peer has not asked for.
//!
//! All that is sent unasked shares one budget. Short messages go first, and then what a connection
//! has if that is no more than a packet. But where others wait, too, they go ahead by no more than
//! half of it: then one of the others, a long message or a connection in turn, is waited for until
//! there is room for its packet. So none can be kept waiting for ever, however large its packet is
//! and however many small ones come.

use super::{
    Peer,
    State, //
};
use crate::engine::{
    budget::Unasked,
    host::{
        Host,
        Types, //
    },
    time::Instant, //
};

/// Who of those that wait for the budget may take of it next.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// A message of one packet.
    Short,
    /// One of several.
    Long,
    /// A connection.
    Stream,
    /// Nobody waits.
    Nobody,
}

impl<T: Types> Peer<T> {
    /// Returns whether messages can begin: the peer is there, and has not got too many yet.
    fn may_begin(&self) -> bool {
        // Whether a new transfer can begin may just be being asked.
        matches!(self.state, State::Open(_, None)) && !self.sending.window.is_full()
    }

    /// Returns whether a connection waits for the budget.
    fn streams_wait(&self) -> bool {
        let connections = self.connections.as_ref();
        connections.is_some_and(|connections| connections.has_starved())
    }

    /// Returns which connections may send what the peer has not asked for.
    #[inline]
    pub(super) fn unasked(&self) -> Unasked {
        let sending = &self.sending;
        let waits = !sending.short.is_empty() || !sending.long.is_empty();
        let begins = waits && self.may_begin();
        if !sending.again.is_empty() || begins && !sending.short.is_empty() {
            return Unasked::Nothing;
        }
        match begins {
            true => self.budget.ahead_of_others(),
            // Whether others of them wait they know themselves.
            false => Unasked::All,
        }
    }

    /// Returns whether others than short messages wait for the budget.
    #[inline]
    pub(super) fn others_wait(&self) -> bool {
        !self.sending.long.is_empty() || self.streams_wait()
    }

    fn turn(&self) -> Turn {
        let begins = self.may_begin();
        let short = begins && !self.sending.short.is_empty();
        let long = begins && !self.sending.long.is_empty();
        let stream = self.streams_wait();
        match (short, long, stream) {
            (true, false, false) => Turn::Short,
            (true, ..) if !self.budget.is_others_turn() => Turn::Short,
            (_, true, true) if self.sending.stream_next => Turn::Stream,
            (_, true, _) => Turn::Long,
            (_, false, true) => Turn::Stream,
            (false, false, false) => Turn::Nobody,
        }
    }

    /// Sends what the peer has not asked for, in one piece; returns how many packets.
    pub(super) fn transmit_unasked(
        &mut self,
        now: Instant,
        tag: u32,
        host: &mut impl Host<T>,
    ) -> u32 {
        loop {
            let turn = self.turn();
            let sent = match turn {
                Turn::Short => return self.begin_short(now, tag, host),
                Turn::Long => match self.begin_long(now) {
                    Some(id) => self.continue_with(now, tag, id, host),
                    None => 0,
                },
                Turn::Stream => match self.connected(now) {
                    Some((connections, mut way)) => connections.transmit_starved(&mut way, host),
                    None => 0,
                },
                Turn::Nobody => 0,
            };
            if sent > 0 {
                self.budget.end_others_turn();
                self.sending.stream_next = turn == Turn::Long;
                return sent;
            }
            // What waited may be gone, and then it is another's turn.
            if turn != Turn::Stream || self.streams_wait() {
                return 0;
            }
        }
    }
}
