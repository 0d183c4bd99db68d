// SPDX-License-Identifier: GPL-2.0

//! Shortage of memory, on demand and for this thread alone.
//!
//! Only allocations that must not sleep fail: the others wait until there is memory.

use super::{
    flags::GFP_KERNEL,
    AllocError,
    Flags, //
};
use std::cell::Cell;

/// Which allocations fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Plan {
    Never,
    /// The one after so many others, once.
    After(u64),
    /// So many of 65536, at random; with the generator's state.
    Chance(u16, u64),
}

thread_local! {
    static PLAN: Cell<Plan> = const { Cell::new(Plan::Never) };
    static FAILED: Cell<u64> = const { Cell::new(0) };
}

/// Ends the shortage when it is dropped.
#[must_use = "dropping it ends the shortage"]
pub struct Shortage(());

impl Drop for Shortage {
    fn drop(&mut self) {
        PLAN.set(Plan::Never);
    }
}

/// Lets the allocation fail that comes after `count` others.
pub fn after(count: u64) -> Shortage {
    PLAN.set(Plan::After(count));
    Shortage(())
}

/// Lets `of_65536` of 65536 allocations fail, at random.
pub fn chance(of_65536: u16, seed: u64) -> Shortage {
    PLAN.set(Plan::Chance(of_65536, seed));
    Shortage(())
}

/// Returns how many allocations have been made to fail on this thread.
pub fn failed() -> u64 {
    FAILED.get()
}

/// Decides about one allocation.
pub(crate) fn check(flags: Flags) -> Result<(), AllocError> {
    if flags.contains(GFP_KERNEL) {
        return Ok(());
    }
    let (plan, fails) = match PLAN.get() {
        Plan::Never => return Ok(()),
        Plan::After(0) => (Plan::Never, true),
        Plan::After(count) => (Plan::After(count - 1), false),
        Plan::Chance(of_65536, state) => {
            // Knuth's linear congruential generator; its high bits are random enough.
            let state = state
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            let drawn = (state >> 48) as u16;
            (Plan::Chance(of_65536, state), drawn < of_65536)
        }
    };
    PLAN.set(plan);
    if fails {
        FAILED.set(FAILED.get() + 1);
        return Err(AllocError);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prelude::*;

    fn atomic() -> bool {
        KBox::new(1, GFP_ATOMIC).is_ok()
    }

    #[test]
    fn one_allocation_fails_after_a_count() {
        let _shortage = after(2);
        assert!(atomic() && atomic());
        // What may sleep neither fails nor counts.
        assert!(KBox::new(1, GFP_KERNEL).is_ok());
        assert!(!atomic());
        assert!(atomic());
    }

    #[test]
    fn some_fail_by_chance_until_the_shortage_ends() {
        let before = failed();
        let shortage = chance(1 << 14, 7);
        let failures = (0..10_000).filter(|_| !atomic()).count();
        assert!((2_000..3_000).contains(&failures), "{failures}");
        assert_eq!(failed() - before, failures as u64);
        drop(shortage);
        assert!((0..1_000).all(|_| atomic()));
    }
}
