// SPDX-License-Identifier: GPL-2.0

//! Time as the engine sees it: handed to it, never asked for.

/// A length of time in nanoseconds.
pub(crate) type Nanos = u64;

/// One microsecond.
pub(crate) const MICROSECOND: Nanos = 1_000;
/// One millisecond.
pub(crate) const MILLISECOND: Nanos = 1_000 * MICROSECOND;
/// One second.
pub(crate) const SECOND: Nanos = 1_000 * MILLISECOND;

/// Returns a length of time in microseconds, as packets tell it: 65535 if it is more.
pub(crate) fn micros(length: Nanos) -> u16 {
    let length = u32::try_from(length).unwrap_or(u32::MAX);
    u16::try_from(length / MICROSECOND as u32).unwrap_or(u16::MAX)
}

/// A point in time: nanoseconds of a clock that never goes back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Instant(pub(crate) Nanos);

impl Instant {
    /// Later than anything that happens.
    pub(crate) const NEVER: Self = Self(Nanos::MAX);

    /// Returns the point that is `length` later.
    pub(crate) const fn plus(self, length: Nanos) -> Self {
        Self(self.0.saturating_add(length))
    }

    /// Returns the time since `earlier`, or 0 if that is later.
    pub(crate) const fn since(self, earlier: Self) -> Nanos {
        self.0.saturating_sub(earlier.0)
    }
}
