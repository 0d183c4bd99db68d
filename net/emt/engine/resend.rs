// SPDX-License-Identifier: GPL-2.0

//! What a receiver misses, as its sender knows it.

use super::limits::MAX_RESEND;
use kernel::prelude::*;

/// Ranges that are to be sent again, at most [`MAX_RESEND`]. Where there are none, as mostly, they
/// take no more than a pointer.
pub(super) struct Resend<R>(Option<KBox<KVec<R>>>);

impl<R> Resend<R> {
    pub(super) const fn new() -> Self {
        Self(None)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ranges().is_empty()
    }

    pub(super) fn ranges(&self) -> &[R] {
        self.0.as_ref().map_or(&[], |ranges| ranges)
    }

    pub(super) fn first_mut(&mut self) -> Option<&mut R> {
        self.0.as_mut()?.first_mut()
    }

    pub(super) fn remove_first(&mut self) {
        if let Some(ranges) = &mut self.0 {
            let _ = ranges.remove(0);
        }
        if self.is_empty() {
            self.0 = None;
        }
    }

    /// Adds a range. What does not fit will be asked for once more.
    pub(super) fn push(&mut self, range: R) {
        if self.0.is_none() {
            self.0 = KBox::new(KVec::new(), GFP_ATOMIC).ok();
        }
        if let Some(ranges) = self.0.as_mut().filter(|ranges| ranges.len() < MAX_RESEND) {
            let _ = ranges.push(range, GFP_ATOMIC);
        }
    }
}
