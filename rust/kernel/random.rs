// SPDX-License-Identifier: GPL-2.0

//! Random numbers.
//!
//! C header: [`include/linux/random.h`](srctree/include/linux/random.h)

use crate::bindings;

/// Returns a random number that nobody can foretell, in any context.
///
/// # Examples
///
/// ```
/// use kernel::random::random_u32;
///
/// // Four times the same would happen once in 2^96 times.
/// let first = random_u32();
/// assert!((0..3).any(|_| random_u32() != first));
/// ```
#[inline]
pub fn random_u32() -> u32 {
    // SAFETY: An FFI call with no requirements.
    unsafe { bindings::get_random_u32() }
}
