// SPDX-License-Identifier: GPL-2.0

//! Division of 64-bit numbers.
//!
//! With `/` there is none on 32-bit architectures, where the kernel does not link.
//!
//! C header: [`include/linux/math64.h`](srctree/include/linux/math64.h)

use core::num::NonZero;

/// Divides, and rounds down. Any context.
///
/// # Examples
///
/// ```
/// use core::num::NonZero;
/// use kernel::math64::div64_u64;
///
/// let divisor = NonZero::new(10_000_000_000).ok_or(EINVAL)?;
/// assert_eq!(div64_u64(29_999_999_999, divisor), 2);
/// # Ok::<(), Error>(())
/// ```
#[inline]
pub fn div64_u64(dividend: u64, divisor: NonZero<u64>) -> u64 {
    #[cfg(CONFIG_64BIT)]
    {
        dividend / divisor
    }

    #[cfg(not(CONFIG_64BIT))]
    {
        // SAFETY: An FFI call with no requirements but that the divisor is not 0, as its type says.
        unsafe { crate::bindings::div64_u64(dividend, divisor.get()) }
    }
}
