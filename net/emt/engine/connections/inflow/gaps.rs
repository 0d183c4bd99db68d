// SPDX-License-Identifier: GPL-2.0

//! What is missing of what a direction has been sent: when it is asked for, and how much of it.

use super::{
    Inflow,
    Receiving, //
};
use crate::engine::{
    connections::{
        choice::Span,
        place::Place, //
    },
    host::Chunk,
    limits::{
        GAPS_AT_ONCE,
        MAX_RTO,
        MIN_ASKED, //
    },
    rtt::Rtt,
    time::Instant, //
};

impl<C: Chunk> Inflow<C> {
    /// Takes note that the socket had no memory for the next `len` bytes, which have come.
    pub(in super::super) fn refuse(&mut self, len: usize) {
        self.refused = self.refused.max(self.held + len as Place);
        self.blocked = true;
        self.gap = Instant::NEVER;
        self.again = Instant::NEVER;
        self.asks = None;
    }

    /// Returns the gaps between two places.
    fn missing(&self, asks: Span) -> impl Iterator<Item = Span> + '_ {
        let held = self.held;
        let end = asks.end.saturating_sub(held) as u32;
        self.early
            .gaps(end)
            .map(move |gap| Span {
                start: held + Place::from(gap.start),
                end: held + Place::from(gap.end),
            })
            .filter(move |gap| gap.end > asks.start)
    }

    /// Asks once more if what comes now was sent after what was asked for, which has not come.
    #[inline(never)]
    pub(super) fn ask_if_late(&mut self, now: Instant, rtt: &Rtt) {
        if self.blocked {
            return;
        }
        let time = rtt.smoothed().saturating_add(rtt.patience());
        if let Some(Span { start, end }) = self.asked.late(now, self.held, time) {
            self.ask(now, start, end, rtt);
        }
    }

    /// Sees to it that gaps are asked for that have not been, if they do not close.
    #[inline(never)]
    pub(super) fn wait_for_gaps(&mut self, now: Instant, rtt: &Rtt) {
        if self.blocked || self.gap != Instant::NEVER {
            return;
        }
        let beyond = Span {
            start: self.asked.end(),
            end: self.highest(),
        };
        if self.missing(beyond).next().is_some() {
            self.gap = now.plus(rtt.patience());
            self.overtaken = beyond.end;
        }
    }

    /// Takes note that the next `len` bytes were delivered, where others had come before them.
    #[inline(never)]
    pub(super) fn advance_early(&mut self, now: Instant, len: usize, rtt: &Rtt) {
        self.early.shift(len as u32);
        self.asked.drop_before(self.held);
        self.asked_in_vain = 0;
        self.again = match self.held < self.asked.end() {
            // Some of what was asked for has come; the rest is on its way.
            true => now.plus(rtt.timeout()),
            false => Instant::NEVER,
        };
        if self.overtaken <= self.held {
            self.gap = Instant::NEVER;
        }
        if self.early.is_empty() {
            self.kept = 0;
            self.ask_for_refused(now, rtt);
        }
        self.wait_for_gaps(now, rtt);
    }

    /// Sees to it that what has come early and found no memory is asked for, if nothing else is.
    #[inline(never)]
    pub(super) fn wait_for_refused(&mut self, now: Instant, rtt: &Rtt) {
        if !self.blocked && self.gap.min(self.again) == Instant::NEVER {
            self.gap = now.plus(rtt.patience());
            self.overtaken = self.refused;
        }
    }

    /// Asks for what has found no memory, once all that was asked for before has come.
    fn ask_for_refused(&mut self, now: Instant, rtt: &Rtt) {
        if self.refused > self.held && self.held >= self.asked.end() {
            self.ask(now, self.held, self.refused, rtt);
        }
    }

    /// Answers a peer that wants to know what is missing, where the socket has `room`.
    pub(in super::super) fn answer(&mut self, now: Instant, room: u32, rtt: &Rtt) {
        self.due = now;
        if self.blocked && room == 0 {
            return;
        }
        self.blocked = false;
        let end = self.highest().max(self.refused);
        if self.gap.min(self.again) == Instant::NEVER && end > self.held {
            self.ask(now, self.held, end, rtt);
        } else {
            self.ask_if_late(now, rtt);
        }
    }

    /// Asks for the gaps between two places with the next packet, which is to go out now.
    fn ask(&mut self, now: Instant, start: Place, end: Place, rtt: &Rtt) {
        let (start, end) = match self.asks {
            Some(asks) => (start.min(asks.start), end.max(asks.end)),
            None => (start, end),
        };
        self.asks = Some(Span { start, end });
        self.due = now;
        let wait = rtt.timeout() << self.asked_in_vain.min(10);
        self.again = now.plus(wait.min(MAX_RTO));
    }

    /// Asks for what is missing, if it is time.
    pub(in super::super) fn handle_timeout(&mut self, now: Instant, rtt: &Rtt) {
        if now >= self.gap {
            self.gap = Instant::NEVER;
            let start = match now >= self.again {
                true => self.held,
                false => self.asked.end().max(self.held),
            };
            self.ask(now, start, self.overtaken, rtt);
        } else if now >= self.again {
            self.asked_in_vain = self.asked_in_vain.saturating_add(1);
            self.ask(now, self.held, self.asked.end(), rtt);
        }
    }

    /// Returns since when it asks in vain for what is missing, if it does.
    pub(in super::super) fn silent_since(&self) -> Option<Instant> {
        (self.asked_in_vain > 0 && self.again != Instant::NEVER).then_some(self.moved)
    }

    /// Returns whether the peer may send so much more, if the socket has `room`, that it is worth
    /// telling: half the room, or if it could send nothing, or has sent in vain.
    pub(in super::super) fn is_worth_telling(
        &mut self,
        now: Instant,
        room: u32,
        rtt: &Rtt,
    ) -> bool {
        let blocked = core::mem::take(&mut self.blocked);
        let end = self.refused.max(self.asked.end());
        if blocked && end > self.held && self.state == Receiving::Open {
            self.ask(now, self.held, end, rtt);
            return true;
        }
        let told = self.limit.saturating_sub(self.held);
        let free = Place::from(room);
        self.state == Receiving::Open && free > told && free - told >= (free / 2).max(1)
    }

    /// Returns whether memory has not been enough, so that [`fitting`](Self::fitting) matters.
    pub(in super::super) fn is_dense(&self) -> bool {
        self.density.is_known()
    }

    /// Returns for how many bytes so much memory is enough, at most for `room`.
    #[inline(never)]
    pub(in super::super) fn fitting(&self, memory: usize, room: u32) -> u32 {
        // Not none for ever, where not even a byte seems to fit.
        self.density.fits(memory).max(1).min(room.into()) as u32
    }

    /// Returns whether the next packet asks for gaps.
    pub(in super::super) fn asks(&self) -> bool {
        self.asks.is_some()
    }

    /// Tells `more` of the gaps that are asked for but the first, and returns where that ends.
    ///
    /// Where memory was short, for no more than `memory` is enough for; but always for some of what
    /// is next, which takes none unless it comes with a gap.
    pub(in super::super) fn tell_gaps(
        &mut self,
        now: Instant,
        memory: usize,
        mut more: impl FnMut(Span),
    ) -> Place {
        let mut gap = self.held;
        let Some(asks) = self.asks.take() else {
            return gap;
        };
        let quarter = self.density.fits(memory) / 4;
        let mut fits = self.density.fits(memory.saturating_sub(self.kept));
        // Up to where it has been looked for gaps.
        let mut end = asks.end;
        for (count, missing) in self.missing(asks).enumerate() {
            let start = missing.start.max(asks.start);
            let is_next = start == self.held;
            let least = match is_next {
                true => quarter.max(MIN_ASKED),
                false => 0,
            };
            let told = Span {
                start,
                end: missing.end.min(start + fits.max(least)),
            };
            if told.end == start || count == GAPS_AT_ONCE {
                end = start;
                break;
            }
            fits = fits.saturating_sub(told.end - start);
            match is_next {
                true => gap = told.end,
                false => more(told),
            }
            if told.end < missing.end {
                end = told.end;
                break;
            }
        }
        // Also where no gap is left: it is not late any more, and hides none that is behind it.
        let start = asks.start.max(self.held);
        if start < end {
            self.asked.note(now, Span { start, end });
        }
        gap
    }
}

