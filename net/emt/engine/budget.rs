// SPDX-License-Identifier: GPL-2.0

//! How much may be under way to a peer that it has not asked for.

use super::{
    limits::{
        FIRST_WINDOW,
        MIN_WINDOW, //
    },
    time::{
        Instant,
        Nanos, //
    },
};
use core::num::NonZeroU32;

/// Which connections may take of what goes unasked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unasked {
    /// All.
    All,
    /// Those with no more than a packet, which go before others that wait.
    Short,
    /// None: it is another's turn.
    Nothing,
}

/// The bytes that are sent unasked, by additive increase and multiplicative decrease (RFC 5681).
pub(crate) struct Budget {
    limit: u32,
    used: u32,
    /// Bytes acknowledged since the limit last grew.
    acknowledged: u32,
    /// Losses until then have been answered.
    answered_until: Instant,
    /// Whether the limit has kept anything from being sent since it last grew.
    wanted: bool,
    /// What short messages have taken while others waited, since one of these last had its turn.
    ahead: u32,
}

impl Budget {
    pub(crate) const fn new() -> Self {
        Self {
            limit: FIRST_WINDOW,
            used: 0,
            acknowledged: 0,
            answered_until: Instant(0),
            wanted: false,
            ahead: 0,
        }
    }

    /// Returns how many bytes may be sent.
    pub(crate) fn room(&self) -> u32 {
        self.limit.saturating_sub(self.used)
    }

    /// Returns how much of it a long message or a connection may take that would send `len` bytes:
    /// a quarter is kept for short messages.
    pub(crate) fn room_for_long(&mut self, len: u32) -> u32 {
        let room = self.room().saturating_sub(self.limit / 4);
        self.wanted |= room < len;
        room
    }

    /// Returns how much of it a connection may take that would send `len` bytes, and whether it may
    /// send a packet even if that is too little: one may always be under way. `is_short` if it has
    /// no more than a packet.
    pub(crate) fn share(&mut self, who: Unasked, is_short: bool, len: u32) -> (u32, bool) {
        match who {
            Unasked::All | Unasked::Short if is_short => {
                self.wanted |= self.room() < len;
                (self.room(), self.used == 0)
            }
            Unasked::All => (self.room_for_long(len), self.used == 0),
            Unasked::Short | Unasked::Nothing => (0, false),
        }
    }

    /// Returns who may take of it while others wait.
    pub(crate) fn ahead_of_others(&self) -> Unasked {
        match self.is_others_turn() {
            true => Unasked::Nothing,
            false => Unasked::Short,
        }
    }

    /// Returns whether `len` bytes may be sent. When nothing is under way, they always may.
    pub(crate) fn allows(&mut self, len: u32) -> bool {
        let allowed = self.used == 0 || len <= self.room();
        self.wanted |= !allowed;
        allowed
    }

    pub(crate) fn spend(&mut self, len: u32) {
        self.used = self.used.saturating_add(len);
    }

    /// As [`spend`](Self::spend); returns whether as many once more may not be sent, so that an
    /// acknowledgment should not be held back.
    #[inline]
    pub(crate) fn spend_last(&mut self, len: u32) -> bool {
        self.spend(len);
        self.room() < len
    }

    /// Returns whether the last `len` bytes that were spent on a connection leave too little for as
    /// many once more, or are the first to leave too little for a packet of `step` bytes.
    #[inline]
    pub(crate) fn ends_with(&self, len: u32, step: NonZeroU32) -> bool {
        let left = u64::from(self.room().saturating_sub(self.limit / 4));
        let (len, step) = (u64::from(len), u64::from(step.get()));
        len > 0 && (left < len || left < step && left + len >= step)
    }

    /// Takes note that a short message of `len` bytes has gone before others that wait.
    pub(crate) fn go_ahead(&mut self, len: u32) {
        self.ahead = self.ahead.saturating_add(len);
    }

    /// Returns whether short messages have gone before others that wait for long enough.
    pub(crate) fn is_others_turn(&self) -> bool {
        self.ahead >= self.limit / 2
    }

    /// Takes note that one of the others has had its turn.
    pub(crate) fn end_others_turn(&mut self) {
        self.ahead = 0;
    }

