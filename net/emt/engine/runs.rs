// SPDX-License-Identifier: GPL-2.0

//! What has arrived of a message: runs of bytes, and the gaps between them.

use super::{
    host::Chunk,
    limits::MAX_RUNS, //
};
use core::iter::once;
use kernel::prelude::*;

/// A range of a message's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Range {
    pub(crate) const fn len(&self) -> u32 {
        self.end.saturating_sub(self.start)
    }
}

/// Bytes without a gap.
struct Run<C> {
    start: u32,
    end: u32,
    bytes: C,
}

/// What became of bytes that arrived.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Inserted {
    /// So many of them are new.
    New(u32),
    /// All of them had been there.
    Nothing,
    /// There are too many gaps, or memory is short; it is as if they had been lost.
    NoRoom,
}

/// The bytes of a message that have arrived, in the order of their offsets.
///
/// The runs do not touch each other. They are few, at most [`MAX_RUNS`]: a loss makes one gap,
/// and what would make another beyond them is not kept. So they are searched and moved in one
/// piece of memory, where a tree would have to allocate for each.
pub(crate) struct Runs<C> {
    runs: KVec<Run<C>>,
}

impl<C: Chunk> Runs<C> {
    pub(crate) const fn new() -> Self {
        Self { runs: KVec::new() }
    }

    /// Adds the bytes that belong at `start`, of which some may be there.
    pub(crate) fn insert(&mut self, mut start: u32, mut bytes: C) -> Inserted {
        let Some(end) = u32::try_from(bytes.len())
            .ok()
            .and_then(|len| start.checked_add(len))
        else {
            return Inserted::NoRoom;
        };
        let mut new = 0;
        let so_far = |new, otherwise| match new {
            0 => otherwise,
            _ => Inserted::New(new),
        };
        // Goes round once for each run that is met, and mostly for none: packets of one message do
        // not overlap in part, and several in one piece do so only if they are sent again.
        loop {
            // The first run that ends after the start.
            let at = self.runs.partition_point(|run| run.end <= start);
            let met = match self.runs.get(at) {
                Some(run) if run.start < end => Range {
                    start: run.start.max(start),
                    end: run.end,
                },
                _ => match self.insert_new(start, end, bytes) {
                    Inserted::New(more) => return Inserted::New(new + more),
                    other => return so_far(new, other),
                },
            };
            if start < met.start {
                let Some(rest) = bytes.split_off((met.start - start) as usize) else {
                    return so_far(new, Inserted::NoRoom);
                };
                match self.insert_new(start, met.start, bytes) {
                    Inserted::New(more) => new += more,
                    other => return so_far(new, other),
                }
                (start, bytes) = (met.start, rest);
            }
            if end <= met.end {
                return so_far(new, Inserted::Nothing);
            }
            let Some(rest) = bytes.split_off((met.end - start) as usize) else {
                return so_far(new, Inserted::NoRoom);
            };
            (start, bytes) = (met.end, rest);
        }
    }

    /// Adds the bytes `start..end`, none of which is there.
    fn insert_new(&mut self, start: u32, end: u32, bytes: C) -> Inserted {
        // The first run that ends at or after the start: the only one that may be continued.
        let at = self.runs.partition_point(|run| run.end < start);
        let continues = self.runs.get(at).is_some_and(|run| run.end == start);
        let next = if continues { at + 1 } else { at };
        match self.runs.get(next) {
            Some(run) if run.start == end && continues => self.insert_between(at, bytes),
            Some(run) if run.start == end => self.insert_before(next, start, bytes),
            _ if continues => self.insert_after(at, end, bytes),
            _ => return self.insert_apart(next, start, end, bytes),
        }
        Inserted::New(end - start)
    }

    /// Fills the gap after a run.
    fn insert_between(&mut self, at: usize, bytes: C) {
        let Ok(after) = self.runs.remove(at + 1) else {
            return;
        };
        if let Some(run) = self.runs.get_mut(at) {
            run.bytes.append(bytes);
            run.bytes.append(after.bytes);
            run.end = after.end;
        }
    }