#[kernel::macros::kunit_tests(emt_gaps)]
mod tests {
    use super::*;
    use crate::{
        engine::{
            connections::inflow::Taken,
            time::{
                Nanos,
                MILLISECOND, //
            },
        },
        wire::flow::{
            Flags,
            Flow,
            Number,
            Verb, //
        },
    };
    use kernel::prelude::*;

    /// Bytes, and what they take of memory.
    struct Bytes(usize, usize);

    impl Chunk for Bytes {
        fn len(&self) -> usize {
            self.0
        }

        fn size(&self) -> usize {
            self.1
        }

        fn step(&self) -> usize {
            self.0
        }

        fn append(&mut self, after: Self) {
            self.0 += after.0;
            self.1 += after.1;
        }

        fn split_off(&mut self, at: usize) -> Option<Self> {
            // A copy with memory of its own, as in the kernel.
            let rest = Self(self.0 - at, self.0 - at + 768);
            self.0 = at;
            Some(rest)
        }
    }

    fn flow(offset: u32) -> Flow {
        Flow {
            tag: 0,
            to: Number::NONE,
            from: Number::NONE,
            offset,
            held: 0,
            limit: 0,
            granted: 0,
            gap: 0,
            queued: 0,
            delay: 0,
            verb: Verb::Go,
            flags: Flags::default(),
        }
    }

