// SPDX-License-Identifier: GPL-2.0

//! What has been asked for once more, and when.

use super::{
    choice::Span,
    place::Place, //
};
use crate::engine::{
    limits::MAX_ASKED,
    time::{
        Instant,
        Nanos, //
    },
};
use kernel::prelude::*;

/// What lies between the end of the one before and `end`, the gaps of which were asked for then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Asking {
    end: Place,
    at: Instant,
}

/// The stretches of a direction whose gaps have been asked for, one after the other.
///
/// Each has its own time, so that a repair that is lost is missed a round trip later, however many
/// other gaps have been asked for since.
pub(super) struct Asked(KVec<Asking>);

impl Asked {
    pub(super) const fn new() -> Self {
        Self(KVec::new())
    }

    /// Returns before where all gaps have been asked for; 0 if none have.
    pub(super) fn end(&self) -> Place {
        self.0.last().map_or(0, |last| last.end)
    }

    /// Takes note that the gaps in a span are asked for now.
    ///
    /// If there are too many stretches, or memory is short, the span becomes one with its
    /// neighbour, and what was asked for earlier is missed later.
    pub(super) fn note(&mut self, now: Instant, span: Span) {
        // What is before the span stays, and the rest of a stretch that goes on behind it.
        let first = self.0.partition_point(|one| one.end <= span.start);
        let last = self.0.partition_point(|one| one.end <= span.end);
        let cut = self.0.get(first).map(|one| one.at);
        let begins_before = match first.checked_sub(1).and_then(|at| self.0.get(at)) {
            Some(before) => before.end < span.start,
            None => span.start > 0,
        };
        for _ in first..last {
            let _ = self.0.remove(first);
        }
        let mut at = first;
        if let (Some(then), true) = (cut, begins_before) {
            let before = Asking {
                end: span.start,
                at: then,
            };
            if self.insert(at, before) {
                at += 1;
            }
        }
        let asking = Asking {
            end: span.end,
            at: now,
        };
        if !self.insert(at, asking) {
            let neighbour = at.min(self.0.len().saturating_sub(1));
            if let Some(one) = self.0.get_mut(neighbour) {
                one.end = one.end.max(span.end);
                one.at = now;
            }
        }
    }

    fn insert(&mut self, at: usize, asking: Asking) -> bool {
        self.0.len() < MAX_ASKED
            && self.0.reserve(1, GFP_ATOMIC).is_ok()
            && self.0.insert_within_capacity(at, asking).is_ok()
    }

    /// Forgets what is before `held`, where no gap is left.
    pub(super) fn drop_before(&mut self, held: Place) {
        while self.0.first().is_some_and(|first| first.end <= held) {
            let _ = self.0.remove(0);
        }
    }

    /// Returns the first stretch behind `held` that was asked for so long ago.
    pub(super) fn late(&self, now: Instant, held: Place, long: Nanos) -> Option<Span> {
        let is_late = |one: &Asking| one.end > held && now.since(one.at) >= long;
        let at = self.0.iter().position(is_late)?;
        let before = at.checked_sub(1).and_then(|at| self.0.get(at));
        Some(Span {
            start: before.map_or(held, |before| before.end.max(held)),
            end: self.0.get(at)?.end,
        })
    }
}

#[kernel::macros::kunit_tests(emt_asked)]
mod tests {
    use super::*;

    fn span(start: Place, end: Place) -> Span {
        Span { start, end }
    }

    #[test]
    fn each_stretch_is_late_by_its_own_time() {
        let mut asked = Asked::new();
        asked.note(Instant(10), span(0, 100));
        asked.note(Instant(20), span(100, 200));
        assert_eq!(asked.end(), 200);
        assert_eq!(asked.late(Instant(19), 0, 10), None);
        assert_eq!(asked.late(Instant(20), 40, 10), Some(span(40, 100)));
        asked.note(Instant(20), span(40, 100));
        assert_eq!(asked.late(Instant(29), 40, 10), None);
        asked.drop_before(100);
        assert_eq!(asked.late(Instant(30), 150, 10), Some(span(150, 200)));
        asked.drop_before(200);
        assert_eq!(asked.late(Instant(99), 200, 10), None);
        assert_eq!(asked.end(), 0);
    }

    #[test]
    fn a_part_of_a_stretch_is_asked_for_apart() {
        let mut asked = Asked::new();
        asked.note(Instant(0), span(0, 100));
        asked.note(Instant(10), span(30, 60));
        assert_eq!(asked.late(Instant(10), 0, 10), Some(span(0, 30)));
        asked.note(Instant(10), span(0, 30));
        assert_eq!(asked.late(Instant(10), 0, 10), Some(span(60, 100)));
        // And all of it at once.
        asked.note(Instant(12), span(0, 100));
        assert_eq!(asked.late(Instant(21), 0, 10), None);
        assert_eq!(asked.late(Instant(22), 0, 10), Some(span(0, 100)));
        assert_eq!(asked.end(), 100);
    }

    #[test]
    fn too_many_are_not_kept_and_nothing_is_forgotten() {
        let mut asked = Asked::new();
        for at in 0..100 {
            asked.note(Instant(at), span(10 * at, 10 * at + 10));
        }
        assert_eq!(asked.end(), 1_000);
        let (mut held, mut count) = (0, 0);
        while let Some(late) = asked.late(Instant(500), held, 100) {
            assert_eq!(late.start, held);
            held = late.end;
            asked.drop_before(held);
            count += 1;
        }
        assert_eq!((held, count), (1_000, MAX_ASKED));
    }
}
