// SPDX-License-Identifier: GPL-2.0

//! The numbers of transfers.

/// The number of a transfer: unique within one association and direction, counted from 0, compared
/// as in RFC 1982.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Id(pub(crate) u32);

impl Id {
    pub(crate) const fn plus(self, count: u32) -> Self {
        Self(self.0.wrapping_add(count))
    }

    pub(crate) const fn minus(self, count: u32) -> Self {
        Self(self.0.wrapping_sub(count))
    }

    /// Returns how far this comes after `other`; `None` if it comes before it.
    pub(crate) const fn after(self, other: Self) -> Option<u32> {
        let distance = self.0.wrapping_sub(other.0);
        if distance < 1 << 31 {
            Some(distance)
        } else {
            None
        }
    }
}

#[kernel::macros::kunit_tests(emt_id)]
mod tests {
    use super::*;

    #[test]
    fn numbers_go_round() {
        assert_eq!(Id(5).after(Id(3)), Some(2));
        assert_eq!(Id(3).after(Id(3)), Some(0));
        assert_eq!(Id(3).after(Id(5)), None);
        assert_eq!(Id(1).after(Id(u32::MAX)), Some(2));
        assert_eq!(Id(u32::MAX).plus(2), Id(1));
        assert_eq!(Id(1).minus(2), Id(u32::MAX));
    }
}