    /// A direction, and how much memory its socket has left.
    struct Side {
        inc: Inflow<Bytes>,
        rtt: Rtt,
        memory: usize,
        now: Instant,
        /// The gaps that the last packet asked for.
        asks: KVec<Span>,
    }

    impl Side {
        fn new(round_trip: Nanos, memory: usize) -> Self {
            let mut rtt = Rtt::new();
            for _ in 0..50 {
                rtt.sample(Instant(1), round_trip);
            }
            let mut inc = Inflow::new();
            inc.let_send(1 << 29);
            Self {
                inc,
                rtt,
                memory,
                now: Instant(100 * MILLISECOND),
                asks: KVec::new(),
            }
        }

        /// Bytes come; returns whether they are kept.
        fn comes(&mut self, offset: u32, len: usize, size: usize) -> bool {
            let mut chunk = Some(Bytes(len, size));
            let taken = self
                .inc
                .take(self.now, &flow(offset), &mut chunk, &self.rtt, self.memory);
            let next = chunk.map_or(0, |bytes| bytes.len());
            match taken {
                Taken::Next if self.memory > 0 => {
                    self.inc.advance(self.now, next, &self.rtt);
                    true
                }
                Taken::Next => {
                    self.inc.refuse(next);
                    false
                }
                Taken::Early => true,
                Taken::Old | Taken::NoRoom | Taken::Invalid => false,
            }
        }

        /// Time passes, and a packet goes out if it is due.
        fn waits(&mut self, time: Nanos) {
            self.now = self.now.plus(time);
            self.inc.handle_timeout(self.now, &self.rtt);
            self.asks.clear();
            if !self.inc.is_due(self.now) {
                return;
            }
            let (inc, asks) = (&mut self.inc, &mut self.asks);
            let gap = inc.asks().then(|| {
                inc.tell_gaps(self.now, self.memory, |gap| {
                    asks.push(gap, GFP_KERNEL).unwrap();
                })
            });
            if let Some(end) = gap.filter(|gap| *gap > inc.held) {
                let start = inc.held;
                asks.push(Span { start, end }, GFP_KERNEL).unwrap();
            }
            inc.tell(self.now, 1 << 20, gap, &mut flow(0));
        }

        fn asks_for(&self, place: Place) -> bool {
            self.asks.iter().any(|gap| gap.start == place)
        }
    }

