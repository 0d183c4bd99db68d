// SPDX-License-Identifier: GPL-2.0

//! A message of several packets that is arriving: what has come of it, and when to ask for the
//! rest.
//!
//! A gap is asked for once packets from behind it have come and have had time to be overtaken. What
//! is asked for and does not come, and what does not come at all, is asked for again after a
//! timeout, ever less often.
//!
//! Only who has a place in the scheduler of grants asks; others apply for one. Where many have sent
//! at once, and most of it was lost, it would be lost again if all asked for it at once.

use crate::{
    engine::{
        host::{
            Chunk,
            Ports,
            Progress,
            Types, //
        },
        id::Id,
        limits::{
            GAPS_AT_ONCE,
            GRANT_STEP,
            INCOMING_IDLE,
            MAX_RTO,
            MIN_SEGMENT, //
        },
        rtt::Rtt,
        runs::{
            Inserted,
            Range,
            Runs, //
        },
        time::{
            Instant,
            Nanos, //
        },
    },
    wire::{
        control::Block,
        reliable::Segment, //
    },
};

/// How a message is cut: into packets of the same length, but for the last.
pub(super) struct Shape {
    total: u32,
    /// Bytes of each packet but the last; 0 while only that has come.
    step: u32,
    /// Where the last packet begins; 0 while it has not come.
    tail: u32,
}

impl Shape {
    pub(super) const fn new(total: u32) -> Self {
        Self {
            total,
            step: 0,
            tail: 0,
        }
    }

    /// Returns whether packets of `each` bytes, but for the last, which begin at `offset` and have
    /// `len` bytes in all, belong to a message of this shape, as far as it is known.
    pub(super) fn admit(&mut self, offset: u32, len: u32, each: u32) -> bool {
        let (mut step, mut tail) = (self.step, self.tail);
        let Some(before_last) = len.saturating_sub(1).checked_div(each) else {
            return false;
        };
        let ends = offset.checked_add(len) == Some(self.total);
        if ends {
            tail = offset.saturating_add(before_last * each);
        } else if len % each != 0 {
            return false;
        }
        if before_last > 0 || !ends {
            if each < MIN_SEGMENT || step != 0 && step != each {
                return false;
            }
            step = each;
        }
        let fits = step == 0
            || offset % step == 0 && (tail == 0 || tail % step == 0 && self.total - tail <= step);
        if fits {
            (self.step, self.tail) = (step, tail);
        }
        fits
    }
}

/// A message that is arriving.
pub(super) struct Incoming<T: Types> {
    pub(super) id: Id,
    pub(super) ports: Ports,
    shape: Shape,
    runs: Runs<T::Chunk>,
    arrived: u32,
    /// Up to where its sender may send.
    limit: u32,
    /// Up to where it sends without a grant.
    unasked: u32,
    /// Whether the scheduler of grants knows of it.
    pub(super) needs_grants: bool,
    /// Whether it has been given a place there.
    granted: bool,
    /// How much had arrived when that was last reported.
    reported: u32,
    pub(super) room: T::Room,
    /// When a packet of it came last.
    heard: Instant,
    /// Between which places gaps are to be asked for once it has a place.
    wanted: Range,
    /// Up to where its gaps have been asked for.
    asked: u32,
    /// When to ask for the gaps between `asked` and `overtaken`.
    gap: Instant,
    overtaken: u32,
    /// When to ask for all that is missing.
    again: Instant,
    /// How often in a row this has been done and nothing has come.
    silent: u8,
}

impl<T: Types> Incoming<T> {
    /// Begins with what a packet says of its message.
    pub(super) fn new(now: Instant, segment: &Segment, ports: Ports, room: T::Room) -> Self {
        Self {
            id: segment.transfer.id,
            ports,
            shape: Shape::new(segment.total),
            runs: Runs::new(),
            arrived: 0,
            limit: segment.unasked,
            unasked: segment.unasked,
            needs_grants: segment.unasked < segment.total,
            granted: false,
            reported: 0,
            room,
            heard: now,
            wanted: NOTHING,
            asked: 0,
            gap: Instant::NEVER,
            overtaken: 0,
            again: Instant::NEVER,
            silent: 0,
        }
    }

    /// Returns whether nothing of it has arrived.
    pub(super) fn is_new(&self) -> bool {
        self.arrived == 0
    }

    /// Returns whether packets may belong to the message.
    pub(super) fn admit(&mut self, segment: &Segment, ports: Ports, chunk: &T::Chunk) -> bool {
        self.ports == ports
            && self.shape.total == segment.total
            && (self.shape).admit(segment.offset, chunk.len() as u32, chunk.step() as u32)
    }

    /// Adds the bytes of packets.
    pub(super) fn insert(
        &mut self,
        now: Instant,
        offset: u32,
        chunk: T::Chunk,
        rtt: &Rtt,
    ) -> Inserted {
        self.heard = now;
        let inserted = self.runs.insert(offset, chunk);
        if let Inserted::New(bytes) = inserted {
            self.arrived += bytes;
            self.silent = 0;
            self.wait_for_gaps(now, rtt);
            self.wait_for_more(now, rtt);
        }
        inserted
    }

