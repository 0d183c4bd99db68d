// SPDX-License-Identifier: GPL-2.0

//! Counters that every CPU keeps for itself.
//!
//! C header: [`include/linux/percpu.h`](srctree/include/linux/percpu.h)

use crate::{
    alloc::AllocError,
    bindings,
    prelude::*, //
};
use core::ptr::NonNull;

/// `N` counters that are counted up without touching another CPU's memory.
///
/// On 32-bit machines each CPU's part wraps at 2^32, as the kernel's other statistics do.
///
/// # Invariants
///
/// `counters` points to an allocation of `N` words on every possible CPU.
///
/// # Examples
///
/// ```
/// use kernel::net::Counters;
///
/// let counters = Counters::<2>::new()?;
/// counters.add(0, 1);
/// counters.add(1, 1500);
/// counters.add(1, 64);
/// assert_eq!(counters.sums(), [1, 1564]);
/// // There is no such counter, and nothing happens.
/// counters.add(2, 1);
/// assert_eq!(counters.sums(), [1, 1564]);
/// # Ok::<(), Error>(())
/// ```
pub struct Counters<const N: usize> {
    counters: NonNull<usize>,
}

// SAFETY: Every operation is allowed on every thread.
unsafe impl<const N: usize> Send for Counters<N> {}
// SAFETY: Adding is atomic with respect to the CPU, and summing reads whole words.
unsafe impl<const N: usize> Sync for Counters<N> {}

impl<const N: usize> Counters<N> {
    /// Allocates counters that start from 0. May sleep.
    pub fn new() -> Result<Self, AllocError> {
        // SAFETY: An FFI call with no requirements.
        let counters = unsafe { bindings::alloc_percpu_ulongs(N) };
        // INVARIANT: The allocation was just made.
        NonNull::new(counters)
            .map(|counters| Self { counters })
            .ok_or(AllocError)
    }

    /// Adds `value` to counter `index`, in any context. Does nothing if there is no such counter.
    #[inline]
    pub fn add(&self, index: usize, value: usize) {
        if index < N {
            // SAFETY: By the type invariant there are more than `index` words.
            unsafe {
                bindings::this_cpu_add_ulong(self.counters.as_ptr().wrapping_add(index), value)
            };
        }
    }

    /// Returns the counters' sums over all CPUs.
    pub fn sums(&self) -> [u64; N] {
        core::array::from_fn(|index| {
            // SAFETY: By the type invariant there are more than `index` words.
            unsafe { bindings::percpu_sum_ulong(self.counters.as_ptr().wrapping_add(index)) }
        })
    }
}

impl<const N: usize> Drop for Counters<N> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant; nobody else refers to it.
        unsafe { bindings::free_percpu(self.counters.as_ptr().cast()) };
    }
}
