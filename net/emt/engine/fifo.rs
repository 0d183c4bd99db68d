// SPDX-License-Identifier: GPL-2.0

//! A queue in one piece of memory that grows, and whose middle can be reached.

use kernel::{
    alloc::{
        AllocError,
        Flags, //
    },
    prelude::*, //
};

/// The capacity that the first element brings.
const FIRST_CAPACITY: usize = 8;

/// A queue.
///
/// # Invariants
///
/// `slots.len()` is 0 or a power of two, `len <= slots.len()`, and the `len` slots from `head` on,
/// wrapping round, are `Some`; the others are `None`.
pub(crate) struct Fifo<T> {
    slots: KVec<Option<T>>,
    head: usize,
    len: usize,
}

impl<T> Fifo<T> {
    pub(crate) const fn new() -> Self {
        // INVARIANT: There are no slots.
        Self {
            slots: KVec::new(),
            head: 0,
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns where the element is that has `index` others before it.
    fn slot(&self, index: usize) -> usize {
        // The length is a power of two. With no slots at all, any place is outside.
        self.head.wrapping_add(index) & self.slots.len().wrapping_sub(1)
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        if index >= self.len {
            return None;
        }
        self.slots.get(self.slot(index))?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        if index >= self.len {
            return None;
        }
        let at = self.slot(index);
        self.slots.get_mut(at)?.as_mut()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.get(0)
    }

    /// Makes room for one more element.
    pub(crate) fn reserve(&mut self, flags: Flags) -> Result<(), AllocError> {
        self.reserve_all(self.len + 1, flags)
    }

    /// Makes room for `count` elements, those that are there included.
    pub(crate) fn reserve_all(&mut self, count: usize, flags: Flags) -> Result<(), AllocError> {
        if count <= self.slots.len() {
            return Ok(());
        }
        let capacity = count.next_power_of_two().max(FIRST_CAPACITY);
        let mut slots = KVec::with_capacity(capacity, flags)?;
        while let Some(element) = self.pop_front() {
            slots.push(Some(element), flags)?;
        }
        self.len = slots.len();
        while slots.len() < capacity {
            slots.push(None, flags)?;
        }
        // INVARIANT: The elements come first, in their order; `capacity` is a power of two.
        self.head = 0;
        self.slots = slots;
        Ok(())
    }

    /// Adds an element at the end; hands it back if memory is short.
    pub(crate) fn push_back(&mut self, element: T, flags: Flags) -> Result<(), T> {
        if self.reserve(flags).is_err() {
            return Err(element);
        }
        let at = self.slot(self.len);
        match self.slots.get_mut(at) {
            Some(slot) => {
                *slot = Some(element);
                self.len += 1;
                Ok(())
            }
            None => Err(element),
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        if self.len == 0 {
            return None;
        }
        let element = self.slots.get_mut(self.head)?.take();
        self.head = self.slot(1);
        self.len -= 1;
        element
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> + '_ {
        (0..self.len).filter_map(|index| self.get(index))
    }

    /// Gives the memory back if there are no elements and it is more than is had at first.
    pub(crate) fn shrink_to_few(&mut self) {
        if self.len == 0 && self.slots.len() > FIRST_CAPACITY {
            *self = Self::new();
        }
    }

    /// Gives the memory back if there are no elements.
    pub(crate) fn shrink(&mut self) {
        if self.len == 0 {
            *self = Self::new();
        }
    }
}

#[kernel::macros::kunit_tests(emt_fifo)]
mod tests {
    use super::*;

    #[test]
    fn elements_come_out_in_their_order_while_it_grows_and_wraps() -> Result {
        let mut fifo = Fifo::new();
        let (mut next_in, mut next_out) = (0, 0);
        for round in 0..40 {
            for _ in 0..round {
                fifo.push_back(next_in, GFP_KERNEL).map_err(|_| ENOMEM)?;
                next_in += 1;
            }
            for _ in 0..round * 2 / 3 {
                assert_eq!(fifo.front(), Some(&next_out));
                assert_eq!(fifo.pop_front(), Some(next_out));
                next_out += 1;
            }
            assert_eq!(fifo.len(), next_in - next_out);
            assert!(fifo.iter().copied().eq(next_out..next_in));
        }
        Ok(())
    }

    #[test]
    fn what_is_not_there_is_not_found() -> Result {
        let mut fifo = Fifo::new();
        assert_eq!(fifo.get(0), None);
        assert_eq!(fifo.pop_front(), None);
        fifo.push_back(7, GFP_KERNEL).map_err(|_| ENOMEM)?;
        assert_eq!(fifo.get(0), Some(&7));
        assert_eq!(fifo.get_mut(1), None);
        assert_eq!(fifo.get(usize::MAX), None);
        assert_eq!(fifo.pop_front(), Some(7));
        assert!(fifo.is_empty());
        fifo.shrink();
        assert_eq!(fifo.front(), None);
        Ok(())
    }
}