    /// Returns the bytes, if they are all there.
    pub(super) fn whole(&mut self) -> Option<T::Chunk> {
        if self.arrived < self.shape.total {
            return None;
        }
        self.runs.take()
    }

    fn wait_for_gaps(&mut self, now: Instant, rtt: &Rtt) {
        if self.gap != Instant::NEVER || self.wanted != NOTHING {
            return;
        }
        let highest = self.runs.highest();
        if self.missing(self.asked, highest).next().is_some() {
            self.gap = now.plus(rtt.patience());
            self.overtaken = highest;
        }
    }

    fn wait_for_more(&mut self, now: Instant, rtt: &Rtt) {
        let held = self.runs.held();
        if held >= self.limit {
            self.again = Instant::NEVER;
        } else if held >= self.asked || self.again == Instant::NEVER {
            // What was asked for has come, and the rest is on its way.
            self.again = now.plus(self.silence(rtt));
        }
    }

    /// Returns for how long nothing may come before what is missing is to be asked for.
    ///
    /// A place is for nothing while nothing comes, and what is lost is mostly of what was sent
    /// unasked, all at once.
    fn silence(&self, rtt: &Rtt) -> Nanos {
        match self.granted && self.runs.held() < self.unasked {
            true => rtt.silence(),
            false => rtt.timeout(),
        }
    }

    /// Returns what is missing between two places.
    fn missing(&self, start: u32, end: u32) -> impl Iterator<Item = Range> + '_ {
        self.runs
            .gaps(end)
            .filter(move |gap| gap.end > start)
            .map(move |gap| Range {
                start: gap.start.max(start),
                end: gap.end,
            })
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is to be called.
    pub(super) fn deadline(&self) -> Instant {
        self.gap.min(self.again).min(self.heard.plus(INCOMING_IDLE))
    }

    /// Returns whether nothing has come for so long that it is given up.
    pub(super) fn is_stale(&self, now: Instant) -> bool {
        now.since(self.heard) >= INCOMING_IDLE
    }

    /// Asks for what should have come. Returns how far it has come if it needs a place for that.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        rtt: &Rtt,
        tell: &mut impl FnMut(Block),
    ) -> Option<Progress> {
        let is_due = now >= self.gap.min(self.again);
        if now >= self.gap {
            self.gap = Instant::NEVER;
            self.want(self.asked, self.overtaken);
            if self.again == Instant::NEVER {
                self.again = now.plus(rtt.timeout());
            }
        }
        if now >= self.again {
            let is_silent = now.since(self.heard) >= self.silence(rtt);
            self.want(0, if is_silent { self.limit } else { self.asked });
            self.silent = self.silent.saturating_add(1);
            self.again = now.plus(backed_off(rtt, self.silent));
        }
        if is_due && self.granted {
            self.ask_wanted(now, rtt, tell);
        }
        (is_due && self.wanted != NOTHING).then(|| {
            self.needs_grants = true;
            self.progress()
        })
    }

    /// Takes note that what is missing between two places is to be asked for.
    fn want(&mut self, start: u32, end: u32) {
        if start >= end {
            return;
        }
        self.wanted = match self.wanted {
            NOTHING => Range { start, end },
            known => Range {
                start: known.start.min(start),
                end: known.end.max(end),
            },
        };
    }

    fn ask_wanted(&mut self, now: Instant, rtt: &Rtt, tell: &mut impl FnMut(Block)) {
        let Range { start, end } = core::mem::replace(&mut self.wanted, NOTHING);
        self.ask(start, end, tell);
        self.wait_for_gaps(now, rtt);
    }

    /// Takes note that it has a place, and so may ask for what is missing.
    fn take_place(&mut self, now: Instant, rtt: &Rtt, tell: &mut impl FnMut(Block)) {
        self.granted = true;
        self.silent = 0;
        if self.runs.held() >= self.limit {
            return;
        }
        let until = self.heard.plus(self.silence(rtt));
        if now >= until {
            self.want(0, self.limit);
        }
        if self.wanted == NOTHING {
            self.again = self.again.min(until);
        } else {
            self.ask_wanted(now, rtt, tell);
            self.again = now.plus(rtt.timeout());
        }
    }

    /// Asks for what is missing between two places, the first of it if it is much.
    fn ask(&mut self, start: u32, end: u32, tell: &mut impl FnMut(Block)) {
        let id = self.id;
        let mut asked = self.asked;
        for Range { start, end } in self.missing(start, end).take(GAPS_AT_ONCE) {
            tell(Block::Resend { id, start, end });
            asked = asked.max(end);
        }
        self.asked = asked;
    }

    /// Answers a sender that wants to know how far the message has come, where it has sent all
    /// before `end`. If what it has sent for that `is_new`, others may be about to come that it has
    /// overtaken.
    pub(super) fn answer(&mut self, end: u32, is_new: bool, tell: &mut impl FnMut(Block)) {
        tell(self.grant_block());
        if !is_new {
            // It is asked for now, and not once more when it has a place.
            self.wanted = NOTHING;
        }
        self.ask(0, if is_new { self.asked } else { end }, tell);
    }

    fn grant_block(&self) -> Block {
        Block::Grant {
            id: self.id,
            limit: self.limit,
            held: self.runs.held(),
        }
    }

    /// Lets the sender send up to `limit`.
    pub(super) fn grant(
        &mut self,
        now: Instant,
        limit: u64,
        rtt: &Rtt,
        tell: &mut impl FnMut(Block),
    ) {
        if !self.granted {
            self.take_place(now, rtt, tell);
        }
        let limit =
            u32::try_from(limit).map_or(self.shape.total, |limit| limit.min(self.shape.total));
        if limit <= self.limit {
            return;
        }
        self.limit = limit;
        self.wait_for_more(now, rtt);
        tell(self.grant_block());
    }

    /// Returns how far it has come, if its sender may not yet send all.
    pub(super) fn ungranted(&mut self) -> Option<Progress> {
        self.reported = self.arrived;
        (self.limit < self.shape.total).then(|| self.progress())
    }

    /// Returns how far it has come, if that is worth another grant.
    ///
    /// While it waits for one, too: what is granted to it counts from there, and if that is less
    /// than its sender has sent unasked nothing more comes that could say so.
    pub(super) fn advanced(&mut self) -> Option<Progress> {
        if self.arrived - self.reported < GRANT_STEP {
            return None;
        }
        self.ungranted()
    }

    /// Returns whether it does not go on, even if it was granted.
    pub(super) fn is_stalled(&self) -> bool {
        self.silent > 1
    }

    fn progress(&self) -> Progress {
        Progress {
            total: self.shape.total.into(),
            endless: false,
            arrived: self.arrived.into(),
            limit: self.limit.into(),
            step: self.shape.step,
        }
    }
}

