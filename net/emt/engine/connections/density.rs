// SPDX-License-Identifier: GPL-2.0

//! How much of memory the bytes of a connection take, where it has not been enough.

use super::place::Place;
use core::num::NonZero;
use kernel::math64::div64_u64;

/// So many bytes are remembered; those before count half as much each time.
const REMEMBERED: u64 = 64 << 10;

/// The bytes that have come of late, and what they take of memory.
///
/// A window is told in bytes, and mostly twice as much of memory is there for them. Tiny packets
/// take more. That is measured once it was not enough, until it is again.
pub(super) struct Density {
    bytes: u64,
    /// 0 as long as nothing is known.
    size: u64,
}

impl Density {
    pub(super) const fn new() -> Self {
        Self { bytes: 0, size: 0 }
    }

    /// Returns whether memory has not been enough of late.
    pub(super) fn is_known(&self) -> bool {
        self.size > 0
    }

    /// Takes note that memory is not enough: so many bytes take so much.
    pub(super) fn learn(&mut self, bytes: usize, size: usize) {
        (self.bytes, self.size) = (bytes as u64, size as u64);
    }

    /// Takes note of bytes that have come, and what they take.
    #[inline(never)]
    pub(super) fn note(&mut self, bytes: usize, size: usize) {
        if !self.is_known() {
            return;
        }
        self.bytes += bytes as u64;
        self.size += size as u64;
        if self.bytes >= REMEMBERED {
            self.bytes /= 2;
            self.size /= 2;
        }
        if self.size <= 2 * self.bytes {
            self.size = 0;
        }
    }

    /// Returns for how many bytes so much memory is enough.
    pub(super) fn fits(&self, memory: usize) -> Place {
        match NonZero::new(self.size) {
            None => Place::MAX / 2,
            Some(size) => div64_u64((memory as u64).saturating_mul(self.bytes), size),
        }
    }
}

#[kernel::macros::kunit_tests(emt_density)]
mod tests {
    use super::*;

    #[test]
    fn tiny_packets_are_fewer_until_others_come() {
        let mut density = Density::new();
        density.note(64, 768);
        assert!(!density.is_known() && density.fits(0) > 1 << 40);
        density.learn(640, 7_680);
        assert_eq!(density.fits(120_000), 10_000);
        for _ in 0..1_000 {
            density.note(64, 768);
        }
        assert_eq!(density.fits(120_000), 10_000);
        let mut count = 0;
        while density.is_known() {
            density.note(1_448, 2_304);
            count += 1;
        }
        assert!(count < 600);
    }
}
