// SPDX-License-Identifier: GPL-2.0

//! A message to a peer: before it has a number, and under way.

use crate::{
    engine::{
        host::Outbound,
        id::Id,
        resend::Resend,
        runs::Range,
        time::{
            Instant,
            Nanos, //
        },
    },
    wire::reliable::TransferId, //
};

/// A message that has no number yet.
pub(super) struct Waiting<M> {
    pub(super) message: M,
    /// Since when, or when its receiver last turned it away.
    pub(super) since: Instant,
    /// How often its receiver has had no room for it.
    pub(super) parked: u8,
    /// Whether it is not known that the receiver has room for it: one packet will tell.
    pub(super) probe: bool,
    /// Whether it is the last for now for which the receiver has kept room.
    pub(super) last: bool,
}

impl<M: Outbound> Waiting<M> {
    pub(super) fn new(now: Instant, message: M) -> Self {
        Self {
            message,
            since: now,
            parked: 0,
            probe: false,
            last: false,
        }
    }

    pub(super) fn timeout(&self) -> Nanos {
        self.message.timeout()
    }
}

/// A message that is under way.
pub(super) struct Outgoing<M> {
    pub(super) message: M,
    pub(super) parked: u8,
    pub(super) probe: bool,
    pub(super) last: bool,
    /// All before it has been sent at least once.
    pub(super) sent: u32,
    /// Up to where may be sent.
    pub(super) limit: u32,
    /// Up to where it is sent without a grant.
    pub(super) unasked: u32,
    /// All before it has arrived, and may have been freed.
    pub(super) held: u32,
    /// How much of the budget it takes.
    pub(super) charged: u32,
    /// What the receiver misses; mostly nothing.
    pub(super) resend: Resend<Range>,
    pub(super) sent_at: Instant,
    /// When the receiver last showed that it knows of it, or when it was first sent.
    pub(super) heard: Instant,
    /// Whether anything was sent twice.
    pub(super) repeated: bool,
}

impl<M: Outbound> Outgoing<M> {
    pub(super) fn is_single(&self) -> bool {
        self.message.len() <= self.message.segment_len().get()
    }

    pub(super) fn remaining(&self) -> u32 {
        self.message.len() - self.held
    }

    /// Returns whether there is something that may be sent, and has not been or was lost.
    pub(super) fn has_more(&self) -> bool {
        !self.resend.is_empty() || self.sent < self.limit
    }

    /// Returns the bytes that go out next: whole packets, in one piece.
    pub(super) fn next_piece(&mut self) -> Option<Range> {
        let step = self.message.segment_len();
        let held = self.held / step * step.get();
        while let Some(&Range { start, end }) = self.resend.ranges().first() {
            // What it began with may have arrived meanwhile, and be gone.
            let start = start.max(held);
            let piece = self.piece(start, end);
            match self.resend.first_mut() {
                Some(range) if piece.end < end => range.start = piece.end,
                _ => self.resend.remove_first(),
            }
            if start < end {
                self.repeated = true;
                return Some(piece);
            }
        }
        if self.sent >= self.limit {
            return None;
        }
        let piece = self.piece(self.sent, self.limit);
        self.sent = piece.end;
        Some(piece)
    }

    /// Returns the packets with the bytes from `start` on, at which one begins, and before `end`,
    /// as far as they are one piece.
    fn piece(&self, start: u32, end: u32) -> Range {
        let step = self.message.segment_len();
        let packets = end.saturating_sub(start).div_ceil(step.get()).max(1);
        let end = start.saturating_add(packets.saturating_mul(step.get()));
        Range {
            start,
            end: end.min(self.message.piece_end(start)),
        }
    }

    /// Returns how many packets the bytes of a piece are.
    pub(super) fn packets(&self, piece: Range) -> u32 {
        piece.len().div_ceil(self.message.segment_len().get())
    }

    /// Notes what is to be sent again.
    pub(super) fn ask_again(&mut self, range: Range) {
        let step = self.message.segment_len();
        // The receiver does not know where the packets begin.
        let start = range.start.max(self.held) / step * step.get();
        let end = range.end.min(self.sent);
        if start >= end {
            return;
        }
        let mut ranges = self.resend.ranges().iter();
        let known = ranges.any(|old| old.start <= start && end <= old.end);
        if !known {
            self.resend.push(Range { start, end });
        }
    }

    /// Returns the offset of the last packet that was sent.
    pub(super) fn last_offset(&self) -> u32 {
        let step = self.message.segment_len();
        self.sent.saturating_sub(1) / step * step.get()
    }

    /// Returns the bytes of that packet.
    pub(super) fn last_packet(&self) -> Range {
        let start = self.last_offset();
        self.piece(start, start.saturating_add(1))
    }

    pub(super) fn segment_transfer(&self, id: Id, base: Id) -> TransferId {
        TransferId {
            id,
            // Less than a window.
            behind: id.after(base).unwrap_or(0) as u16,
            last: self.last,
        }
    }
}