const NOTHING: Range = Range { start: 0, end: 0 };

/// Returns how long to wait after asking in vain `times` times.
fn backed_off(rtt: &Rtt, times: u8) -> Nanos {
    (rtt.timeout() << times.min(10)).min(MAX_RTO)
}

/// Returns whether the fields of a packet and its bytes do not contradict each other.
pub(super) fn is_consistent<C: Chunk>(segment: &Segment, chunk: &C) -> bool {
    let Ok(len) = u32::try_from(chunk.len()) else {
        return false;
    };
    let ends_within = segment
        .offset
        .checked_add(len)
        .is_some_and(|end| end <= segment.total);
    // One packet with all of a message is no part of it.
    let is_part = len < segment.total || chunk.step() < chunk.len();
    len > 0 && is_part && ends_within && segment.unasked <= segment.total
}

#[kernel::macros::kunit_tests(emt_incoming)]
mod tests {
    use super::*;

    fn admits(total: u32, packets: &[(u32, u32)]) -> bool {
        let mut shape = Shape::new(total);
        packets
            .iter()
            .all(|&(offset, len)| shape.admit(offset, len, len))
    }

    #[test]
    fn packets_are_equally_long_but_for_the_last() {
        assert!(admits(2500, &[(0, 1000), (2000, 500), (1000, 1000)]));
        assert!(admits(2000, &[(1000, 1000), (0, 1000)]));
        assert!(admits(2500, &[(2000, 500), (1000, 1000), (0, 1000)]));
        // Of another length.
        assert!(!admits(2500, &[(0, 1000), (1000, 1001)]));
        // In between.
        assert!(!admits(2500, &[(0, 1000), (500, 1000)]));
        assert!(!admits(2500, &[(500, 1000)]));
        // The last is longer than the others, or not in its place.
        assert!(!admits(2500, &[(1000, 1500), (0, 1000)]));
        assert!(!admits(2500, &[(2100, 400), (0, 1000)]));
        assert!(!admits(2500, &[(0, 1000), (2100, 400)]));
    }

    #[test]
    fn pieces_are_as_their_packets() {
        let admits = |pieces: &[(u32, u32, u32)]| {
            let mut shape = Shape::new(4500);
            pieces
                .iter()
                .all(|&(offset, len, each)| shape.admit(offset, len, each))
        };
        assert!(admits(&[(0, 4500, 1000)]));
        assert!(admits(&[(1000, 2000, 1000), (3000, 1500, 1000)]));
        assert!(admits(&[(4000, 500, 500), (0, 4000, 1000)]));
        assert!(admits(&[(3000, 1500, 1000), (0, 1000, 1000)]));
        // Of other packets than the first piece.
        assert!(!admits(&[(0, 2000, 1000), (2000, 2500, 500)]));
        assert!(!admits(&[(0, 1000, 1000), (1000, 3500, 3500)]));
        // Neither whole packets nor the end.
        assert!(!admits(&[(0, 1500, 1000)]));
        assert!(!admits(&[(500, 2000, 1000)]));
        assert!(!admits(&[(0, 4500, 0)]));
    }

    #[test]
    fn tiny_packets_are_refused_but_as_the_last() {
        let tiny = MIN_SEGMENT - 1;
        assert!(!admits(2500, &[(0, tiny)]));
        assert!(admits(
            MIN_SEGMENT + 1,
            &[(MIN_SEGMENT, 1), (0, MIN_SEGMENT)]
        ));
    }
}