    #[test]
    fn a_gap_that_is_closed_hides_none_behind_it() {
        let mut side = Side::new(10 * MILLISECOND, 1 << 20);
        // Three gaps, each asked for apart.
        for offset in [1_000, 3_000, 5_000] {
            assert!(side.comes(offset, 1_000, 1_000));
            side.waits(6 * MILLISECOND);
            assert!(side.asks_for(u64::from(offset) - 1_000));
        }
        // The repairs of the first and the third are lost.
        assert!(side.comes(2_000, 1_000, 1_000));
        let (mut first, mut third) = (0, 0);
        for count in 0..150 {
            assert!(side.comes(6_000 + 1_000 * count, 1_000, 1_000));
            side.waits(MILLISECOND / 5);
            first += u32::from(side.asks_for(0));
            third += u32::from(side.asks_for(4_000));
        }
        // Thirty milliseconds, in which each is asked for after fifteen.
        assert!((1..4).contains(&first) && (1..4).contains(&third));
    }

    #[test]
    fn what_is_cut_and_takes_more_than_was_counted_stays_in_its_place() {
        let mut side = Side::new(10 * MILLISECOND, 1 << 20);
        assert!(side.comes(1_000, 1_000, 2_000));
        assert!(side.comes(500, 2_500, 5_000));
        assert!(side.comes(10_000, 1_000, 1_000));
        assert!(side.comes(0, 500, 768));
        assert_eq!((side.inc.held, side.inc.highest()), (3_000, 11_000));
    }

    #[test]
    fn what_found_no_memory_is_asked_for_before_its_sender_asks() {
        let mut side = Side::new(MILLISECOND, 100);
        assert!(!side.comes(1_000, 1_000, 2_000));
        side.memory = 1 << 20;
        side.waits(MILLISECOND);
        assert!(side.asks_for(0));
    }

    #[test]
    fn who_asked_in_vain_once_is_no_slower_later() {
        let mut side = Side::new(MILLISECOND, 1 << 20);
        for round in 0..20 {
            assert!(side.comes(2_000 * round + 1_000, 1_000, 1_000));
            side.waits(MILLISECOND);
            assert!(side.asks_for(u64::from(2_000 * round)));
            let wait = side.inc.again.since(side.now);
            assert!(wait <= side.rtt.timeout());
            // The repair is lost, and comes when it is asked for once more.
            side.waits(wait);
            assert!(side.asks_for(u64::from(2_000 * round)));
            side.waits(MILLISECOND);
            assert!(side.comes(2_000 * round, 1_000, 1_000));
            side.waits(MILLISECOND);
        }
    }

    #[test]
    fn what_found_no_memory_early_is_not_forgotten_for_what_comes_next() {
        let mut side = Side::new(MILLISECOND, 0);
        assert!(!side.comes(1_000, 9_000, 20_000));
        assert!(!side.comes(0, 1_000, 3_000));
        // Somebody reads.
        side.memory = 1 << 20;
        assert!(side.inc.is_worth_telling(side.now, 1 << 19, &side.rtt));
        side.waits(MILLISECOND);
        assert!(side.asks_for(0));
        assert!(side.comes(0, 1_000, 2_000));
        let mut asked = false;
        for _ in 0..100 {
            side.waits(MILLISECOND);
            asked |= side.asks_for(1_000);
        }
        assert!(asked);
    }

    #[test]
    fn what_is_left_of_a_gap_is_asked_for_in_its_order() {
        let mut side = Side::new(10 * MILLISECOND, 100_000);
        assert!(side.comes(100_000, 64, 768));
        side.memory = 700;
        assert!(!side.comes(100_064, 64, 768));
        let mut last = 0;
        for (count, memory) in [200_000, 140_000, 80_000, 20_000].into_iter().enumerate() {
            side.memory = memory;
            side.waits(6 * MILLISECOND);
            assert!(side.inc.asked.end() >= last);
            last = side.inc.asked.end();
            let _ = side.comes(110_000 + 1_000 * count as u32, 64, 768);
        }
        assert!(last > 0);
    }
}
