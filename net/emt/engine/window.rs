// SPDX-License-Identifier: GPL-2.0

//! The transfers that a sender has under way, by number.

use super::{
    fifo::Fifo,
    id::Id,
    limits::WINDOW, //
};
use kernel::{
    alloc::Flags,
    prelude::*, //
};

/// What is under way, each under its own number.
///
/// The numbers are given in order. However they end, the newest is less than [`WINDOW`] after the
/// oldest that has not ended.
pub(crate) struct Window<T> {
    base: Id,
    slots: Fifo<Option<T>>,
    open: usize,
}

impl<T> Window<T> {
    pub(crate) const fn new() -> Self {
        Self {
            base: Id(0),
            slots: Fifo::new(),
            open: 0,
        }
    }

    /// Returns the number of the oldest that has not ended, or the next number if all have.
    pub(crate) fn base(&self) -> Id {
        self.base
    }

    /// Returns the next number.
    pub(crate) fn next(&self) -> Id {
        self.base.plus(self.slots.len() as u32)
    }

    /// Returns how many are under way.
    pub(crate) fn len(&self) -> usize {
        self.open
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open == 0
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slots.len() >= WINDOW as usize
    }

    /// Gives `transfer` the next number; hands it back if the window is full or memory is short.
    pub(crate) fn open(&mut self, transfer: T, flags: Flags) -> Result<Id, T> {
        if self.is_full() || self.slots.reserve(flags).is_err() {
            return Err(transfer);
        }
        let id = self.next();
        match self.slots.push_back(Some(transfer), flags) {
            Ok(()) => {
                self.open += 1;
                Ok(id)
            }
            Err(Some(transfer)) => Err(transfer),
            // Not reached: it is `Some`.
            Err(None) => Ok(id),
        }
    }

    /// Returns whether `id` has been given and its transfer may not have ended.
    pub(crate) fn contains(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    pub(crate) fn get(&self, id: Id) -> Option<&T> {
        self.slots.get(id.after(self.base)? as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.slots.get_mut(id.after(self.base)? as usize)?.as_mut()
    }

    /// Ends the transfer with this number.
    pub(crate) fn close(&mut self, id: Id) -> Option<T> {
        let at = id.after(self.base)? as usize;
        let transfer = self.slots.get_mut(at)?.take()?;
        self.open -= 1;
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.base = self.base.plus(1);
        }
        if self.open == 0 && self.slots.capacity() > 64 {
            self.slots.shrink();
        }
        Some(transfer)
    }

    /// Goes through what is under way, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Id, &T)> + '_ {
        self.slots
            .iter()
            .enumerate()
            .filter_map(|(at, slot)| Some((self.base.plus(at as u32), slot.as_ref()?)))
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