    /// Takes note that `len` bytes are no longer under way, whatever became of them.
    pub(crate) fn release(&mut self, len: u32) {
        self.used = self.used.saturating_sub(len);
    }

    /// Takes note that `len` bytes have arrived.
    pub(crate) fn acknowledge(&mut self, len: u32) {
        self.release(len);
        self.acknowledged = self.acknowledged.saturating_add(len);
        if self.acknowledged >= self.limit {
            self.acknowledged = 0;
            // A limit that stops nothing need not grow.
            if core::mem::take(&mut self.wanted) {
                self.limit = (self.limit + MIN_WINDOW).min(FIRST_WINDOW);
            }
        }
    }

    /// Takes note of a loss: once in a round trip, the limit is halved.
    pub(crate) fn lost(&mut self, now: Instant, round_trip: Nanos) {
        if now >= self.answered_until {
            self.answered_until = now.plus(round_trip);
            self.limit = (self.limit / 2).max(MIN_WINDOW);
            self.acknowledged = 0;
        }
    }

    /// Takes note that what was sent has waited in a queue: once in a round trip, the limit is
    /// lowered by a quarter, before the queue overflows.
    pub(crate) fn delayed(&mut self, now: Instant, round_trip: Nanos) {
        if now >= self.answered_until {
            self.answered_until = now.plus(round_trip);
            self.limit = (self.limit - self.limit / 4).max(MIN_WINDOW);
            self.acknowledged = 0;
        }
    }

    /// Takes note that nothing at all came back.
    pub(crate) fn collapse(&mut self, now: Instant, round_trip: Nanos) {
        self.lost(now, round_trip);
        self.limit = MIN_WINDOW;
    }
}

#[kernel::macros::kunit_tests(emt_budget)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_always_goes() {
        let mut budget = Budget::new();
        assert!(budget.allows(u32::MAX));
        budget.spend(u32::MAX);
        assert!(!budget.allows(1));
        budget.release(u32::MAX);
        assert!(budget.allows(1));
    }

    #[test]
    fn who_uses_it_up_wants_an_answer() {
        let mut budget = Budget::new();
        let count = FIRST_WINDOW / 1000;
        assert!((1..count).all(|_| !budget.spend_last(1000)));
        assert!(budget.spend_last(1000));
    }

    #[test]
    fn a_few_of_many_small_packets_are_answered_at_once() {
        let mut budget = Budget::new();
        let step = NonZeroU32::new(1_448).unwrap();
        let mut answered = 0;
        while budget.room_for_long(100) >= 100 {
            budget.spend(100);
            answered += u32::from(budget.ends_with(100, step));
        }
        // That before too little is left for a full one, and the last.
        assert_eq!(answered, 2);
        // What was asked for takes nothing of it.
        assert!(!budget.ends_with(0, step));
    }

    #[test]
    fn a_loss_halves_it_once_in_a_round_trip() {
        let mut budget = Budget::new();
        budget.lost(Instant(100), 50);
        budget.lost(Instant(120), 50);
        assert_eq!(budget.room(), FIRST_WINDOW / 2);
        budget.lost(Instant(150), 50);
        assert_eq!(budget.room(), FIRST_WINDOW / 4);
        for at in 0..100 {
            budget.lost(Instant(1000 * at), 50);
        }
        assert_eq!(budget.room(), MIN_WINDOW);
    }

    #[test]
    fn it_grows_again_where_a_long_message_wants_more() {
        let mut budget = Budget::new();
        budget.collapse(Instant(0), 50);
        for _ in 0..1_000 {
            let len = budget.room_for_long(100_000).max(1_000);
            budget.spend(len);
            budget.acknowledge(len);
        }
        assert_eq!(budget.room_for_long(100_000), FIRST_WINDOW / 4 * 3);
    }

    #[test]
    fn it_grows_again_where_it_is_used() {
        let mut budget = Budget::new();
        budget.collapse(Instant(0), 50);
        assert_eq!(budget.room(), MIN_WINDOW);
        for _ in 0..100_000 {
            while budget.allows(1000) {
                budget.spend(1000);
            }
            budget.acknowledge(1000);
        }
        while budget.used > 0 {
            budget.acknowledge(1000);
        }
        assert_eq!(budget.room(), FIRST_WINDOW);
    }
}