    fn insert_before(&mut self, at: usize, start: u32, bytes: C) {
        if let Some(run) = self.runs.get_mut(at) {
            let after = core::mem::replace(&mut run.bytes, bytes);
            run.bytes.append(after);
            run.start = start;
        }
    }

    fn insert_after(&mut self, at: usize, end: u32, bytes: C) {
        if let Some(run) = self.runs.get_mut(at) {
            run.bytes.append(bytes);
            run.end = end;
        }
    }

    /// Adds bytes that touch no others.
    fn insert_apart(&mut self, at: usize, start: u32, end: u32, bytes: C) -> Inserted {
        if start == end {
            return Inserted::Nothing;
        }
        if self.runs.len() >= MAX_RUNS || self.runs.reserve(1, GFP_ATOMIC).is_err() {
            return Inserted::NoRoom;
        }
        match self
            .runs
            .insert_within_capacity(at, Run { start, end, bytes })
        {
            Ok(()) => Inserted::New(end - start),
            Err(_) => Inserted::NoRoom,
        }
    }

    /// Returns up to where all has arrived.
    pub(crate) fn held(&self) -> u32 {
        match self.runs.first() {
            Some(run) if run.start == 0 => run.end,
            _ => 0,
        }
    }

    /// Returns the end of the last byte that has arrived.
    pub(crate) fn highest(&self) -> u32 {
        self.runs.last().map_or(0, |run| run.end)
    }

    /// Returns what is missing before `end`, the first gap first.
    pub(crate) fn gaps(&self, end: u32) -> impl Iterator<Item = Range> + '_ {
        // Not as methods: `Init`, which the kernel's prelude brings, has one of that name.
        let starts = Iterator::chain(once(0), self.runs.iter().map(|run| run.end));
        let ends = Iterator::chain(self.runs.iter().map(|run| run.start), once(end));
        starts
            .zip(ends)
            .map(move |(start, stop)| Range {
                start,
                end: stop.min(end),
            })
            .filter(|gap| gap.start < gap.end)
    }

    /// Returns where the first byte is that has arrived.
    pub(crate) fn lowest(&self) -> Option<u32> {
        self.runs.first().map(|run| run.start)
    }

    /// Returns whether nothing has arrived, or all of it was taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Returns how many bytes have arrived.
    pub(crate) fn bytes(&self) -> u32 {
        let lengths = self.runs.iter().map(|run| run.end - run.start);
        lengths.fold(0, u32::saturating_add)
    }

    /// Counts from `by` on, before which there is nothing.
    pub(crate) fn shift(&mut self, by: u32) {
        for run in &mut self.runs {
            run.start = run.start.saturating_sub(by);
            run.end = run.end.saturating_sub(by);
        }
    }

    /// Takes out the first run, if it begins the message.
    pub(crate) fn take(&mut self) -> Option<C> {
        if self.runs.first()?.start != 0 {
            return None;
        }
        self.runs.remove(0).ok().map(|run| run.bytes)
    }
}

#[kernel::macros::kunit_tests(emt_runs)]
mod tests {
    use super::*;

    /// Bytes of a message in which each byte is the low part of its offset.
    struct Bytes(KVec<u8>);

    impl Chunk for Bytes {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn size(&self) -> usize {
            self.0.len()
        }

        fn step(&self) -> usize {
            self.0.len()
        }

        fn append(&mut self, after: Self) {
            let _ = self.0.extend_from_slice(&after.0, GFP_KERNEL);
        }

        fn split_off(&mut self, at: usize) -> Option<Self> {
            let mut rest = KVec::new();
            rest.extend_from_slice(self.0.get(at..)?, GFP_KERNEL).ok()?;
            self.0.truncate(at);
            Some(Self(rest))
        }
    }

    fn insert(runs: &mut Runs<Bytes>, start: u32, end: u32) -> Inserted {
        let mut bytes = KVec::new();
        for offset in start..end {
            let _ = bytes.push(offset as u8, GFP_KERNEL);
        }
        runs.insert(start, Bytes(bytes))
    }

