// SPDX-License-Identifier: GPL-2.0

//! When each of many is to be looked at: a heap in which what is in it can be moved.

use super::time::Instant;
use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*, //
};

/// Deadlines of what has a slot, the first at hand.
///
/// # Invariants
///
/// `heap` is a binary heap by time, and `places` tells for each slot where in it its deadline is.
pub(crate) struct Schedule {
    heap: KVec<(Instant, u32)>,
    places: KVec<u32>,
}

/// The place of what is not in the heap.
const NOWHERE: u32 = u32::MAX;

impl Schedule {
    pub(crate) const fn new() -> Self {
        Self {
            heap: KVec::new(),
            places: KVec::new(),
        }
    }

    /// Makes room for all slots up to `slot`, after which [`set`](Self::set) takes no memory.
    pub(crate) fn reserve(&mut self, slot: u32, flags: Flags) -> Result<(), AllocError> {
        let missing = (slot as usize + 1).saturating_sub(self.places.len());
        self.places.reserve(missing, flags)?;
        for _ in 0..missing {
            let _ = self.places.push_within_capacity(NOWHERE);
        }
        let more = self.places.len() - self.heap.len();
        self.heap.reserve(more, flags)
    }

    /// Returns the first deadline.
    pub(crate) fn next(&self) -> Instant {
        self.heap.first().map_or(Instant::NEVER, |(at, _)| *at)
    }

    /// Returns slots whose deadlines come until `end`; of many only `count`, mostly the first.
    pub(crate) fn soon(&self, end: Instant, count: usize) -> impl Iterator<Item = u32> + use<'_> {
        let first = self.heap.iter().take(count);
        first
            .filter(move |(at, _)| *at <= end)
            .map(|(_, slot)| *slot)
    }

    /// Takes out a slot whose deadline has come.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<u32> {
        let &(at, slot) = self.heap.first()?;
        if at > now {
            return None;
        }
        self.set(slot, Instant::NEVER);
        Some(slot)
    }

    /// Sets the deadline of a slot; [`Instant::NEVER`] takes it out.
    pub(crate) fn set(&mut self, slot: u32, deadline: Instant) {
        let Some(place) = self.places.get(slot as usize) else {
            return;
        };
        let place = *place as usize;
        match self.heap.get_mut(place) {
            Some(_) if deadline == Instant::NEVER => self.remove(place),
            Some(entry) => {
                let before = core::mem::replace(&mut entry.0, deadline);
                if deadline < before {
                    self.rise(place);
                } else if deadline > before {
                    self.sink(place);
                }
            }
            None if deadline == Instant::NEVER => {}
            None => {
                let place = self.heap.len();
                // There is room: see `reserve`.
                if self.heap.push_within_capacity((deadline, slot)).is_ok() {
                    self.note(place);
                    self.rise(place);
                }
            }
        }
    }

    fn remove(&mut self, place: usize) {
        if let Some((_, slot)) = self.heap.get(place) {
            let slot = *slot as usize;
            if let Some(noted) = self.places.get_mut(slot) {
                *noted = NOWHERE;
            }
        }
        let last = self.heap.len() - 1;
        self.heap.swap(place, last);
        self.heap.truncate(last);
        if place < last {
            self.note(place);
            self.rise(place);
            self.sink(place);
        }
    }

    /// Notes where an entry is.
    fn note(&mut self, place: usize) {
        if let Some((_, slot)) = self.heap.get(place) {
            let slot = *slot as usize;
            if let Some(noted) = self.places.get_mut(slot) {
                *noted = place as u32;
            }
        }
    }

    fn at(&self, place: usize) -> Instant {
        self.heap.get(place).map_or(Instant::NEVER, |(at, _)| *at)
    }

    fn exchange(&mut self, one: usize, other: usize) {
        self.heap.swap(one, other);
        self.note(one);
        self.note(other);
    }

    fn rise(&mut self, mut place: usize) {
        while place > 0 {
            let above = (place - 1) / 2;
            if self.at(above) <= self.at(place) {
                return;
            }
            self.exchange(above, place);
            place = above;
        }
    }

    fn sink(&mut self, mut place: usize) {
        loop {
            let (left, right) = (2 * place + 1, 2 * place + 2);
            if left >= self.heap.len() {
                return;
            }
            // What is past the end is later than anything.
            let below = if self.at(right) < self.at(left) {
                right
            } else {
                left
            };
            if self.at(place) <= self.at(below) {
                return;
            }
            self.exchange(place, below);
            place = below;
        }
    }
}

#[kernel::macros::kunit_tests(emt_schedule)]
mod tests {
    use super::*;

    #[test]
    fn they_come_in_the_order_of_their_times_however_these_change() -> Result {
        const COUNT: u32 = 200;
        let mut schedule = Schedule::new();
        schedule.reserve(COUNT - 1, GFP_KERNEL)?;
        let time =
            |slot: u32, turn: u32| Instant(u64::from((slot * 7919 + turn * 104_729) % 5_003));
        for turn in 0..4 {
            for slot in 0..COUNT {
                schedule.set(slot, time(slot, turn));
            }
        }
        // Each third goes.
        for slot in (0..COUNT).step_by(3) {
            schedule.set(slot, Instant::NEVER);
            schedule.set(slot, Instant::NEVER);
        }
        let (mut last, mut count) = (Instant(0), 0);
        while let Some(slot) = schedule.pop(Instant(5_003)) {
            assert!(slot % 3 != 0 && time(slot, 3) >= last);
            last = time(slot, 3);
            count += 1;
        }
        assert_eq!(count, COUNT - COUNT.div_ceil(3));
        assert_eq!(schedule.next(), Instant::NEVER);
        Ok(())
    }

    #[test]
    fn nothing_comes_before_its_time() -> Result {
        let mut schedule = Schedule::new();
        schedule.reserve(0, GFP_KERNEL)?;
        schedule.set(0, Instant(5));
        assert_eq!(schedule.pop(Instant(4)), None);
        assert_eq!(schedule.next(), Instant(5));
        assert_eq!(schedule.pop(Instant(5)), Some(0));
        assert_eq!(schedule.pop(Instant(5)), None);
        // Without room nothing is kept, and nothing breaks.
        schedule.set(9, Instant(1));
        assert_eq!(schedule.next(), Instant::NEVER);
        Ok(())
    }
}
