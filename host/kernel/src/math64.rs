// SPDX-License-Identifier: GPL-2.0

//! Division of 64-bit numbers.

use std::num::NonZero;

/// Divides, and rounds down.
pub fn div64_u64(dividend: u64, divisor: NonZero<u64>) -> u64 {
    dividend / divisor
}