    fn take(runs: &mut Runs<Bytes>) -> Option<usize> {
        let bytes = runs.take()?.0;
        assert!(bytes
            .iter()
            .copied()
            .eq((0..bytes.len()).map(|at| at as u8)));
        Some(bytes.len())
    }

    #[test]
    fn bytes_in_order_make_one_run() {
        let mut runs = Runs::new();
        for start in (0..100).step_by(10) {
            assert_eq!(insert(&mut runs, start, start + 10), Inserted::New(10));
        }
        assert_eq!(
            (runs.held(), runs.highest(), runs.runs.len()),
            (100, 100, 1)
        );
        assert_eq!(take(&mut runs), Some(100));
    }

    #[test]
    fn gaps_are_what_is_missing() {
        let mut runs = Runs::new();
        insert(&mut runs, 20, 30);
        insert(&mut runs, 50, 60);
        assert_eq!(runs.held(), 0);
        assert_eq!(runs.highest(), 60);
        assert!(take(&mut runs).is_none());
        let mut gaps = runs.gaps(55).map(|gap| (gap.start, gap.end));
        assert_eq!(gaps.next(), Some((0, 20)));
        assert_eq!(gaps.next(), Some((30, 50)));
        assert_eq!(gaps.next(), None);
        assert!(runs.gaps(90).any(|gap| gap.start == 60 && gap.end == 90));
    }

    #[test]
    fn a_filled_gap_joins_its_neighbours() {
        let mut runs = Runs::new();
        insert(&mut runs, 10, 20);
        insert(&mut runs, 30, 40);
        assert_eq!(runs.bytes(), 20);
        assert_eq!(insert(&mut runs, 20, 30), Inserted::New(10));
        assert_eq!((runs.runs.len(), runs.bytes()), (1, 30));
        assert_eq!(insert(&mut runs, 0, 10), Inserted::New(10));
        assert_eq!(take(&mut runs), Some(40));
    }

    #[test]
    fn what_is_there_stays() {
        let mut runs = Runs::new();
        insert(&mut runs, 10, 20);
        assert_eq!(insert(&mut runs, 12, 18), Inserted::Nothing);
        assert_eq!(insert(&mut runs, 10, 20), Inserted::Nothing);
        assert_eq!(insert(&mut runs, 0, 10), Inserted::New(10));
        assert_eq!(insert(&mut runs, 20, 21), Inserted::New(1));
        assert_eq!(insert(&mut runs, 0, 21), Inserted::Nothing);
        assert_eq!(take(&mut runs), Some(21));
    }

    #[test]
    fn of_what_is_there_in_part_the_rest_is_added() {
        let mut runs = Runs::new();
        insert(&mut runs, 10, 20);
        assert_eq!(insert(&mut runs, 15, 25), Inserted::New(5));
        assert_eq!(insert(&mut runs, 5, 12), Inserted::New(5));
        insert(&mut runs, 40, 50);
        insert(&mut runs, 60, 70);
        assert_eq!(insert(&mut runs, 0, 80), Inserted::New(5 + 15 + 10 + 10));
        assert_eq!(runs.runs.len(), 1);
        assert_eq!(take(&mut runs), Some(80));
    }

    #[test]
    fn there_are_only_so_many_gaps() {
        let mut runs = Runs::new();
        for at in 0..MAX_RUNS as u32 {
            assert_eq!(insert(&mut runs, 2 * at + 1, 2 * at + 2), Inserted::New(1));
        }
        assert_eq!(insert(&mut runs, 1000, 1001), Inserted::NoRoom);
        // But each of them can be filled.
        for at in 0..MAX_RUNS as u32 {
            assert_eq!(insert(&mut runs, 2 * at, 2 * at + 1), Inserted::New(1));
        }
        assert_eq!(take(&mut runs), Some(2 * MAX_RUNS));
    }

    #[test]
    fn offsets_past_the_end_of_numbers_are_not_kept() {
        let mut runs = Runs::new();
        assert_eq!(
            runs.insert(
                u32::MAX,
                Bytes(KVec::from_elem(0, 2, GFP_KERNEL).unwrap_or_default())
            ),
            Inserted::NoRoom
        );
    }
}
