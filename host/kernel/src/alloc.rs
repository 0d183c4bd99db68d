// SPDX-License-Identifier: GPL-2.0

//! Memory that may be short.

pub mod inject;
pub mod kbox;
pub mod kvec;

pub use self::{
    kbox::KBox,
    kvec::KVec, //
};

/// Memory was short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocError;

/// How memory is to be allocated.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Flags(u32);

impl Flags {
    /// Whether all of `flags` are among these.
    pub fn contains(self, flags: Flags) -> bool {
        self.0 & flags.0 == flags.0
    }
}

impl core::ops::BitOr for Flags {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// The flags by name.
pub mod flags {
    #![allow(non_upper_case_globals)]
    use super::Flags;

    /// The caller must not sleep.
    pub const GFP_ATOMIC: Flags = Flags(1);
    /// The caller may sleep.
    pub const GFP_KERNEL: Flags = Flags(2);
    /// As [`GFP_KERNEL`], charged to the caller's group.
    pub const GFP_KERNEL_ACCOUNT: Flags = Flags(2 | 4);
    /// The caller does not even wake who frees memory.
    pub const GFP_NOWAIT: Flags = Flags(8);
    /// Without a warning where memory is short.
    pub const __GFP_NOWARN: Flags = Flags(16);
    /// Filled with zeros.
    pub const __GFP_ZERO: Flags = Flags(32);
}
