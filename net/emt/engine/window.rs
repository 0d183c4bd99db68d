// SPDX-License-Identifier: GPL-2.0

//! The transfers that a sender has under way, by number.

use super::{
    id::Id,
    limits::WINDOW, //
};
use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*, //
};

/// What is under way, each under its own number.
///
/// The numbers are given in order. However they end, the newest is less than [`WINDOW`] after the
/// oldest that has not ended.
pub(crate) struct Window<T> {
    base: Id,
    next: Id,
    /// The transfer with number `n` is in slot `n` modulo their count, a power of two.
    slots: KVec<Option<T>>,
    open: u32,
}

/// Slots at first, and those that are kept while nothing is under way.
const FIRST_SLOTS: usize = 8;
const IDLE_SLOTS: usize = 64;

impl<T> Window<T> {
    pub(crate) const fn new() -> Self {
        Self {
            base: Id(0),
            next: Id(0),
            slots: KVec::new(),
            open: 0,
        }
    }

    /// Returns the number of the oldest that has not ended, or the next number if all have.
    pub(crate) fn base(&self) -> Id {
        self.base
    }

    /// Returns the next number.
    pub(crate) fn next(&self) -> Id {
        self.next
    }

    /// Returns how many are under way.
    pub(crate) fn len(&self) -> usize {
        self.open as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.span() >= WINDOW
    }

    /// Returns how many numbers there are from the oldest to the next.
    fn span(&self) -> u32 {
        self.next.after(self.base).unwrap_or(0)
    }

    /// Returns where the transfer is that has a number in the window.
    fn place(slots: &[Option<T>], id: Id) -> usize {
        // With no slots at all, any place is outside.
        id.0 as usize & slots.len().wrapping_sub(1)
    }

    /// Makes room for one more.
    pub(crate) fn reserve(&mut self, flags: Flags) -> Result<(), AllocError> {
        let (old, span) = (self.slots.len(), self.span());
        if (span as usize) < old {
            return Ok(());
        }
        let count = if old == 0 { FIRST_SLOTS } else { 2 * old };
        let mut slots = KVec::with_capacity(count, flags)?;
        while slots.len() < count {
            slots.push(None, flags)?;
        }
        for at in 0..span {
            let id = self.base.plus(at);
            let (from, to) = (Self::place(&self.slots, id), Self::place(&slots, id));
            if let (Some(from), Some(to)) = (self.slots.get_mut(from), slots.get_mut(to)) {
                *to = from.take();
            }
        }
        self.slots = slots;
        Ok(())
    }

    /// Gives `transfer` the next number; hands it back if the window is full or memory is short.
    pub(crate) fn open(&mut self, transfer: T, flags: Flags) -> Result<Id, T> {
        if self.is_full() || self.reserve(flags).is_err() {
            return Err(transfer);
        }
        let id = self.next;
        let place = Self::place(&self.slots, id);
        let Some(slot) = self.slots.get_mut(place) else {
            return Err(transfer);
        };
        *slot = Some(transfer);
        self.next = id.plus(1);
        self.open += 1;
        Ok(id)
    }

    /// Returns whether `id` has been given and its transfer has not ended.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        if id.after(self.base)? >= self.span() {
            return None;
        }
        self.slots.get(Self::place(&self.slots, id))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        if id.after(self.base)? >= self.span() {
            return None;
        }
        let place = Self::place(&self.slots, id);
        self.slots.get_mut(place)?.as_mut()
    }

    /// Ends the transfer with this number.
    pub(crate) fn close(&mut self, id: Id) -> Option<T> {
        if id.after(self.base)? >= self.span() {
            return None;
        }
        let place = Self::place(&self.slots, id);
        let slot = self.slots.get_mut(place)?;
        if slot.is_none() {
            return None;
        }
        self.open -= 1;
        if id == self.base {
            self.pass();
        }
        // Last, so that it is moved once.
        self.slots.get_mut(place)?.take()
    }

    /// Moves the base past the oldest and those after it that have ended.
    fn pass(&mut self) {
        self.base = self.base.plus(1);
        while self.base != self.next && !self.contains(self.base) {
            self.base = self.base.plus(1);
        }
    }

    /// Gives memory back, if nothing is under way and there is much of it.
    pub(crate) fn shrink(&mut self) {
        if self.open == 0 && self.slots.len() > IDLE_SLOTS {
            self.slots = KVec::new();
        }
    }

    /// Goes through what is under way, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> + '_ {
        (0..self.span()).filter_map(|at| {
            let id = self.base.plus(at);
            Some((id, self.get(id)?))
        })
    }

    /// Ends the oldest.
    pub(crate) fn pop(&mut self) -> Option<T> {
        self.close(self.base)
    }
}

#[kernel::macros::kunit_tests(emt_window)]
mod tests {
    use super::*;

    #[test]
    fn the_base_follows_the_oldest_that_is_open() {
        let mut window = Window::new();
        for number in 0..5u32 {
            assert_eq!(window.open(number, GFP_KERNEL), Ok(Id(number)));
        }
        assert_eq!(window.close(Id(1)), Some(1));
        assert_eq!(window.close(Id(1)), None);
        assert_eq!(window.base(), Id(0));
        assert_eq!(window.close(Id(0)), Some(0));
        assert_eq!(window.base(), Id(2));
        assert_eq!(window.get(Id(0)), None);
        assert_eq!(window.get(Id(3)), Some(&3));
        assert_eq!(window.get(Id(5)), None);
        assert_eq!(window.next(), Id(5));
        assert_eq!(window.len(), 3);
    }

    #[test]
    fn each_keeps_its_number_while_it_grows() {
        let mut window = Window::new();
        for number in 0..200u32 {
            assert_eq!(window.open(number, GFP_KERNEL), Ok(Id(number)));
            // Some stay, and with the first of them the span grows.
            if number % 5 != 0 {
                assert_eq!(window.close(Id(number)), Some(number));
            }
        }
        assert!(window.iter().all(|(id, number)| id.0 == *number));
        assert_eq!(window.iter().count(), window.len());
        assert_eq!(window.get(Id(200)), None);
        while window.pop().is_some() {}
        assert_eq!((window.base(), window.len()), (Id(200), 0));
    }

    #[test]
    fn it_is_full_by_distance_and_not_by_number() {
        let mut window = Window::new();
        for number in 0..WINDOW {
            assert_eq!(window.open(number, GFP_KERNEL), Ok(Id(number)));
        }
        assert_eq!(window.open(0, GFP_KERNEL), Err(0));
        for number in 1..WINDOW {
            window.close(Id(number));
        }
        assert_eq!(window.len(), 1);
        assert_eq!(window.open(0, GFP_KERNEL), Err(0));
        assert_eq!(window.pop(), Some(0));
        assert_eq!(window.open(9, GFP_KERNEL), Ok(Id(WINDOW)));
    }
}
